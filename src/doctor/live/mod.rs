//! A packet followed out and back: what no look at the host's settings can tell.
//!
//! A temporary guest is put behind the host (`guest`), at a place that the configuration serves
//! (`spot`) and an address that nobody has (`free`); it sends one small packet whose answer has to come
//! back through the provider's router, and everything that passes on the upstream is watched (`rig`,
//! `sighting`). What was seen (`journey`) becomes five legs with a verdict each (`verdict`, and
//! `provider` for what is beyond this host); where a leg is broken by what the provider accepts, the
//! policies that could repair it are tried (`trial`).
//!
//! Only that is believed which guests have without the test, too. The router has to forward something back to the
//! guest: what it says itself, it sends from another address, and past its own filters. It has to ask, and to take the
//! answer, before the guest is announced. And the kernel has to find the gateway by itself.
//!
//! Nothing is left behind, however the process ends: the guest's namespace is held by a descriptor
//! alone, and takes its wire along.

mod filters;
mod free;
mod guest;
mod journey;
mod provider;
mod rig;
mod run;
mod sighting;
mod spot;
mod trial;
mod verdict;

use std::io;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use ipnet::Ipv6Net;

pub use run::run;

use super::{Finding, Remedy};
use crate::daemon::explained::Explained;
use crate::engine::Holds;
use crate::kernel::netlink::NetlinkError;
use crate::wire::Mac;

/// What the journey is to be.
pub struct Options<'a> {
    /// The guest's address; a free one at random if `None`.
    pub address: Option<Ipv6Addr>,
    /// Where the guest sends its packet.
    pub to: Ipv6Addr,
    /// Where the files of the host are.
    pub root: PathBuf,
    /// Asks the running daemon why it answers for an address, or not.
    pub ask: &'a dyn Fn(Ipv6Addr) -> Daemon,
}

/// What a running daemon says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// There is none.
    Absent,
    /// Why it answers, or not.
    Says(Box<Explained>),
    /// It cannot be asked, and this is why.
    Mute(String),
}

/// How far the packet came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The guest's address.
    pub guest: Ipv6Addr,
    /// Where the guest was, for people.
    pub behind: String,
    /// By which interface it was to reach the router.
    pub upstream: String,
    /// Where the packet was sent.
    pub to: Ipv6Addr,
    /// The five legs, in their order.
    pub steps: Vec<Step>,
}

impl Live {
    /// True if the packet came all the way back. What it did not need on its way stays open.
    pub fn holds(&self) -> bool {
        let is_delivered = self.steps.last().is_some_and(|step| step.holds == Holds::Yes);
        is_delivered && self.steps.iter().all(|step| step.holds != Holds::No)
    }

    /// The parts of the way of which nothing was seen.
    pub fn open(&self) -> impl Iterator<Item = Leg> {
        self.steps.iter().filter(|step| step.holds == Holds::Open).map(|step| step.leg)
    }
}

/// A part of the way, and whether the packet came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which part.
    pub leg: Leg,
    /// Whether it holds; open if the packet never got there, or did not need it.
    pub holds: Holds,
    /// What was seen.
    pub value: String,
    /// What shows it, a line each.
    pub evidence: Vec<String>,
    /// What repairs it: all of it, in this order.
    pub remedies: Vec<Remedy>,
}

/// The parts of the way out and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// The guest's packet leaves by the upstream.
    Request,
    /// The router asks who has the guest's address.
    Solicitation,
    /// This host says that it has it.
    Advertisement,
    /// The router's reply arrives.
    Reply,
    /// The host hands it to the guest.
    Delivery,
}

impl Leg {
    /// All, in their order.
    pub const ALL: [Self; 5] =
        [Self::Request, Self::Solicitation, Self::Advertisement, Self::Reply, Self::Delivery];

    /// The name in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Solicitation => "solicitation",
            Self::Advertisement => "advertisement",
            Self::Reply => "reply",
            Self::Delivery => "delivery",
        }
    }
}

impl Step {
    fn yes(leg: Leg, value: impl Into<String>) -> Self {
        Self { holds: Holds::Yes, ..Self::open(leg, value) }
    }

    fn open(leg: Leg, value: impl Into<String>) -> Self {
        let (evidence, remedies) = (Vec::new(), Vec::new());
        Self { leg, holds: Holds::Open, value: value.into(), evidence, remedies }
    }

    fn no(leg: Leg, finding: Finding) -> Self {
        let Finding { sentence, evidence, remedies, .. } = finding;
        Self { leg, holds: Holds::No, value: sentence, evidence, remedies }
    }
}

/// Why no packet can be followed at all.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Not privileged.
    #[error("--live makes a network namespace and listens to frames, which needs {0}; run it as root")]
    Privilege(&'static str),
    /// Nowhere to put a guest.
    #[error("--live has no place for a guest: {}", .0.join("; "))]
    NoPlace(Vec<String>),
    /// The address is somebody's.
    #[error("{address} is taken: {mac} answers for it on {interface}; name another with --live-address")]
    Taken {
        /// The address.
        address: Ipv6Addr,
        /// The station that answers.
        mac: Mac,
        /// Where.
        interface: String,
    },
    /// No address to be had.
    #[error("no free address was found in {0}; name one with --live-address")]
    NoneFree(Ipv6Net),
    /// The kernel said no.
    #[error("cannot put a guest behind this host")]
    Netlink(#[from] NetlinkError),
    /// A socket, a namespace or a runtime is not to be had.
    #[error("cannot put a guest behind this host: no {0}")]
    Guest(&'static str, #[source] io::Error),
    /// Ctrl-C.
    #[error("interrupted; the temporary guest is gone again")]
    Interrupted,
}
