//! The way out: without a default route, guests are reached and cannot reply.

use core::net::Ipv6Addr;

use crate::doctor::{Check, Command, Finding, Group, Guest, Host, Remedy, has_neighbors};
use crate::engine::facts::{IfIndex, Link, LinkLayer, LinkState, NeighborState, NextHop};

use super::addresses::has_other_link_local;
use super::forwarding::{self, RTPROT_RA, has_advertised_route, of, would_be_deaf};
use super::keepers::for_good;

/// The check.
pub static CHECK: Check = Check {
    name: "default-route",
    group: Group::Upstream,
    asks: "there is a default route that lasts, and its gateway answers",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    // Where nobody is answered for, the host may be reached, and reach others, by a tunnel and a table of its own.
    if host.default_routes().next().is_none() && !host.config.policy.needs_upstream() {
        return Vec::new();
    }
    if host.default_routes().next().is_none() {
        // A rule may have sent what guests send to a table of its own.
        let gets_out = !host.guests.is_empty() && host.guests.iter().all(Guest::is_led_out);
        return if gets_out || has_way_out(host) { Vec::new() } else { vec![lost(host)] };
    }
    let mut findings: Vec<_> =
        host.upstreams().iter().filter_map(|upstream| about_to_be_lost(host, upstream.link)).collect();
    findings.extend(host.upstreams().iter().filter_map(|upstream| deaf_gateway(host, upstream.link)));
    findings
}

/// Whether what guests of every range send finds a default route, by rules for them.
fn has_way_out(host: &Host) -> bool {
    let mut ranges = host.ranges().peekable();
    ranges.peek().is_some() && ranges.all(|(range, _)| host.way_out(&range.prefix).is_some())
}

/// A router that forwards takes no advertisements, unless it is told to.
fn ignores_advertisements(host: &Host, name: &str) -> bool {
    let forwards = [of(name, "forwarding"), forwarding::ALL.to_owned()];
    forwards.iter().any(|key| host.setting(key) == Some("1")) && would_be_deaf(host, &of(name, "accept_ra"))
}

fn about_to_be_lost(host: &Host, link: IfIndex) -> Option<Finding> {
    let name = host.name(link);
    if !has_advertised_route(host, link) || !ignores_advertisements(host, &name) {
        return None;
    }
    let accepts = of(&name, "accept_ra");
    let sentence = format!(
        "the default route by {name} came by router advertisement, and no further one is taken: it goes when its \
         lifetime ends"
    );
    let now = format!("{accepts} = {}, while the host forwards", host.setting(&accepts).unwrap_or_default());
    let finding = Finding::warning(sentence).seen(format!("ip -6 route show default: proto ra, dev {name}"));
    Some(finding.seen(now).set(accepts, "2"))
}

fn lost(host: &Host) -> Finding {
    let finding = Finding::fault("there is no IPv6 default route, so guests are heard of and cannot reply");
    let mut finding = finding.seen("ip -6 route show default: nothing");
    let Some(link) = towards_router(host) else {
        return finding.remedy(Remedy::Advice(
            "add the gateway that the provider names: `ip -6 route add default via GATEWAY dev INTERFACE`"
                .to_owned(),
        ));
    };
    let name = &link.name;
    let accepts = of(name.as_str(), "accept_ra");
    if is_advertised(host, link.index) && ignores_advertisements(host, name.as_str()) {
        finding.sentence = format!(
            "the default route is lost: {name} takes no router advertisements, because the host forwards and \
             accept_ra is not 2"
        );
        let value = host.setting(&accepts).unwrap_or_default();
        finding = finding.seen(format!("{accepts} = {value}, while the host forwards")).set(accepts, "2");
    }
    match host.router_on(link.index) {
        Some(router) => finding
            .seen(format!("ip -6 neigh: {router} dev {name} router"))
            .run(default_by(host, link.index, router)),
        None if finding.remedies.is_empty() => finding.remedy(Remedy::Advice(format!(
            "add the gateway that the provider names: `ip -6 route add default via GATEWAY dev {name}`"
        ))),
        // The next advertisement brings it back; this asks for one.
        None => finding.run(Command::new(format!("rdisc6 -1 {name}")).lasting()),
    }
}

fn default_by(host: &Host, link: IfIndex, router: Ipv6Addr) -> Command {
    let command = Command::new(format!("ip -6 route replace default via {router} dev {}", host.name(link)));
    command.for_good(for_good(host, link, &format!("Gateway={router}"), &format!("gateway {router}")))
}

/// The upstream, or in want of one the interface on which a router or its prefix was seen.
fn towards_router(host: &Host) -> Option<&Link> {
    let downstreams = host.downstreams();
    let is_downstream = |link: &Link| downstreams.iter().any(|other| other.index == link.index);
    let bound = host.upstreams().first().and_then(|upstream| host.links().get(upstream.link));
    bound.or_else(|| {
        let mut others = host.links().iter().filter(|link| !is_downstream(link) && has_neighbors(link));
        others.find(|link| host.router_on(link.index).is_some() || is_advertised(host, link.index))
    })
}

/// Whether a router advertised something on this link: a prefix, a route, itself.
fn is_advertised(host: &Host, link: IfIndex) -> bool {
    let by_advertisement = |route: &crate::engine::facts::KernelRoute| {
        route.protocol == RTPROT_RA && route.unicast_link() == Some(link)
    };
    host.router_on(link).is_some() || host.routes.iter().any(by_advertisement)
}

/// What a filter that takes no questions from a link-local address may mean by one.
fn with_link_local(host: &Host, at: &Link, finding: Finding) -> Finding {
    let LinkLayer::Ethernet(mac) = at.layer else { return finding };
    match has_other_link_local(at.name.as_str(), host.links().link_local(at.index), mac) {
        Some(evidence) => finding.seen(evidence),
        None => finding,
    }
}

fn deaf_gateway(host: &Host, link: IfIndex) -> Option<Finding> {
    let at = host.links().get(link).filter(|at| at.state == LinkState::Up)?;
    let gateways = host.default_routes().filter(|route| route.unicast_link() == Some(link));
    let gateway = gateways.min_by_key(|route| route.metric).and_then(|route| match route.next_hop {
        NextHop::Via(gateway) => Some(gateway),
        NextHop::OnLink => None,
    })?;
    let known = host.neighbors.iter().find(|known| (known.link, known.address) == (link, gateway))?;
    if known.state != NeighborState::Failed {
        return None;
    }
    let name = &at.name;
    let sentence = format!("the gateway {gateway} does not answer on {name}, so nothing gets out");
    let finding = Finding::fault(sentence).seen(format!("ip -6 neigh show dev {name}: {gateway} FAILED"));
    Some(match host.router_on(link).filter(|router| *router != gateway) {
        Some(router) => finding
            .seen(format!("ip -6 neigh show dev {name}: {router} is a router"))
            .run(default_by(host, link, router).can_cut()),
        None => with_link_local(host, at, finding).remedy(Remedy::Advice(format!(
            "compare it with what the provider names; if it is right, see with `tcpdump -ni {name} icmp6` whether \
             it answers questions from a link-local address, which some providers filter"
        ))),
    })
}
