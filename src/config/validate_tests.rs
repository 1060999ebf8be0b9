//! What each value means where it stands, and which cannot mean anything.

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
fn takes_its_own_upstream_for_a_downstream_since_that_may_be_a_bridge() {
    let on = |keys: &str| range(&format!("interface = \"eth0\"\nupstream = \"eth0\"\n{keys}"));
    policy(&on(""));
    policy(&range("interface = \"eth0\"\n[[upstream]]\ninterface = \"eth0\""));
    assert_eq!(
        problems(&on("gateway = \"fe80::1\"\nproxy-downstream = true")),
        [
            "5:11: `gateway` cannot be on the upstream, because the provider's router may have that address",
            "6:20: `proxy-downstream` has no effect on the upstream itself",
        ]
    );
}

#[test]
fn refuses_upstreams_that_are_written_twice() {
    let text =
        "[[upstream]]\ninterface = \"a\"\n[[upstream]]\ninterface = \"a\"\n[[upstream]]\n[[upstream]]\n";
    assert_eq!(
        problems(&format!("{text}{}", range(""))),
        ["4:13: the upstream `a` is configured twice", "6:1: a second [[upstream]] without an `interface`"]
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
        ["3:10: this range does nothing: it has no answers, no routes and no backstop"]
    );
}

#[test]
fn proxies_downstream_where_there_are_guests_on_a_link() {
    assert!(policy(&range("interface = \"br0\"\nproxy-downstream = true")).ranges[0].proxy_downstream);
    assert!(!policy(&range("interface = \"br0\"")).ranges[0].proxy_downstream);
    // By the kernel's routes, on the whole of the upstream's link, and with nothing else to do.
    policy(&range("proxy-downstream = true"));
    policy(
        "[[range]]\nprefix = \"2001:db8:1:2::/64\"\ninterface = \"br0\"\nroutes = \"guests\"\nproxy-downstream = true",
    );
    policy(&range("answer = \"never\"\nbackstop = false\nproxy-downstream = true"));
    let sentence = "`proxy-downstream` answers guests on their own link, and `lo` has no guests";
    assert_eq!(
        problems(&range("interface = \"lo\"\nproxy-downstream = true")),
        [format!("4:20: {sentence}")]
    );
    policy(&range("interface = \"lo\"\nproxy-downstream = false"));
}

#[test]
fn takes_a_gateway_that_every_downstream_can_have_and_no_other() {
    let with = |value: &str| range(&format!("interface = \"veth*\"\ngateway = {value}"));
    let found = policy(&with("\"fe80::1\"")).ranges[0].gateway;
    assert_eq!(found, Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
    assert_eq!(policy(&range("")).ranges[0].gateway, None);
    // By the kernel's routes, and with nothing else to do.
    policy(&range("gateway = \"fe80::1\""));
    policy(&range("answer = \"never\"\nbackstop = false\ngateway = \"fe80::1\""));
    for (value, sentence) in [
        ("1", "`gateway` is a whole number"),
        ("\"fe80::g\"", "`gateway` is not an IPv6 address: \"fe80::g\""),
        ("\"192.0.2.1\"", "\"192.0.2.1\" is IPv4, and lone64 serves IPv6 only"),
        (
            "\"2001:db8:1:2:c::1\"",
            "the gateway 2001:db8:1:2:c::1 is not link-local, and every downstream must be able to have the same one",
        ),
        (
            "\"ff02::1\"",
            "the gateway ff02::1 is not link-local, and every downstream must be able to have the same one",
        ),
        (
            "\"fe80::\"",
            "the gateway fe80:: is the anycast address of all routers on the link (RFC 4291 §2.6.1), and no host may have it",
        ),
        ("\"fe80::1/64\"", "`gateway` is one address, without a length and without an interface"),
        ("\"fe80::1%veth0\"", "`gateway` is one address, without a length and without an interface"),
    ] {
        assert_eq!(problems(&with(value)), [format!("4:11: {sentence}")]);
    }
    let shown = parse(&with("\"fe80::1/64\""), "f").unwrap_err().to_string();
    assert!(shown.contains("^^^^^^^^^^^^") && shown.contains("help: write \"fe80::1\""), "{shown}");
    let sentence = "`lo` has no guests behind it, so it needs no `gateway`";
    assert_eq!(problems(&range("interface = \"lo\"\ngateway = \"fe80::1\"")), [format!("4:11: {sentence}")]);
}

#[test]
fn asks_for_a_range_and_shows_how_to_write_it() {
    let shown = parse("[[upstream]]\nautomatic = false", "f").unwrap_err().to_string();
    assert!(shown.starts_with("f: nothing to serve: no [[range]] is configured"), "{shown}");
    assert!(shown.contains("    [[range]]\n    prefix    = \"2001:db8:1:2:c::/112\"\n    interface"));
    assert_eq!(problems("[[range]]"), ["1:1: this [[range]] has no `prefix`"]);
}

#[test]
fn routes_each_guest_behind_a_pattern_or_a_list() {
    for interface in ["\"veth*\"", "[\"lxcbr0\"]", "[\"veth*\", \"tap?\", \"br[0-9]\", \"lxcbr0\"]"] {
        let policy = policy(&range(&format!("interface = {interface}")));
        let RangePolicy { answer, routes, downstream, .. } = &policy.ranges[0];
        assert_eq!((*answer, *routes), (Answer::Live, RangeRoutes::Guests), "{interface}");
        let Downstream::Matching(patterns) = downstream else { panic!("{downstream:?}") };
        let matches = |name: &str| patterns.iter().any(|p| p.matches(&name.parse().unwrap()));
        assert_eq!(matches("veth7"), interface.contains("veth"), "{interface}");
        assert_eq!(matches("lxcbr0"), interface.contains("lxcbr0"), "{interface}");
        assert!(!matches("eth0") && !matches("xveth7") && !matches("lxcbr01"), "{interface}");
    }
    let named = policy(&range("interface = \"lxcbr0\"\nroutes = \"guests\""));
    assert_eq!(named.ranges[0].routes, RangeRoutes::Guests);
    assert_eq!(named.ranges[0].downstream, Downstream::Named("lxcbr0".parse().unwrap()));
}

#[test]
fn refuses_lists_and_patterns_that_cannot_be_meant() {
    for (interface, problem) in [
        ("[]", "3:13: `interface` is an empty list"),
        ("[\"a\", \"b\", \"a\"]", "3:24: `a` is in the list twice"),
        ("[\"a\", \"lo\"]", "3:19: `lo` cannot be in a list with other interfaces"),
        ("[\"a\", 7]", "3:19: `interface` has a whole number instead of a name"),
        (
            "[\"a\", \"b c\"]",
            "3:19: 'b c' matches no name of an interface: \
          a name has no '/', ':' or white space, and is not empty",
        ),
        (
            "\"veth**\"",
            "3:13: 'veth**' matches no name of an interface: \
          one '*' already stands for any number of characters",
        ),
        (
            "\"sixteen-bytes-1?\"",
            "3:13: 'sixteen-bytes-1?' matches no name of an interface: \
          a name has at most 15 bytes, and is not '.' or '..'",
        ),
        (
            "[\"sixteen-bytes-16\"]",
            "3:14: 'sixteen-bytes-16' matches no name of an interface: \
          a name has at most 15 bytes, and is not '.' or '..'",
        ),
    ] {
        assert_eq!(problems(&range(&format!("interface = {interface}"))), [problem]);
    }
    let unclosed = problems(&range("interface = \"veth[0-9\""));
    assert!(unclosed[0].starts_with("3:13: 'veth[0-9' matches no name of an interface: "), "{unclosed:?}");
    // The longest that there can be.
    policy(&range("interface = [\"fifteen-bytes-1\", \"fifteen-bytes-?*\"]"));
}

#[test]
fn refuses_routes_that_lead_nowhere() {
    for (rest, problem) in [
        (
            "interface = \"veth*\"\nroutes = \"range\"",
            "4:10: one route for the whole range cannot lead to several interfaces",
        ),
        (
            "interface = [\"a\", \"b\"]\nroutes = \"range\"",
            "4:10: one route for the whole range cannot lead to several interfaces",
        ),
        (
            "routes = \"guests\"",
            "3:10: `routes = \"guests\"` needs an `interface` behind which the guests are",
        ),
        (
            "interface = \"lo\"\nroutes = \"guests\"",
            "4:10: `lo` has no guests behind it: the host itself owns the whole range",
        ),
        (
            "interface = \"veth*\"\nanswer = \"always\"",
            "4:10: with `answer = \"always\"` lone64 does not look for guests, so no guest gets a route",
        ),
    ] {
        assert_eq!(problems(&range(rest)), [problem]);
    }
    let kernel = policy(&range("interface = \"veth*\"\nanswer = \"always\"\nroutes = \"none\""));
    assert_eq!((kernel.ranges[0].answer, kernel.ranges[0].routes), (Answer::Always, RangeRoutes::None));
    let routed = policy(&range("interface = \"veth*\"\nanswer = \"never\""));
    assert_eq!((routed.ranges[0].answer, routed.ranges[0].routes), (Answer::Never, RangeRoutes::Guests));
    // What is wrong with the interface is said once.
    assert_eq!(problems(&range("interface = []\nroutes = \"range\"")).len(), 1);
}

#[test]
fn leaves_an_upstream_out_of_a_pattern_but_refuses_it_by_name() {
    let text =
        |interface: &str| range(&format!("interface = {interface}\n[[upstream]]\ninterface = \"eth0\""));
    policy(&text("\"eth*\""));
    policy(&text("[\"eth*\", \"br0\"]"));
    let sentence = "`eth0` is both the upstream and the downstream of this range";
    assert_eq!(problems(&text("[\"br0\", \"eth0\"]")), [format!("3:21: {sentence}")]);
    let two = range(
        "upstream = \"a\"\ninterface = [\"b\"]\n[[upstream]]\ninterface = \"a\"\n[[upstream]]\ninterface = \"b\"",
    );
    let sentence = "`b` is an upstream, and guests cannot be on an upstream";
    assert_eq!(problems(&two), [format!("4:14: {sentence}")]);
}

#[test]
fn is_automatic_where_no_range_is_for_the_upstream() {
    let automatic = |text: &str| {
        let upstreams = policy(text).upstreams;
        upstreams.iter().map(|upstream| upstream.automatic.is_some()).collect::<Vec<_>>()
    };
    let both = "[[upstream]]\ninterface = \"eth0\"\n[[upstream]]\ninterface = \"eth1\"\n";
    for (text, expected) in [
        (String::new(), vec![true]),
        (range(""), vec![false]),
        ("[[range]]\nsuffix = \"::c:0:0:0/112\"".to_owned(), vec![false]),
        ("[[upstream]]\nautomatic = true\n".to_owned() + &range(""), vec![true]),
        (both.to_owned(), vec![true, true]),
        (both.to_owned() + &range(""), vec![false, false]),
        (both.to_owned() + &range("upstream = \"eth1\""), vec![true, false]),
        ("[[upstream]]\nautomatic = true\n".to_owned() + &range("upstream = \"eth1\""), vec![true, true]),
    ] {
        assert_eq!(automatic(&text), expected, "{text}");
    }
    assert_eq!(
        problems("[[upstream]]\nautomatic = false"),
        ["-:-: nothing to serve: no [[range]] is configured, and automatic is off"]
    );
}

#[test]
fn ignores_only_what_automatic_would_serve() {
    let ignore = "[[upstream]]\nignore = [\"docker0\", \"veth*\"]\n";
    assert_eq!(policy(ignore).upstreams[0].automatic.as_ref().unwrap().ignore.len(), 2);
    assert_eq!(
        problems(&(ignore.to_owned() + &range(""))),
        ["2:10: `ignore` is for automatic, and automatic is off here"]
    );
    assert_eq!(problems("[[upstream]]\nignore = \"docker0\""), ["2:10: `ignore` is text in quotes"]);
    assert_eq!(
        problems("[[upstream]]\nignore = [1]"),
        ["2:11: `ignore` has a whole number instead of a name"]
    );
}

#[test]
fn reads_suffixes_and_refuses_those_that_fit_under_no_64() {
    let suffix = |rest: &str| format!("[[range]]\nsuffix = \"::c:0:0:0/112\"\n{rest}");
    let found = policy(&suffix("interface = \"br0\"\nexclude = [\"::c:0:0:1\"]"));
    assert!(found.ranges.is_empty());
    assert_eq!(found.suffixes[0].prefix.to_string(), "::c:0:0:0/112");
    assert_eq!((found.suffixes[0].routes, found.suffixes[0].origin), (RangeRoutes::Range, Origin::Suffix));
    for (text, problem) in [
        (suffix("prefix = \"2001:db8::/112\""), "2:10: this [[range]] has a `prefix` and a `suffix`"),
        (
            suffix("[[range]]\nsuffix = \"::c:0:0:0/112\""),
            "4:10: the suffix ::c:0:0:0/112 is configured twice",
        ),
        (
            suffix("exclude = [\"::d:0:0:1\"]"),
            "3:12: the exclude ::d:0:0:1/128 is outside its range ::c:0:0:0/112",
        ),
        (
            "[[range]]\nsuffix = \"::/63\"".to_owned(),
            "2:10: the suffix ::/63 has no room for the /64 of the upstream",
        ),
        (
            "[[range]]\nsuffix = \"2001:db8::c:0:0:0/112\"".to_owned(),
            "2:10: the suffix 2001:db8:0:0:c::/112 has more than the lower 64 bits",
        ),
        ("[[range]]\nsuffix = \"::c:0:0:5/112\"".to_owned(), "2:10: the prefix ::c:0:0:5/112 has host bits"),
        ("[[range]]\ninterface = \"br0\"".to_owned(), "1:1: this [[range]] has no `prefix`"),
    ] {
        assert_eq!(problems(&text), [problem], "{text}");
    }
    let two =
        "[[range]]\nupstream = \"a\"\nsuffix = \"::/65\"\n[[range]]\nupstream = \"b\"\nsuffix = \"::/65\"\n";
    assert_eq!(policy(two).suffixes.len(), 2);
}

#[test]
fn all_of_the_upstreams_64_has_a_route_for_each_guest_and_none_of_its_own() {
    let suffix = |rest: &str| format!("[[range]]\nsuffix = \"::/64\"\n{rest}");
    for interface in ["\"br0\"", "\"veth*\"", "[\"br0\", \"br1\"]"] {
        let policy = policy(&suffix(&format!("interface = {interface}")));
        assert_eq!(
            (policy.suffixes[0].routes, policy.suffixes[0].answer),
            (RangeRoutes::Guests, Answer::Live)
        );
    }
    assert_eq!(
        problems(&suffix("interface = \"br0\"\nroutes = \"range\"")),
        ["4:10: one route for `suffix = \"::/64\"` would cut off the upstream's own link and its router"]
    );
    let always =
        parse(&suffix("interface = \"br0\"\nanswer = \"always\""), "f").expect_err("no route leads there");
    assert!(always.to_string().contains("write answer = \"live\": one route cannot"), "{always}");
    // What was written is told from what was not: which prefixes are on-link is known only on the host.
    let whole = |rest: &str| {
        policy(&format!("[[range]]\nprefix = \"2001:db8:1:2::/64\"\ninterface = \"br0\"\n{rest}"))
    };
    assert!(
        !whole("").ranges[0].has_written_routes && whole("routes = \"range\"").ranges[0].has_written_routes
    );
}
