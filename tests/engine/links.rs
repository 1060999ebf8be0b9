//! Downstreams that are missing, down, without a carrier or without a link layer; what is heard where.

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, RouteKind};
use lone64::engine::policy::{Answer, Downstream, RangePolicy, RangeRoutes};
use lone64::engine::{Ear, Event, Input, Loss, Output, Problem, Role, Subject};
use lone64::wire::DropReason;

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, UP, UP_MAC, advertisements, always, bridge, dad, guest, guest_mac, has, link,
    live, net, probes, route, seconds, usual_facts, with,
};

const TUN: IfIndex = IfIndex(7);

/// A host whose downstream is missing at the start.
fn without_bridge(policy: lone64::engine::policy::Policy) -> Host {
    let mut host = Host::bare(policy);
    let facts = usual_facts();
    host.facts(facts.into_iter().filter(|f| !matches!(f, Fact::Link(l) if l.index == BRIDGE)).collect());
    host.input(Input::Synced);
    host
}

/// A host whose guests are behind a link without Neighbor Discovery.
fn with_tun() -> Host {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Named("wg0".parse().unwrap());
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    host.facts(vec![Fact::Link(link(TUN, "wg0", LinkLayer::None))]);
    host.take();
    host
}

fn kernel_route(destination: &str, link: IfIndex) -> KernelRoute {
    KernelRoute { protocol: 3, ..route(destination, RouteKind::Unicast(link)) }
}

#[test]
fn a_missing_downstream_is_a_problem_and_its_targets_are_not_answered_for() {
    for policy in [live(), always()] {
        let mut host = without_bridge(policy);
        let missing = Problem::DownstreamMissing(net("2001:db8:1:2:c::/112"), "lxcbr0".parse().unwrap());
        assert_eq!(host.events()[0], Event::Problem(missing));
        assert_eq!(host.ask(guest(5)), []);
        assert_eq!(host.dropped(DropReason::NoDownstream), 1);
    }
}

#[test]
fn when_it_appears_the_problem_is_solved_and_they_are() {
    let mut host = without_bridge(always());
    host.take();
    host.facts(vec![bridge(LinkState::Up)]);
    assert!(host.events().iter().any(|event| matches!(event, Event::Solved(Problem::DownstreamMissing(..)))));
    assert!(host.answers_for(guest(5)));
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn a_problem_is_told_once() {
    let mut host = without_bridge(live());
    host.take();
    host.facts(vec![has(UP, "2001:db8:1:2::9/64")]);
    host.facts(vec![has(UP, "2001:db8:1:2::10/64")]);
    assert_eq!(host.events(), []);
}

#[test]
fn always_needs_a_downstream_that_is_up_but_no_carrier() {
    for (state, expected) in [(LinkState::Up, true), (LinkState::NoCarrier, true), (LinkState::Down, false)] {
        let mut host = Host::new(always());
        host.facts(vec![bridge(state)]);
        assert_eq!(host.answers_for(guest(5)), expected, "{state:?}");
    }
}

#[test]
fn live_targets_behind_a_downstream_that_goes_down_are_gone_at_once() {
    for end in [bridge(LinkState::Down), bridge(LinkState::NoCarrier), Fact::LinkGone(BRIDGE)] {
        let mut host = Host::new(live());
        host.make_live(guest(5), guest_mac(5));
        host.make_live(guest(6), guest_mac(6));
        host.facts(vec![end.clone()]);
        let gone =
            host.events().iter().filter(|e| matches!(e, Event::Gone(_, BRIDGE, Loss::Downstream))).count();
        assert_eq!((gone, host.engine.known_targets()), (2, 0), "{end:?}");
        assert!(!host.answers_for(guest(5)));
    }
}

#[test]
fn when_it_is_up_again_they_are_found_by_the_next_question() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    host.facts(vec![bridge(LinkState::Up)]);
    host.guests.insert(guest(5), guest_mac(5));
    host.take();
    assert_eq!(advertisements(&host.ask(guest(5))).len(), 1);
}

#[test]
fn a_downstream_that_was_recreated_is_probed_by_its_new_number_and_link_layer_address() {
    let mut host = Host::new(live());
    let (index, mac) = (IfIndex(30), guest_mac(0xb1));
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    host.facts(vec![Fact::Link(link(index, "lxcbr0", LinkLayer::Ethernet(mac))), has(index, "fe80::b1/64")]);
    host.take();
    let outputs = host.ask(guest(5));
    assert!(matches!(outputs[..], [Output::Solicit(on, probe)] if on == index && probe.source_mac == mac));
}

#[test]
fn trouble_of_one_downstream_leaves_the_guests_of_another_alone() {
    let mut host =
        Host::new(with(|policy| policy.ranges.push(crate::host::range("2001:db8:1:2:d::/112", "br1"))));
    host.facts(vec![
        Fact::Link(link(TUN, "br1", LinkLayer::Ethernet(guest_mac(0xb1)))),
        has(TUN, "fe80::b1/64"),
    ]);
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::LinkGone(TUN)]);
    host.take();
    assert!(host.answers_for(guest(5)));
}

#[test]
fn upstream_and_downstream_are_listened_to_each_for_its_part() {
    let mut host = Host::bare(live());
    host.facts(usual_facts());
    let ears: Vec<_> = host.take().into_iter().filter(|o| matches!(o, Output::Listen(..))).collect();
    let (ranges, router) = (vec![net("2001:db8:1:2:c::/112")], net("fe80::1/128"));
    let served = Role::Upstream { ranges, neighbors: vec![router] };
    assert_eq!(
        ears,
        [
            Output::Listen(UP, Ear { mac: UP_MAC, role: served }),
            Output::Listen(BRIDGE, Ear { mac: BRIDGE_MAC, role: Role::Downstream }),
        ]
    );
}

#[test]
fn where_no_guest_is_asked_for_no_downstream_is_listened_to() {
    let mut host = Host::bare(always());
    host.facts(usual_facts());
    assert!(!host.take().iter().any(|output| matches!(output, Output::Listen(BRIDGE, _))));
}

#[test]
fn a_link_that_goes_is_not_listened_to_any_more() {
    let mut host = Host::new(live());
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    assert!(host.take().contains(&Output::Unlisten(BRIDGE)));
}

#[test]
fn a_new_link_layer_address_of_a_downstream_is_in_the_next_probe() {
    let mut host = Host::new(live());
    let mac = guest_mac(0xb1);
    host.facts(vec![Fact::Link(link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(mac)))]);
    assert!(host.take().contains(&Output::Listen(BRIDGE, Ear { mac, role: Role::Downstream })));
    let probe = probes(&host.ask(guest(5)))[0];
    assert_eq!((probe.source_mac, probe.source_link_layer), (mac, Some(mac)));
}

#[test]
fn behind_a_layer_3_downstream_a_target_is_live_while_the_kernel_routes_it_there() {
    let mut host = with_tun();
    assert!(!host.answers_for(guest(5)));
    assert_eq!(host.dropped(DropReason::Absent), 1);
    let peer = kernel_route("2001:db8:1:2:c::5/128", TUN);
    host.facts(vec![Fact::Route(peer.clone())]);
    let outputs = host.ask(guest(5));
    assert_eq!((outputs.len(), advertisements(&outputs).len()), (1, 1), "at once, and no probe");
    assert!(!host.answers_for(guest(6)));
    host.facts(vec![Fact::RouteGone(peer)]);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn behind_a_layer_3_downstream_that_is_not_up_nothing_is_live() {
    for state in [LinkState::Down, LinkState::NoCarrier] {
        let mut host = with_tun();
        host.facts(vec![Fact::Route(kernel_route("2001:db8:1:2:c::/112", TUN))]);
        host.facts(vec![Fact::Link(lone64::engine::facts::Link {
            state,
            ..link(TUN, "wg0", LinkLayer::None)
        })]);
        assert!(!host.answers_for(guest(5)), "{state:?}");
        assert_eq!(host.dropped(DropReason::NoDownstream), 1);
    }
}

#[test]
fn where_the_kernels_routes_decide_a_target_is_probed_where_they_lead() {
    let mut host = Host::new(with(|policy| policy.ranges[0].downstream = Downstream::Kernel));
    host.ask(guest(5));
    assert_eq!(host.dropped(DropReason::NoDownstream), 1, "they lead back to the upstream");
    host.facts(vec![Fact::Route(kernel_route("2001:db8:1:2:c::/112", BRIDGE))]);
    host.take();
    assert!(matches!(host.ask(guest(5))[..], [Output::Solicit(BRIDGE, _)]));
}

#[test]
fn where_a_route_for_more_than_the_range_decides_its_interface_is_listened_to() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Kernel;
        // It would be in the way of the shorter one.
        policy.ranges[0].backstop = false;
    }));
    host.take();
    host.facts(vec![Fact::Route(kernel_route("2001:db8:1:2::/72", BRIDGE))]);
    let ear = Ear { mac: BRIDGE_MAC, role: Role::Downstream };
    assert!(host.take().contains(&Output::Listen(BRIDGE, ear)));
    host.facts(vec![Fact::RouteGone(kernel_route("2001:db8:1:2::/72", BRIDGE))]);
    assert!(host.take().contains(&Output::Unlisten(BRIDGE)));
}

#[test]
fn behind_lo_the_host_owns_the_range_in_always_and_its_addresses_in_live() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Named("lo".parse().unwrap());
        policy.ranges[0].answer = Answer::Always;
    }));
    assert!(host.answers_for(guest(5)));
    let mut host =
        Host::new(with(|policy| policy.ranges[0].downstream = Downstream::Named("lo".parse().unwrap())));
    assert!(!host.answers_for(guest(5)));
    host.facts(vec![has(crate::host::LO, "2001:db8:1:2:c::5/128")]);
    assert!(host.answers_for(guest(5)));
    host.pass(seconds(100));
    assert_eq!(host.engine.counters().probes, 0);
}

#[test]
fn a_tunnel_that_no_program_holds_is_explained_as_one() {
    let mut host = with_tun();
    let wg0 = link(TUN, "wg0", LinkLayer::None);
    host.facts(vec![Fact::Link(Link { state: LinkState::NoCarrier, ..wg0 })]);
    let explanation = host.engine.explain(guest(5), host.now);
    let step = explanation.steps.iter().find(|step| step.subject == Subject::Downstream).unwrap();
    assert_eq!(step.value, "wg0 has no carrier: no program holds the tunnel");
    assert_eq!(step.remedy.as_deref(), Some("start the VPN's program for wg0"));
}

/// Frames and the kernel's word of their link come by different sockets, and a new veth has its carrier
/// before the kernel says so.
#[test]
fn a_guest_that_was_heard_before_its_link_is_said_to_be_up_stays() {
    let mut host = Host::new(live());
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.facts(vec![bridge(LinkState::NoCarrier), bridge(LinkState::Up)]);
    assert!(host.is_live(guest(5)));
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    assert!(!host.is_live(guest(5)), "it was up, and is not any more");
}

#[test]
fn an_upstream_is_not_listened_to_for_a_range_that_nobody_is_answered_for_in() {
    let silent = crate::host::range("2001:db8:1:2:d::/112", "lxcbr0");
    let silent = RangePolicy { answer: Answer::Never, ..silent };
    let mut host = Host::new(with(|policy| policy.ranges.push(silent)));
    host.facts(vec![Fact::LinkGone(UP)]);
    host.take();
    host.facts(usual_facts());
    let heard = host.take().into_iter().find_map(|output| match output {
        Output::Listen(UP, Ear { role: Role::Upstream { ranges, .. }, .. }) => Some(ranges),
        _ => None,
    });
    assert_eq!(heard, Some(vec![net("2001:db8:1:2:c::/112")]));
}
