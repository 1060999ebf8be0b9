//! What the program in the kernel answers for.

use super::page::counted;

/// For how many guests and ranges, behind the counts of an upstream; nothing where there is no program.
pub(super) fn in_kernel(backend: &str, guests: usize, ranges: usize) -> String {
    let guests = counted(guests, "guest");
    match (backend, ranges) {
        ("tc", 0) => format!("; the kernel answers for {guests}"),
        ("tc", ranges) => format!("; the kernel answers for {guests} and {}", counted(ranges, "range")),
        _ => String::new(),
    }
}
