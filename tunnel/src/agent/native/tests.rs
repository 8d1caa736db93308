//! A native session between a scripted server and real endpoints.

mod bytes_both_ways;
mod dials;
mod life;
mod pumps;
mod support;
