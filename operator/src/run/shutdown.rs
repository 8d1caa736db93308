//! When to end: a signal that many can wait for, and that stays said.

use tokio::sync::watch;

/// Says when to end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the end.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Shutdown {
    /// Both halves.
    pub fn new() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Waits until the end is asked for, or whoever could ask is gone.
    pub async fn asked(&self) {
        self.clone().asked_owned().await;
    }

    /// The same, on its own.
    pub async fn asked_owned(mut self) {
        // An error says that nobody is left who could ask: that is the end too.
        let _said = self.0.wait_for(|asked| *asked).await;
    }
}

impl Trigger {
    /// Asks for the end, now and for good.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }
}
