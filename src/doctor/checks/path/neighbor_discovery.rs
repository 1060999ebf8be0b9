//! Neighbor Discovery is what everything else stands on: the host has to find router and guests, they
//! have to find it, and the daemon has to hear and to answer.

use std::net::Ipv6Addr;

use super::{Obstacles, ROUTED, Way, exceptions, listed};
use crate::doctor::firewall::{Body, Exception, Family, Fate, Hook, Objection, Packet, Reverse, State};
use crate::doctor::{Check, Finding, Group, Host, Severity};
use crate::engine::facts::{IfIndex, LinkLayer, NextHop};
use crate::wire::solicited_node;

/// The check.
pub static CHECK: Check = Check {
    name: "neighbor-discovery",
    group: Group::Host,
    asks: "the packet filters let Neighbor Discovery pass",
    examine,
};

/// A message of Neighbor Discovery or MLD on a link.
pub struct Message {
    /// Its ICMPv6 type.
    pub kind: u8,
    /// What it is, for people.
    pub name: &'static str,
    /// From its sender to its receiver.
    pub way: Towards,
    /// Source and destination.
    pub addresses: (Ipv6Addr, Ipv6Addr),
}

/// Whether the host receives or sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// It receives it.
    Host,
    /// It sends it.
    Neighbor,
}

/// What somebody loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The ICMPv6 type.
    pub kind: u8,
    /// The message.
    pub name: &'static str,
    /// The interface.
    pub link: String,
}

fn examine(host: &Host) -> Vec<Finding> {
    let mut obstacles = Obstacles::none();
    for (link, messages) in conversations(host) {
        let name = host.name(link);
        for message in messages {
            // The daemon's own frames pass the hooks of the interface alone.
            let (near, far) = match message.way {
                Towards::Host => (Hook::Ingress, [Hook::Prerouting, Hook::Input]),
                Towards::Neighbor => (Hook::Egress, [Hook::Output, Hook::Postrouting]),
            };
            let packet = message.packet(&name);
            let rules = &host.firewall.rules;
            let mut met = rules.objections(near, &DEVICE, &name, &packet);
            for hook in far {
                met.extend(rules.objections(hook, &ROUTED, "", &packet));
            }
            for objection in met.into_iter().filter(|one| !matches!(one.fate, Fate::Translated(_))) {
                obstacles.add(objection, Lost { kind: message.kind, name: message.name, link: name.clone() });
            }
        }
    }
    findings(&obstacles, "so router, host and guests lose each other")
}

impl Message {
    /// The packet on an interface of the host.
    pub fn packet<'a>(&self, link: &'a str) -> Packet<'a> {
        let (input, output) = match self.way {
            Towards::Host => (link, ""),
            Towards::Neighbor => ("", link),
        };
        let (source, destination) = self.addresses;
        let (body, state, reverse) = (Body::Icmp(self.kind), State::Untracked, Reverse::Routed);
        Packet { input, output, source, destination, body, state, reverse }
    }
}

/// What has to be said on each link of the host.
pub fn conversations(host: &Host) -> Vec<(IfIndex, Vec<Message>)> {
    let mut all: Vec<(IfIndex, Vec<Message>)> = Vec::new();
    let routers: Vec<_> = host.default_routes().collect();
    for upstream in host.upstreams() {
        let ours = upstream.link_local.unwrap_or(SOMEBODY);
        let mut router = SOMEBODY;
        let mut is_advertised = false;
        for route in routers.iter().filter(|route| route.unicast_link() == Some(upstream.link)) {
            if let NextHop::Via(address) = route.next_hop {
                router = address;
            }
            is_advertised |= route.protocol == RTPROT_RA;
        }
        let mut messages = between(router, ours);
        if is_advertised {
            let addresses = (router, ALL_NODES);
            messages.push(Message {
                kind: 134,
                name: "router advertisements",
                way: Towards::Host,
                addresses,
            });
        }
        all.push((upstream.link, messages));
    }
    for way in Way::all(host) {
        let has_discovery =
            host.links().get(way.downstream).is_some_and(|link| matches!(link.layer, LinkLayer::Ethernet(_)));
        if has_discovery && all.iter().all(|(link, _)| *link != way.downstream) {
            let ours = host.links().link_local(way.downstream).unwrap_or(SOMEBODY);
            all.push((way.downstream, between(way.guest, ours)));
        }
    }
    all
}

fn between(neighbor: Ipv6Addr, ours: Ipv6Addr) -> Vec<Message> {
    let message = |kind, name, way, addresses| Message { kind, name, way, addresses };
    vec![
        message(135, SOLICITATIONS, Towards::Host, (neighbor, solicited_node(ours))),
        message(136, ADVERTISEMENTS, Towards::Host, (neighbor, ours)),
        message(135, SOLICITATIONS, Towards::Neighbor, (ours, solicited_node(neighbor))),
        message(136, ADVERTISEMENTS, Towards::Neighbor, (ours, neighbor)),
    ]
}

/// A finding for each rule that objects to a message.
pub fn findings(obstacles: &Obstacles<'_, Lost>, consequence: &str) -> Vec<Finding> {
    let finding = |(objection, lost): &(Objection<'_>, Vec<Lost>)| {
        let drops = if objection.fate == Fate::Dropped { "drops" } else { "may drop" };
        let sentence = format!(
            "{} {drops} {} on {}, {consequence}",
            objection.chain,
            listed(lost.iter().map(|lost| lost.name.to_owned())),
            listed(lost.iter().map(|lost| lost.link.clone())),
        );
        let mut finding = Finding::fault(sentence).seen(objection.place());
        if let Fate::PerhapsDropped(why) = &objection.fate {
            finding.severity = Severity::Warning;
            finding = finding.seen(format!("it depends on {why}"));
        }
        let mut kinds: Vec<_> = lost.iter().map(|lost| lost.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        exceptions([(objection, Exception::Icmp(kinds))]).into_iter().fold(finding, Finding::run)
    };
    obstacles.all.iter().map(finding).collect()
}

/// How they are called in findings.
pub const SOLICITATIONS: &str = "neighbor solicitations";
/// How they are called in findings.
pub const ADVERTISEMENTS: &str = "neighbor advertisements";

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Where it is not known who speaks.
const SOMEBODY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Installed because of a router advertisement (rtnetlink(7)).
const RTPROT_RA: u8 = 9;
/// Frames of one interface; nft has the ingress of one in its inet family too.
const DEVICE: [Family; 2] = [Family::Netdev, Family::Inet];
