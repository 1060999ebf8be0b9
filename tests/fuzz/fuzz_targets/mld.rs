//! MLD, MRD, RARP and ARP: tests/fuzzing/mld.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/mld.rs"]
mod mld;
// What both share.
#[allow(dead_code)]
#[path = "../../fuzzing/parse.rs"]
mod parse;

fuzz_target!(|bytes: &[u8]| mld::run(bytes));
