//! Two runtimes per program: one thread for the bytes, one for everything else.
//!
//! The data runtime is single-threaded: handing a cold buffer to another core costs more than the
//! core gives. The control runtime serves health, metrics, Kubernetes calls and file loads, so that
//! none of these ever waits behind a busy tunnel, nor the tunnel behind them.

use std::io;

use tokio::runtime::{Builder, Handle};

/// Runs `main` on the data thread; it is handed the control runtime. Returns when `main` does;
/// control tasks that still run are given up then.
pub fn run<F: Future>(main: impl FnOnce(Handle) -> F) -> io::Result<F::Output> {
    let control = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()?;
    let data = Builder::new_current_thread().enable_all().build()?;
    let output = data.block_on(main(control.handle().clone()));
    control.shutdown_background();
    Ok(output)
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_tasks_run_on_their_own_thread() {
        let names = super::run(|control| async move {
            let name = || std::thread::current().name().map(str::to_owned);
            (name(), control.spawn(async move { name() }).await.unwrap())
        })
        .unwrap();
        assert_ne!(names.0, names.1);
        assert_eq!(names.1.as_deref(), Some("control"));
    }
}
