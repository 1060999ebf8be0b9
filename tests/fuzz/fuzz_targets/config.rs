//! The configuration and the files of guests: tests/fuzzing/config.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/config.rs"]
mod config;

fuzz_target!(|bytes: &[u8]| config::run(bytes));
