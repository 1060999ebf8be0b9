//! Values compared with each other: what each means where it stands, or why it cannot mean anything.
//!
//! May touch: nothing.

use ipnet::Ipv6Net;

use super::file::{File, Range, Upstream};
use super::prefix;
use super::problem::{Place, Report};
use super::section::Field;
use super::{Config, section};
use crate::engine::facts::IfName;
use crate::engine::policy::{
    Answer, Downstream, Policy, RangePolicy, RangeRoutes, UpstreamInterface, UpstreamPolicy,
};

/// The shortest configuration that works.
pub(super) const EXAMPLE: &str = "[[range]]
prefix    = \"2001:db8:1:2:c::/112\"
interface = \"lxcbr0\"";

/// The configuration that a file means. It is worth something only if nothing was reported.
pub(super) fn validate(file: &File, report: &mut Report<'_>) -> Config {
    check_upstreams(&file.upstreams, report);
    if file.ranges.is_empty() {
        let sentence = "no [[range]] is configured, and automatic mode is not supported yet";
        let remedy = format!("write one, or use --range PREFIX=INTERFACE:\n\n{EXAMPLE}");
        report.push(&Place::Whole, sentence).help(remedy);
    }
    let mut ranges = Vec::new();
    for (i, range) in file.ranges.iter().enumerate() {
        check_prefix(range, &file.ranges[..i], report);
        check_interfaces(range, &file.upstreams, report);
        ranges.extend(range_policy(range, report));
    }
    let policy = Policy {
        upstreams: upstream_policies(&file.upstreams, &ranges),
        ranges,
        routes: file.routes,
        timers: file.timers,
        limits: file.limits,
    };
    Config { policy, log: file.log }
}

fn check_upstreams(upstreams: &[Upstream], report: &mut Report<'_>) {
    for (i, upstream) in upstreams.iter().enumerate() {
        let same = |other: &&Upstream| other.interface.value() == upstream.interface.value();
        match &upstream.interface {
            Field::Is(name, place) => {
                if name.is_loopback() {
                    let problem = report.push(place, "`lo` cannot be an upstream: no router is behind it");
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
    if range.prefix == Field::Absent {
        let problem = report.push(&range.place, "this [[range]] has no `prefix`");
        problem.help("add prefix = \"2001:db8:1:2:c::/112\", out of the /64 of the upstream");
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

fn check_excludes(range: &Range, prefix: Ipv6Net, report: &mut Report<'_>) {
    let Field::Is(excludes, list_place) = &range.exclude else { return };
    for (exclude, place) in excludes {
        if !prefix.contains(exclude) {
            let problem = report.push(place, format!("the exclude {exclude} is outside its range {prefix}"));
            problem.help("move it to the range that it is in, or remove it");
        }
    }
    let all: Vec<Ipv6Net> = excludes.iter().map(|(exclude, _)| *exclude).collect();
    let covered = Ipv6Net::aggregate(&all).contains(&prefix);
    if covered && range.answer.value() != Some(&Answer::Never) {
        let problem = report.push(list_place, format!("every address of the range {prefix} is excluded"));
        problem.help("write answer = \"never\" if only the routes are wanted");
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
            let problem = report.push(place, "`lo` cannot be an upstream: no router is behind it");
            problem.help("remove it, or name the interface of the default route");
        } else if !names.is_empty() && !names.contains(&name) && !unreadable {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let problem = report.push(place, format!("there is no upstream `{name}`"));
            problem.help(match names.as_slice() {
                [only] => format!("the one that is configured is `{only}`"),
                _ => format!("those that are configured are {}", section::list(&names)),
            });
        }
    }
    let own = match (&range.upstream, names.as_slice()) {
        (Field::Is(name, _), _) => Some(name),
        (Field::Absent, [only]) if upstreams.len() == 1 => Some(*only),
        _ => None,
    };
    if let Field::Is(downstream, place) = &range.interface
        && own == Some(downstream)
        && !downstream.is_loopback()
    {
        let sentence = format!("`{downstream}` is both the upstream and the downstream of this range");
        report.push(place, sentence).help("name the interface behind which the guests are");
    }
}

/// The range with its defaults, which depend on where its guests are.
fn range_policy(range: &Range, report: &mut Report<'_>) -> Option<RangePolicy> {
    let downstream = range.interface.value().cloned().map_or(Downstream::Kernel, Downstream::Named);
    let (answer, routes) = match &downstream {
        Downstream::Named(name) if name.is_loopback() => (Answer::Always, RangeRoutes::Range),
        Downstream::Named(_) => (Answer::Live, RangeRoutes::Range),
        Downstream::Matching(_) => (Answer::Live, RangeRoutes::Guests),
        Downstream::Kernel => (Answer::Live, RangeRoutes::None),
    };
    let (answer, routes) = (range.answer.or(answer), range.routes.or(routes));
    if range.interface == Field::Absent
        && let Field::Is(RangeRoutes::Range, place) = &range.routes
    {
        let problem = report.push(place, "`routes = \"range\"` needs an `interface` to route to");
        problem.help("add one, or write routes = \"none\": then the kernel's own routes decide");
    }
    if let Field::Is(Answer::Never, place) = &range.answer
        && routes == RangeRoutes::None
        && !range.backstop
    {
        let problem = report.push(place, "this range does nothing: no answers, no routes, no backstop");
        problem.help("remove the range, or one of these settings");
    }
    Some(RangePolicy {
        prefix: *range.prefix.value()?,
        upstream: range.upstream.value().cloned(),
        downstream,
        answer,
        routes,
        backstop: range.backstop,
        exclude: match &range.exclude {
            Field::Is(excludes, _) => excludes.iter().map(|(exclude, _)| *exclude).collect(),
            Field::Absent | Field::Wrong => Vec::new(),
        },
    })
}

/// The upstreams as written. If none has a name, each that a range names is implied, with the
/// settings of the unnamed one.
fn upstream_policies(written: &[Upstream], ranges: &[RangePolicy]) -> Vec<UpstreamPolicy> {
    if written.iter().any(|upstream| upstream.interface.value().is_some()) {
        return written.iter().map(upstream_policy).collect();
    }
    let unnamed = match written.first() {
        Some(upstream) => upstream_policy(upstream),
        None => upstream_policy(&Upstream::new(Place::Whole, Field::Absent)),
    };
    let mut policies: Vec<UpstreamPolicy> = Vec::new();
    for range in ranges {
        let interface =
            range.upstream.clone().map_or(UpstreamInterface::DefaultRoute, UpstreamInterface::Named);
        if !policies.iter().any(|policy| policy.interface == interface) {
            policies.push(UpstreamPolicy { interface, ..unnamed.clone() });
        }
    }
    policies
}

fn upstream_policy(upstream: &Upstream) -> UpstreamPolicy {
    UpstreamPolicy {
        interface: upstream
            .interface
            .value()
            .cloned()
            .map_or(UpstreamInterface::DefaultRoute, UpstreamInterface::Named),
        router: upstream.router,
        override_flag: upstream.override_flag,
        source: upstream.source,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::config::parse;
    use crate::engine::policy::Source;

    fn policy(text: &str) -> Policy {
        parse(text, "f").unwrap_or_else(|problems| panic!("{problems}")).policy
    }

    /// The problems of a text, each as `line:column: message`.
    fn problems(text: &str) -> Vec<String> {
        let problems = parse(text, "f").expect_err("the text has a mistake");
        let place = |n: Option<usize>| n.map_or("-".to_owned(), |n| n.to_string());
        let shown = problems.as_slice().iter();
        shown.map(|p| format!("{}:{}: {}", place(p.line), place(p.column), p.message)).collect()
    }

    fn range(rest: &str) -> String {
        format!("[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\n{rest}")
    }

    #[test]
    fn serves_live_guests_by_a_range_route_behind_a_named_interface() {
        let policy = policy(&range("interface = \"lxcbr0\""));
        let range = &policy.ranges[0];
        assert_eq!((range.answer, range.routes, range.backstop), (Answer::Live, RangeRoutes::Range, true));
        assert_eq!(policy.upstreams[0].interface, UpstreamInterface::DefaultRoute);
        assert_eq!(range.upstream, None);
    }

    #[test]
    fn answers_always_on_lo_unless_told_otherwise() {
        assert_eq!(policy(&range("interface = \"lo\"")).ranges[0].answer, Answer::Always);
        assert_eq!(policy(&range("interface = \"lo\"\nanswer = \"live\"")).ranges[0].answer, Answer::Live);
    }

    #[test]
    fn leaves_routes_to_the_kernel_without_an_interface() {
        let policy = policy(&range(""));
        assert_eq!(policy.ranges[0].downstream, Downstream::Kernel);
        assert_eq!(policy.ranges[0].routes, RangeRoutes::None);
        assert_eq!(
            problems(&range("routes = \"range\"")),
            ["3:10: `routes = \"range\"` needs an `interface` to route to"]
        );
    }

    #[test]
    fn implies_the_upstreams_that_ranges_name() {
        let eth0 = UpstreamInterface::Named("eth0".parse().unwrap());
        let named = policy(&range("upstream = \"eth0\""));
        assert_eq!(named.upstreams.iter().map(|u| &u.interface).collect::<Vec<_>>(), [&eth0]);

        let text = range("upstream = \"eth0\"\n[[range]]\nprefix = \"2001:db8:1:2:d::/112\"");
        let both = policy(&format!("{text}\n[[upstream]]\nsource = \"2001:db8::1\""));
        let found: Vec<_> = both.upstreams.iter().map(|u| (&u.interface, u.source)).collect();
        let source = Source::Address("2001:db8::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(found, [(&eth0, source), (&UpstreamInterface::DefaultRoute, source)]);
    }

    #[test]
    fn refuses_a_range_on_an_upstream_that_is_not_configured() {
        let text = range("upstream = \"eth9\"\n[[upstream]]\ninterface = \"eth0\"");
        assert_eq!(problems(&text), ["3:12: there is no upstream `eth9`"]);
    }

    #[test]
    fn refuses_a_downstream_that_is_its_own_upstream() {
        let sentence = "`eth0` is both the upstream and the downstream of this range";
        let named = range("interface = \"eth0\"\nupstream = \"eth0\"");
        let only = range("interface = \"eth0\"\n[[upstream]]\ninterface = \"eth0\"");
        for text in [named, only] {
            assert_eq!(problems(&text), [format!("3:13: {sentence}")]);
        }
    }

    #[test]
    fn refuses_upstreams_that_are_written_twice() {
        let text =
            "[[upstream]]\ninterface = \"a\"\n[[upstream]]\ninterface = \"a\"\n[[upstream]]\n[[upstream]]\n";
        assert_eq!(
            problems(&format!("{text}{}", range(""))),
            [
                "4:13: the upstream `a` is configured twice",
                "6:1: a second [[upstream]] without an `interface`"
            ]
        );
    }

    #[test]
    fn refuses_the_same_prefix_twice_but_takes_one_inside_another() {
        let twice = format!("{}{}", range(""), range(""));
        assert_eq!(problems(&twice), ["4:10: the range 2001:db8:1:2:c::/112 is configured twice"]);
        let inside = format!("{}[[range]]\nprefix = \"2001:db8:1:2::/64\"", range(""));
        assert_eq!(policy(&inside).ranges.len(), 2);
    }

    #[test]
    fn refuses_excludes_that_are_outside_or_leave_nothing() {
        assert_eq!(
            problems(&range("exclude = [\"2001:db8:1:2:c::1\", \"fd00::1\"]")),
            ["3:33: the exclude fd00::1/128 is outside its range 2001:db8:1:2:c::/112"]
        );
        let halves = range("exclude = [\"2001:db8:1:2:c::/113\", \"2001:db8:1:2:c::8000/113\"]\n");
        assert_eq!(problems(&halves), ["3:11: every address of the range 2001:db8:1:2:c::/112 is excluded"]);
        assert_eq!(policy(&format!("{halves}answer = \"never\"")).ranges[0].exclude.len(), 2);
    }

    #[test]
    fn refuses_a_range_that_does_nothing() {
        assert_eq!(
            problems(&range("answer = \"never\"\nbackstop = false")),
            ["3:10: this range does nothing: no answers, no routes, no backstop"]
        );
    }

    #[test]
    fn asks_for_a_range_and_shows_how_to_write_it() {
        let shown = parse("", "f").unwrap_err().to_string();
        assert!(shown.starts_with("f: no [[range]] is configured, and automatic mode is not supported yet"));
        assert!(shown.contains("    [[range]]\n    prefix    = \"2001:db8:1:2:c::/112\"\n    interface"));
        assert_eq!(problems("[[range]]"), ["1:1: this [[range]] has no `prefix`"]);
    }
}
