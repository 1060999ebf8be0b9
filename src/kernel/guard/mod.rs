//! The nftables tables of guards: `bridge lone64_guard` for ports of bridges, `ip6 lone64_guard` for interfaces that are
//! routed. Both have the same chains and sets; what differs between guests are elements of sets alone.
//!
//! `rules` are the chains, `elements` what they look up, `drops` what they have counted.

mod drops;
mod elements;
mod rules;

pub use drops::{Drop, Shape, drops, shape};
pub use elements::{Elements, Script, Tables};
