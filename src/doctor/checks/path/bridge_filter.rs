//! Filters of the bridge family see frames before the host does, and those that never get to it.

use std::net::Ipv6Addr;

use super::neighbor_discovery::{self, ADVERTISEMENTS, Lost, Message, SOLICITATIONS, Towards};
use super::{Obstacles, Way};
use crate::doctor::firewall::{Family, Hook};
use crate::doctor::{Check, Finding, Group, Host, Severity};
use crate::engine::facts::IfIndex;
use crate::wire::solicited_node;

/// The check.
pub static CHECK: Check = Check {
    name: "bridge-filter",
    group: Group::Path,
    asks: "the bridges' filters let Neighbor Discovery pass",
    examine,
};

const FAMILIES: [Family; 1] = [Family::Bridge];

fn examine(host: &Host) -> Vec<Finding> {
    let rules = &host.firewall.rules;
    let (mut with_host, mut among_guests) = (Obstacles::none(), Obstacles::none());
    for (bridge, mut messages) in neighbor_discovery::conversations(host) {
        let Some(settings) = host.make(bridge).and_then(|make| make.bridge) else { continue };
        // A bridge that asks its ports forgets those whose reply it does not hear (RFC 4541).
        if settings.snooping && settings.querier {
            let message = |kind, way| Message { kind, name: MLD, way, addresses: (SOMEBODY, ALL_ROUTERS) };
            messages.extend([message(130, Towards::Neighbor), message(143, Towards::Host)]);
        }
        for port in ports(host, bridge) {
            for message in &messages {
                let hooks = match message.way {
                    Towards::Host => [Hook::Prerouting, Hook::Input],
                    Towards::Neighbor => [Hook::Output, Hook::Postrouting],
                };
                let packet = message.packet(&port);
                for objection in hooks.iter().flat_map(|hook| rules.objections(*hook, &FAMILIES, "", &packet))
                {
                    with_host.add(
                        objection,
                        Lost { kind: message.kind, name: message.name, link: host.name(bridge) },
                    );
                }
            }
        }
    }
    for way in Way::all(host)
        .iter()
        .filter(|way| host.make(way.downstream).is_some_and(|make| make.bridge.is_some()))
    {
        let neighbor = previous(way.guest);
        let ports = ports(host, way.downstream);
        for (from, to) in ports.iter().zip(ports.iter().cycle().skip(1)) {
            for (kind, name, destination) in
                [(135, SOLICITATIONS, solicited_node(neighbor)), (136, ADVERTISEMENTS, neighbor)]
            {
                let message = Message { kind, name, way: Towards::Host, addresses: (way.guest, destination) };
                let mut packet = message.packet(from);
                packet.output = to;
                for objection in rules.objections(Hook::Forward, &FAMILIES, "", &packet) {
                    among_guests.add(objection, Lost { kind, name, link: way.downstream_name.clone() });
                }
            }
        }
    }
    let mut findings = neighbor_discovery::findings(&with_host, "so host and guests lose each other");
    let mut among = neighbor_discovery::findings(&among_guests, "so guests cannot reach each other");
    among.iter_mut().for_each(|finding| finding.severity = Severity::Warning);
    findings.append(&mut among);
    findings
}

/// The ports of a bridge, up to a number at which nothing new is to be learned.
pub fn ports(host: &Host, bridge: IfIndex) -> Vec<String> {
    let ports = host.links().iter().filter(|link| link.master == Some(bridge));
    ports.map(|link| link.name.to_string()).take(16).collect()
}

/// The address before this one.
pub fn previous(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits().wrapping_sub(1))
}

const MLD: &str = "MLD";
const SOMEBODY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// All MLDv2-capable routers (RFC 3810 §5.2.14).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
