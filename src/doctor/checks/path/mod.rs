//! What stands between router and guests: packet filters and bridges.
//!
//! Here is what the checks of this group have in common: the ways that packets take, and the rules
//! that stand in them.

pub mod bridge_filter;
pub mod bridged;
pub mod docker;
pub mod forward;
pub mod guests_bridges;
pub mod masquerade;
pub mod neighbor_discovery;
pub mod opened;
pub mod packet_too_big;
pub mod prerouting;
pub mod programs;
pub mod reports;
pub mod reverse_path;
pub mod snooping;
pub mod unread;
pub mod upstream_bridge;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::doctor::firewall::RELOAD;
use crate::doctor::firewall::{Body, Exception, Family, Fate, Objection, Packet, Reverse, State};
use crate::doctor::{Command, Host};
use crate::engine::facts::{IfIndex, LinkLayer};
use crate::engine::policy::{Downstream, RangeRoutes};

/// The way between the router and the guests of a range behind one downstream.
pub struct Way {
    /// The range.
    pub range: Ipv6Net,
    /// One of its addresses, for all of them.
    pub guest: Ipv6Addr,
    /// Who keeps its routes.
    pub routes: RangeRoutes,
    /// Towards the router, or the other end of a tunnel.
    pub upstream: IfIndex,
    /// Its name.
    pub upstream_name: String,
    /// Towards the guests.
    pub downstream: IfIndex,
    /// Its name.
    pub downstream_name: String,
}

/// The two ways to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the router.
    ToGuests,
    /// To the router.
    FromGuests,
}

impl Way {
    /// Every way that there is on this host, up to a number at which nothing new is to be learned.
    pub fn all(host: &Host) -> Vec<Self> {
        let mut all = Vec::new();
        for (range, place) in host.ranges() {
            // Where nobody is answered for, the prefix is routed here: by a tunnel, say.
            let routed = || host.way_out(&range.prefix).filter(|_| !range.needs_upstream());
            let Some(upstream) = place.upstream.or_else(routed) else { continue };
            let mut downstreams = place.downstreams.clone();
            if range.downstream == Downstream::Kernel {
                let routes = host.routes.iter().filter(|route| range.prefix.contains(&route.destination));
                downstreams.extend(routes.filter_map(|route| route.unicast_link()));
                downstreams.sort();
                downstreams.dedup();
            }
            let is_behind = |link: &IfIndex| {
                let layer = host.links().get(*link).map(|link| link.layer);
                *link != upstream && layer.is_some_and(|layer| layer != LinkLayer::Loopback)
            };
            for downstream in downstreams.into_iter().filter(is_behind).take(MOST) {
                all.push(Self {
                    range: range.prefix,
                    // Gateways are at the beginning.
                    guest: range.prefix.broadcast(),
                    routes: range.routes,
                    upstream,
                    upstream_name: host.name(upstream),
                    downstream,
                    downstream_name: host.name(downstream),
                });
            }
        }
        all
    }

    /// A packet on this way, between the guest and somebody far away.
    pub fn packet(&self, direction: Direction, body: Body, state: State) -> Packet<'_> {
        let (up, down) = (self.upstream_name.as_str(), self.downstream_name.as_str());
        let (input, output, source, destination) = match direction {
            Direction::ToGuests => (up, down, FAR_AWAY, self.guest),
            Direction::FromGuests => (down, up, self.guest, FAR_AWAY),
        };
        Packet { input, output, source, destination, body, state, reverse: Reverse::Routed }
    }
}

/// Rules that object, each with what it objects to.
pub struct Obstacles<'a, T> {
    /// In the order in which they were met.
    pub all: Vec<(Objection<'a>, Vec<T>)>,
}

impl<'a, T: PartialEq> Obstacles<'a, T> {
    /// None so far.
    pub const fn none() -> Self {
        Self { all: Vec::new() }
    }

    /// One more.
    pub fn add(&mut self, objection: Objection<'a>, to: T) {
        match self.all.iter_mut().find(|(known, _)| known.is_same(&objection)) {
            Some((known, things)) => {
                if objection.fate == Fate::Dropped {
                    known.fate = Fate::Dropped;
                }
                if !things.contains(&to) {
                    things.push(to);
                }
            }
            None => self.all.push((objection, vec![to])),
        }
    }
}

/// The commands for exceptions from several rules. Those of iptables are found by their number, so
/// the last one comes first.
pub fn exceptions<'a>(wanted: impl IntoIterator<Item = (&'a Objection<'a>, Exception)>) -> Vec<Command> {
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_by_key(|(objection, _)| std::cmp::Reverse(objection.rule.map(|(number, _)| number)));
    let mut commands: Vec<Command> = Vec::new();
    for command in wanted.iter().flat_map(|(objection, exception)| objection.except(exception)) {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    // firewalld reads its files again once all of them are written.
    commands.sort_by_key(|command| command.line == RELOAD);
    commands
}

/// Names without repetition, as in `a, b and c`.
pub fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: BTreeSet<_> = names.into_iter().collect();
    let names: Vec<_> = names.into_iter().collect();
    match names.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Packets that are routed.
pub const ROUTED: [Family; 2] = [Family::Inet, Family::Ip6];

/// What ordinary guests are asked for, and ask for. Not echoes: many filters that drop all else let
/// them pass, ufw's for one.
pub const ORDINARY: [Body; 4] = [Body::Tcp(443), Body::Tcp(22), Body::Udp(53), Body::Udp(443)];

/// An address on the other side of the Internet (a.root-servers.net).
pub const FAR_AWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30);

/// How many downstreams of a range are looked at.
const MOST: usize = 64;
