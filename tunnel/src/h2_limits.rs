//! Every limit of HTTP/2, set in one place for each side: no builder of h2 is used without them.
//!
//! The defaults of h2 protect a web server from its clients. Here a connection carries what a whole
//! cluster says, and each of these defaults has killed all of it at once in an experiment
//! (tunnel.md 2.4); the tests below hold each of them.

use h2::{client, server};

#[cfg(test)]
mod tests;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// A peer that ignores windows is stopped here.
const STREAM_WINDOW: u32 = 4 * MIB;
/// One connection carries one stream in reference mode; two so that a second one can open.
const CONNECTION_WINDOW: u32 = 8 * MIB;
/// Many streams of one frontend: a stalled one must not eat the window of the others.
const FRONTEND_STREAM_WINDOW: u32 = 256 * KIB;
const FRONTEND_CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Unread small frames: h2's default kills the connection after some hundred keystrokes that a
/// paused reader has not taken. Data is bounded by the windows and by our own budgets.
const DATA_FRAMES: usize = 64 * 1024 * 1024;
/// Dials that are cancelled before the accept loop comes round: h2's default is 20.
const RESETS: usize = 4096;
/// What h2 holds ahead of the wire; more would stand in front of a keystroke.
const SEND_BUFFER: usize = 256 * 1024;
const FRAME: u32 = 64 * KIB;
const HEADER_LIST: u32 = 16 * KIB;
/// Many streams on one connection, as the reusable tunnel of kube-apiserver's client has them.
const STREAMS: u32 = 10_000;

/// The agent's side of its connection to a server.
pub fn client() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(DATA_FRAMES)
        .max_concurrent_reset_streams(RESETS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(None)
        .initial_max_send_streams(1024)
        .enable_push(false);
    builder
}

/// The server's side of an agent's connection: one stream that carries everything.
pub fn server() -> server::Builder {
    accepting(STREAM_WINDOW, CONNECTION_WINDOW)
}

/// The server's side of a frontend's connection: a stream for each tunnelled connection.
pub fn frontend() -> server::Builder {
    accepting(FRONTEND_STREAM_WINDOW, FRONTEND_CONNECTION_WINDOW)
}

fn accepting(stream: u32, connection: u32) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(stream)
        .initial_connection_window_size(connection)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS)
        .data_frame_budget(DATA_FRAMES)
        .max_concurrent_reset_streams(RESETS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(None);
    builder
}
