//! Whether anybody asks for the range at all: only what is on the link is asked for.

use crate::doctor::{Check, Finding, Group, Host, MAIN, Remedy};
use crate::engine::facts::{IfIndex, NextHop};
use crate::engine::policy::{Answer, RangePolicy};

use super::lines;

/// The check.
pub static CHECK: Check = Check {
    name: "on-link",
    group: Group::Upstream,
    asks: "the ranges lie in a prefix that is on the upstream's link",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let answered = host.ranges().filter(|(range, _)| range.answer != Answer::Never);
    answered.filter_map(|(range, place)| outside(host, range, place.upstream?)).collect()
}

fn outside(host: &Host, range: &RangePolicy, link: IfIndex) -> Option<Finding> {
    let prefix = &range.prefix;
    // A prefix that a router advertises to be on the link needs no address.
    let is_routed_there = host.routes.iter().any(|route| {
        let is_there = route.unicast_link() == Some(link) && route.next_hop == NextHop::OnLink;
        is_there
            && route.table == MAIN
            && route.destination.prefix_len() > 0
            && route.destination.contains(prefix)
    });
    // Without any global address it is not known what the provider gave; that has its own finding.
    if is_routed_there || host.links().is_on_link(link, prefix) || host.prefixes_of(link).next().is_none() {
        return None;
    }
    let name = host.name(link);
    let mut finding =
        Finding::warning(format!("{prefix} lies outside every prefix that is on the link of {name}"));
    for (address, on_link) in host.prefixes_of(link).take(8) {
        finding = finding.seen(format!("ip -6 addr show dev {name}: {address}/{}", on_link.prefix_len()));
    }
    let neighbor = host.prefixes_of(link).find(|(address, _)| {
        // What a provider gives is a /64, or more.
        u128::from(*address) >> 64 == u128::from(prefix.network()) >> 64
    });
    Some(match neighbor {
        Some((address, on_link)) => {
            let length = on_link.prefix_len();
            finding.sentence += &format!(", though {address} is of the same /64: its mask is probably wrong");
            finding
                .run(format!("ip -6 addr del {address}/{length} dev {name}"))
                .run(format!("ip -6 addr add {address}/64 dev {name}"))
        }
        None => {
            finding.sentence += ": the provider routes it to this host, and then no proxy is needed, or the \
                                 host's address in it is missing";
            let lines = lines::range(range, None, &[("answer", "\"never\"".to_owned())]);
            finding.remedy(Remedy::Config(format!("# nobody asks for it; the routes stay\n{lines}")))
        }
    })
}
