//! What the kernel says by netlink: tests/fuzzing/netlink.rs says what is held to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../fuzzing/netlink.rs"]
mod netlink;

fuzz_target!(|bytes: &[u8]| netlink::run(bytes));
