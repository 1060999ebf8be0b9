//! Changes that the kernel is asked for, and what becomes of them.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::facts::{IfIndex, IfName, KernelRoute};
use crate::wire::Mac;

/// A route to be added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Add it, exclusively.
    Add(KernelRoute),
    /// Remove it, if it is there.
    Remove(KernelRoute),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is as it was asked for.
    Done,
    /// A route with the same destination, table and metric is there.
    Exists,
    /// The kernel refused, and said this.
    Failed(String),
}

/// What became of a route that we want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteState {
    /// Asked for, or to be asked for.
    Pending,
    /// In the kernel.
    Installed,
    /// Kept out by a foreign route.
    Conflict,
    /// Refused by the kernel.
    Refused,
}

/// A link-local address on an interface.
pub type At = (IfIndex, Ipv6Addr);

/// The gateway's address on one downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayAddress {
    /// The downstream.
    pub link: IfIndex,
    /// The address.
    pub address: Ipv6Addr,
    /// What marks it as ours.
    pub protocol: u8,
}

impl GatewayAddress {
    /// With it comes the route to the guests' own link-local addresses, which an interface whose
    /// addresses are all written by hand (`addrgenmode none`) has from nowhere else.
    pub const PREFIX_LEN: u8 = 64;

    /// The interface and the address.
    pub fn at(&self) -> At {
        (self.link, self.address)
    }
}

/// A change of the kernel's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressChange {
    /// Add it, exclusively, for use at once: guests by the thousand have the same gateway, each on a
    /// link of its own, and nobody is to be asked for it (no DAD).
    Add(GatewayAddress),
    /// Remove it, if it is there.
    Remove(GatewayAddress),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressOutcome {
    /// It is as it was asked for.
    Done,
    /// The interface has the address already.
    Exists,
    /// The kernel refused.
    Refused(Obstacle),
}

/// Why the kernel takes no address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Obstacle {
    /// The interface is gone, and word of it under way.
    NoDevice,
    /// IPv6 is switched off on the interface (`disable_ipv6`).
    SwitchedOff,
    /// The kernel has no IPv6 there: "IPv6 requires that every link in the Internet have an MTU of
    /// 1280 octets or greater" (RFC 8200 §5).
    NoIpv6,
    /// Whatever else it said.
    Other(String),
}

impl Obstacle {
    /// What it is on this interface, and what to do about it.
    pub(super) fn on(&self, name: &IfName) -> String {
        match self {
            Self::NoDevice => format!("the interface {name} no longer exists"),
            Self::SwitchedOff => format!(
                "IPv6 is off on the interface; `sysctl -w net/ipv6/conf/{name}/disable_ipv6=0` turns it on"
            ),
            Self::NoIpv6 => format!(
                "the kernel has no IPv6 on the interface, for example because its MTU is below 1280; `ip link set \
                 {name} mtu 1500` removes the cause"
            ),
            Self::Other(said) => format!("the kernel refuses it ({said})"),
        }
    }
}

/// A change of the kernel's neighbor entry of a router, or of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeighborChange {
    /// Make an entry, unless there is one.
    Add(IfIndex, Ipv6Addr, Mac),
    /// The entry that there is has failed, and is to hold this address.
    Revive(IfIndex, Ipv6Addr, Mac),
    /// Remove what was added or revived.
    Remove(IfIndex, Ipv6Addr),
    /// The station that had the guest's address has gone, or this one is about to have it: remove the entry if
    /// the kernel has learnt it by itself, and if it holds another station than this one.
    Forget(IfIndex, Ipv6Addr, Option<Mac>),
    /// Have this permanent entry.
    Pin(Pin, Over),
    /// Have it no more. What another program has put in its place stays.
    Unpin(Pin),
}

/// A permanent neighbor entry of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The guest's interface.
    pub link: IfIndex,
    /// Its address.
    pub address: Ipv6Addr,
    /// Its link-layer address.
    pub mac: Mac,
    /// What marks it as ours (NDA_PROTOCOL).
    pub protocol: u8,
}

/// What a pin takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// What the kernel or a routing daemon has learnt. A permanent entry of another program stays, and is
    /// [`Outcome::Exists`] where it holds another link-layer address.
    Learnt,
    /// Whatever there is: ours was there before.
    Anything,
}

/// What becomes of the unicast solicitations that arrive on one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The upstream.
    pub link: IfIndex,
    /// By destination, each prefix once; the first that matches decides. What matches none is kept.
    pub fates: Vec<(Ipv6Net, Fate)>,
}

/// Whether the kernel sees a solicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It does not: we answer.
    Drop,
    /// It does: we do not answer.
    Keep,
}

/// One element of a named set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Exported {
    /// A live address.
    Live(Ipv6Addr),
    /// An address of a `[[guest]]` or of a claim that is here.
    Guest(Ipv6Addr),
    /// A prefix that is routed to one.
    Delegated(Ipv6Net),
}
