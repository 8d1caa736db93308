//! `konnectivity-server status` and `konnectivity-agent status`: ask the admin listener, print.
//!
//! In: the command line behind the program's name. Out: a table or JSON on stdout, or one line on
//! stderr that says what is wrong and what to do. It is the program itself, so it works where there
//! is no shell and no other program. The reference ignores words that are no flags; only the very
//! first word `status` means this.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::document::{Program, Status};
use super::table;
use crate::telemetry::chain;

/// A program that lives answers within this.
const DEADLINE: Duration = Duration::from_secs(5);
/// A status is a few hundred bytes for each of a thousand connections.
const LARGEST: usize = 16 << 20;

/// Shows what the program that runs here holds: its peers and its open connections.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Admin listener of the running program.
    #[arg(long, value_name = "HOST:PORT")]
    admin_address: String,
    /// A table for a person, or JSON for a program.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens, or not here.
    #[error("nobody answers at {address}: is {} running here? Give --admin-address=HOST:PORT the port of its {}",
        .program.name(), .program.admin_flag())]
    Unreachable {
        /// What was asked.
        address: String,
        /// Who should be there.
        program: Program,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody listens and says nothing.
    #[error(
        "no answer from {0} within {DEADLINE:?}: is this its admin listener? If it is, the program stands still; its log may say why"
    )]
    Slow(String),
    /// Somebody listens who speaks otherwise.
    #[error("what listens at {address} does not speak HTTP, or hung up: is this the port of {}?", .program.admin_flag())]
    Http {
        /// What was asked.
        address: String,
        /// Who should be there.
        program: Program,
        /// What was wrong.
        source: Failure,
    },
    /// The address cannot stand in a request.
    #[error("--admin-address={0} is no HOST:PORT")]
    Address(String, #[source] http::Error),
    /// An answer, but no status.
    #[error("http://{address}/status answers {status} and no status: is this the port of {}, and the program as new as this one?",
        .program.admin_flag())]
    NoStatus {
        /// What was asked.
        address: String,
        /// Who should be there.
        program: Program,
        /// What it answered.
        status: StatusCode,
        /// What is wrong with the text, if that is what is wrong.
        source: Option<serde_json::Error>,
    },
    /// No runtime, no stdout.
    #[error("cannot print the status")]
    System(#[from] io::Error),
}

/// What a client of HTTP fails with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whether a command line, program name first, asks for this and not for the program itself.
pub fn is_asked(command_line: &[String]) -> bool {
    command_line.get(1).is_some_and(|word| word == "status")
}

/// Does what the command line says, and says how the process ends: 0, 1 when there is no status, 2
/// when the command line is wrong.
pub fn run(program: Program, command_line: &[String]) -> ExitCode {
    let args = match parse(program, command_line) {
        Ok(args) => args,
        Err(error) => {
            // A closed stdout or stderr is the reader's choice.
            drop(error.print());
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match show(program, &args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn parse(program: Program, command_line: &[String]) -> Result<Args, clap::Error> {
    let name = match program {
        Program::Server => "konnectivity-server status",
        Program::Agent => "konnectivity-agent status",
    };
    let mut command = Args::command()
        .name(name)
        .bin_name(name)
        .mut_arg("admin_address", |arg| {
            arg.required(false).default_value(program.admin_address())
        });
    let words = command_line.iter().skip(1);
    let matches = command.try_get_matches_from_mut(words)?;
    Args::from_arg_matches(&matches)
}

fn show(program: Program, args: &Args) -> Result<(), StatusError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(ask(program, &args.admin_address))?;
    let text = match args.output {
        Output::Table => table::render(&status),
        Output::Json => serde_json::to_string_pretty(&status).map_err(io::Error::from)? + "\n",
    };
    match io::stdout().write_all(text.as_bytes()) {
        // `| head` has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// The status of whoever listens at `address`.
pub async fn ask(program: Program, address: &str) -> Result<Status, StatusError> {
    timeout(DEADLINE, exchange(program, address))
        .await
        .map_err(|_elapsed| StatusError::Slow(address.to_owned()))?
}

async fn exchange(program: Program, address: &str) -> Result<Status, StatusError> {
    let request = Request::get("/status")
        .header(HOST, address)
        .body(Empty::<Bytes>::new())
        .map_err(|source| StatusError::Address(address.to_owned(), source))?;
    let connected = TcpStream::connect(address).await;
    let socket = connected.map_err(|source| StatusError::Unreachable {
        address: address.to_owned(),
        program,
        source,
    })?;
    let answered = answer(socket, request).await;
    let (status, body) = answered.map_err(|source| StatusError::Http {
        address: address.to_owned(),
        program,
        source,
    })?;
    let no_status = |source| StatusError::NoStatus {
        address: address.to_owned(),
        program,
        status,
        source,
    };
    if status != StatusCode::OK {
        return Err(no_status(None));
    }
    serde_json::from_slice(&body).map_err(|error| no_status(Some(error)))
}

async fn answer(
    socket: TcpStream,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?;
        Ok::<_, Failure>((head.status, body.to_bytes()))
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => answered,
        ended = connection => match ended {
            // The answer came with the end of the connection.
            Ok(()) => exchange.await,
            Err(error) => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests;
