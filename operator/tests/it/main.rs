//! One test binary per crate: it links once.
