//! The `lone64` binary.

fn main() {}
