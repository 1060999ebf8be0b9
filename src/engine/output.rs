//! What leaves the engine: effects to carry out, and events to tell.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::answer::Asker;
use super::bindings::Problem;
use super::facts::{IfIndex, KernelRoute};
use super::gateway::NeighborChange;
use super::gateway_address::AddressChange;
use super::policy::RangePolicy;
use super::routes::Change;
use super::suppress::Suppression;
use super::targets::Evidence;
use crate::wire::{Advertisement, DropReason, Mac, Solicitation};

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
    /// Change the kernel's neighbor entry of a gateway or a guest; what becomes of it is heard as a fact.
    ChangeNeighbor(NeighborChange),
    /// Listen on this interface from now on, or differently than before.
    Listen(IfIndex, Ear),
    /// Stop listening on this interface.
    Unlisten(IfIndex),
    /// Be a member of this multicast group on this interface, so that switches pass it on.
    Join(IfIndex, Ipv6Addr),
    /// Be a member no more; also where the interface, and the membership with it, is gone.
    Leave(IfIndex, Ipv6Addr),
    /// Keep these solicitations from the kernel, and no others; none: take our table away.
    Suppress(Vec<Suppression>),
    /// Read anew everything that the kernel says, and hand it in as [`super::Input::Snapshot`]: more of
    /// it matters from now on than did so far.
    Resync,
    /// Tell whoever wants to know.
    Event(Event),
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
        /// What guests may ask for (`proxy-downstream`).
        neighbors: Vec<Ipv6Net>,
    },
    /// Signs of life, and questions of guests.
    Downstream,
}

/// One change that is worth a line in the log; or, where every question is watched, a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The target exists, and is answered for from now on.
    Live(Ipv6Addr, IfIndex, Mac, Evidence),
    /// The target is not answered for any more.
    Gone(Ipv6Addr, IfIndex, Loss),
    /// The target is behind the second downstream now, and was behind the first.
    Moved(Ipv6Addr, IfIndex, IfIndex, Mac),
    /// The target is where it was; somebody behind the second downstream claimed it in vain.
    Contested(Ipv6Addr, IfIndex, IfIndex, Mac),
    /// Somebody else on this upstream says that the target is his; there are no answers meanwhile.
    Conflict(Ipv6Addr, IfIndex, Mac),
    /// This guest behind this downstream takes that address for a neighbor of its own, and it is one of
    /// the upstream's: its mask is too short.
    WideMask(Ipv6Addr, IfIndex, Ipv6Addr),
    /// The route is in the kernel.
    RouteInstalled(KernelRoute),
    /// The route is not in the kernel any more.
    RouteRemoved(KernelRoute),
    /// Somebody else's route, if it is known, keeps ours out.
    RouteConflict(KernelRoute, Option<KernelRoute>),
    /// The kernel refused the route, and this is what it said.
    RouteFailed(KernelRoute, String),
    /// The guests' gateway has its address on this downstream.
    GatewayAdded(IfIndex, Ipv6Addr),
    /// It has it there no more.
    GatewayRemoved(IfIndex, Ipv6Addr),
    /// On this upstream as many groups are joined as may be; further targets wait for room.
    GroupsFull(IfIndex, usize),
    /// Every address of this prefix is answered for, too many to join a group for each.
    TooWideToJoin(Ipv6Net),
    /// The range follows from the host as it is, and is served from now on, or otherwise than before.
    Serving(Box<RangePolicy>),
    /// The range does not follow from the host any more, and is not served.
    Withdrawn(Box<RangePolicy>),
    /// Something that the policy asks for is not there.
    Problem(Problem),
    /// It is there now.
    Solved(Problem),
    /// Somebody asked for the target.
    Solicited(Ipv6Addr, Asker),
    /// He got his answer.
    Answered(Ipv6Addr, Asker),
    /// A frame on this interface, a question for the target if it was one, got none.
    Dropped(Option<Ipv6Addr>, IfIndex, DropReason),
}

/// Why a live target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// Probes went unanswered.
    Unanswered,
    /// Its downstream is down or gone.
    Downstream,
    /// It had to make room: it had only announced itself and another took its place, or fewer may be
    /// known than before.
    NoRoom,
    /// The policy does not serve it there any more.
    Policy,
}

impl Loss {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "probes went unanswered",
            Self::Downstream => "its downstream is down or gone",
            Self::NoRoom => "the targets are full",
            Self::Policy => "its range is not served there any more",
        }
    }
}
