//! The listings of packet filters: tests/fuzzing/nft.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/nft.rs"]
mod nft;

fuzz_target!(|bytes: &[u8]| nft::run(bytes));
