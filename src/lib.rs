//! lone64: one on-link IPv6 /64, every guest behind the host reachable.

pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod kernel;
pub mod wire;
