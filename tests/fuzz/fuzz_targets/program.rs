//! The kernel's program against the packet path: tests/fuzzing/program.rs says what is held to.
//!
//! ```text
//! cargo install cargo-fuzz
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz program -- -max_total_time=60
//! ```
//!
//! (cargo-fuzz wants a nightly toolchain; RUSTC_BOOTSTRAP=1 makes the stable one do.)
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../frames/mod.rs"]
mod frames;
#[path = "../../machine/mod.rs"]
mod machine;
#[path = "../../fuzzing/program.rs"]
mod program;

fuzz_target!(|bytes: &[u8]| program::run(bytes));
