//! Values compared with each other: what each means where it stands, or why it cannot mean anything.
//!
//! May touch: nothing.

use ipnet::Ipv6Net;

use super::configuration::Config;
use super::downstreams::Downstreams;
use super::mirror::{File, Range, Upstream};
use super::prefix;
use super::problem::{Place, Report};
use super::section::Field;
use super::{gateway, guest, section};
use crate::engine::facts::IfName;
use crate::engine::policy::{
    Answer, Automatic, Downstream, LeftOut, Origin, Policy, RangePolicy, RangeRoutes, UpstreamInterface,
    UpstreamPolicy,
};

/// The shortest configuration that works.
pub(super) const EXAMPLE: &str = "[[range]]
prefix    = \"2001:db8:1:2:c::/112\"
interface = \"lxcbr0\"";

/// The configuration that a file means. It is worth something only if nothing was reported.
pub(super) fn validate(file: &File, report: &mut Report<'_>) -> Config {
    check_upstreams(&file.upstreams, report);
    let (mut ranges, mut suffixes) = (Vec::new(), Vec::new());
    for (i, range) in file.ranges.iter().enumerate() {
        check_prefix(range, &file.ranges[..i], report);
        check_interfaces(range, &file.upstreams, report);
        gateway::check(range, report);
        let policy = range_policy(range, report);
        let same_kind = if range.suffix == Field::Absent { &mut ranges } else { &mut suffixes };
        same_kind.extend(policy);
    }
    let upstreams = upstream_policies(&file.upstreams, ranges.iter().chain(&suffixes));
    check_automatic(&file.upstreams, &upstreams, report);
    if ranges.is_empty() && suffixes.is_empty() && upstreams.iter().all(|up| up.automatic.is_none()) {
        let sentence = "nothing to serve: no [[range]] is configured, and automatic is off";
        let remedy = format!("remove `automatic`, or write a range:\n\n{EXAMPLE}");
        report.push(&Place::Whole, sentence).help(remedy);
    }
    let around = guest::Around { ranges: &ranges, suffixes: &suffixes, upstreams: &upstreams };
    let guests = guest::policies(&file.guests, around, &mut guest::Taken::default(), report);
    let (routes, timers, limits) = (file.routes, file.timers, file.limits);
    let nft_sets = file.nft_sets;
    let policy = Policy { upstreams, ranges, suffixes, routes, timers, limits, guests, nft_sets };
    Config { policy, sysctl: file.sysctl, control: file.control.clone(), log: file.log }
}

fn check_upstreams(upstreams: &[Upstream], report: &mut Report<'_>) {
    for (i, upstream) in upstreams.iter().enumerate() {
        let same = |other: &&Upstream| other.interface.value() == upstream.interface.value();
        match &upstream.interface {
            Field::Is(name, place) => {
                if name.is_loopback() {
                    let problem = report.push(place, "`lo` cannot be an upstream: it has no router");
                    problem.help("name the interface of the default route: `ip -6 route show default`");
                }
                if let Some(first) = upstreams[..i].iter().find(same) {
                    let first = report.describe(&first.place);
                    let problem = report.push(place, format!("the upstream `{name}` is configured twice"));
                    problem.help(format!("merge it with the one at {first}"));
                }
            }
            Field::Absent => {
                if let Some(first) = upstreams[..i].iter().find(|other| other.interface == Field::Absent) {
                    let first = report.describe(&first.place);
                    let sentence = "a second [[upstream]] without an `interface`";
                    let problem = report.push(&upstream.place, sentence);
                    problem.help(format!("add an `interface`, or merge it with the one at {first}"));
                }
            }
            Field::Wrong => {}
        }
    }
}

fn check_prefix(range: &Range, earlier: &[Range], report: &mut Report<'_>) {
    match (&range.prefix, &range.suffix) {
        (Field::Absent, Field::Absent) => {
            let problem = report.push(&range.place, "this [[range]] has no `prefix`");
            problem.help("add prefix = \"2001:db8:1:2:c::/112\", inside the /64 of the upstream");
        }
        (Field::Absent, _) => return check_suffix(range, earlier, report),
        (_, Field::Is(_, place)) => {
            let problem = report.push(place, "this [[range]] has a `prefix` and a `suffix`");
            problem.help("keep the `suffix` if the /64 of the upstream can change, else the `prefix`");
        }
        (_, Field::Absent | Field::Wrong) => {}
    }
    let Field::Is(prefix, place) = &range.prefix else { return };
    if let Some((sentence, remedy)) = prefix::unservable(*prefix) {
        report.push(place, sentence).help(remedy);
    }
    if let Some(first) = earlier.iter().find(|other| other.prefix.value() == Some(prefix)) {
        let first = report.describe(&first.place);
        let problem = report.push(place, format!("the range {prefix} is configured twice"));
        problem.help(format!("merge it with the one at {first}"));
    }
    check_excludes(range, *prefix, report);
}

fn check_suffix(range: &Range, earlier: &[Range], report: &mut Report<'_>) {
    let Field::Is(suffix, place) = &range.suffix else { return };
    if let Some((sentence, remedy)) = prefix::unplaceable(*suffix) {
        report.push(place, sentence).help(remedy);
        return;
    }
    let upstream = |range: &Range| range.upstream.value().cloned();
    // The same one is another range under another upstream's /64.
    let same = |other: &&Range| {
        other.suffix.value() == Some(suffix)
            && (upstream(other).is_none() || upstream(range).is_none() || upstream(other) == upstream(range))
    };
    if let Some(first) = earlier.iter().find(same) {
        let first = report.describe(&first.place);
        let problem = report.push(place, format!("the suffix {suffix} is configured twice"));
        problem.help(format!("merge it with the one at {first}"));
    }
    check_excludes(range, *suffix, report);
}

/// What automatic is to leave alone says nothing where it is off.
fn check_automatic(written: &[Upstream], policies: &[UpstreamPolicy], report: &mut Report<'_>) {
    for upstream in written {
        let means_it = |policy: &&UpstreamPolicy| match upstream.interface.value() {
            Some(name) => policy.interface == UpstreamInterface::Named(*name),
            None => true,
        };
        let is_automatic = policies.iter().filter(means_it).any(|policy| policy.automatic.is_some());
        if let Field::Is(ignored, place) = &upstream.ignore
            && !ignored.is_empty()
            && !is_automatic
        {
            let problem = report.push(place, "`ignore` is for automatic, and automatic is off here");
            problem.help("write automatic = true: it is off by default where a [[range]] is configured");
        }
    }
}

fn check_excludes(range: &Range, prefix: Ipv6Net, report: &mut Report<'_>) {
    let Field::Is(excludes, list_place) = &range.exclude else { return };
    for (exclude, place) in excludes {
        if !prefix.contains(exclude) {
            let problem = report.push(place, format!("the exclude {exclude} is outside its range {prefix}"));
            problem.help("move it to its own range, or remove it");
        }
    }
    let all: Vec<Ipv6Net> = excludes.iter().map(|(exclude, _)| *exclude).collect();
    let covered = Ipv6Net::aggregate(&all).contains(&prefix);
    if covered && range.answer.value() != Some(&Answer::Never) {
        let problem = report.push(list_place, format!("every address of the range {prefix} is excluded"));
        problem.help("write answer = \"never\" if you need only the routes");
    }
}

/// The upstream of a range must be there, and not be its downstream too.
fn check_interfaces(range: &Range, upstreams: &[Upstream], report: &mut Report<'_>) {
    let mut names: Vec<&IfName> =
        upstreams.iter().filter_map(|upstream| upstream.interface.value()).collect();
    names.dedup();
    let unreadable = upstreams.iter().any(|upstream| upstream.interface == Field::Wrong);
    if let Field::Is(name, place) = &range.upstream {
        if name.is_loopback() {
            let problem = report.push(place, "`lo` cannot be an upstream: it has no router");
            problem.help("remove it, or name the interface of the default route");
        } else if !names.is_empty() && !names.contains(&name) && !unreadable {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let problem = report.push(place, format!("there is no upstream `{name}`"));
            problem.help(match names.as_slice() {
                [only] => format!("the only one is `{only}`"),
                _ => format!("the upstreams are {}", section::list(&names)),
            });
        }
    }
    let own = match (&range.upstream, names.as_slice()) {
        (Field::Is(name, _), _) => Some(name),
        (Field::Absent, [only]) if upstreams.len() == 1 => Some(*only),
        _ => None,
    };
    let Field::Is(downstreams, place) = &range.interface else { return };
    if own.is_some_and(|own| matches!(downstreams.policy(), Downstream::Named(name) if name == *own)) {
        return check_own_bridge(range, report);
    }
    for (name, place) in downstreams.names(place).into_iter().filter(|(name, _)| *name != "lo") {
        let sentence = if own.is_some_and(|own| own.as_str() == name) {
            format!("`{name}` is both the upstream and the downstream of this range")
        } else if names.iter().any(|upstream| upstream.as_str() == name) {
            format!("`{name}` is an upstream, and guests cannot be on an upstream")
        } else {
            continue;
        };
        report.push(place, sentence).help("name the interface behind which the guests are");
    }
}

/// On the upstream itself guests are on one link with the router, if it is a bridge; that shows when it is there.
fn check_own_bridge(range: &Range, report: &mut Report<'_>) {
    const REMEDY: &str = "remove it, or name the interface behind which the guests are";
    if let Field::Is(_, place) = &range.gateway {
        let sentence =
            "`gateway` cannot be on the upstream, because the provider's router may have that address";
        report.push(place, sentence).help(REMEDY);
    }
    if let Field::Is(true, place) = &range.proxy_downstream {
        let sentence = "`proxy-downstream` has no effect on the upstream itself";
        report.push(place, sentence).help(REMEDY);
    }
}

/// The range with its defaults, which depend on where its guests are.
fn range_policy(range: &Range, report: &mut Report<'_>) -> Option<RangePolicy> {
    let downstream = range.interface.value().map_or(Downstream::Kernel, Downstreams::policy);
    let (answer, routes) = match &downstream {
        Downstream::Named(name) if name.is_loopback() => (Answer::Always, RangeRoutes::Range),
        Downstream::Named(_) if is_whole_link(range) => (Answer::Live, RangeRoutes::Guests),
        Downstream::Named(_) => (Answer::Live, RangeRoutes::Range),
        Downstream::Matching(_) => (Answer::Live, RangeRoutes::Guests),
        Downstream::Kernel => (Answer::Live, RangeRoutes::None),
    };
    let (answer, routes) = (range.answer.or(answer), range.routes.or(routes));
    if range.interface != Field::Wrong {
        check_routes(range, &downstream, answer, routes, report);
    }
    check_proxy(range, &downstream, report);
    if let Field::Is(Answer::Never, place) = &range.answer
        && routes == RangeRoutes::None
        && !range.backstop
        && range.proxy_downstream.value() != Some(&true)
        && range.gateway == Field::Absent
    {
        let problem =
            report.push(place, "this range does nothing: it has no answers, no routes and no backstop");
        problem.help("remove the range, or one of these settings");
    }
    let (prefix, origin) = match &range.suffix {
        Field::Absent => (range.prefix.value(), Origin::Config),
        suffix => (suffix.value(), Origin::Suffix),
    };
    Some(RangePolicy {
        prefix: *prefix?,
        upstream: range.upstream.value().cloned(),
        downstream,
        answer,
        routes,
        has_written_routes: range.routes != Field::Absent,
        backstop: range.backstop,
        gateway: range.gateway.value().copied(),
        exclude: match &range.exclude {
            Field::Is(excludes, _) => excludes.iter().map(|(exclude, _)| *exclude).collect(),
            Field::Absent | Field::Wrong => Vec::new(),
        },
        proxy_downstream: range.proxy_downstream.value() == Some(&true),
        guard: range.guard.value() == Some(&true),
        standby: range.standby.value() == Some(&true),
        origin,
    })
}

/// Routes lead to somewhere, and those of guests need guests that are known.
fn check_routes(
    range: &Range,
    downstream: &Downstream,
    answer: Answer,
    routes: RangeRoutes,
    report: &mut Report<'_>,
) {
    if let Field::Is(routes, place) = &range.routes {
        let mistake = match (downstream, routes) {
            (Downstream::Kernel, RangeRoutes::Range) => Some((
                "`routes = \"range\"` needs an `interface` to route to",
                "add one, or write routes = \"none\": then the kernel's routes decide",
            )),
            (Downstream::Kernel, RangeRoutes::Guests) => Some((
                "`routes = \"guests\"` needs an `interface` behind which the guests are",
                "add one, or write routes = \"none\": then the kernel's routes decide",
            )),
            (Downstream::Named(name), RangeRoutes::Guests) if name.is_loopback() => Some((
                "`lo` has no guests behind it: the host itself owns the whole range",
                "remove `routes`: the default is one local route for the whole range",
            )),
            (Downstream::Named(_), RangeRoutes::Range) if is_whole_link(range) => Some((
                "one route for `suffix = \"::/64\"` would cut off the upstream's own link and its router",
                "remove `routes`, or write routes = \"guests\": each live guest gets a /128",
            )),
            (Downstream::Matching(_), RangeRoutes::Range) => Some((
                "one route for the whole range cannot lead to several interfaces",
                "write routes = \"guests\", or name one interface, without a pattern or a list",
            )),
            _ => None,
        };
        if let Some((sentence, remedy)) = mistake {
            report.push(place, sentence).help(remedy);
            return;
        }
    }
    if routes == RangeRoutes::Guests && answer == Answer::Always {
        let place = match (&range.answer, &range.routes) {
            (Field::Is(_, place), _) | (_, Field::Is(_, place)) => place,
            _ => &range.place,
        };
        let sentence = "with `answer = \"always\"` lone64 does not look for guests, so no guest gets a route";
        let remedy = match downstream {
            Downstream::Named(_) if is_whole_link(range) => {
                "write answer = \"live\": one route cannot lead to the whole of the upstream's own link"
            }
            Downstream::Named(_) => "write answer = \"live\", or routes = \"range\"",
            _ => "write answer = \"live\", or routes = \"none\" if something else installs the routes",
        };
        report.push(place, sentence).help(remedy);
    }
}

/// Whether it is all of the upstream's own link, whatever that is.
fn is_whole_link(range: &Range) -> bool {
    range.suffix.value().is_some_and(|suffix| suffix.prefix_len() == 64)
}

/// Nobody asks on `lo`.
fn check_proxy(range: &Range, downstream: &Downstream, report: &mut Report<'_>) {
    if let Field::Is(true, place) = &range.proxy_downstream
        && matches!(downstream, Downstream::Named(name) if name.is_loopback())
    {
        let sentence = "`proxy-downstream` answers guests on their own link, and `lo` has no guests";
        report.push(place, sentence).help("remove it, or name the interface behind which the guests are");
    }
}

/// The upstreams as written. If none has a name, each that a range names is implied, with the
/// settings of the unnamed one.
fn upstream_policies<'a>(
    written: &[Upstream],
    ranges: impl Iterator<Item = &'a RangePolicy> + Clone,
) -> Vec<UpstreamPolicy> {
    if written.iter().any(|upstream| upstream.interface.value().is_some()) {
        let policy = |upstream: &Upstream| {
            let interface = upstream.interface.value().cloned();
            upstream_policy(upstream, interface, ranges.clone())
        };
        return written.iter().map(policy).collect();
    }
    let default = Upstream::new(Place::Whole, Field::Absent);
    let unnamed = written.first().unwrap_or(&default);
    let mut interfaces: Vec<Option<IfName>> = Vec::new();
    for range in ranges.clone() {
        if !interfaces.contains(&range.upstream) {
            interfaces.push(range.upstream);
        }
    }
    // Nothing of it is served otherwise.
    if interfaces.is_empty() || unnamed.automatic.value() == Some(&true) && !interfaces.contains(&None) {
        interfaces.push(None);
    }
    interfaces.into_iter().map(|interface| upstream_policy(unnamed, interface, ranges.clone())).collect()
}

fn upstream_policy<'a>(
    upstream: &Upstream,
    interface: Option<IfName>,
    mut ranges: impl Iterator<Item = &'a RangePolicy>,
) -> UpstreamPolicy {
    // A range that names no upstream may be for any.
    let has_range = ranges.any(|range| range.upstream.is_none() || range.upstream == interface);
    let is_automatic = upstream.automatic.or(!has_range);
    UpstreamPolicy {
        interface: interface.map_or(UpstreamInterface::DefaultRoute, UpstreamInterface::Named),
        automatic: is_automatic.then(|| Automatic { ignore: upstream.ignore.or(Vec::new()) }),
        left_out: match upstream.automatic.value() {
            Some(false) => LeftOut::OnPurpose,
            Some(true) | None => LeftOut::Named,
        },
        router: upstream.router,
        override_flag: upstream.override_flag,
        source: upstream.source,
        announce: upstream.announce,
        gateway_source: upstream.gateway_source,
        mld: upstream.mld,
        suppress_kernel: upstream.suppress_kernel,
        backend: upstream.backend,
        on_crash_answer: upstream.on_crash_answer,
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
