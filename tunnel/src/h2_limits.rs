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
/// Many streams that share a connection, of one frontend or in native mode: a stalled one must not
/// eat the window of the others.
const SHARED_STREAM_WINDOW: u32 = 256 * KIB;
const SHARED_CONNECTION_WINDOW: u32 = (1 << 31) - 1;
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
/// Native mode: a stream is a connection, and the server limits connections itself.
const NATIVE_STREAMS: u32 = 65_536;

/// The agent's side of its connection to a server.
pub fn client() -> client::Builder {
    asking(STREAM_WINDOW, CONNECTION_WINDOW)
}

/// Native mode, the server's side of an agent's connection: roles are swapped, so it asks.
pub fn native_server_side() -> client::Builder {
    let mut builder = asking(SHARED_STREAM_WINDOW, SHARED_CONNECTION_WINDOW);
    // Dials must not queue behind the agent's first settings.
    builder.initial_max_send_streams(NATIVE_STREAMS as usize);
    builder
}

/// Native mode, the agent's side: a stream for each tunnelled connection.
pub fn native_agent_side() -> server::Builder {
    let mut builder = accepting(SHARED_STREAM_WINDOW, SHARED_CONNECTION_WINDOW);
    builder.max_concurrent_streams(NATIVE_STREAMS);
    builder
}

/// Between servers, the side that dials: a stream for each relayed connection.
pub fn peer_client() -> client::Builder {
    native_server_side()
}

/// Between servers, the side that relays.
pub fn peer_server() -> server::Builder {
    native_agent_side()
}

fn asking(stream: u32, connection: u32) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(stream)
        .initial_connection_window_size(connection)
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
    accepting(SHARED_STREAM_WINDOW, SHARED_CONNECTION_WINDOW)
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
