//! What others hear and read of next hops, and what is told of routes that have several.

use super::*;

#[test]
fn a_strangers_check_is_refused_while_the_next_hop_is_there() {
    let mut host = with_router(host(automatic(), &[to("fe80::5")]), "fe80::5", 5);
    let stranger = Mac([2, 0, 0, 0, 9, 9]);
    assert!(host.answers_for(behind(7)));
    assert!(host.answer_to(dad(stranger, behind(7))).is_some());
    host.guests.clear();
    host.pass(seconds(70));
    assert!(host.answer_to(dad(stranger, behind(9))).is_none());
}

#[test]
fn a_station_on_the_upstream_that_has_the_address_wins() {
    let mut host = with_router(host(automatic(), &[to("fe80::5")]), "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
    host.input(Input::Advertisement(UP, reply(behind(7), Mac([2, 0, 0, 0, 9, 9]))));
    assert!(!host.answers_for(behind(7)));
    assert!(host.answers_for(behind(8)));
}

#[test]
fn a_scan_of_what_is_behind_a_silent_one_costs_few_probes_and_little_memory() {
    let mut host = host(automatic(), &[to("fe80::5")]);
    for number in 0..5_000 {
        host.solicit(question(behind(number)));
    }
    assert_eq!(host.probes().len(), 1);
    assert_eq!(host.dropped(DropReason::PendingFull), 5_000 - 4_096);
    assert_eq!(host.engine.known_targets(), 0);
    host.pass(seconds(4));
    assert_eq!(host.dropped(DropReason::Absent), 4_096);
    // And the first that is there is answered at once.
    let mut host = with_router(host, "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
}

#[test]
fn an_explanation_names_the_next_hop_and_foretells_the_answer() {
    for policy in policies() {
        let mut host = host(policy, &[to("fe80::5")]);
        let liveness = |host: &Host| {
            let said = host.engine.explain(behind(7), host.now);
            let step =
                said.steps.iter().find(|step| step.subject == Subject::Liveness).expect("a step").clone();
            (said.outcome, step.holds, step.value)
        };
        let expect = |host: &Host, outcome, holds, words: &str| {
            let said = liveness(host);
            assert_eq!((said.0, said.1), (outcome, holds), "{}", said.2);
            assert!(
                said.2.starts_with("behind the next hop fe80::5 on lxcbr0, ") && said.2.contains(words),
                "{}",
                said.2
            );
        };
        expect(&host, Expected::Probed, Holds::Open, "nothing is known");
        host.ask(behind(7));
        expect(&host, Expected::Probing, Holds::Open, "is being asked");
        host.pass(seconds(4));
        expect(&host, Expected::Probed, Holds::Open, "is silent");
        let mut host = with_router(host, "fe80::5", 5);
        assert!(host.answers_for(behind(7)));
        host.pass(millis(2_500));
        expect(&host, Expected::Answered, Holds::Yes, "which was seen 2 s ago");
        host.facts(vec![bridge(LinkState::NoCarrier)]);
        assert_eq!(
            host.engine.explain(behind(7), host.now).outcome,
            Expected::Dropped(DropReason::NoDownstream)
        );
    }
}

#[test]
fn what_is_known_of_next_hops_may_be_looked_at() {
    let mut host = host(automatic(), &[to("fe80::5"), via("2001:db8:1:2:e::/80", "fe80::6", OTHER)]);
    host.ask(behind(7));
    host.advertise(address("fe80::5"), guest_mac(5));
    let known: Vec<_> = host.engine.known_hops().map(|(hop, state)| (hop.link, hop.address, state)).collect();
    assert!(
        matches!(&known[0], (BRIDGE, router, Some(State::Live(_))) if *router == address("fe80::5")),
        "{known:?}"
    );
    assert_eq!(known[1], (OTHER, address("fe80::6"), None));
    host.facts(vec![Fact::RouteGone(to("fe80::5"))]);
    assert_eq!(host.engine.known_hops().count(), 1);
}

#[test]
fn routes_are_read_again_when_one_of_several_links_of_a_route_is_switched_off() {
    let mut host = host(automatic(), &[to("fe80::5"), via(PREFIX, "fe80::6", OTHER)]);
    host.facts(vec![bridge(LinkState::Down)]);
    assert!(host.take().contains(&Output::Resync), "the kernel does not say which of them are left");
}

#[test]
fn no_router_among_several_of_a_default_route_is_answered_for() {
    let router = |text: &str| Fact::Route(via("::/0", text, UP));
    let mut policy = written();
    policy.ranges[0].answer = Answer::Always;
    let routers = [guest(1), guest(2), guest(3)];
    let mut host = host(policy, &[]);
    host.facts(routers.iter().map(|address| router(&address.to_string())).collect());
    for address in routers {
        assert!(!host.answers_for(address), "{address}");
    }
    assert!(host.answers_for(guest(4)));
}

#[test]
fn a_guest_elsewhere_is_answered_for_it_and_one_beside_the_router_is_not() {
    let mut policy = written();
    policy.ranges.push(range("2001:db8:1:2:b::/80", "br1"));
    policy.ranges.iter_mut().for_each(|range| range.proxy_downstream = true);
    let mut host = host(policy, &[to("fe80::5")]);
    let asks = |host: &mut Host, link, from: &str| {
        host.take();
        host.input(Input::Solicitation(
            link,
            crate::host::question_from(address(from), guest_mac(0x55), behind(7)),
        ));
        host.take()
    };
    assert_eq!(asked(&asks(&mut host, OTHER, "2001:db8:1:2:b::5")), [address("fe80::5")]);
    host.advertise(address("fe80::5"), guest_mac(5));
    assert!(matches!(host.take()[..], [.., Output::Advertise(OTHER, answer)] if answer.target == behind(7)));
    assert_eq!(advertisements(&asks(&mut host, OTHER, "2001:db8:1:2:b::5")).len(), 1);
    assert_eq!(advertisements(&asks(&mut host, BRIDGE, "2001:db8:1:2:c::6")), []);
}

#[test]
fn limits_and_timers_of_a_reload_hold_for_next_hops_too() {
    let mut host = with_router(host(written(), &[to("fe80::5")]), "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
    let mut policy = written();
    policy.timers.keepalive = seconds(10);
    host.input(Input::Reload(Box::new(policy)));
    host.guests.clear();
    host.pass(seconds(14));
    assert!(!host.answers_for(behind(7)));
}

#[test]
fn one_that_the_kernel_cannot_reach_is_asked_soon_and_what_is_behind_it_goes_with_it() {
    use lone64::engine::facts::{Neighbor, NeighborState};
    for policy in policies() {
        let mut host = with_router(host(policy, &[to("fe80::5")]), "fe80::5", 5);
        let found = Event::HopLive(address("fe80::5"), BRIDGE, guest_mac(5));
        assert!(crate::host::events(&host.ask(behind(7))).contains(&found));
        assert!(host.answers_for(behind(7)));
        let failed =
            Neighbor { link: BRIDGE, address: address("fe80::5"), mac: None, state: NeighborState::Failed };
        host.guests.clear();
        host.facts(vec![Fact::Neighbor(failed)]);
        host.pass(seconds(5));
        assert!(!host.answers_for(behind(7)), "long before it would be asked anyway");
    }
}
