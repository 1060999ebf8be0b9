//! Where the kernel sends what is for a guest: its rules decide on the table, there the longest prefix, then the lowest
//! metric.

use crate::doctor::{Check, Command, Finding, Group, Guest, Host, MAIN, Remedy};
use crate::engine::bindings::Place;
use crate::engine::facts::{Condition, IfIndex, KernelRoute, KernelRule, NextHop, RouteKind, TableName};
use crate::engine::policy::{Downstream, RangePolicy, RangeRoutes};

use super::guests::rule_of;
use super::keepers::{for_good, is_by_an_upstream, keeps};
use super::lines;

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
        // The host's own address is in its table of local routes.
        if range.prefix.prefix_len() == 128 && host.links().is_of_host(range.prefix.addr()) {
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
    let best = host.engine.foreign_way(&prefix, place.upstream);
    let is_right = best.is_some_and(|route| leads_there(host, range, place, route));
    // What the kernel does for guests that are there counts for more than what its tables look like.
    if is_right || host.reaches(range) || has_routes_to_guests(host, range, place) {
        return None;
    }
    if range.may_be_translated() {
        let is_tunnelled = host.tunnelled.iter().any(|net| net.contains(&prefix) || prefix.contains(net));
        let is_taken = is_tunnelled || host.firewall.rules.redirects(&prefix);
        return (!is_taken).then(|| by_policy(host, range, best));
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
    let comes_before = |route: &&KernelRoute| match route.table == policy.table {
        true => route.destination == prefix && route.metric <= ours,
        false => is_read_before(host, route.table, policy.table),
    };
    let rival = best.filter(comes_before)?;
    let sentence =
        format!("a foreign route sends the guests of {prefix} {}, before ours", whither(host, rival));
    let finding = Finding::fault(sentence).seen(shown(host, rival));
    Some(match keeps(host, rival) {
        None => finding.run(removal(host, rival)),
        Some(why) => finding.remedy(left_alone(host, range, rival, &why)),
    })
}

/// Where the kernel's routes say who is there, the rest of the range is nobody, and may lead anywhere.
fn has_routes_to_guests(host: &Host, range: &RangePolicy, place: &Place) -> bool {
    range.downstream == Downstream::Kernel
        && foreign(host).any(|route| {
            let is_inside = range.prefix.contains(&route.destination) && route.destination != range.prefix;
            is_inside
                && leads_there(host, range, place, route)
                && host.engine.foreign_way(&route.destination, place.upstream) == Some(route)
        })
}

/// All of it is answered for, and no route says where it is: that may be so on purpose.
fn by_policy(host: &Host, range: &RangePolicy, best: Option<&KernelRoute>) -> Finding {
    let prefix = range.prefix;
    let sentence = format!(
        "all of {prefix} is answered for, and no route leads to it: that is right where an IPsec policy takes it or it \
         is translated, and only there"
    );
    let finding =
        best.iter().fold(Finding::warning(sentence), |finding, route| finding.seen(shown(host, route)));
    finding.remedy(Remedy::Advice(format!(
        "nothing, if `ip xfrm policy` or `nft list ruleset` shows who takes {prefix}; else write `interface` in its \
         [[range]], or add a route to its guests"
    )))
}

/// Whether of the rules for all packets the first that names one of these tables names this one.
fn is_read_before(host: &Host, table: u32, other: u32) -> bool {
    let rules = host.engine.rules().filter(|rule| rule.condition == Condition::None);
    rules.filter_map(KernelRule::table).find(|named| [table, other].contains(named)) == Some(table)
}

fn nowhere(host: &Host, range: &RangePolicy, place: &Place, best: Option<&KernelRoute>) -> Finding {
    let prefix = range.prefix;
    let none = if range.has_written_routes { ", and `routes` is \"none\"" } else { "" };
    let finding = match best {
        Some(route) => {
            let sentence = format!(
                "packets for the guests of {prefix} leave {}: no route leads to them{none}",
                whither(host, route)
            );
            Finding::fault(sentence).seen(shown(host, route))
        }
        None => Finding::fault(format!("no route leads to the guests of {prefix}{none}")),
    };
    // As long and with a better metric, it would win over one that we add.
    let in_the_way = best.filter(|route| route.destination == prefix);
    if let Some((route, why)) = in_the_way.and_then(|route| Some((route, keeps(host, route)?))) {
        return finding.remedy(left_alone(host, range, route, &why));
    }
    // Where a rule has another table read, a route in the main table would be read too late.
    let table = best.map(|route| route.table).filter(|table| *table != MAIN);
    match (&place.downstreams[..], in_the_way.map(|route| removal(host, route))) {
        ([only], removal) if !covers_link(host, range, place) => {
            let add = format!("ip -6 route add {prefix} dev {}{}", host.name(*only), in_table(table));
            let unit = table.map(|table| format!(" Table={table}")).unwrap_or_default();
            finding.run(match removal {
                // In one line, so that nothing is lost between them.
                Some(removal) => Command { line: format!("{} && {add}", removal.line), ..removal },
                None => Command::new(add.as_str()).for_good(for_good(
                    host,
                    *only,
                    &format!("[Route] Destination={prefix}{unit}"),
                    &format!("up {add}"),
                )),
            })
        }
        (all, _) => finding.remedy(Remedy::Advice(guests_routes(host, range, all, table))),
    }
}

/// The end of a line for `ip route`.
fn in_table(table: Option<u32>) -> String {
    table.map(|table| format!(" table {}", TableName(table))).unwrap_or_default()
}

/// What helps where one route for all of the range is none.
fn guests_routes(host: &Host, range: &RangePolicy, downstreams: &[IfIndex], table: Option<u32>) -> String {
    let prefix = range.prefix;
    let interface = match downstreams {
        [only] => host.name(*only),
        _ => "INTERFACE".to_owned(),
    };
    let line = format!("ip -6 route add ADDRESS/128 dev {interface}{}", in_table(table));
    let add = format!("add a route for each guest: `{line}`");
    match range.downstream {
        Downstream::Kernel => {
            format!("{add}, or name the guests' interface in `interface` of the [[range]] of {prefix}")
        }
        _ if range.has_written_routes
            && table.is_none_or(|table| table == host.config.policy.routes.table) =>
        {
            format!("{add}, or write routes = \"guests\" in the [[range]] of {prefix}")
        }
        _ => add,
    }
}

/// What to do about a route that has to stay.
fn left_alone(host: &Host, range: &RangePolicy, route: &KernelRoute, why: &str) -> Remedy {
    let prefix = range.prefix;
    // A longer prefix is no help where a rule has another table read before ours.
    let table = host.config.policy.routes.table;
    let rule = rule_of(host, route.table).filter(|rule| route.table != table && rule.priority > 1);
    if let Some(rule) = rule {
        // For guests alone, so it cuts nobody else's way.
        let (table, priority) = (TableName(table), rule.priority - 1);
        return Remedy::Command(
            format!("ip -6 rule add to {prefix} lookup {table} priority {priority}").into(),
        );
    }
    Remedy::Advice(if is_by_an_upstream(host, route) {
        let guests = match range.downstream {
            Downstream::Kernel => String::new(),
            _ => "; with routes = \"guests\" and answer = \"live\" each live guest has a longer route of its own".to_owned(),
        };
        format!(
            "leave that route: {why}. In the [[range]] of {prefix} write the longer prefix that the guests have{guests}"
        )
    } else {
        let name = route.link().map_or_else(|| "its interface".to_owned(), |link| host.name(link));
        format!(
            "leave that route: {why}. Name {name} in `interface` of the [[range]] if the guests of {prefix} are there, \
             or write the prefix that they have"
        )
    })
}

/// Whether one route for the range would take the upstream's own link, or the gateway, away.
fn covers_link(host: &Host, range: &RangePolicy, place: &Place) -> bool {
    let Some(upstream) = place.upstream else { return false };
    let has_gateway = host.default_routes().any(|route| match route.next_hop {
        NextHop::Via(gateway) => range.prefix.contains(&gateway),
        NextHop::OnLink => false,
    });
    has_gateway || host.prefixes_of(upstream).any(|(_, on_link)| range.prefix.contains(&on_link))
}

/// Foreign routes inside the range, to elsewhere.
fn parts<'a>(host: &'a Host, range: &'a RangePolicy, place: &'a Place) -> impl Iterator<Item = Finding> + 'a {
    let prefix = range.prefix;
    let inside =
        foreign(host).filter(move |route| route.destination != prefix && prefix.contains(&route.destination));
    let wrong = inside.filter(move |route| {
        // Where it does not decide, it is in nobody's way.
        if host.engine.foreign_way(&route.destination, place.upstream) != Some(*route) {
            return false;
        }
        // A longer range of the configuration may have its guests elsewhere.
        let decides = host
            .ranges()
            .filter(|(other, _)| other.prefix.contains(&route.destination))
            .max_by_key(|(other, _)| other.prefix.prefix_len());
        let is_ours = decides.is_some_and(|(other, _)| other.prefix == prefix);
        // Where each guest has a route of its own, nothing shorter is in the way.
        let is_single = route.destination.prefix_len() == 128;
        let is_long_enough = is_single || range.routes != RangeRoutes::Guests;
        // The router of a default route is on the upstream's link, wherever its address lies.
        let is_router = is_single
            && host
                .default_routes()
                .any(|default| default.next_hop == NextHop::Via(route.destination.addr()));
        // The host's own address, which its table of local routes takes care of.
        let is_own = is_single && route.protocol == RTPROT_KERNEL;
        let is_elsewhere = route.link_to_another_host().is_some() && !comes_before_ours(host, route);
        let mut inside =
            host.guests_of(range).filter(|guest| route.destination.contains(&guest.address)).peekable();
        let reaches_guests = inside.peek().is_some() && inside.all(Guest::is_reached);
        let is_spared = range.exclude.iter().any(|except| except.contains(&route.destination));
        is_ours
            && is_long_enough
            && !is_router
            && !is_own
            && !is_elsewhere
            && !is_spared
            && !reaches_guests
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
            None if keeps(host, route).is_some() => {
                let spared = range.exclude.iter().chain([&route.destination]).map(ToString::to_string);
                let lines = lines::range(range, None, &[("exclude", lines::list(spared))]);
                finding.remedy(Remedy::Config(lines))
            }
            None => finding.run(removal(host, route)),
        }
    })
}

/// The guest is here, and packets for it are sent to where a routing daemon believes it to be.
fn comes_before_ours(host: &Host, route: &KernelRoute) -> bool {
    let ours = host.config.policy.routes.protocol;
    let of_guest = |other: &&KernelRoute| {
        other.protocol == ours && other.table == route.table && other.destination == route.destination
    };
    host.routes.iter().filter(of_guest).any(|other| other.metric > route.metric)
}

/// Those of the tables that rules name, but ours.
fn foreign(host: &Host) -> impl Iterator<Item = &KernelRoute> {
    let ours = host.config.policy.routes.protocol;
    let is_read = |table| host.engine.rules().any(|rule| rule.table() == Some(table));
    host.routes
        .iter()
        .filter(move |route| route.table != LOCAL && route.protocol != ours && is_read(route.table))
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

/// Removes a route that nothing makes again.
fn removal(host: &Host, route: &KernelRoute) -> Command {
    let line = format!("ip -6 route del {} proto {}", words(host, route), route.protocol);
    let command = Command::new(line).for_good(Some("take it out where it is configured".to_owned()));
    if is_by_an_upstream(host, route) { command.can_cut() } else { command }
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
    let table =
        if route.table == MAIN { String::new() } else { format!(" table {}", TableName(route.table)) };
    format!("{path} metric {}{table}", route.metric)
}

/// rtnetlink(7).
const RTPROT_KERNEL: u8 = 2;
/// RT_TABLE_LOCAL.
const LOCAL: u32 = 255;

/// Findings for one range.
const MOST: usize = 8;
