//! The parser against arbitrary frames: tests/fuzzing/parse.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/parse.rs"]
mod parse;

fuzz_target!(|bytes: &[u8]| parse::run(bytes));
