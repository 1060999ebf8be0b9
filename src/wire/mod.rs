//! The wire room: bytes to values and back. PURE: no clock, no socket, no file, no environment.
//!
//! The messages are the Neighbor Solicitation (RFC 4861 §4.3) and the Neighbor Advertisement (§4.4), and the
//! queries and reports of Multicast Listener Discovery, with which solicitations pass a switch. Each is a whole
//! Ethernet frame, because an answer must not depend on the kernel's neighbor table. The property tests and the
//! fuzzer check these guarantees:
//!
//! * `parse` never panics for any bytes. It names the [`DropReason`] that applies first.
//! * What `parse` accepts satisfies every check of §7.1.1 (or §7.1.2) and of RFC 6980. Only the checksum is left
//!   out, where the caller says that it has not been computed ([`Checksum::Pending`]).
//! * `parse(emit(x)) == x`, and `emit` writes nothing behind the IPv6 payload.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod advertisement;
pub mod arrival;
mod checksum;
mod drop_reason;
mod envelope;
pub mod filter;
mod mac;
mod message;
mod mld;
mod mrd;
mod options;
pub mod program;
mod solicitation;

pub use advertisement::{Advertisement, Flags};
pub use drop_reason::DropReason;
pub use mac::{Mac, ParseMacError};
pub use message::{Checksum, Message};
pub use mld::{MldQuery, MldRecord, MldRecordKind, MldReport, MldVersion};
pub use mrd::{MulticastRouter, MulticastRouterSolicitation};
use solicitation::is_solicited_node;
pub use solicitation::{Solicitation, group_suffix, solicited_node};

/// The longest frame of Neighbor Discovery that this room emits, in bytes: Ethernet, IPv6, a message and one option.
pub const MAX_EMITTED: usize = 14 + 40 + 24 + 8;
