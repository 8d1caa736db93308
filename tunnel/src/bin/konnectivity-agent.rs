//! konnectivity-agent.
fn main() {}
