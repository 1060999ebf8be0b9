//! Where the kernel sends what is for a guest: the longest prefix decides, then the lowest metric.

use crate::doctor::{Check, Finding, Group, Host, MAIN, Remedy};
use crate::engine::bindings::Place;
use crate::engine::facts::{IfIndex, KernelRoute, NextHop, RouteKind};
use crate::engine::policy::{Downstream, RangePolicy, RangeRoutes};

/// The check.
pub static CHECK: Check =
    Check { name: "lookups", group: Group::Ranges, asks: "the kernel's routes lead to the guests", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (range, place) in host.ranges() {
        // Where nobody is, nothing can lead; that has its own finding.
        if place.downstreams.is_empty() && range.downstream != Downstream::Kernel {
            continue;
        }
        findings.extend(whole(host, range, place));
        findings.extend(parts(host, range, place));
    }
    findings
}

/// The route that decides for the range as a whole, once the daemon has added its own.
fn whole(host: &Host, range: &RangePolicy, place: &Place) -> Option<Finding> {
    let prefix = range.prefix;
    let policy = host.config.policy.routes;
    let covering = foreign(host).filter(|route| route.destination.contains(&prefix));
    let best = covering.max_by_key(|route| (route.destination.prefix_len(), std::cmp::Reverse(route.metric)));
    let is_right = best.is_some_and(|route| leads_there(host, range, place, route));
    if is_right {
        return None;
    }
    if range.routes == RangeRoutes::None {
        return Some(nowhere(host, range, place, best));
    }
    // A route of ours is as long, so only one that is alike and comes first is in the way.
    let ours = match range.routes {
        RangeRoutes::Range => policy.metric,
        // A guest's own route is longer; only the backstop has this length.
        RangeRoutes::Guests | RangeRoutes::None => return None,
    };
    let rival = best.filter(|route| route.destination == prefix && route.metric <= ours)?;
    let sentence =
        format!("a foreign route sends the guests of {prefix} {}, before ours", whither(host, rival));
    Some(Finding::fault(sentence).seen(shown(host, rival)).run(removal(host, rival)))
}

fn nowhere(host: &Host, range: &RangePolicy, place: &Place, best: Option<&KernelRoute>) -> Finding {
    let prefix = range.prefix;
    let finding = match best {
        Some(route) => {
            let sentence = format!(
                "packets for the guests of {prefix} leave {}: no route leads to them, and `routes` is \"none\"",
                whither(host, route)
            );
            Finding::fault(sentence).seen(shown(host, route))
        }
        None => Finding::fault(format!("no route leads to the guests of {prefix}, and `routes` is \"none\"")),
    };
    // As long and with a better metric, it would win over one that we add.
    let finding = match best.filter(|route| route.destination == prefix) {
        Some(route) => finding.run(removal(host, route)),
        None => finding,
    };
    match &place.downstreams[..] {
        [only] => finding.run(format!("ip -6 route add {prefix} dev {}", host.name(*only))),
        _ => finding.remedy(Remedy::Advice(format!(
            "add routes to the guests, or take `routes = \"none\"` out of the [[range]] of {prefix}"
        ))),
    }
}

/// Foreign routes inside the range, to elsewhere.
fn parts<'a>(host: &'a Host, range: &'a RangePolicy, place: &'a Place) -> impl Iterator<Item = Finding> + 'a {
    let prefix = range.prefix;
    let inside =
        foreign(host).filter(move |route| route.destination != prefix && prefix.contains(&route.destination));
    let wrong = inside.filter(move |route| {
        // A longer range of the configuration may have its guests elsewhere.
        let decides = host
            .ranges()
            .filter(|(other, _)| other.prefix.contains(&route.destination))
            .max_by_key(|(other, _)| other.prefix.prefix_len());
        let is_ours = decides.is_some_and(|(other, _)| other.prefix == prefix);
        // Where each guest has a route of its own, nothing shorter is in the way.
        let is_single = route.destination.prefix_len() == 128;
        let is_long_enough = is_single || range.routes != RangeRoutes::Guests;
        // The host's own address, which its table of local routes takes care of.
        let is_own = is_single && route.protocol == RTPROT_KERNEL;
        let is_elsewhere = route.link_to_another_host().is_some() && !comes_before_ours(host, route);
        let is_spared = range.exclude.iter().any(|except| except.contains(&route.destination));
        is_ours
            && is_long_enough
            && !is_own
            && !is_elsewhere
            && !is_spared
            && !leads_there(host, range, place, route)
    });
    wrong.take(MOST).map(move |route| {
        let sentence = format!(
            "a foreign route takes {} out of the range {prefix}: packets for it leave {}",
            route.destination,
            whither(host, route)
        );
        let finding = Finding::fault(sentence).seen(shown(host, route));
        let metric = route.link_to_another_host().and_then(|_| route.metric.checked_sub(1));
        match metric.filter(|metric| *metric > 0) {
            Some(metric) => finding.remedy(Remedy::Config(format!(
                "# a guest's own route comes before those of a routing daemon\n[routes]\nmetric = {metric}\n"
            ))),
            None => finding.run(removal(host, route)),
        }
    })
}

/// The guest is here, and packets for it are sent to where a routing daemon believes it to be.
fn comes_before_ours(host: &Host, route: &KernelRoute) -> bool {
    let ours = host.config.policy.routes.protocol;
    let of_guest = |other: &&KernelRoute| {
        other.protocol == ours && other.table == MAIN && other.destination == route.destination
    };
    host.routes.iter().filter(of_guest).any(|other| other.metric > route.metric)
}

/// Those of the table that is looked at, but ours.
fn foreign(host: &Host) -> impl Iterator<Item = &KernelRoute> {
    let ours = host.config.policy.routes.protocol;
    host.routes.iter().filter(move |route| route.table == MAIN && route.protocol != ours)
}

fn leads_there(host: &Host, range: &RangePolicy, place: &Place, route: &KernelRoute) -> bool {
    let is_upstream = |link: IfIndex| host.upstreams().iter().any(|upstream| upstream.link == link);
    match route.kind {
        RouteKind::Unicast(link) if range.downstream == Downstream::Kernel => !is_upstream(link),
        RouteKind::Unicast(link) | RouteKind::Local(link) => place.downstreams.contains(&link),
        RouteKind::Unreachable | RouteKind::Throw | RouteKind::Other => false,
    }
}

fn whither(host: &Host, route: &KernelRoute) -> String {
    match route.link() {
        Some(link) => format!("by {}", host.name(link)),
        None => "nowhere".to_owned(),
    }
}

fn shown(host: &Host, route: &KernelRoute) -> String {
    format!("ip -6 route: {} proto {}", words(host, route), route.protocol)
}

fn removal(host: &Host, route: &KernelRoute) -> String {
    format!("ip -6 route del {} proto {}", words(host, route), route.protocol)
}

/// As ip-route(8) takes it.
fn words(host: &Host, route: &KernelRoute) -> String {
    let destination = match route.destination.prefix_len() {
        0 => "default".to_owned(),
        _ => route.destination.to_string(),
    };
    let via = match route.next_hop {
        NextHop::Via(router) => format!(" via {router}"),
        NextHop::OnLink => String::new(),
    };
    let path = match route.kind {
        RouteKind::Unicast(link) => format!("{destination}{via} dev {}", host.name(link)),
        RouteKind::Local(link) => format!("local {destination} dev {}", host.name(link)),
        RouteKind::Unreachable => format!("unreachable {destination}"),
        RouteKind::Throw => format!("throw {destination}"),
        RouteKind::Other => destination,
    };
    format!("{path} metric {}", route.metric)
}

/// rtnetlink(7).
const RTPROT_KERNEL: u8 = 2;

/// Findings for one range.
const MOST: usize = 8;
