//! The limits of every HTTP/2 connection, set in one place, because h2's own defaults end connections that we need.
//!
//! In: nothing. Out: builders. What each limit is for, and what happened without it:
//!
//! * `data_frame_budget`: by default about a hundred unread one-byte DATA frames of **one** stream end the whole
//!   connection with `ENHANCE_YOUR_CALM`, so a paused exec session would take every other one with it.
//! * `max_pending_accept_reset_streams`: by default 20 dials cancelled while the accept loop is busy end it likewise.
//! * windows: fixed, wide enough for a bandwidth-delay product of 4 MiB; the reference's wire has one stream an agent.
//! * `max_concurrent_streams` of frontends: newer clients put thousands of dials on one connection.

/// What one stream may have in flight towards us, bytes.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// What one connection may have in flight towards us, bytes.
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// What h2 may hold ahead of the wire for one stream, bytes.
pub const SEND_BUFFER: usize = 256 << 10;
/// Frames we take, bytes: one DATA frame for one read of a socket.
const FRAME: u32 = 64 << 10;
/// DATA frames that may wait unread, in bytes as h2 counts them, each at no less than a fixed cost.
const FRAME_BUDGET: usize = 64 << 20;
/// Streams that may be reset before they were accepted or after they were given up.
const RESETS: usize = 4096;
/// Streams of one frontend connection at once.
const STREAMS: u32 = 100_000;
/// Headers of one request, bytes.
const HEADERS: u32 = 16 << 10;

/// For accepting: frontends, and agents' streams.
pub fn server() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_concurrent_streams(STREAMS)
        .max_concurrent_reset_streams(RESETS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(RESETS))
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAME_BUDGET);
    builder
}

/// For dialling: an agent's stream to a server.
pub fn client() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_concurrent_reset_streams(RESETS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(RESETS))
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAME_BUDGET)
        .enable_push(false);
    builder
}
