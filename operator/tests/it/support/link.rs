//! A stretch of network between a client and a server on loopback that a test can break as firewalls do: bytes stop
//! and nobody is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Nothing here takes longer, also on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What flows.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How many connections were opened.
    opened: u64,
    /// Connections up to this one are cut.
    cut: u64,
    /// No connection carries anything, nor those that come.
    blocked: bool,
}

/// A way to a server. Dropping it closes every connection.
pub(crate) struct Link {
    port: u16,
    state: Arc<watch::Sender<State>>,
    _accepting: JoinSet<()>,
}

impl Link {
    /// A link to this port on loopback.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State::default()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, Arc::clone(&state)));
        Self {
            port,
            state,
            _accepting: accepting,
        }
    }

    /// Where clients dial.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    pub(crate) fn opened(&self) -> u64 {
        self.state.borrow().opened
    }

    /// Waits until there were more than that.
    pub(crate) async fn opened_after(&self, before: u64) {
        let mut state = self.state.subscribe();
        let more = state.wait_for(|state| state.opened > before);
        timeout(PATIENCE, more)
            .await
            .expect("nobody opens a connection")
            .unwrap();
    }

    /// From now on nothing comes through the connections that are open. They stay open.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cut = state.opened);
    }

    /// From now on nothing comes through, neither on connections that are open nor on those that come.
    pub(crate) fn block(&self) {
        self.cut();
        self.state.send_modify(|state| state.blocked = true);
    }

    /// Lets connections through that come from now on.
    pub(crate) fn unblock(&self) {
        self.state.send_modify(|state| state.blocked = false);
    }
}

async fn accept(listener: TcpListener, server: u16, state: Arc<watch::Sender<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        state.send_modify(|state| state.opened += 1);
        let number = state.borrow().opened;
        if state.borrow().blocked {
            state.send_modify(|state| state.cut = number);
        }
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        connections.spawn(carry(near_in, far_out, number, state.subscribe()));
        connections.spawn(carry(far_in, near_out, number, state.subscribe()));
    }
}

/// Carries bytes one way until the connection is cut, then holds both ends open and does nothing.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            biased;
            _cut = state.wait_for(|state| state.cut >= number) => None,
            read = from.read(&mut buffer) => Some(read),
        };
        match read {
            None => break,
            Some(Ok(length @ 1..)) if to.write_all(&buffer[..length]).await.is_ok() => {}
            Some(_) => return,
        }
    }
    std::future::pending::<()>().await;
    drop((from, to));
}
