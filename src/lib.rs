//! lone64: one on-link IPv6 /64, every guest behind the host reachable.

pub mod commands;
pub mod engine;
pub mod kernel;
pub mod wire;
