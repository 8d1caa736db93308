//! warren-operator.
fn main() {}
