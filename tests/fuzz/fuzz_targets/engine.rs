//! The engine against arbitrary runs of inputs: tests/fuzzing/engine.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/engine.rs"]
mod engine;
#[path = "../../fuzzing/oracle.rs"]
mod oracle;

fuzz_target!(|bytes: &[u8]| engine::run(bytes));
