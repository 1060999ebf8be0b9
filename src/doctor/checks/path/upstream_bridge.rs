//! Bridges towards the router: the guests should not be on them, unless a range is served there; and then the kernel
//! must not tell them that the router is nearer than the host.

use core::net::Ipv6Addr;

use super::bridge_filter::ports;
use crate::doctor::firewall::{Body, Family, Hook, Packet, Reverse, State};
use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::Problem;
use crate::engine::bindings::Upstream;
use crate::engine::facts::NextHop;
use crate::engine::policy::RangePolicy;

/// The check.
pub static CHECK: Check = Check {
    name: "upstream-bridge",
    group: Group::Path,
    asks: "the upstream is no bridge that guests are ports of, or they are kept from the router there",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for upstream in host.upstreams() {
        let name = host.name(upstream.link);
        let ports = ports(host, upstream.link);
        if host.make(upstream.link).is_none_or(|make| make.bridge.is_none()) || ports.len() < 2 {
            continue;
        }
        if let Some((range, _)) = host.ranges().find(|(_, place)| place.own_bridge() == Some(upstream.link)) {
            findings.extend(redirected(host, upstream, range));
            findings.extend(lost_router(host, &name));
            continue;
        }
        let sentence = format!(
            "the upstream {name} is a bridge with several ports, so guests on it send with MACs of their own to \
             the router; providers that know only the host's MAC drop that, and some block the host"
        );
        let advice = format!(
            "move the guests to a bridge of their own that no port of {name} belongs to, and make it a range's \
             interface: then all that leaves bears the MAC of {name}"
        );
        findings.push(
            Finding::warning(sentence)
                .seen(format!("ports of {name}: {}", ports.join(", ")))
                .remedy(Remedy::Advice(advice)),
        );
    }
    findings
}

/// What a running daemon says: it has not found out where the router is, and answers nobody.
fn lost_router(host: &Host, name: &str) -> Option<Finding> {
    let problems = host.daemon.as_ref()?["problems"].as_array()?;
    let lost = Problem::UplinkUnknown(name.parse().ok()?).to_string();
    problems.iter().find(|problem| problem["message"] == lost.as_str())?;
    let sentence = format!(
        "it is not known behind which port of {name} the router is, so guests there are not answered for: what comes from \
         its side cannot be told from guests"
    );
    let finding =
        Finding::fault(sentence).seen("lone64 has heard nothing of the router of the default route");
    let router = host.default_routes().find_map(|route| match route.next_hop {
        NextHop::Via(router) => Some(router),
        NextHop::OnLink => None,
    });
    Some(match router {
        Some(router) => finding.remedy(Remedy::Advice(format!(
            "`ping -c 3 {router}%{name}`: it has to answer, and `bridge fdb show br {name}` to show its MAC then; \
             `bridge -d link` says whether the ports learn"
        ))),
        None => finding.remedy(Remedy::Advice(format!(
            "add the gateway that the provider names: `ip -6 route add default via GATEWAY dev {name}`"
        ))),
    })
}

/// What the host forwards leaves by the interface that it came by, so the kernel tells guest and router to go to each
/// other directly (RFC 4861 §8.2). Linux has no sysctl against that for IPv6.
fn redirected(host: &Host, upstream: &Upstream, range: &RangePolicy) -> Option<Finding> {
    const REDIRECT: u8 = 137;
    let name = host.name(upstream.link);
    let redirect = Packet {
        input: "",
        output: &name,
        source: upstream.link_local.unwrap_or(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
        destination: range.prefix.addr(),
        body: Body::Icmp(REDIRECT),
        state: State::Untracked,
        reverse: Reverse::Routed,
    };
    let families = [Family::Ip6, Family::Inet];
    let rules = &host.firewall.rules;
    let hooks = [Hook::Output, Hook::Postrouting];
    if hooks.iter().any(|hook| !rules.objections(*hook, &families, "", &redirect).is_empty()) {
        return None;
    }
    let sentence = format!(
        "the guests of {} are on the upstream's own bridge {name}, and the kernel redirects them past the host \
         (ICMPv6 type 137): they send to the router with MACs of their own, and a provider that knows only the host's \
         drops that",
        range.prefix
    );
    let command = format!(
        "nft 'add table ip6 no-redirects; add chain ip6 no-redirects out {{ type filter hook output priority 0; }}; \
         add rule ip6 no-redirects out oifname \"{name}\" icmpv6 type nd-redirect drop'"
    );
    Some(Finding::fault(sentence).run(command))
}
