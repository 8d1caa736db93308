//! The log: one tracing subscriber per process, text or JSON, at the level `-v` asks for.
//!
//! Lines go through a bounded queue to a thread of their own. A full disk or a reader that stands
//! still therefore costs log lines, which are counted, and never a byte of the tunnel.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::flags::{Klog, LogFormat};

/// Lines that may wait for the writing thread.
const QUEUE: usize = 1024;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The file of `--log-file` does not open.
    #[error("--log-file={path}: cannot open it for writing; name a writable file", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writing thread does not start.
    #[error("cannot start the thread that writes the log")]
    Thread(#[from] io::Error),
    /// A second subscriber in one process.
    #[error("the log has already been started")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Keeps the log running; dropped last, it writes what still waits.
#[derive(Debug)]
pub struct Log {
    sink: Option<Sink>,
    writer: Option<JoinHandle<()>>,
}

/// Starts the log for this process.
pub fn start(klog: &Klog) -> Result<Log, TelemetryError> {
    let (log, sink) = writing_to(outputs(klog)?)?;
    let filter = EnvFilter::new(filter(klog.v));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(sink)
        .with_ansi(false)
        .log_internal_errors(false);
    match klog.log_format {
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish())?,
        LogFormat::Text => tracing::subscriber::set_global_default(builder.finish())?,
    }
    Ok(log)
}

/// An error with all its causes in one line, for a log field.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// klog's numbers as levels of our crate; libraries stay a level quieter.
fn filter(verbosity: i32) -> &'static str {
    match verbosity {
        ..=0 => "warn",
        1..=4 => "warn,tunnel=info",
        5..=9 => "info,tunnel=debug",
        10.. => "debug,tunnel=trace",
    }
}

fn outputs(klog: &Klog) -> Result<Vec<Box<dyn Write + Send>>, TelemetryError> {
    let path = PathBuf::from(&klog.log_file);
    let to_file = !klog.logtostderr && !path.as_os_str().is_empty();
    let mut outputs: Vec<Box<dyn Write + Send>> = Vec::new();
    if to_file {
        let file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| TelemetryError::Open { path, source })?;
        outputs.push(Box::new(file));
    }
    if !to_file || klog.alsologtostderr {
        outputs.push(Box::new(io::stderr()));
    }
    Ok(outputs)
}

fn writing_to(outputs: Vec<Box<dyn Write + Send>>) -> io::Result<(Log, Sink)> {
    let (sender, receiver) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let sink = Sink {
        sender,
        lost: Arc::clone(&lost),
    };
    let writer = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, outputs, &lost))?;
    Ok((
        Log {
            sink: Some(sink.clone()),
            writer: Some(writer),
        },
        sink,
    ))
}

/// An empty line is the end. A line that cannot be written is lost and counted; the count is
/// written as soon as writing works again.
fn write_lines(
    lines: &Receiver<Vec<u8>>,
    mut outputs: Vec<Box<dyn Write + Send>>,
    lost: &AtomicU64,
) {
    while let Ok(line) = lines.recv() {
        if line.is_empty() {
            return;
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        for output in &mut outputs {
            let notice = format!("{missing} log lines lost\n");
            let told = if missing == 0 {
                Ok(())
            } else {
                output.write_all(notice.as_bytes())
            };
            if told.and_then(|()| output.write_all(&line)).is_err() {
                lost.fetch_add(missing + 1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // An end that finds no room means a writer that stands still: it is left behind.
        let ended = self
            .sink
            .take()
            .is_some_and(|sink| sink.sender.try_send(Vec::new()).is_ok());
        if let Some(writer) = self.writer.take()
            && ended
        {
            drop(writer.join());
        }
    }
}

/// Where the subscriber writes; each write is one line.
#[derive(Clone, Debug)]
struct Sink {
    sender: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() && self.sender.try_send(line.to_vec()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A disk that is full for the first `refusals` lines.
    struct Disk {
        refusals: usize,
        text: Arc<Mutex<String>>,
    }

    impl Write for Disk {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if self.refusals > 0 {
                self.refusals -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text
                .lock()
                .unwrap()
                .push_str(std::str::from_utf8(line).unwrap());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_the_log_says_how_many() {
        let text = Arc::new(Mutex::new(String::new()));
        let disk = Disk {
            refusals: 2,
            text: Arc::clone(&text),
        };
        let (log, mut sink) = writing_to(vec![Box::new(disk)]).unwrap();
        for line in ["a\n", "b\n", "c\n"] {
            sink.write_all(line.as_bytes()).unwrap();
        }
        drop(log);
        assert_eq!(*text.lock().unwrap(), "2 log lines lost\nc\n");
    }

    /// A disk that says when it is written to, and stands still until it is let go.
    struct Still {
        entered: SyncSender<()>,
        released: Receiver<()>,
    }

    impl Write for Still {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // When the test is over, nobody listens and nobody holds it.
            let _listens = self.entered.try_send(());
            let _released = self.released.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_stands_still_holds_nobody_up() {
        let ((entered, is_writing), (release, released)) = (sync_channel(1), sync_channel(0));
        let disk = Still { entered, released };
        let (_log, mut sink) = writing_to(vec![Box::new(disk)]).unwrap();
        sink.write_all(b"line\n").unwrap();
        is_writing.recv().unwrap();
        for _ in 0..2 * QUEUE {
            sink.write_all(b"line\n").unwrap();
        }
        assert_eq!(sink.lost.load(Ordering::Relaxed), QUEUE as u64);
        drop::<SyncSender<()>>(release);
    }

    #[test]
    fn a_chain_tells_every_cause() {
        let path = PathBuf::from("/log");
        let source = io::Error::other("disk on fire");
        let text = chain(&TelemetryError::Open { path, source });
        assert!(
            text.starts_with("--log-file=/log: ") && text.ends_with(": disk on fire"),
            "{text}"
        );
    }

    #[test]
    fn verbosity_of_the_field_maps_to_levels() {
        assert_eq!(filter(4), "warn,tunnel=info");
        assert_eq!(filter(8), "info,tunnel=debug");
        assert_eq!(filter(10), "debug,tunnel=trace");
    }
}
