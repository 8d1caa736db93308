//! What `proto/etcd.proto` compiles to. Generated: nothing is written here by hand.

#![expect(
    clippy::pedantic,
    clippy::derive_partial_eq_without_eq,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code; the documentation is in the proto file"
)]

tonic::include_proto!("etcdserverpb");
