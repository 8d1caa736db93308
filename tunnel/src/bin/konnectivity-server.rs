//! konnectivity-server.
fn main() {}
