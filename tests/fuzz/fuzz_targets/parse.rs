//! The parser against arbitrary frames: tests/fuzzing/parse.rs says what is held to.
//!
//! ```text
//! cargo install cargo-fuzz
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz parse -- -max_total_time=60
//! ```
//!
//! (cargo-fuzz wants a nightly toolchain; RUSTC_BOOTSTRAP=1 makes the stable one do.)
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/parse.rs"]
mod parse;

fuzz_target!(|bytes: &[u8]| parse::run(bytes));
