//! One client's life, from its dial to its end. In: a task. Out: what came of it.
//!
//! A client that is killed is one that drops its socket: what the kernel does with the sockets of a killed process.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::bench::contestant::Contestant;
use crate::bench::part::client::Way;
use crate::error::{Error, Result};
use crate::soak::dice::Payload;
use crate::soak::endpoints::{Endpoints, send, take};
use crate::soak::plan::{Job, Task};
use crate::soak::receipt::{Meter, Receipt, Verdict};

/// No client lives longer, however slow the machine.
const LIMIT: Duration = Duration::from_mins(1);
/// What is under way when a connection closes has 10 s to arrive.
const ARRIVAL: Duration = Duration::from_secs(15);
const BUFFER: usize = 64 * 1024;
/// What a refused dial is answered with.
const REFUSED: &str = "HTTP/1.1 502 ";
const CONNECTION: &str = "a connection through the tunnel";

/// Where clients live.
#[derive(Debug)]
pub struct World<'a> {
    socket: &'a Path,
    endpoints: &'a Endpoints,
    way: Way,
    half_closes: bool,
}

impl<'a> World<'a> {
    /// Behind this socket. On the reference's wire no answer comes back once the client has closed its half.
    pub fn new(socket: &'a Path, endpoints: &'a Endpoints, wire: Contestant) -> Self {
        Self {
            way: Way::new(socket, &endpoints.living),
            socket,
            endpoints,
            half_closes: wire == Contestant::Native,
        }
    }

    /// Lives a client's life; a task without a transfer is [`Verdict::Whole`] when it went as it should.
    pub async fn perform(&self, task: Task) -> Result<Verdict> {
        let late = |_elapsed| Error::Late {
            what: format!("{:?} ends", task.job),
            limit: LIMIT,
            last: "still under way".into(),
        };
        timeout(LIMIT, self.live(task)).await.map_err(late)?
    }

    async fn live(&self, Task { seed, job }: Task) -> Result<Verdict> {
        match job {
            Job::Up(bytes) => self.up(seed, bytes).await,
            Job::Down(bytes) => self.down(seed, bytes, None).await,
            Job::Paused(bytes, pause) => self.down(seed, bytes, Some(pause)).await,
            Job::Refused => self.refused().await,
            Job::GivenUp(after) => self.given_up(after).await,
            Job::GivenUpLate(after) => {
                let target = self.endpoints.living.first().map_or("", String::as_str);
                let mut stream = self.ask(target).await?;
                // Answered or not, it is dropped; with the answer unread in it if there is one.
                let _answered = timeout(after, stream.read_u8()).await;
                Ok(Verdict::Whole)
            }
            Job::KilledReading(bytes) => {
                let mut stream = self.way.dial_within(LIMIT).await?;
                write(&mut stream, &send(seed, u64::MAX)).await?;
                let mut some = stream.take(bytes);
                let read = tokio::io::copy(&mut some, &mut tokio::io::sink()).await;
                let count = read.map_err(broken("read from"))?;
                Ok(if count == bytes {
                    Verdict::Whole
                } else {
                    Verdict::Cut
                })
            }
            Job::KilledWriting(bytes) => {
                let mut stream = self.way.dial_within(LIMIT).await?;
                write(&mut stream, &take(seed)).await?;
                write_all(&mut stream, Payload::new(seed, bytes)).await?;
                Ok(Verdict::Whole)
            }
        }
    }

    async fn up(&self, seed: u64, bytes: u64) -> Result<Verdict> {
        let awaited = self.endpoints.awaited(seed);
        let mut stream = self.way.dial_within(LIMIT).await?;
        write(&mut stream, &take(seed)).await?;
        write_all(&mut stream, Payload::new(seed, bytes)).await?;
        let closed = stream.shutdown().await;
        closed.map_err(broken("close a half of"))?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        read.map_err(broken("read the answer from"))?;
        let receipt = timeout(ARRIVAL, awaited.receipt()).await;
        let receipt = receipt.map_err(|_elapsed| Error::Late {
            what: "the endpoint has what was sent".into(),
            limit: ARRIVAL,
            last: "no end of it".into(),
        })??;
        let verdict = receipt.judge(seed, bytes);
        if self.half_closes && verdict == Verdict::Whole && answer != receipt.digest {
            return Err(Error::Unexpected {
                what: "the answer behind a half-close".into(),
                expected: format!("the {} bytes of a hash", receipt.digest.len()),
                found: format!("{} bytes", answer.len()),
            });
        }
        Ok(verdict)
    }

    async fn down(&self, seed: u64, bytes: u64, pause: Option<Duration>) -> Result<Verdict> {
        let mut stream = self.way.dial_within(LIMIT).await?;
        write(&mut stream, &send(seed, bytes)).await?;
        let receipt = read(&mut stream, (bytes / 4, pause)).await?;
        Ok(receipt.judge(seed, bytes))
    }

    async fn refused(&self) -> Result<Verdict> {
        let mut stream = self.ask(&self.endpoints.refused).await?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.map_err(broken("read the answer from"))?;
        if answer.starts_with(REFUSED) {
            return Ok(Verdict::Whole);
        }
        Err(Error::Unexpected {
            what: "a dial to a port on which nobody listens".into(),
            expected: REFUSED.into(),
            found: answer,
        })
    }

    async fn given_up(&self, after: Duration) -> Result<Verdict> {
        let mut stream = self.ask(&self.endpoints.hole).await?;
        match timeout(after, stream.read_u8()).await {
            Err(_elapsed) => Ok(Verdict::Whole),
            Ok(answer) => Err(Error::Unexpected {
                what: "a dial to an endpoint that never answers".into(),
                expected: format!("nothing within {after:?}"),
                found: format!("{answer:?}"),
            }),
        }
    }

    /// Asks for a connection and does not wait for the answer.
    async fn ask(&self, target: &str) -> Result<UnixStream> {
        let connected = UnixStream::connect(self.socket).await;
        let mut stream = connected.map_err(Error::file("connect to", self.socket))?;
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        write(&mut stream, request.as_bytes()).await?;
        Ok(stream)
    }
}

fn broken(action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    Error::file(action, CONNECTION)
}

async fn write(stream: &mut UnixStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await.map_err(broken("write to"))
}

async fn write_all(stream: &mut UnixStream, mut payload: Payload) -> Result<()> {
    while let Some(block) = payload.next_block() {
        write(stream, block).await?;
    }
    Ok(())
}

/// Reads to the end, and stands still once, for a while, when so many bytes have come.
async fn read(stream: &mut UnixStream, pause: (u64, Option<Duration>)) -> Result<Receipt> {
    let (mut meter, mut buffer) = (Meter::default(), vec![0; BUFFER]);
    let (at, mut pause) = pause;
    loop {
        let count = stream.read(&mut buffer).await;
        match count.map_err(broken("read from"))? {
            0 => return Ok(meter.receipt()),
            count => meter.take(buffer.get(..count).unwrap_or_default()),
        }
        if meter.length() >= at
            && let Some(pause) = pause.take()
        {
            sleep(pause).await;
        }
    }
}
