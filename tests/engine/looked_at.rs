//! What may be looked at: it is what `status` and its neighbors print.

use std::net::Ipv6Addr;

use lone64::engine::facts::{
    Fact, IfIndex, KernelRoute, KernelRule, LinkLayer, LinkState, NextHop, RouteKind,
};
use lone64::engine::guests::{Claim, Object};
use lone64::engine::policy::{Answer, Downstream, Policy, RangeRoutes};
use lone64::engine::{Census, Claiming, Input, Output, RouteState, Which};
use lone64::wire::{MldQuery, MldVersion};

use crate::host::{
    BRIDGE, Host, UP, address, bridge, default_route, guest, guest_mac, has, link, live, millis, net,
    question, question_from, range, route, seconds, with,
};

/// Guests 1 to 5 are live, 3 by its own word only; 6 was silent a moment ago, and 7 is being asked.
fn known() -> Host {
    let mut host = Host::new(with(|policy| policy.ranges[0].routes = RangeRoutes::Guests));
    host.ask(guest(6));
    host.pass(seconds(4));
    for number in [5, 2, 4, 1] {
        host.make_live(guest(number), guest_mac(number));
    }
    let said = question_from(guest(3), guest_mac(3), address("fe80::5054:ff:fe00:b0"));
    host.input(Input::Solicitation(BRIDGE, said));
    host.ask(guest(7));
    host
}

fn addresses<T>(page: Vec<(Ipv6Addr, T)>) -> Vec<Ipv6Addr> {
    page.into_iter().map(|(address, _)| address).collect()
}

#[test]
fn targets_come_by_pages_in_the_order_of_their_addresses() {
    let host = known();
    let page = |which, after, limit| addresses(host.engine.target_page(which, after, limit));
    assert_eq!(page(Which::All, None, 3), [1, 2, 3].map(guest));
    assert_eq!(page(Which::All, Some(guest(3)), 3), [4, 5, 6].map(guest));
    assert_eq!(page(Which::All, Some(guest(6)), 3), [guest(7)]);
    assert_eq!(page(Which::Live, None, 100), [1, 2, 3, 4, 5].map(guest));
    assert_eq!(page(Which::Live, Some(guest(4)), 100), [guest(5)]);
    assert!(page(Which::All, None, 0).is_empty());
}

#[test]
fn a_target_says_how_often_it_was_answered_for() {
    let mut host = known();
    (0..3).for_each(|_| host.solicit(question(guest(5))));
    let [(target, seen)] = &host.engine.target_page(Which::All, Some(guest(4)), 1)[..] else { panic!() };
    // And the first question, which waited for it.
    assert_eq!((*target, seen.answered), (guest(5), 4));
    assert_eq!(host.engine.answered_for(guest(5)), 4);
    assert_eq!(host.engine.counters().answered_on(UP), 4 + 3);
    assert_eq!(host.engine.counters().answered_on(BRIDGE), 0);
}

#[test]
fn they_are_counted_by_what_is_known_of_them() {
    let host = known();
    assert_eq!(host.engine.census(), Census { live: 5, probing: 1, absent: 1 });
}

#[test]
fn routes_are_counted_and_come_by_pages_too() {
    let mut host = known();
    // What is told of in one batch, and not yet answered by the kernel, is on its way.
    host.engine.handle(Input::Advertisement(BRIDGE, crate::host::reply(guest(7), guest_mac(7))), host.now);
    assert_eq!(host.engine.count_routes(RouteState::Pending), 1);
    // The guests', and one that refuses what is in the range and has no guest.
    let installed = host.engine.count_routes(RouteState::Installed);
    assert_eq!(installed, host.kernel.len());
    let guests =
        |route: &KernelRoute, state| route.destination.prefix_len() == 128 && state == RouteState::Installed;
    let page: Vec<_> =
        host.engine.route_page(guests, 2).into_iter().map(|(route, _)| route.destination).collect();
    assert_eq!(page, [guest(1).into(), guest(2).into()]);
}

#[test]
fn where_the_kernel_sends_what_is_for_an_address_is_known_and_how_it_would_without_us() {
    let mut host = Host::new(live());
    host.facts(vec![Fact::Rule(KernelRule::lookup(5_270, 52))]);
    let engine = &host.engine;
    assert_eq!(engine.leads_to(guest(5), UP), Some(BRIDGE));
    assert_eq!(engine.leads_to(address("2001:db8:9::1"), BRIDGE), Some(UP));
    let foreign = engine.foreign_way(&net("2001:db8:1:2:c::/112"), Some(UP));
    assert_eq!(foreign, Some(&default_route(UP)));
    assert!(engine.rules().any(|rule| rule.priority == 5_270));
    assert!(engine.default_routes().eq([&default_route(UP)]));
}

#[test]
fn what_another_policy_would_lack_is_said_of_that_one() {
    let host = Host::new(live());
    let other = with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:d::/112", "br9"), range("2001:db8:1:2:e::/112", "lxcbr0")];
    });
    let (problems, ranges) = host.engine.problems_of(&other);
    assert_eq!(ranges, 2);
    assert!(problems.iter().any(|problem| problem.to_string().contains("br9")), "{problems:?}");
    assert_eq!(host.engine.problems_of(&live()), (Vec::new(), 1));
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn that_nothing_is_served_is_known() {
    let nothing = Policy { ranges: Vec::new(), ..live() };
    let idle = Host::new(nothing).engine.idle().unwrap();
    assert_eq!(idle.upstream, "up0".parse().unwrap());
    assert_eq!(Host::new(live()).engine.idle(), None);
    let of_the_host = with(|policy| {
        let range = &mut policy.ranges[0];
        (range.downstream, range.answer) = (Downstream::Named("lo".parse().unwrap()), Answer::Always);
    });
    assert!(Host::new(of_the_host).engine.serves_itself_alone());
    assert!(!Host::new(live()).engine.serves_itself_alone());
}

#[test]
fn groups_are_counted_and_who_asks_for_them_is_known() {
    let mut host = Host::new(with(|policy| policy.limits.groups = 1));
    for number in [5, 6, 7] {
        host.make_live(guest(number), guest_mac(number));
    }
    assert_eq!(host.engine.count_groups(UP), (1, 2));
    assert_eq!(host.engine.count_groups(BRIDGE), (0, 0));
    assert_eq!(host.engine.querier(UP), None);
    let query = MldQuery {
        source_mac: guest_mac(0x99),
        source: address("fe80::99"),
        version: MldVersion::V2,
        group: None,
        max_response: millis(1_000),
    };
    host.input(Input::Query(UP, query));
    assert_eq!(host.engine.querier(UP).map(|(source, _)| source), Some(address("fe80::99")));
}

#[test]
fn gateways_that_are_wanted_are_named_and_ports_that_matter() {
    let policy = with(|policy| policy.ranges[0].gateway = Some(address("fe80::77")));
    let host = Host::new(policy);
    let wanted: Vec<_> = host.engine.wanted_gateways().into_iter().collect();
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    assert!(Host::new(live()).engine.wanted_gateways().is_empty());
    assert!(!Host::new(live()).engine.minds_ports());
}

#[test]
fn frames_are_told_from_everything_else_that_comes_out() {
    let mut host = Host::new(crate::host::announcing());
    host.make_live(guest(5), guest_mac(5));
    host.ask(guest(6));
    host.pass(seconds(4));
    host.facts(vec![bridge(LinkState::Down)]);
    let mut outputs = host.take();
    host.solicit(question(guest(5)));
    outputs.extend(host.take());
    outputs.push(Output::ExportEnds);
    for output in &outputs {
        let is_frame = matches!(output, Output::Advertise(..) | Output::Solicit(..) | Output::Report(..));
        assert_eq!(output.is_frame(), is_frame, "{output:?}");
    }
    assert!(outputs.iter().any(Output::is_frame) && !outputs.iter().all(Output::is_frame));
}

/// A host of its own has it, and a routing daemon has said so.
#[test]
fn a_route_leads_to_another_host_where_a_routing_daemon_has_one_for_a_single_address_by_a_router() {
    let by_bgp = KernelRoute {
        next_hop: NextHop::Via(address("2001:db8:1:2::3")),
        protocol: 186,
        ..route("2001:db8:1:2:c::6/128", RouteKind::Unicast(UP))
    };
    assert_eq!(by_bgp.link_to_another_host(), Some(UP));
    let others = [
        KernelRoute { protocol: 3, ..by_bgp.clone() },
        KernelRoute { next_hop: NextHop::OnLink, ..by_bgp.clone() },
        KernelRoute { destination: net("2001:db8:1:2:c::/112"), ..by_bgp.clone() },
        KernelRoute { kind: RouteKind::Unreachable, ..by_bgp },
    ];
    for other in others {
        assert_eq!(other.link_to_another_host(), None, "{other}");
    }
}

#[test]
fn claims_say_where_they_are_or_what_they_lack() {
    let mut host = Host::new(with(|policy| {
        let patterns = ["lxcbr0", "tap*"].map(|name| name.parse().unwrap());
        policy.ranges[0].downstream = Downstream::Matching(patterns.to_vec());
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.ranges.push(range("2001:db8:1:2:d::/112", "lxcbr0"));
        policy.ranges[1].standby = true;
    }));
    let tap = IfIndex(9);
    host.facts(vec![
        Fact::Link(link(tap, "tap9", LinkLayer::Ethernet(guest_mac(0x79)))),
        has(tap, "fe80::79/64"),
    ]);
    let claim = |object: &str, interface: Option<&str>| Claim {
        object: Object::Prefix(object.parse().unwrap()),
        interface: interface.map(|name| name.parse().unwrap()),
        mac: None,
        via: None,
        until: None,
    };
    for claim in [
        claim("2001:db8:1:2:c::5/128", Some("lxcbr0")),
        claim("2001:db8:1:2:c::6/128", Some("tap9")),
        claim("2001:db8:1:2:d::/120", None),
    ] {
        host.input(Input::Claiming(Claiming::Claim(claim)));
    }
    host.facts(vec![Fact::LinkGone(tap)]);
    let guests = host.engine.identified();
    let seen: Vec<_> = guests
        .claims()
        .map(|seen| (seen.claim.object.to_string(), seen.is_here(), seen.missing.is_some()))
        .collect();
    let expected = [
        ("2001:db8:1:2:c::5", true, false),
        ("2001:db8:1:2:c::6", false, true),
        ("2001:db8:1:2:d::/120", true, false),
    ];
    assert_eq!(seen, expected.map(|(object, here, lacks)| (object.to_owned(), here, lacks)));
    assert_eq!(guests.count(), (0, 0, 3));
    let words = guests.words();
    assert_eq!((words.addresses().count(), words.prefixes().count()), (1, 0));
}
