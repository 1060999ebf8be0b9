//! The guard of one guest, as a value: from where it sends, and which addresses are its own. And why there is none.

use core::net::Ipv6Addr;
use std::fmt;
use std::sync::Arc;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::words::GuestId;
use crate::engine::facts::IfName;
use crate::wire::Mac;

/// What one part of the guards is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuardKey {
    /// The link-local addresses that no guest has: those of the host, and of the guests' gateway.
    Reserved,
    /// A guest.
    Guest(GuestId),
}

/// One part of the guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guarding {
    /// Link-local addresses that no guest can have by being heard first.
    Reserved(Vec<Ipv6Addr>),
    /// What one guest may send. Those who want it and those who have it share it: there may be thousands of guests.
    Guest(#[serde(with = "shared")] Arc<Guarded>),
}

/// What one guest may send: whatever has its MAC, and as source or as target of an advertisement an address of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Its link-layer address.
    pub mac: Mac,
    /// Where its packets are looked at.
    pub family: Family,
    /// The interface that it has alone, so that no other MAC sends there.
    pub port: Option<IfName>,
    /// Its addresses, the link-local ones too; sorted, each once.
    pub addresses: Vec<Ipv6Addr>,
    /// Its prefixes; sorted, and none inside another.
    pub prefixes: Vec<Ipv6Net>,
    /// No link-local address was heard from it yet, so the first one that nobody else has will be its own.
    pub is_fresh: bool,
}

/// As if nobody shared it.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Guarded;

    pub fn serialize<S: Serializer>(guarded: &Arc<Guarded>, serializer: S) -> Result<S::Ok, S::Error> {
        Guarded::serialize(guarded, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Guarded>, D::Error> {
        Guarded::deserialize(deserializer).map(Arc::new)
    }
}

/// Where packets are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// Where a port of a bridge receives them.
    Bridge,
    /// Where an interface that is routed receives them.
    Routed,
    /// In both places: it is not known yet where the guest will be.
    Either,
}

impl Family {
    /// Whether ports of bridges are meant.
    pub fn has_bridges(self) -> bool {
        self != Self::Routed
    }

    /// Whether routed interfaces are meant.
    pub fn has_routed(self) -> bool {
        self != Self::Bridge
    }
}

/// Why a packet of a guest was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Breach {
    /// The frame has another source MAC than the guest's.
    Mac,
    /// The packet has a source address that is not the guest's, or has none where it needs one.
    Source,
    /// An advertisement says something of an address that is not the guest's.
    Target,
    /// Duplicate Address Detection for an address that is not the guest's.
    Dad,
    /// A link-layer address option has another MAC than the guest's, or the options cannot be read to their end.
    Option,
    /// A Router Advertisement.
    Router,
    /// A Redirect.
    Redirect,
    /// A message of Neighbor Discovery in fragments.
    Fragment,
    /// IPv6 behind a VLAN tag, or whatever is behind a second one with the number 0: nobody can look at it there.
    Tag,
}

impl Breach {
    /// Each of them.
    pub const ALL: [Self; 9] = [
        Self::Mac,
        Self::Source,
        Self::Target,
        Self::Dad,
        Self::Option,
        Self::Router,
        Self::Redirect,
        Self::Fragment,
        Self::Tag,
    ];

    /// The name in JSON, metrics, and the sets of nftables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mac => "mac",
            Self::Source => "source",
            Self::Target => "target",
            Self::Dad => "dad",
            Self::Option => "option",
            Self::Router => "router_advertisement",
            Self::Redirect => "redirect",
            Self::Fragment => "fragment",
            Self::Tag => "tag",
        }
    }

    /// In words, behind "dropped a packet that".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Mac => "has another MAC than its own",
            Self::Source => "has a source address that is not its own",
            Self::Target => "advertises an address that is not its own",
            Self::Dad => "checks (DAD) an address that is not its own",
            Self::Option => "has a link-layer address option with another MAC than its own",
            Self::Router => "is a Router Advertisement",
            Self::Redirect => "is a Redirect",
            Self::Fragment => "is a fragment of Neighbor Discovery",
            Self::Tag => "is behind a VLAN tag",
        }
    }
}

/// Why a guest that is to be guarded is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoGuard {
    /// Its MAC is not known.
    Mac,
    /// There is no Ethernet on this interface.
    Ethernet(IfName),
    /// nft would take this name for something else.
    Name(IfName),
}

impl fmt::Display for NoGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac => f.write_str("its MAC is not known: add `mac` to its [[guest]]"),
            Self::Ethernet(name) => write!(
                f,
                "{name} has no Ethernet (tun, WireGuard), so a guard cannot tell who sends there: write guard = false \
                 in its [[guest]]; WireGuard's AllowedIPs do the same"
            ),
            Self::Name(name) => write!(
                f,
                "the name of the interface {name} has characters that nft reads as something else: rename it, using \
                 letters, digits, `.`, `_` and `-`"
            ),
        }
    }
}

/// Whether nft takes the name for a name and nothing else.
pub(super) fn is_plain(name: &IfName) -> bool {
    name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte))
}
