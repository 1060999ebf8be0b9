//! The wire room: bytes to values and back. PURE: no clock, no socket, no file, no environment.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod mac;

pub use mac::{Mac, ParseMacError};
