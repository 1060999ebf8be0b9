//! Links, addresses, routes and neighbors over rtnetlink (RFC 3549).
//!
//! The only place that imports `rtnetlink`, whose releases break often. Events and requests have a socket
//! each. On a shared socket a lost acknowledgement would leave its request waiting for ever, and an event with the
//! sequence number of a waiting request (its own, or by chance that of another process) would be taken for the
//! reply.

mod addresses;
mod classifiers;
mod connection;
mod convert;
#[doc(hidden)]
pub mod datagram;
mod filter_watch;
mod groups;
mod lab;
mod lookup;
mod monitor;
mod neighbors;
mod pins;
mod proxies;
mod requests;
mod responder;
mod survey;
mod table;

use std::io;

pub use classifiers::{Classifier, Hook};
pub use filter_watch::{FilterWatch, Touched};
pub use lookup::WayTo;
pub use monitor::{Monitor, Notice, Ports};
pub use proxies::Proxy;
pub use requests::{Requests, RouteError};
pub use survey::{Bridge, Make};

/// Why the kernel's tables cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket can be opened.
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    /// The socket broke, or the runtime that served it has ended.
    #[error("the netlink socket is closed")]
    Closed,
    /// The kernel said no.
    #[error("the kernel refuses to {what}")]
    Refused {
        /// What it was asked to do, as in "create bridge lxcbr0".
        what: String,
        /// Its reason.
        source: io::Error,
    },
    /// Every attempt to read a table was overtaken by a change to it.
    #[error("the kernel's table of {0} changes faster than lone64 can read it; try again later")]
    Unsettled(&'static str),
}
