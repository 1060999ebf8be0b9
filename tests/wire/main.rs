//! The wire room through its public interface: what is refused, what is taken, what is written.
#![allow(clippy::unwrap_used)]

mod drop_reasons;
#[path = "../frames/mod.rs"]
mod frames;
mod mutation;
mod options;
mod reference;
mod roundtrip;
