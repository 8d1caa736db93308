//! One test binary per crate: it links once.
#![cfg(test)]

mod agent_native;
mod agent_process;
mod agent_servers;
mod agent_streams;
mod agent_support;
mod certificate_files;
mod flags_of_the_reference;
mod fuzz;
mod native_support;
mod pair;
mod pair_client;
mod pair_native;
mod pair_stall;
mod pair_status;
mod pair_support;
mod peers_support;
mod server_counts;
mod server_http_connect;
mod server_native;
mod server_out_of_turn;
mod server_peers;
mod server_peers_door;
mod server_process;
mod server_streams;
mod server_support;
mod server_tokens;
#[path = "../../src/protocol/token/mint.rs"]
mod token_mint;
