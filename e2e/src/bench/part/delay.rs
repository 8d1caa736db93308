//! A slow line: a relay that passes on what it gets only so fast and so much later, with room for twice what is under
//! way. In: connections to its port. Out: the same bytes at another port.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Listening, listen, serve_while_wanted, tell};
use crate::error::Result;

/// What is read at once; small against what the line holds.
const PIECE: usize = 16 * 1024;

/// Flags of the slow line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it leads.
    #[arg(long)]
    to: String,
    /// Milliseconds from one end to the other.
    #[arg(long)]
    one_way: u64,
    /// Bytes a second, each way and connection.
    #[arg(long)]
    rate: u32,
    /// Bytes that it holds, each way and connection.
    #[arg(long)]
    room: usize,
}

/// A piece that is under way.
#[derive(Debug)]
struct Piece {
    due: Instant,
    data: Vec<u8>,
}

/// Serves until nobody wants it.
pub async fn run(args: Args) -> Result<()> {
    let (listener, address) = listen("127.0.0.1").await?;
    tell(&Listening {
        address: address.to_string(),
    })?;
    serve_while_wanted(listener, "the line's port", |near| join(near, args.clone())).await
}

async fn join(near: TcpStream, args: Args) -> std::io::Result<()> {
    let far = TcpStream::connect(&args.to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::try_join!(
        carry(near_read, far_write, &args),
        carry(far_read, near_write, &args)
    )
    .map(drop)
}

/// One direction: what is read now is written when it is due.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, args: &Args) -> std::io::Result<()> {
    let delay = Duration::from_millis(args.one_way);
    let room = Arc::new(Semaphore::new(args.room));
    // A piece may be as small as a byte, so room is counted in bytes and the queue need not bound it again.
    let (queue, pieces) = mpsc::channel(args.room.max(1));
    let reading = async {
        let mut free_at = Instant::now();
        loop {
            let mut data = vec![0; PIECE];
            let count = from.read(&mut data).await?;
            if count == 0 {
                drop(queue);
                return Ok(());
            }
            data.truncate(count);
            let permits = u32::try_from(count).unwrap_or(u32::MAX);
            let taken = room.acquire_many(permits).await;
            taken.map_err(std::io::Error::other)?.forget();
            let now = Instant::now();
            free_at = free_at.max(now) + Duration::from_secs(1) * permits / args.rate;
            let due = free_at + delay;
            let queued = queue.send(Piece { due, data }).await;
            queued.map_err(|_ended| std::io::ErrorKind::BrokenPipe)?;
        }
    };
    tokio::try_join!(reading, deliver(pieces, to, &room)).map(drop)
}

async fn deliver(
    mut pieces: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
    room: &Semaphore,
) -> std::io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        sleep_until(piece.due).await;
        to.write_all(&piece.data).await?;
        room.add_permits(piece.data.len());
    }
    to.shutdown().await
}
