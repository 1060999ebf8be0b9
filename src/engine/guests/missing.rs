//! Why something is not here although the administrator says so, or cannot be claimed: the object, the reason, and the
//! remedy.

use core::net::Ipv6Addr;
use std::fmt;

use ipnet::Ipv6Net;

use super::claim::Object;
use crate::engine::facts::IfName;
use crate::wire::Mac;

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No interface has this name.
    Interface(IfName),
    /// It is down, or has no carrier.
    Up(IfName),
    /// This MAC was heard on no downstream.
    Station(Mac),
    /// This station announces its addresses on the upstream, and it did not reply here.
    Elsewhere(Mac),
    /// It is on this interface, an upstream, where it answers for itself.
    OnLink(IfName),
    /// No range has all of this.
    Range(Ipv6Net),
    /// A range has it, and its guests are not behind this interface, or it is excluded there, or the host's own, or all of
    /// the range is answered for.
    Downstream(Ipv6Net, IfName),
    /// Its range has several interfaces, and nothing says which is meant.
    Choice(Ipv6Net),
    /// Its range is that of no interface that is there.
    AnyInterface(Ipv6Net),
    /// No range that is a /64 has the interface.
    Slash64(IfName),
    /// No link-local address was heard from this MAC on the interface.
    LinkLocal(Mac, IfName),
    /// The guest of this name has prefixes on a link with Neighbor Discovery, and no MAC to hear a next hop from.
    UnknownMac(String),
    /// A prefix on a link with Neighbor Discovery, and nothing says through which address it is reached.
    Via(Ipv6Net),
    /// No packet can be sent through this address.
    NextHop(Ipv6Addr),
    /// No guest can have this MAC: it is a group's, or all zero.
    NoStation(Mac),
    /// The prefix has this in it.
    Covers(Ipv6Net, Covered),
    /// The guest of this name has the address.
    OthersAddress(Ipv6Addr, String),
    /// No guest has this name.
    Guest(String),
    /// The guest of this name has another MAC.
    OtherMac(String),
    /// There is no claim of this.
    Claim(Object),
    /// As many are claimed as may be.
    Room(usize),
}

/// What must not be routed to a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Covered {
    /// A range as a whole.
    Range(Ipv6Net),
    /// What is on-link at an interface of this host.
    Connected(Ipv6Net, IfName),
    /// An address of this host.
    Own(Ipv6Addr),
    /// The provider's router.
    Router(Ipv6Addr),
    /// The address that every router of this prefix has (RFC 4291 §2.6.1).
    Anycast(Ipv6Net),
    /// Another guest, by its name or by its address.
    Guest(String),
    /// What is routed to another guest.
    Delegated(Ipv6Net),
}

impl Missing {
    /// For programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Interface(_) | Self::AnyInterface(_) => "no_interface",
            Self::Up(_) => "interface_down",
            Self::Station(_) => "mac_not_heard",
            Self::Elsewhere(_) => "elsewhere",
            Self::OnLink(_) => "on_link",
            Self::Range(_) => "no_range",
            Self::Downstream(..) => "not_served_there",
            Self::Choice(_) => "several_interfaces",
            Self::Slash64(_) => "no_64",
            Self::LinkLocal(..) => "no_link_local",
            Self::UnknownMac(_) => "no_mac",
            Self::Via(_) => "no_via",
            Self::NextHop(_) => "bad_via",
            Self::NoStation(_) => "bad_mac",
            Self::Covers(..) => "covers",
            Self::OthersAddress(..) => "other_guest",
            Self::OtherMac(_) => "other_mac",
            Self::Guest(_) => "no_guest",
            Self::Claim(_) => "no_claim",
            Self::Room(_) => "no_room",
        }
    }

    /// Whether a claim is refused for it; the others may come later.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Up(_) | Self::Station(_) | Self::LinkLocal(..) | Self::Elsewhere(_) | Self::OnLink(_)
        )
    }
}

/// An address as people write it.
fn shown(prefix: &Ipv6Net) -> Object {
    Object::Prefix(*prefix)
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => {
                write!(f, "there is no interface {name}; `ip link` lists the interfaces")
            }
            Self::Up(name) => write!(f, "{name} is down or has no carrier; `ip link set {name} up`"),
            Self::Station(mac) => write!(
                f,
                "nothing was heard from {mac} on any downstream; start the guest, or name its `interface`"
            ),
            Self::Elsewhere(by) => write!(
                f,
                "another host ({by}) announces its addresses, and it did not reply here; it is announced as soon as \
                 it sends something here"
            ),
            Self::OnLink(name) => write!(
                f,
                "it is on the router's own link, {name}, and answers there for itself, so lone64 stays silent; it is \
                 announced as soon as it sends something on a downstream"
            ),
            Self::Range(prefix) => write!(
                f,
                "{} is outside every range; `lone64 status` lists the ranges, and a [[range]] adds one",
                shown(prefix)
            ),
            Self::Downstream(prefix, name) => write!(
                f,
                "no range serves {} for a guest behind {name}; `lone64 explain {}` shows its range",
                shown(prefix),
                prefix.addr()
            ),
            Self::Choice(prefix) => write!(
                f,
                "the range of {} has several interfaces; say which one with --interface",
                shown(prefix)
            ),
            Self::AnyInterface(prefix) => write!(
                f,
                "the range of {} has no interface that exists, and no route leads to one; `lone64 status` shows the \
                 range",
                shown(prefix)
            ),
            Self::Slash64(name) => write!(
                f,
                "no range that is a /64 has guests behind {name}, and \"eui64\" computes an address only in a /64; \
                 write such a [[range]], or list the addresses"
            ),
            Self::LinkLocal(mac, name) => write!(
                f,
                "no link-local address was heard from {mac} on {name}, so there is no next hop for its prefixes; \
                 start the guest, or its IPv6"
            ),
            Self::UnknownMac(name) => write!(
                f,
                "the guest {name} has no `mac`, so no next hop for its prefixes can be heard; add its `mac`"
            ),
            Self::Via(prefix) => write!(
                f,
                "{prefix} has no next hop; say through which address it is reached with --via, such as the guest's \
                 link-local address"
            ),
            Self::NextHop(address) => write!(
                f,
                "{address} cannot be a next hop; name the guest's own address with --via, such as its link-local one"
            ),
            Self::NoStation(mac) => {
                write!(f, "{mac} cannot be the MAC of a guest; leave out --mac, or correct it")
            }
            Self::Covers(prefix, Covered::Own(address)) if prefix.prefix_len() == 128 => {
                write!(f, "{address} is an address of this host; name one of a guest")
            }
            Self::Covers(prefix, Covered::Router(address)) if prefix.prefix_len() == 128 => {
                write!(f, "{address} is the provider's router; name an address of a guest")
            }
            Self::Covers(prefix, covered @ Covered::Anycast(_)) => {
                write!(f, "{} is {covered}; name an address of a guest", prefix.addr())
            }
            Self::Covers(prefix, covered) => {
                write!(f, "{prefix} covers {covered}; take a longer prefix without it")
            }
            Self::OthersAddress(address, name) => {
                write!(f, "{address} is an address of the guest {name}; release it there, or claim {name}")
            }
            Self::Guest(name) => write!(
                f,
                "no guest is called {name}; `lone64 status` lists the guests, and a [[guest]] adds one"
            ),
            Self::OtherMac(name) => {
                write!(f, "the guest {name} has another MAC; leave out --mac, or correct its [[guest]]")
            }
            Self::Claim(object) => {
                write!(f, "nobody has claimed {object}; `lone64 status` lists the claims")
            }
            Self::Room(most) => write!(f, "{most} claims are the limit; release some of them"),
        }
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(prefix) => write!(f, "all of the range {prefix}"),
            Self::Connected(prefix, name) => write!(f, "{prefix}, which is on-link on {name}"),
            Self::Own(address) => write!(f, "{address}, an address of this host"),
            Self::Router(address) => write!(f, "{address}, the provider's router"),
            Self::Anycast(prefix) => write!(f, "the subnet-router anycast address of {prefix}"),
            Self::Guest(name) => write!(f, "the guest {name}"),
            Self::Delegated(prefix) => write!(f, "{prefix}, which is routed to another guest"),
        }
    }
}
