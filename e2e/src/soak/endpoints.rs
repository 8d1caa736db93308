//! What clients dial: endpoints that send and take, a port on which nobody listens, and one that never answers.
//!
//! A client says first what it wants, in [`HEADER`] bytes. What an endpoint has taken it answers with its hash when the
//! client is done, and it tells it here as well: on the reference's wire nothing comes back from behind a close.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bench::part::listen;
use crate::error::{Error, Result};
use crate::soak::dice::Payload;
use crate::soak::receipt::{Meter, Receipt};

/// Addresses of the endpoints: a soak's connections need more ports than one address has.
const ADDRESSES: u8 = 16;
/// What a client says first: a verb and two numbers.
const HEADER: usize = 17;
/// The client sends; the first number is the name under which it is told what came.
const TAKE: u8 = b'T';
/// The client wants bytes: a seed and how many.
const SEND: u8 = b'S';
const BUFFER: usize = 64 * 1024;
/// The kernel answers dials for a listener that accepts none, until so many wait.
const BACKLOG: u32 = 1;
/// A dial that is not answered for so long is not answered at all.
const SILENCE: Duration = Duration::from_millis(500);
/// More than any kernel makes of [`BACKLOG`].
const MOST_FILLERS: u32 = 16;

/// All of them; gone when dropped.
#[derive(Debug)]
pub struct Endpoints {
    /// Those that send and take.
    pub living: Vec<String>,
    /// Where nobody listens.
    pub refused: String,
    /// Where nobody answers.
    pub hole: String,
    receipts: Receipts,
    _unused: TcpSocket,
    _full: (TcpListener, Vec<TcpStream>),
    _serving: JoinSet<Result<()>>,
}

/// Who waits for what an endpoint takes.
#[derive(Debug, Clone, Default)]
struct Receipts(Arc<Mutex<BTreeMap<u64, oneshot::Sender<Receipt>>>>);

/// A receipt that is waited for; nobody waits any more when it is dropped.
#[derive(Debug)]
pub struct Awaited {
    name: u64,
    receipts: Receipts,
    receiver: oneshot::Receiver<Receipt>,
}

impl Receipts {
    /// The map, for one change of it, each of which is whole.
    fn map(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Receipt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoints {
    /// Starts them.
    pub async fn start() -> Result<Self> {
        let receipts = Receipts::default();
        let (mut living, mut serving) = (Vec::new(), JoinSet::new());
        for last in 1..=ADDRESSES {
            let (listener, address) = listen(&format!("127.0.0.{last}")).await?;
            serving.spawn(serve(listener, receipts.clone()));
            living.push(address.to_string());
        }
        let (unused, refused) = bound()?;
        let (full, hole) = bound()?;
        Ok(Self {
            living,
            refused,
            _full: fill(full, &hole).await?,
            hole,
            receipts,
            _unused: unused,
            _serving: serving,
        })
    }

    /// Waits from now on for what is taken under this name.
    pub fn awaited(&self, name: u64) -> Awaited {
        let (sender, receiver) = oneshot::channel();
        self.receipts.map().insert(name, sender);
        Awaited {
            name,
            receipts: self.receipts.clone(),
            receiver,
        }
    }
}

impl Awaited {
    /// What was taken.
    pub async fn receipt(mut self) -> Result<Receipt> {
        let receipt = (&mut self.receiver).await;
        receipt.map_err(|_dropped| Error::Missing {
            what: "the receipt of a transfer".into(),
            remedy: "no two transfers may have one name".into(),
        })
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.receipts.map().remove(&self.name);
    }
}

/// What a client says first when it will send.
pub fn take(name: u64) -> [u8; HEADER] {
    header(TAKE, name, 0)
}

/// What it says first when it wants `length` bytes of a seed.
pub fn send(seed: u64, length: u64) -> [u8; HEADER] {
    header(SEND, seed, length)
}

fn header(verb: u8, first: u64, second: u64) -> [u8; HEADER] {
    let mut header = [verb; HEADER];
    let numbers = [first, second].into_iter().flat_map(u64::to_be_bytes);
    for (place, byte) in header.iter_mut().skip(1).zip(numbers) {
        *place = byte;
    }
    header
}

/// A socket with a port that nobody else gets, and on which it does not listen.
fn bound() -> Result<(TcpSocket, String)> {
    let bound = || {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let address = socket.local_addr()?;
        Ok((socket, address.to_string()))
    };
    bound().map_err(Error::file("bind", "a port of 127.0.0.1"))
}

/// Listens, and takes all the room for those who wait to be accepted: further dials get no answer at all.
async fn fill(socket: TcpSocket, address: &str) -> Result<(TcpListener, Vec<TcpStream>)> {
    let listener = socket.listen(BACKLOG);
    let listener = listener.map_err(Error::file("listen on", address))?;
    let mut waiting = Vec::new();
    for _ in 0..MOST_FILLERS {
        match timeout(SILENCE, TcpStream::connect(address)).await {
            Ok(connected) => waiting.push(connected.map_err(Error::file("connect to", address))?),
            Err(_elapsed) => return Ok((listener, waiting)),
        }
    }
    Err(Error::Unexpected {
        what: format!("a listener with room for {BACKLOG}"),
        expected: "no answer to a dial when it is full".into(),
        found: format!("{MOST_FILLERS} answers"),
    })
}

async fn serve(listener: TcpListener, receipts: Receipts) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(Error::file("accept on", "an endpoint's port"))?;
        // How a client ends is judged by what came, not here.
        connections.spawn(attend(stream, receipts.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn attend(mut stream: TcpStream, receipts: Receipts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let verb = stream.read_u8().await?;
    let (first, second) = (stream.read_u64().await?, stream.read_u64().await?);
    if verb == SEND {
        let mut payload = Payload::new(first, second);
        while let Some(block) = payload.next_block() {
            stream.write_all(block).await?;
        }
        return stream.shutdown().await;
    }
    let (mut meter, mut buffer) = (Meter::default(), vec![0; BUFFER]);
    let ended = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(count) => meter.take(buffer.get(..count).unwrap_or_default()),
            Err(error) => break Err(error),
        }
    };
    let receipt = meter.receipt();
    if let Some(waiting) = receipts.map().remove(&first) {
        // Who has given up waiting has said why.
        let _ = waiting.send(receipt);
    }
    ended?;
    stream.write_all(&receipt.digest).await?;
    stream.shutdown().await
}
