//! The lines of the control socket: tests/fuzzing/control.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/control.rs"]
mod control;

fuzz_target!(|bytes: &[u8]| control::run(bytes));
