//! What the kernel says of an address: not a part of the decision, and often the reason why packets do not arrive all
//! the same.

use std::net::Ipv6Addr;

use crate::commands::host;
use crate::daemon::explained::{Explained, ExplainedStep};
use crate::doctor::checks::path::FAR_AWAY;
use crate::doctor::checks::path::programs::Program;
use crate::engine::facts::{Fact, IfIndex, Neighbor, NeighborState, NextHop, TableName};
use crate::kernel::netlink::WayTo;

/// Where the kernel sends packets for it that arrive on its upstream, and what its neighbor table says.
pub(super) fn steps(explained: &Explained, facts: &[Fact]) -> Vec<ExplainedStep> {
    let upstream = explained.upstream.as_deref().and_then(|name| index(name, facts));
    // It may have gone a moment ago; then there is nothing to say.
    let way = upstream.and_then(|from| Some((from, host::way_to(explained.address, from).ok()?)));
    let back = way.and_then(|(from, way)| back(explained, from, way, facts));
    let way = way.map(|(from, way)| told(explained, from, way, facts));
    let programs = upstream.map(|link| host::programs(link, &name(link, facts))).unwrap_or_default();
    let programs = programs.into_iter().map(in_the_way);
    programs.chain(way).chain(back).chain(neighbor(explained.address, facts)).collect()
}

/// It may take solicitations before the daemon hears them, and then nothing of what is said here happens.
fn in_the_way(program: Program) -> ExplainedStep {
    ExplainedStep {
        subject: "program".to_owned(),
        holds: "open".to_owned(),
        value: format!("{} ({})", program.sentence, program.evidence),
        remedy: Some(program.advice),
    }
}

/// The kernel's own lookup, by all the rules and tables that it has.
fn told(explained: &Explained, from: IfIndex, way: WayTo, facts: &[Fact]) -> ExplainedStep {
    let (upstream, address) = (name(from, facts), explained.address);
    // Where the tables look as they should, and the kernel does otherwise, it is the kernel that packets follow.
    let is_surprising = explained.steps.iter().any(|step| step.subject == "route" && step.holds == "yes");
    let astray = if is_surprising && explained.outcome == "answered" { "no" } else { "open" };
    let (holds, what) = match way {
        WayTo::Link { link, .. } if link == from => (astray, format!("back {}", by(way, facts))),
        WayTo::Link { .. } => ("yes", by(way, facts)),
        WayTo::Host | WayTo::HostPrefix => ("yes", "to this host itself".to_owned()),
        WayTo::Nowhere => (astray, "nowhere".to_owned()),
    };
    ExplainedStep {
        subject: "kernel".to_owned(),
        holds: holds.to_owned(),
        value: format!("sends packets for it that arrive on {upstream} {what}"),
        // Of a guest that is not live its route may still be missing.
        remedy: (holds != "yes" && explained.outcome == "answered").then(|| {
            format!(
                "`ip -6 route get {address} from :: iif {upstream}` and `ip -6 rule` show what decides that"
            )
        }),
    }
}

/// The way back: where it sends what the guest sends to somebody far away. Only of one that is behind an interface.
fn back(explained: &Explained, upstream: IfIndex, way: WayTo, facts: &[Fact]) -> Option<ExplainedStep> {
    let (WayTo::Link { link, .. }, address) = (way, explained.address) else { return None };
    let out = host::way_out(FAR_AWAY, address, link).ok().filter(|_| link != upstream)?;
    let guests = name(link, facts);
    let (holds, what) = match out {
        WayTo::Link { link, .. } if link == upstream => ("yes", by(out, facts)),
        // Another rule may take the replies alone back to the upstream.
        WayTo::Link { .. } => ("open", by(out, facts)),
        WayTo::Host | WayTo::HostPrefix => ("no", "to this host itself".to_owned()),
        WayTo::Nowhere => ("no", "nowhere".to_owned()),
    };
    Some(ExplainedStep {
        subject: "kernel".to_owned(),
        holds: holds.to_owned(),
        value: format!("sends what comes from it on {guests} {what}"),
        remedy: (holds != "yes").then(|| {
            format!("`ip -6 route get {FAR_AWAY} from {address} iif {guests}` and `ip -6 rule` show what decides that")
        }),
    })
}

/// By which interface, and what said so.
fn by(way: WayTo, facts: &[Fact]) -> String {
    let WayTo::Link { link, next_hop, table } = way else { return String::new() };
    let via = match next_hop {
        NextHop::Via(router) => format!(" via {router}"),
        NextHop::OnLink => String::new(),
    };
    let rules = facts.iter().filter_map(|fact| match fact {
        Fact::Rule(rule) if rule.table() == Some(table) => Some(rule.priority),
        _ => None,
    });
    let rule = rules.min().map(|priority| format!(", rule {priority}")).unwrap_or_default();
    format!("to {}{via} (table {}{rule})", name(link, facts), TableName(table))
}

fn index(name: &str, facts: &[Fact]) -> Option<IfIndex> {
    facts.iter().find_map(|fact| match fact {
        Fact::Link(link) if link.name.to_string() == name => Some(link.index),
        _ => None,
    })
}

fn name(link: IfIndex, facts: &[Fact]) -> String {
    let name = facts.iter().find_map(|fact| match fact {
        Fact::Link(known) if known.index == link => Some(known.name.to_string()),
        _ => None,
    });
    name.unwrap_or_else(|| format!("#{link}"))
}

/// What its neighbor table says.
fn neighbor(address: Ipv6Addr, facts: &[Fact]) -> Vec<ExplainedStep> {
    let entry = |fact: &Fact| match fact {
        Fact::Neighbor(neighbor) | Fact::Marked(neighbor, _) if neighbor.address == address => {
            Some(*neighbor)
        }
        _ => None,
    };
    let step = |neighbor: Neighbor| {
        let link = name(neighbor.link, facts);
        let mac = neighbor.mac.map_or_else(String::new, |mac| format!(", {mac}"));
        let (state, holds) = match neighbor.state {
            NeighborState::Reachable => ("reachable", "yes"),
            NeighborState::Permanent => ("permanent", "yes"),
            NeighborState::Noarp => ("needs no resolution", "yes"),
            NeighborState::Stale => ("seen some time ago", "yes"),
            NeighborState::Incomplete => ("being asked for by the kernel", "open"),
            NeighborState::Failed => ("does not reply to the kernel", "no"),
        };
        let remedy = (holds == "no")
            .then(|| format!("see whether the guest is up and has {address}; `tcpdump -ni {link} icmp6` shows whether it replies"));
        ExplainedStep {
            subject: "neighbor".to_owned(),
            holds: holds.to_owned(),
            value: format!("{link}{mac}: {state}"),
            remedy,
        }
    };
    facts.iter().filter_map(entry).map(step).collect()
}
