//! What the kernel says: links, addresses, routes, as plain values.
//!
//! The kernel room makes these out of netlink messages; tests write them by hand.

mod name;
mod rule;

use core::net::Ipv6Addr;
use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::wire::Mac;

pub use name::{IfName, ParseIfNameError};
pub use rule::{Condition, KernelRule, RuleAction, TableName};

/// The kernel's number of an interface; never reused while it lives, and 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct IfIndex(pub u32);

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One thing that the kernel says: what is, or what is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A link is there, and this is all about it; replaces what was known.
    Link(Link),
    /// A link is gone, with everything on it.
    LinkGone(IfIndex),
    /// The host has an address; replaces what was known of it on that link.
    Address(Address),
    /// The host has lost an address.
    AddressGone {
        /// The interface that it was on.
        link: IfIndex,
        /// The address itself.
        address: Ipv6Addr,
    },
    /// A route is there.
    Route(KernelRoute),
    /// A route is there, in the place of the one with the same destination, table and metric: the kernel
    /// does not say of that one that it is gone (`ip -6 route replace`, NLM_F_REPLACE).
    RouteReplaced(KernelRoute),
    /// A route is gone.
    RouteGone(KernelRoute),
    /// A rule is there, behind those of the same priority.
    Rule(KernelRule),
    /// A rule is gone.
    RuleGone(KernelRule),
    /// The kernel's neighbor table knows this; replaces what was known of the neighbor.
    Neighbor(Neighbor),
    /// The same of an entry that bears a mark.
    Marked(Neighbor, Mark),
    /// The kernel's neighbor table knows nothing of it any more.
    NeighborGone {
        /// The interface that it was on.
        link: IfIndex,
        /// Its address.
        address: Ipv6Addr,
    },
    /// A bridge knows behind which of its ports a station is.
    Station {
        /// The bridge.
        bridge: IfIndex,
        /// The station.
        mac: Mac,
        /// The port.
        port: IfIndex,
    },
    /// A bridge does not know any more behind which of its ports a station is: the port is down or
    /// gone, or nothing was heard from it for minutes.
    StationGone {
        /// The bridge.
        bridge: IfIndex,
        /// The station.
        mac: Mac,
    },
    /// A bridge has heard behind this port that somebody listens to a solicited-node group.
    Group {
        /// The bridge.
        bridge: IfIndex,
        /// The port.
        port: IfIndex,
        /// The low 24 bits of the group's addresses.
        suffix: u32,
    },
    /// Nobody behind this port of a bridge listens to that group any more, or nothing was heard of it for minutes.
    GroupGone {
        /// The bridge.
        bridge: IfIndex,
        /// The port.
        port: IfIndex,
        /// The low 24 bits of the group's addresses.
        suffix: u32,
    },
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub index: IfIndex,
    /// Its present name.
    pub name: IfName,
    /// Whether it carries traffic.
    pub state: LinkState,
    /// What its frames look like.
    pub layer: LinkLayer,
    /// The bridge, bond or team that it is a port of, and that takes its frames. A VRF takes none.
    pub master: Option<IfIndex>,
    /// The link that a macvlan, macvtap or ipvlan stands on and shares. A VLAN is a link of its own.
    #[serde(default)]
    pub lower: Option<Lower>,
    /// The other end of a veth, where that is in this network namespace too: both are one link.
    #[serde(default)]
    pub peer: Option<IfIndex>,
    /// Whether it is a bridge. A bond has ports too, and no guests behind them.
    #[serde(default)]
    pub is_bridge: bool,
    /// Whether one guest alone is at its other end: it is a veth or a tap.
    #[serde(default)]
    pub leads_to_one: bool,
    /// Its group (`ip link set group`), which rules may ask for.
    #[serde(default)]
    pub group: u32,
    /// The table of the VRF that it is in.
    #[serde(default)]
    pub vrf: Option<u32>,
}

/// A link that others stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lower {
    /// The kernel's number of the network namespace that it is in, where that is another one.
    pub namespace: Option<i32>,
    /// Its number there.
    pub link: IfIndex,
}

/// Whether a link carries traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    /// Administratively up, and with a carrier.
    Up,
    /// Administratively up, but nobody is at the other end: a bridge without ports, say.
    NoCarrier,
    /// Administratively down.
    Down,
}

/// What the frames of a link look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkLayer {
    /// Ethernet frames; the link's own address.
    Ethernet(Mac),
    /// Ethernet frames without Neighbor Discovery (`arp off`, IFF_NOARP); the link's own address.
    NoDiscovery(Mac),
    /// The loopback interface.
    Loopback,
    /// No link layer, so no Neighbor Discovery (tun, WireGuard, PPP).
    None,
}

impl LinkLayer {
    /// True where nobody can be asked for: what is there is what the kernel routes there.
    pub fn is_layer_3(self) -> bool {
        matches!(self, Self::NoDiscovery(_) | Self::None)
    }
}

/// An address of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The interface that it is on.
    pub link: IfIndex,
    /// The address itself.
    pub address: Ipv6Addr,
    /// The length of the prefix that it came with.
    pub prefix_len: u8,
    /// Whether it can be used.
    pub state: AddressState,
    /// Who put it there (`IFA_PROTO`); 0 where nobody says, and before Linux 5.18.
    pub protocol: u8,
}

/// Whether an address of the host can be used (RFC 4862 §5.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AddressState {
    /// For everything.
    Preferred,
    /// If there is no preferred one.
    Deprecated,
    /// Not yet, or not any more: DAD is under way or has failed.
    Tentative,
}

/// A route in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KernelRoute {
    /// Where to; `::/0` is a default route.
    pub destination: Ipv6Net,
    /// What happens to packets.
    pub kind: RouteKind,
    /// Whether a router stands between (`via`), rather than the guests' own link.
    pub next_hop: NextHop,
    /// The table's number.
    pub table: u32,
    /// Who installed it (`rtm_protocol`; 2 is the kernel itself).
    pub protocol: u8,
    /// Lower wins.
    pub metric: u32,
    /// For packets from these addresses only (`from`); `None` is all.
    #[serde(default)]
    pub source: Option<Ipv6Net>,
}

impl KernelRoute {
    /// The interface that packets leave by.
    pub fn unicast_link(&self) -> Option<IfIndex> {
        match self.kind {
            RouteKind::Unicast(link) => Some(link),
            RouteKind::Local(_) | RouteKind::Unreachable | RouteKind::Throw | RouteKind::Other => None,
        }
    }

    /// The interface that the route is on.
    pub fn link(&self) -> Option<IfIndex> {
        match self.kind {
            RouteKind::Unicast(link) | RouteKind::Local(link) => Some(link),
            RouteKind::Unreachable | RouteKind::Throw | RouteKind::Other => None,
        }
    }
}

impl KernelRoute {
    /// True if the kernel takes only one of the two, when each is added exclusively.
    pub fn takes_the_place_of(&self, other: &Self) -> bool {
        (other.destination, other.source) == (self.destination, self.source)
            && other.table == self.table
            && other.metric == self.metric
    }

    /// The interface by which a routing daemon (FRR, BIRD, babeld) reaches a guest of another host.
    pub fn link_to_another_host(&self) -> Option<IfIndex> {
        let is_single = self.destination.prefix_len() == 128 && self.next_hop != NextHop::OnLink;
        // rtnetlink.h: RTPROT_ZEBRA, RTPROT_BIRD, RTPROT_BABEL, and what FRR has for each protocol.
        let is_theirs = matches!(self.protocol, 11 | 12 | 42 | 186..=198);
        self.unicast_link().filter(|_| is_single && is_theirs)
    }
}

/// As `ip -6 route` prints it, with the number of the interface instead of its name.
impl fmt::Display for KernelRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast(link) => write!(f, "{} dev #{link}", self.destination)?,
            RouteKind::Local(link) => write!(f, "local {} dev #{link}", self.destination)?,
            RouteKind::Unreachable => write!(f, "unreachable {}", self.destination)?,
            RouteKind::Throw => write!(f, "throw {}", self.destination)?,
            RouteKind::Other => write!(f, "{}", self.destination)?,
        }
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        if let NextHop::Via(router) = self.next_hop {
            write!(f, " via {router}")?;
        }
        write!(f, " proto {} metric {}", self.protocol, self.metric)
    }
}

/// What a route does with packets, and where they leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteKind {
    /// Sent out of this interface.
    Unicast(IfIndex),
    /// Taken by the host itself (`lo`).
    Local(IfIndex),
    /// Refused with an ICMPv6 error.
    Unreachable,
    /// Left to the tables that come after this one.
    Throw,
    /// Anything else that has a destination: blackhole, prohibit, several next hops of which none has an interface.
    Other,
}

/// Whether a route leads to its destination directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NextHop {
    /// The destination is on the link.
    OnLink,
    /// A router forwards.
    Via(Ipv6Addr),
}

/// An entry of the kernel's neighbor table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// The interface that it is on.
    pub link: IfIndex,
    /// Its address.
    pub address: Ipv6Addr,
    /// Its link-layer address, once known and if it has one.
    pub mac: Option<Mac>,
    /// What the kernel believes of it.
    pub state: NeighborState,
}

/// What an entry of the kernel's neighbor table says of where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Who put it there (NDA_PROTOCOL); 0 where nobody says. It outlives an entry that is overwritten by somebody who
    /// says nothing.
    pub protocol: u8,
    /// A routing daemon says that it has learnt it elsewhere (NTF_EXT_LEARNED).
    pub is_external: bool,
}

/// What the kernel believes of a neighbor (RFC 4861 §7.3.2, and Linux's additions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NeighborState {
    /// Confirmed a short while ago.
    Reachable,
    /// An administrator says so.
    Permanent,
    /// Was there once; to be confirmed or being confirmed (STALE, DELAY, PROBE).
    Stale,
    /// Being asked for, never yet answered.
    Incomplete,
    /// Asked for without success.
    Failed,
    /// The link has no Neighbor Discovery, or the address needs none.
    Noarp,
}
