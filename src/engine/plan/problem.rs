//! What the policy asks for and the host does not have, in words and with a remedy.

use core::net::Ipv6Addr;
use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::engine::change::Obstacle;
use crate::engine::facts::IfName;
use crate::engine::guests::NoGuard;
use crate::wire::Mac;

/// Something that the policy asks for and the host does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Problem {
    /// No interface has this name.
    UpstreamMissing(IfName),
    /// The upstream is to be the interface of the default route, and there is none.
    NoDefaultRoute,
    /// Nothing arrives at the socket of a port; its master is the interface to name.
    UpstreamIsPort(IfName, IfName),
    /// There is no Neighbor Discovery on such an interface.
    UpstreamWithoutLinkLayer(IfName),
    /// The kernel refuses a socket for its frames, and this is what it said.
    UpstreamNotHeard(IfName, String),
    /// The upstream has no address that answers could come from: IPv6 is off there, or it is down.
    UpstreamWithoutAddress(IfName),
    /// Guests are on the upstream's own bridge, and it is not known behind which of its ports the router is.
    UplinkUnknown(IfName),
    /// The upstream has no such address, or cannot use it yet; so nothing is answered.
    SourceMissing(IfName, Ipv6Addr),
    /// Several upstreams are there, and none has a prefix that covers the range.
    NoUpstreamForRange(Ipv6Net),
    /// No interface has this name.
    DownstreamMissing(Ipv6Net, IfName),
    /// The guests cannot be on the side that asks for them.
    DownstreamIsUpstream(Ipv6Net, IfName),
    /// Stations on the first are on the own link of the second, the upstream, and answer for themselves.
    DownstreamBesideUpstream(Ipv6Net, IfName, IfName),
    /// The same as the three before, of one interface in a list: the others of the range are served without it.
    AlsoMissing(Ipv6Net, IfName),
    /// The second is the upstream, or the upstream whose own link it is on.
    AlsoOnUpstream(Ipv6Net, IfName, IfName),
    /// Nobody can be asked behind the interfaces of the range, of which this is one, and no route says who is there.
    NobodyToAsk(Ipv6Net, IfName),
    /// The range has the third's own link in it, so one route to the second would take that away: its guests have one
    /// each.
    RouteOverLink(Ipv6Net, IfName, IfName),
    /// The same where every address is answered for: no guest is known, and there is no route.
    AlwaysOverLink(Ipv6Net, IfName, IfName),
    /// No upstream has a /64 that the suffix could be put under.
    NoPrefixForSuffix(Ipv6Net),
    /// The whole on-link prefix of the first is on the second too, which automatic cannot serve.
    SamePrefix(Ipv6Net, IfName, IfName),
    /// The kernel routes more prefixes than can be served automatically.
    TooManyRanges,
    /// The kernel does not take the guests' gateway on this downstream.
    GatewayRefused(IfName, Ipv6Addr, Obstacle),
    /// Another program's permanent neighbor entry keeps out that of a guest with this MAC.
    PinKeptOut(IfName, Ipv6Addr, Mac),
    /// The kernel does not take the permanent neighbor entry of this address, and this is what it said.
    PinRefused(IfName, Ipv6Addr, String),
    /// This guest is to be held to its own addresses, and cannot be.
    Unguarded(String, NoGuard),
    /// The kernel, or nft, refuses the tables of guards, and this is what it said.
    GuardsRefused(String),
    /// The same of the named sets.
    SetsRefused(String),
}

/// How much of the policy a problem concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An upstream, and whatever is served there.
    Upstream,
    /// One range; the others are served.
    Range,
    /// Nothing, for long: an address that is still being checked, say. Or one interface among others.
    Passing,
}

impl Problem {
    /// How much of the policy it concerns.
    pub fn scope(&self) -> Scope {
        match self {
            Self::UpstreamMissing(_)
            | Self::NoDefaultRoute
            | Self::UpstreamIsPort(..)
            | Self::UpstreamWithoutLinkLayer(_)
            | Self::UpstreamNotHeard(..)
            | Self::UplinkUnknown(_) => Scope::Upstream,
            Self::NoUpstreamForRange(_)
            | Self::DownstreamMissing(..)
            | Self::DownstreamIsUpstream(..)
            | Self::DownstreamBesideUpstream(..)
            | Self::AlwaysOverLink(..) => Scope::Range,
            Self::UpstreamWithoutAddress(_)
            | Self::AlsoMissing(..)
            | Self::AlsoOnUpstream(..)
            | Self::NobodyToAsk(..)
            | Self::SourceMissing(..)
            | Self::NoPrefixForSuffix(_)
            | Self::SamePrefix(..)
            | Self::RouteOverLink(..)
            | Self::TooManyRanges
            | Self::GatewayRefused(..)
            | Self::PinKeptOut(..)
            | Self::PinRefused(..)
            | Self::Unguarded(..)
            | Self::GuardsRefused(_)
            | Self::SetsRefused(_) => Scope::Passing,
        }
    }

    /// What is waited for until it is gone, as in "waiting for lxcbr0"; `None` where nothing is missing, but left out.
    ///
    /// None of it is a reason not to start, not even what looks as if it would stay: a port can be taken off its
    /// bridge, a tunnel made again as an Ethernet, a default route moved to another interface, and all of it happens
    /// to hosts that boot. What cannot heal (`lo` as the upstream, say) is a mistake, and the configuration's to tell.
    pub fn waits_for(&self) -> Option<String> {
        match self {
            Self::UpstreamMissing(name) | Self::DownstreamMissing(_, name) | Self::AlsoMissing(_, name) => {
                Some(name.to_string())
            }
            Self::NoDefaultRoute => Some("a default route".to_owned()),
            Self::UpstreamIsPort(name, master) => Some(format!("{name} to leave {master}")),
            Self::UpstreamWithoutLinkLayer(name) => Some(format!("a link layer on {name}")),
            Self::UpstreamNotHeard(name, _) => Some(format!("a packet socket on {name}")),
            Self::UplinkUnknown(name) => Some(format!("the router behind a port of {name}")),
            Self::UpstreamWithoutAddress(name) => Some(format!("an IPv6 address on {name}")),
            Self::SourceMissing(name, address) => Some(format!("the address {address} on {name}")),
            Self::NoUpstreamForRange(prefix) => Some(format!("an upstream for {prefix}")),
            Self::DownstreamIsUpstream(_, name) => Some(format!("{name} to stop being an upstream")),
            Self::DownstreamBesideUpstream(_, name, up) => Some(format!("{name} to leave the link of {up}")),
            Self::NoPrefixForSuffix(suffix) => Some(format!("a /64 for {suffix}")),
            Self::AlsoOnUpstream(..)
            | Self::NobodyToAsk(..)
            | Self::RouteOverLink(..)
            | Self::AlwaysOverLink(..)
            | Self::SamePrefix(..)
            | Self::TooManyRanges
            | Self::GatewayRefused(..)
            | Self::PinKeptOut(..)
            | Self::PinRefused(..)
            | Self::Unguarded(..)
            | Self::GuardsRefused(_)
            | Self::SetsRefused(_) => None,
        }
    }

    /// What to say when it is gone.
    pub fn solved(&self) -> String {
        match self {
            Self::UpstreamMissing(name) => format!("upstream {name} exists now"),
            Self::NoDefaultRoute => "there is an IPv6 default route again".to_owned(),
            Self::UpstreamIsPort(name, master) => format!("upstream {name} is no longer a port of {master}"),
            Self::UpstreamWithoutLinkLayer(name) => format!("upstream {name} has a link layer now"),
            Self::UpstreamNotHeard(name, _) => format!("upstream {name} can be heard now"),
            Self::UplinkUnknown(name) => {
                format!("the port of {name} towards the router is known now")
            }
            Self::UpstreamWithoutAddress(name) => {
                format!("upstream {name} no longer lacks an address for answers")
            }
            Self::SourceMissing(name, address) => format!("upstream {name} has the address {address} now"),
            Self::NoUpstreamForRange(prefix) => format!("range {prefix} has an upstream now"),
            Self::DownstreamMissing(prefix, name)
            | Self::AlsoMissing(prefix, name)
            | Self::AlsoOnUpstream(prefix, name, _)
            | Self::DownstreamIsUpstream(prefix, name)
            | Self::DownstreamBesideUpstream(prefix, name, _) => {
                format!("range {prefix} has its interface {name} now")
            }
            Self::NobodyToAsk(prefix, _) => {
                format!("the routes now say which guests of range {prefix} exist")
            }
            Self::RouteOverLink(prefix, _, upstream) => {
                format!("range {prefix} no longer contains other hosts of the link of {upstream}")
            }
            Self::AlwaysOverLink(prefix, _, upstream) => {
                format!("range {prefix} is no longer the whole link of {upstream}")
            }
            Self::NoPrefixForSuffix(suffix) => format!("the suffix {suffix} has a /64 now"),
            Self::SamePrefix(prefix, _, name) => format!("{name} no longer has the whole {prefix}"),
            Self::GatewayRefused(name, address, _) => {
                format!("the gateway {address} is on {name} now")
            }
            Self::PinKeptOut(name, address, _) | Self::PinRefused(name, address, _) => {
                format!("{address} is pinned on {name} now, or need not be")
            }
            Self::Unguarded(name, _) => format!("guest {name} is guarded now"),
            Self::GuardsRefused(_) => "guests are guarded now".to_owned(),
            Self::SetsRefused(_) => "the sets of `nft-sets` are there now".to_owned(),
            Self::TooManyRanges => "everything that the kernel routes can be served again".to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpstreamMissing(name) => write!(
                f,
                "upstream {name}: there is no such interface, so nothing is answered until it exists; `ip link` \
                 lists the interfaces, and the upstream is the one towards the provider's router"
            ),
            Self::NoDefaultRoute => write!(
                f,
                "there is no IPv6 default route to find the upstream by, so nothing is answered until there is one; \
                 or name the upstream with `interface` in [[upstream]] or with --upstream"
            ),
            Self::UpstreamIsPort(name, master) => write!(
                f,
                "upstream {name} is a port of {master}, so solicitations arrive at {master}: name {master} \
                 as the upstream"
            ),
            Self::UpstreamWithoutLinkLayer(name) => write!(
                f,
                "upstream {name} has no link layer (tun, WireGuard, PPP), so nobody sends solicitations there: the \
                 provider already routes to this host, and no answers are needed"
            ),
            Self::UpstreamNotHeard(name, said) => write!(
                f,
                "upstream {name} cannot be heard, because the kernel refuses a packet socket there ({said}), and \
                 nothing is answered until it accepts one; `lone64 doctor` finds the limit that is too low"
            ),
            Self::UplinkUnknown(name) => write!(
                f,
                "guests are on the upstream's own bridge {name}, and lone64 does not know yet which port of the \
                 bridge leads to the router, so nobody gets answers there: the router of the default route (`ip -6 route \
                 show default dev {name}`) must answer, and the bridge must learn its MAC (`bridge fdb show br \
                 {name}`; `bridge -d link` shows `learning on`)"
            ),
            Self::UpstreamWithoutAddress(name) => write!(
                f,
                "upstream {name} has no IPv6 address for answers, so nothing is answered there: IPv6 is off (`sysctl \
                 -w net/ipv6/conf/{name}/disable_ipv6=0`), its MTU is below 1280 (`ip link set {name} mtu 1500`), the \
                 interface is down (`ip link set {name} up`), or its addresses are still being checked; `ip -6 addr \
                 show dev {name}` lists them"
            ),
            Self::SourceMissing(name, address) => write!(
                f,
                "upstream {name} has no usable address {address}, so nothing is answered there: add it with `ip -6 \
                 addr add {address}/64 dev {name}`, or choose another `source` in [[upstream]]"
            ),
            Self::NoUpstreamForRange(prefix) => write!(
                f,
                "range {prefix}: there are several upstreams, and none has an address whose prefix covers the range; \
                 name one with `upstream` in [[range]]"
            ),
            Self::DownstreamMissing(prefix, name) => write!(
                f,
                "range {prefix}: there is no interface {name} for its guests; the range is served as soon as it \
                 exists; `ip link` lists the interfaces: start the program that makes {name}, or correct `interface` \
                 in [[range]]"
            ),
            Self::DownstreamIsUpstream(prefix, name) => write!(
                f,
                "range {prefix}: {name} is the upstream and not a bridge, and guests cannot be on an upstream; name \
                 the interface behind which they are"
            ),
            Self::DownstreamBesideUpstream(prefix, name, upstream) => write!(
                f,
                "range {prefix}: {name} (a macvlan, macvtap, ipvlan or veth, or the port of a bridge) is on the own \
                 link of the upstream {upstream}, so the router asks the guests there itself, and they answer for \
                 themselves: remove {name}, or put its guests on a bridge of their own"
            ),
            Self::AlsoMissing(prefix, name) => write!(
                f,
                "range {prefix}: {name}, one of the interfaces for its guests, does not exist; guests behind it are \
                 served as soon as it does; `ip link` lists the interfaces: start the program that makes {name}, or \
                 remove it from `interface` in [[range]]"
            ),
            Self::AlsoOnUpstream(prefix, name, upstream) if name == upstream => write!(
                f,
                "range {prefix}: {name}, one of the interfaces for its guests, is the upstream, and guests cannot be \
                 on an upstream, so it is left out: remove it from `interface` in [[range]]"
            ),
            Self::AlsoOnUpstream(prefix, name, upstream) => write!(
                f,
                "range {prefix}: {name}, one of the interfaces for its guests, is on the own link of the upstream \
                 {upstream}, where guests answer for themselves, so it is left out: remove it from `interface` in \
                 [[range]], or put its guests on a bridge of their own"
            ),
            Self::NobodyToAsk(prefix, name) => write!(
                f,
                "range {prefix}: {name} has no Neighbor Discovery (WireGuard, tun), so lone64 answers there only for \
                 guests that have a route, and there is no such route: add one for each guest with `ip -6 route add \
                 ADDRESS/128 dev {name}`, as wg-quick does for AllowedIPs"
            ),
            Self::RouteOverLink(prefix, name, upstream) => write!(
                f,
                "range {prefix} contains the router or other hosts of the link of {upstream}, and one route for it \
                 to {name} would cut them off from this host, so there is none, and each live guest gets a /128 \
                 instead: write routes = \"guests\" in its [[range]], or remove `routes`"
            ),
            Self::AlwaysOverLink(prefix, name, upstream) if name.is_loopback() => write!(
                f,
                "range {prefix} contains the router or other hosts of the link of {upstream}, and with a route for \
                 it to {name} this host would take their packets for its own, so there is none: write a longer \
                 prefix in its [[range]], for example a /112, that only this host has"
            ),
            Self::AlwaysOverLink(prefix, name, upstream) => write!(
                f,
                "range {prefix} is the whole link of {upstream}, so it has no route to {name}, and with `answer = \
                 \"always\"` lone64 does not look for guests: write answer = \"live\" in its [[range]], or a longer \
                 prefix, for example a /112, that has only the guests"
            ),
            Self::NoPrefixForSuffix(suffix) => write!(
                f,
                "the suffix {suffix} is not served: its upstream has no /64 yet; `ip -6 addr` and `ip -6 route` show \
                 what the upstream has"
            ),
            Self::SamePrefix(prefix, upstream, name) => write!(
                f,
                "{prefix} is on {upstream} and on {name}, so it is not served automatically: give {name} a longer \
                 prefix inside it, for example a /112, or write a [[range]] for it"
            ),
            Self::GatewayRefused(name, address, obstacle) => {
                write!(f, "the guests behind {name} have no gateway {address}: {}", obstacle.on(name))
            }
            Self::PinKeptOut(name, address, mac) => write!(
                f,
                "{address} is not pinned to {mac}: {name} has a permanent neighbor entry of another program with \
                 another MAC; `ip -6 neigh del {address} dev {name}` removes it"
            ),
            Self::PinRefused(name, address, said) => write!(
                f,
                "{address} is not pinned: the kernel refuses the neighbor entry on {name} ({said}); lone64 tries again"
            ),
            Self::Unguarded(name, why) => write!(f, "guest {name} is not guarded, because {why}"),
            Self::GuardsRefused(said) => write!(
                f,
                "guests with `guard` are not guarded, and can take each other's addresses: {said}; lone64 tries again \
                 every minute"
            ),
            Self::SetsRefused(said) => {
                write!(f, "other programs have no sets of live addresses and guests (`nft-sets`): {said}")
            }
            Self::TooManyRanges => write!(
                f,
                "the kernel routes more prefixes to other interfaces than lone64 can serve automatically, and the \
                 others are left out: write a [[range]] that covers them"
            ),
        }
    }
}
