//! What leaves the engine: effects to carry out.
//!
//! Every kind of change that is asked of the kernel is here. Each has an outcome that comes back as an
//! [`super::Input`]; frames come back only where the interface did not take them.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::change::{AddressChange, Change, Exported, NeighborChange, Suppression};
use super::event::Event;
use super::facts::{IfIndex, IfName};
use super::guests::{Claim, GuardKey, Guarding, Object};
use super::policy::Source;
use super::time::Time;
use crate::wire::program::Responder;
use crate::wire::{Advertisement, Mac, MldQuery, MldReport, MulticastRouter, Solicitation};

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Send this advertisement on this interface.
    Advertise(IfIndex, Advertisement),
    /// Send this solicitation on this interface.
    Solicit(IfIndex, Solicitation),
    /// Change a route; the outcome comes back as an input.
    ChangeRoute(Change),
    /// Put the address of guests' gateway on a downstream, or remove it; the outcome comes back as an input.
    ChangeAddress(AddressChange),
    /// Change the kernel's neighbor entry of a router or a guest; what becomes of it is heard as a fact too.
    ChangeNeighbor(NeighborChange),
    /// Listen on this interface from now on, or differently than before.
    Listen(IfIndex, Ear),
    /// Stop listening on this interface.
    Unlisten(IfIndex),
    /// Hear guests that come on interfaces which are not listened on yet, or do not. It costs something for each packet
    /// that the host receives. At the start they are heard.
    HearNewcomers(bool),
    /// Hear on all interfaces that stations say they have arrived (RARP, gratuitous ARP), or do not. At the start they are
    /// not heard.
    HearArrivals(bool),
    /// Send this report on this interface, so that switches pass its groups on, or no more.
    Report(IfIndex, MldReport),
    /// Ask on this interface who listens to which groups.
    Query(IfIndex, MldQuery),
    /// Advertise a multicast router on this interface, or that there is none any more.
    AdvertiseRouter(IfIndex, MulticastRouter),
    /// Keep these solicitations from the kernel, and no others; none: take our table away.
    Suppress(Vec<Suppression>),
    /// Hold these guests to their own addresses from now on, in the place of what was said of each before; none: no
    /// more. The outcome comes back as [`super::Input::GuardChanged`].
    Guard(Vec<(GuardKey, Option<Guarding>)>),
    /// Put these into their named sets for other programs, or take them out, in this order. What becomes of it comes back
    /// as [`super::Input::ExportChanged`].
    Export(Vec<(Exported, bool)>),
    /// The named sets are not wanted any more.
    ExportEnds,
    /// Have this program answer on this upstream from now on, in the place of the one before, whose map it keeps; none:
    /// take the program and its map away. The outcome comes back as [`super::Input::ProgramChanged`]. One that was
    /// refused is not there, nor is the one before.
    Program(IfIndex, Option<Program>),
    /// Make this known to the program of this upstream, in this order: until when it answers for a guest; never, where
    /// it is to pass on what asks for it. It is done before what comes behind it. The outcomes come back as
    /// [`super::Input::MirrorChanged`].
    Mirror(IfIndex, Vec<(Ipv6Addr, Option<Time>)>),
    /// Have the program of this upstream answer for these ranges as a whole, and for no others. It is done before what
    /// comes behind it. The outcome comes back as [`super::Input::RangesMirrored`].
    MirrorRanges(IfIndex, MirroredRanges),
    /// Read again everything that the kernel says, and hand it in as [`super::Input::Snapshot`]: more of
    /// it matters from now on than did so far.
    Resync,
    /// This is to be remembered across restarts, and nothing else.
    Remember(Vec<Remembered>),
    /// This is to be remembered across restarts of what is claimed, and the rest as it is; `None`: it is not any more.
    RememberClaims(Vec<(Object, Option<Claim>)>),
    /// Tell those who want to know.
    Event(Event),
}

impl Output {
    /// Whether it is a frame to be sent.
    pub fn is_frame(&self) -> bool {
        matches!(
            self,
            Self::Advertise(..)
                | Self::Solicit(..)
                | Self::Report(..)
                | Self::Query(..)
                | Self::AdvertiseRouter(..)
        )
    }
}

/// A program in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it is made of.
    pub responder: Responder,
    /// How long it goes on answering without the daemon. Zero: not at all, also where its guests are known for longer.
    pub on_crash_answer: Duration,
}

/// What a program answers for as a whole. Of prefixes that hold an address the longest one says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirroredRanges {
    /// Every address is answered for.
    pub answered: BTreeSet<Ipv6Net>,
    /// What asks for these is passed on.
    pub passed_on: BTreeSet<Ipv6Net>,
    /// Until then.
    pub until: Time,
}

/// What is heard on an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ear {
    /// The interface's own Ethernet address.
    pub mac: Mac,
    /// What it is listened to for.
    pub role: Role,
}

/// What an interface is listened to for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Solicitations for targets inside these ranges, and advertisements of these neighbors.
    Upstream {
        /// What is answered for.
        ranges: Vec<Ipv6Net>,
        /// What guests may ask for (`proxy-downstream`), and the provider's routers.
        neighbors: Vec<Ipv6Net>,
    },
    /// Signs of life, and questions of guests.
    Downstream,
}

/// What is remembered across restarts: an asker takes answers from this source, and took none from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The upstream that it asks on. Its number may be another after a restart.
    pub interface: IfName,
    /// The asker's link-layer address.
    pub mac: Mac,
    /// The asker's address.
    pub address: Ipv6Addr,
    /// What it takes.
    pub source: Source,
}

impl Remembered {
    /// As many are remembered: a link has one router, or two, each with some addresses.
    pub const MOST: usize = 64;
}
