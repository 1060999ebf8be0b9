//! The importers: tests/fuzzing/import.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/import.rs"]
mod import;

fuzz_target!(|bytes: &[u8]| import::run(bytes));
