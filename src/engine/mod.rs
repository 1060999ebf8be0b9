//! The engine room: the decisions. PURE: no clock, no socket, no file, no environment.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod facts;
pub mod policy;
