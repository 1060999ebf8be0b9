//! The kernel's program against the packet path: tests/fuzzing/program.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../frames/mod.rs"]
mod frames;
#[path = "../../machine/mod.rs"]
mod machine;
#[path = "../../fuzzing/program.rs"]
mod program;

fuzz_target!(|bytes: &[u8]| program::run(bytes));
