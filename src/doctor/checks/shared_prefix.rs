//! One prefix on two interfaces: for each address the kernel picks one of them, and not by who is there.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::doctor::{Check, Command, Finding, Group, Guest, Host};
use crate::engine::facts::Link;

use super::keepers::for_good;

/// The check.
pub static CHECK: Check =
    Check { name: "shared-prefix", group: Group::Ranges, asks: "no prefix is on two interfaces", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let downstreams: Vec<_> =
        host.downstreams().into_iter().filter(|link| !link.name.is_loopback()).collect();
    let mut findings = Vec::new();
    for (at, link) in downstreams.iter().enumerate() {
        for (address, prefix) in host.prefixes_of(link.index) {
            // Guests that each have an interface share the gateway's address, as a /128.
            let has_it = |other: &Link| host.prefixes_of(other.index).any(|(_, same)| same == prefix);
            let upstreams = host.upstreams().iter().filter_map(|upstream| host.links().get(upstream.link));
            let mut others = upstreams.chain(downstreams[..at].iter().copied());
            if let Some(other) = others.find(|other| prefix.prefix_len() < 128 && has_it(other)) {
                findings.push(shared(host, link, other, address, &prefix));
            }
        }
    }
    findings
}

fn shared(host: &Host, link: &Link, other: &Link, address: Ipv6Addr, prefix: &Ipv6Net) -> Finding {
    let length = prefix.prefix_len();
    let sentence = format!(
        "{prefix} is on both {} and {}, so the kernel looks for some of the addresses on the wrong side",
        other.name, link.name
    );
    // Guests that are reached show that longer routes lead to them; it is the router and others that may be lost.
    let mut guests = host.guests.iter().filter(|guest| guest.link == link.index).peekable();
    let is_certain = guests.peek().is_none() || !guests.all(Guest::is_reached);
    let mut finding = if is_certain { Finding::fault(sentence) } else { Finding::warning(sentence) };
    for (one, _) in host.prefixes_of(other.index).filter(|(_, same)| same == prefix) {
        finding = finding.seen(format!("ip -6 addr show dev {}: {one}/{length}", other.name));
    }
    let name = &link.name;
    finding = finding.seen(format!("ip -6 addr show dev {name}: {address}/{length}"));
    // The narrower mask that the guests of this interface have; none, if the host has it there already.
    let place = host.ranges().filter(|(_, place)| place.downstreams.contains(&link.index));
    let ranges: Vec<_> =
        place.map(|(range, _)| range.prefix).filter(|range| range.prefix_len() > length).collect();
    let own = ranges.iter().find(|range| range.contains(&address)).map(|range| (address, range));
    let first = || {
        let range = ranges.iter().find(|range| range.prefix_len() < 128)?;
        let is_there = host.prefixes_of(link.index).any(|(known, _)| range.contains(&known));
        (!is_there).then(|| (Ipv6Addr::from(u128::from(range.network()) + 1), range))
    };
    let delete = format!("ip -6 addr del {address}/{length} dev {name}");
    let (line, new) = match (own, first()) {
        // The kernel has an address once, so the old one has to go first.
        (Some((gateway, range)), _) => {
            let new = format!("{gateway}/{}", range.prefix_len());
            (format!("{delete} && ip -6 addr add {new} dev {name} nodad"), Some(new))
        }
        (None, Some((gateway, range))) => {
            let new = format!("{gateway}/{}", range.prefix_len());
            (format!("ip -6 addr add {new} dev {name} nodad && {delete}"), Some(new))
        }
        (None, None) => (delete, None),
    };
    let lasting =
        new.and_then(|new| for_good(host, link.index, &format!("Address={new}"), &format!("address {new}")));
    let lasting = lasting.unwrap_or_else(|| format!("change the address of {name} where it is configured"));
    finding.run(Command::new(line).for_good(Some(lasting)).can_cut())
}
