//! The interfaces behind which guests are: there, up, and with somebody at the other end.

use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::Problem;
use crate::engine::facts::{IfName, Link, LinkLayer, LinkState};
use crate::engine::policy::RangePolicy;

use super::keepers::switched_on;
use super::lines;

/// The check.
pub static CHECK: Check = Check {
    name: "downstreams",
    group: Group::Ranges,
    asks: "the guests' interfaces are there and up",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (range, _) in host.ranges() {
        let problems = host.bindings().problems.iter();
        findings.extend(problems.filter_map(|problem| explained(host, range, problem)));
    }
    findings.extend(host.downstreams().into_iter().filter_map(|link| silent(host, link)));
    findings
}

fn explained(host: &Host, range: &RangePolicy, problem: &Problem) -> Option<Finding> {
    let (name, finding) = match problem {
        Problem::DownstreamMissing(prefix, name)
            if *prefix == range.prefix && host.also_named(name).is_some() =>
        {
            let own = host.also_named(name).map_or(*name, |link| link.name);
            let sentence = format!(
                "{name} is another name of {own} (an altname), and lone64 knows interfaces by their own"
            );
            let finding =
                Finding::fault(sentence).seen(format!("ip link show {name}: {own}, altname {name}"));
            return Some(finding.remedy(Remedy::Config(lines::range(range, Some(own.as_str()), &[]))));
        }
        Problem::DownstreamMissing(prefix, name) if *prefix == range.prefix => {
            let sentence = format!("{name}, behind which the guests of {prefix} are to be, does not exist");
            (name, Finding::fault(sentence).seen(format!("ip link: no {name}")))
        }
        Problem::DownstreamIsUpstream(prefix, name) if *prefix == range.prefix => {
            let sentence =
                format!("{prefix} names {name} as the guests' interface, and that is the upstream");
            (name, Finding::fault(sentence).seen(format!("upstream and downstream of {prefix}: {name}")))
        }
        Problem::AlsoMissing(prefix, name) | Problem::AlsoOnUpstream(prefix, name, _)
            if *prefix == range.prefix =>
        {
            let remedy = format!("take {name} out of `interface` in the [[range]] of {prefix}");
            return Some(Finding::warning(problem.to_string()).remedy(Remedy::Advice(remedy)));
        }
        Problem::NobodyToAsk(prefix, name) if *prefix == range.prefix => {
            let finding = Finding::warning(problem.to_string());
            return Some(
                finding.seen(format!("ip -6 route show root {prefix} dev {name}: none of others")).remedy(
                    Remedy::Advice(format!(
                        "add a route for each guest: `ip -6 route add ADDRESS/128 dev {name}`"
                    )),
                ),
            );
        }
        Problem::DownstreamBesideUpstream(prefix, name, upstream) if *prefix == range.prefix => {
            let finding = Finding::fault(problem.to_string());
            return Some(finding.seen(format!("ip -d link show {name}: on the link of {upstream}")).remedy(
                Remedy::Advice(format!("take {name} out of the [[range]] of {prefix}: it needs no proxy")),
            ));
        }
        _ => return None,
    };
    Some(match likely(host, range) {
        Some(other) => {
            let finding = finding.seen(format!("the kernel has the prefix on {other}"));
            finding.remedy(Remedy::Config(lines::range(range, Some(other.as_str()), &[])))
        }
        None => finding.remedy(Remedy::Advice(format!(
            "create {name}, or name the interface that the guests are behind in the [[range]] of {}",
            range.prefix
        ))),
    })
}

/// Where the kernel itself has the range, or the host has an address in it.
fn likely(host: &Host, range: &RangePolicy) -> Option<IfName> {
    let is_upstream = |link: &Link| host.upstreams().iter().any(|upstream| upstream.link == link.index);
    let links = || host.links().iter().filter(|link| !is_upstream(link) && !link.name.is_loopback());
    let mut prefixes = host.routes.iter().filter(|route| route.destination == range.prefix);
    prefixes
        .find_map(|route| links().find(|link| route.unicast_link() == Some(link.index)))
        .or_else(|| {
            links().find(|link| host.prefixes_of(link.index).any(|(own, _)| range.prefix.contains(&own)))
        })
        .map(|link| link.name)
}

fn silent(host: &Host, link: &Link) -> Option<Finding> {
    let name = &link.name;
    match link.state {
        LinkState::Up => None,
        LinkState::Down if name.holds_addresses_only() => None,
        LinkState::Down => {
            let finding = Finding::fault(format!("{name} is switched off, and guests are behind it"));
            Some(finding.seen(format!("ip link show {name}: not UP")).run(switched_on(host, link)))
        }
        LinkState::NoCarrier if link.layer == LinkLayer::None => {
            let finding = Finding::warning(format!("{name} has no carrier: no program holds the tunnel"))
                .seen(format!("ip link show {name}: NO-CARRIER"));
            Some(finding.remedy(Remedy::Advice(format!("start the VPN's program for {name}"))))
        }
        LinkState::NoCarrier => {
            let sentence =
                format!("{name} has no carrier: no guest behind it is running, or none is attached");
            let finding = Finding::warning(sentence).seen(format!("ip link show {name}: NO-CARRIER"));
            let ports = host.links().iter().filter(|port| port.master == Some(link.index));
            let mut off = ports.filter(|port| port.state == LinkState::Down).peekable();
            if off.peek().is_none() {
                return Some(
                    finding.remedy(Remedy::Advice(format!("start a guest that is attached to {name}"))),
                );
            }
            Some(off.take(MOST).fold(finding, |finding, port| {
                let seen = format!("ip link show {}: master {name}, not UP", port.name);
                finding.seen(seen).run(switched_on(host, port))
            }))
        }
    }
}

/// Ports of one bridge that are named.
const MOST: usize = 16;
