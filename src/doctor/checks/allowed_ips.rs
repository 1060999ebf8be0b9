//! WireGuard sends a packet to the peer whose AllowedIPs have its destination, and throws it away if there is none.

use ipnet::Ipv6Net;

use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::facts::Link;

/// The check.
pub static CHECK: Check = Check {
    name: "allowed-ips",
    group: Group::Ranges,
    asks: "WireGuard's peers may have the addresses that are routed to them",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let Some(allowed) = &host.allowed else { return Vec::new() };
    let mut findings = Vec::new();
    for link in host.links().iter() {
        let peers = allowed.iter().filter(|(name, _)| name == link.name.as_str()).map(|(_, nets)| nets);
        let peers: Vec<_> = peers.collect();
        if !peers.is_empty() {
            findings.extend(missing(host, link, &peers).into_iter().take(MOST));
        }
    }
    findings
}

fn missing(host: &Host, link: &Link, peers: &[&Vec<Ipv6Net>]) -> Vec<Finding> {
    let is_ours = |net: &Ipv6Net| host.ranges().any(|(range, _)| range.prefix.contains(net));
    let routes = host.routes.iter().filter(|route| route.unicast_link() == Some(link.index));
    let mut routed: Vec<_> = routes.map(|route| route.destination).filter(is_ours).collect();
    routed.sort_unstable();
    routed.dedup();
    let has = |net: &Ipv6Net| {
        peers.iter().any(|nets| nets.iter().any(|other| other.contains(net) || net.contains(other)))
    };
    // A whole range is routed there for those of its addresses that peers have.
    routed.iter().filter(|net| !has(net)).map(|net| finding(link, net)).collect()
}

fn finding(link: &Link, net: &Ipv6Net) -> Finding {
    let name = &link.name;
    let sentence = format!(
        "no peer of {name} has {net} in its AllowedIPs, so WireGuard throws away what is routed there for it"
    );
    Finding::fault(sentence)
        .seen(format!("ip -6 route show {net}: dev {name}"))
        .seen(format!("wg show {name} allowed-ips: no {net}"))
        .remedy(Remedy::Advice(format!(
            "in the configuration of {name}, add {net} to AllowedIPs of the [Peer] that has it, then `wg syncconf {name} \
             <(wg-quick strip {name})`"
        )))
}

/// Findings for one interface.
const MOST: usize = 8;
