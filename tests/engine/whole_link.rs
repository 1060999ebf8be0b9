//! `proxy-downstream` on a range that is all of the upstream's link, as with SLAAC on both sides.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, KernelRoute, LinkLayer, RouteKind};
use lone64::engine::policy::{Downstream, Policy, RangeRoutes};
use lone64::engine::{Event, Expected, Input, Outcome, Output};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, Host, UP, address, dad, guest, guest_mac, has, link, millis, net, question, question_from, reply,
    route, seconds, usual_facts,
};
use crate::neighbors::{MAC, advertises, asked_upstream, neighbor, questions_for};
use crate::proxy_downstream::{GATEWAY, OTHER, advertised, asked_by_guest, is_answered, proxying};

/// A host whose range is all of the upstream's link, with a /128 for each guest.
fn whole_link() -> Host {
    let mut policy: Policy = proxying();
    policy.ranges[0].prefix = net("2001:db8:1:2::/64");
    policy.ranges[0].routes = RangeRoutes::Guests;
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    let connected = route("2001:db8:1:2::/64", RouteKind::Unicast(UP));
    host.facts(vec![Fact::Route(KernelRoute { protocol: 2, metric: 256, ..connected })]);
    host.input(Input::Synced);
    host.take();
    host
}

#[test]
fn excluded_addresses_are_not_answered_for_but_the_gateway_and_the_host_are() {
    let mut policy = whole_link().engine.written().clone();
    policy.ranges[0].exclude = vec![net("2001:db8:1:2::/112")];
    let mut host = whole_link();
    host.input(Input::Reload(Box::new(policy)));
    assert_eq!(questions_for(&mut host, neighbor()), []);
    assert!(is_answered(&mut host, GATEWAY) && is_answered(&mut host, address("2001:db8:1:2::2")));
}

#[test]
fn a_range_that_is_the_whole_link_serves_both_sides() {
    let mut host = whole_link();
    let own = address("2001:db8:1:2:a00:ff:fe00:5");
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), own)));
    host.advertise(own, guest_mac(5));
    assert!(host.answers_for(own), "a guest that made its own address, upstream");
    let routed = KernelRoute { ..route(&format!("{own}/128"), RouteKind::Unicast(BRIDGE)) };
    assert!(host.kernel.contains(&routed));
    // What is on the upstream, downstream.
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    assert!(is_answered(&mut host, neighbor()) && is_answered(&mut host, GATEWAY));
    assert!(is_answered(&mut host, address("2001:db8:1:2::2")));
    // Another guest of the same bridge answers for itself, and nobody else on the upstream has it.
    host.make_live(guest(6), guest_mac(6));
    assert!(!is_answered(&mut host, guest(6)));
}

#[test]
fn one_that_may_be_on_either_side_is_asked_for_on_both_and_answered_for_once() {
    for is_upstream in [true, false] {
        let mut policy = whole_link().engine.written().clone();
        policy.ranges[0].downstream = Downstream::Matching(vec!["*r0".parse().unwrap()]);
        let mut host = whole_link();
        let mac = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 0xb4]));
        host.facts(vec![Fact::Link(link(OTHER, "other0", mac)), has(OTHER, "fe80::b4/64")]);
        host.input(Input::Reload(Box::new(policy)));
        host.take();
        host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
        let outputs = host.take();
        for side in [UP, OTHER] {
            assert!(outputs.iter().any(|output| matches!(output, Output::Solicit(link, _) if *link == side)));
        }
        let (first, then) = if is_upstream { (UP, OTHER) } else { (OTHER, UP) };
        host.input(Input::Advertisement(first, reply(neighbor(), MAC)));
        assert_eq!(advertised(&mut host).len(), 1);
        assert_eq!(host.is_live(neighbor()), !is_upstream);
        host.pass(seconds(10));
        host.input(Input::Advertisement(then, reply(neighbor(), MAC)));
        assert_eq!(advertised(&mut host), []);
    }
}

#[test]
fn what_is_on_the_upstream_is_not_answered_for_there_and_never_live() {
    let mut host = whole_link();
    let gateway = KernelRoute {
        next_hop: lone64::engine::facts::NextHop::Via(address("2001:db8:1:2::1")),
        ..crate::host::default_route(UP)
    };
    host.facts(vec![Fact::Route(gateway)]);
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    for target in [neighbor(), address("2001:db8:1:2::1"), address("2001:db8:1:2::2")] {
        // Somebody on the upstream asks; and a guest says that it has it.
        assert!(!host.answers_for(target));
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(6), target)));
        host.advertise(target, guest_mac(6));
        assert!(!host.is_live(target), "{target}");
    }
    assert_eq!(host.dropped(DropReason::Excluded), 1, "the gateway is not looked for among guests");
}

#[test]
fn a_guest_that_came_from_the_upstream_is_found_when_its_old_place_is_silent() {
    for (replies, sign) in [(false, "dad"), (false, "asks"), (true, "dad")] {
        let mut host = whole_link();
        host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
        advertises(&mut host, MAC);
        host.take();
        let from = question_from(neighbor(), guest_mac(7), GATEWAY);
        let sign = if sign == "dad" { dad(guest_mac(7), neighbor()) } else { from };
        host.input(Input::Solicitation(BRIDGE, sign));
        let asked = asked_upstream(&host.take());
        assert_eq!((asked.len(), asked[0].destination_mac), (1, MAC), "who was there is asked first");
        if replies {
            advertises(&mut host, MAC);
            let told = host.events();
            assert!(told.iter().any(|event| matches!(event, Event::Contested(..))), "{told:?}");
        }
        host.pass(seconds(1));
        assert_eq!(host.is_live(neighbor()), !replies);
        assert_eq!(is_answered(&mut host, neighbor()), replies, "one on its own link answers itself");
    }
}

#[test]
fn a_guest_that_went_to_the_upstream_is_found_there_within_seconds() {
    let mut host = whole_link();
    host.make_live(neighbor(), guest_mac(7));
    host.pass(seconds(5));
    assert!(!is_answered(&mut host, neighbor()));
    advertises(&mut host, MAC);
    host.pass(seconds(4));
    assert!(!host.is_live(neighbor()), "it is asked where it was, and is not there");
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    assert!(is_answered(&mut host, neighbor()));
}

#[test]
fn a_scan_by_a_guest_harms_nobody_and_stays_within_the_limits() {
    let mut host = whole_link();
    let limits = host.engine.policy().limits;
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    host.make_live(guest(6), guest_mac(6));
    for round in 0u16..12 {
        for number in 0..2_500 {
            let number = u32::from(round) * 2_500 + number;
            let target = Ipv6Addr::from_bits(address("2001:db8:1:2:5ca::").to_bits() | u128::from(number));
            // As many stations as addresses.
            let [_, b, c, d] = number.to_be_bytes();
            host.input(Input::Solicitation(BRIDGE, question_from(guest(5), Mac([2, 5, 5, b, c, d]), target)));
        }
        let sent = host.probes().len();
        assert!(sent <= limits.probes_per_second as usize * 5 / 4, "{sent}");
        assert!(host.engine.known_neighbors() <= limits.pending);
        // The known are answered at once, on both sides; and the router's question for a guest that
        // nobody has heard of is passed on.
        assert!(is_answered(&mut host, GATEWAY) && is_answered(&mut host, neighbor()));
        assert!(host.answers_for(guest(6)));
        let unknown = host.ask(guest(0x100 + round));
        assert!(unknown.iter().any(|output| matches!(output, Output::Solicit(BRIDGE, _))), "{round}");
        assert!(host.engine.known_targets() <= 20, "a scan of neighbors makes no targets");
        advertises(&mut host, MAC);
        host.pass(millis(250));
        host.take();
    }
    host.pass(seconds(120));
    assert_eq!(host.engine.known_neighbors(), 0);
}

#[test]
fn a_guest_that_was_not_known_is_answered_when_the_way_back_to_it_is_in() {
    let mut host = whole_link();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(GATEWAY)));
    let outputs = host.take();
    let position = |what: &dyn Fn(&Output) -> bool| outputs.iter().position(what).unwrap();
    let route = position(&|output| matches!(output, Output::ChangeRoute(_)));
    assert!(route < position(&|output| matches!(output, Output::Advertise(BRIDGE, _))), "{outputs:?}");
    // The kernel takes its time.
    host.engine.handle(Input::Solicitation(BRIDGE, question_from(guest(6), guest_mac(6), GATEWAY)), host.now);
    let outputs: Vec<_> = std::iter::from_fn(|| host.engine.poll_output()).collect();
    assert!(!outputs.iter().any(|output| matches!(output, Output::Advertise(..))), "{outputs:?}");
    let change = outputs.into_iter().find_map(|output| match output {
        Output::ChangeRoute(change) => Some(change),
        _ => None,
    });
    let refused = Outcome::Failed("the kernel says no".to_owned());
    host.input(Input::RouteChanged(change.unwrap(), refused));
    let answered: Vec<_> = advertised(&mut host).iter().map(|answer| answer.destination).collect();
    assert_eq!(answered, [guest(6)]);
}

#[test]
fn an_explanation_says_who_has_an_address_on_the_upstream() {
    let mut host = whole_link();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    let said = |host: &Host, target| {
        let explanation = host.engine.explain(target, host.now);
        let steps = explanation.steps.iter();
        steps.map(|step| format!("{} {}", step.subject.as_str(), step.value)).collect::<Vec<_>>().join("\n")
    };
    let of_neighbor = said(&host, neighbor());
    assert!(of_neighbor.contains("liveness a station on the upstream's own link has it"), "{of_neighbor}");
    assert!(of_neighbor.contains("route its route is added once it is live"), "{of_neighbor}");
    let gateway = address("2001:db8:1:2::1");
    let next_hop = lone64::engine::facts::NextHop::Via(gateway);
    host.facts(vec![Fact::Route(KernelRoute { next_hop, ..crate::host::default_route(UP) })]);
    let of_gateway = said(&host, gateway);
    assert!(of_gateway.contains("exclude the router of the default route has it"), "{of_gateway}");
    let expected = Expected::Dropped(DropReason::Excluded);
    assert_eq!(host.engine.explain(gateway, host.now).outcome, expected);
}

#[test]
fn the_routers_questions_go_on_as_before() {
    let mut host = whole_link();
    host.guests.insert(guest(9), guest_mac(9));
    host.solicit(question(guest(9)));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn the_link_is_not_asked_for_one_that_is_not_found() {
    let mut host = whole_link();
    host.ask(guest(9));
    host.pass(seconds(10));
    let asked = host.take().into_iter().filter(|output| matches!(output, Output::Solicit(UP, _)));
    assert_eq!(asked.count(), 0);
}
