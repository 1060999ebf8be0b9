//! The wire room through its public interface: what is refused, what is taken, what is written.
#![allow(clippy::unwrap_used)]

mod drop_reasons;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../machine/mod.rs"]
mod machine;
mod mutation;
mod options;
mod program;
mod reference;
mod repeats;
mod responder;
mod roundtrip;
mod rows;
