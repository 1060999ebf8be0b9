//! Which side of the bridge a station is on decides what the kernel's word about it is worth.

use super::*;
use lone64::engine::policy::{Backend, GuestAddresses, GuestPolicy};
use lone64::engine::{GuestMove, State};

const UNSEEN: Mac = Mac([2, 0, 0, 0, 0x5e, 2]);

fn entry(target: Ipv6Addr, mac: Mac, state: NeighborState) -> Fact {
    Fact::Neighbor(Neighbor { link: UP, address: target, mac: Some(mac), state })
}

#[test]
fn what_the_kernel_has_found_is_a_guest_on_the_guests_side_only() {
    use NeighborState::{Permanent, Reachable, Stale};
    let table = [
        (guest_mac(5), [(Reachable, true), (Permanent, true), (Stale, true)]),
        (STRANGER, [(Reachable, false), (Permanent, false), (Stale, false)]),
        (UNSEEN, [(Reachable, false), (Permanent, false), (Stale, false)]),
    ];
    for (mac, states) in table {
        for (state, is_live) in states {
            let mut host = host(policy(Answer::Live));
            host.facts(vec![entry(guest(9), mac, state)]);
            let is_known = matches!(host.engine.target(guest(9)), Some(State::Live(_)));
            assert_eq!(is_known, is_live, "{mac} {state:?}");
        }
    }
}

#[test]
fn one_that_the_kernel_reaches_on_the_routers_side_has_its_address() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    host.facts(vec![entry(guest(5), STRANGER, NeighborState::Stale)]);
    assert!(host.answers_for(guest(5)), "that is old");
    host.facts(vec![entry(guest(5), STRANGER, NeighborState::Reachable)]);
    assert!(!host.answers_for(guest(5)));
    assert!(host.engine.conflicts().any(|(target, mac, _)| (target, mac) == (guest(5), STRANGER)));
}

#[test]
fn a_frame_of_a_station_on_neither_side_makes_us_ask_where_the_router_is() {
    let mut host = Host::bare(policy(Answer::Live));
    host.facts(facts());
    host.input(Input::Synced);
    host.pass(Duration::from_secs(10));
    host.take();
    host.solicit(question_from(address("fe80::77"), UNSEEN, guest(6)));
    let asked: Vec<_> = probes(&host.take()).iter().map(|probe| probe.target).collect();
    assert_eq!(asked, [address(ROUTER)]);
    // Where the router is known, a station of which nothing is known makes nobody ask.
    let mut host = self::host(policy(Answer::Live));
    host.pass(Duration::from_secs(10));
    host.take();
    host.solicit(question_from(address("fe80::77"), STRANGER, guest(6)));
    assert!(probes(&host.take()).iter().all(|probe| probe.target != address(ROUTER)));
}

/// It would answer guests, too.
#[test]
fn there_is_no_program_in_the_kernel() {
    let mut policy = policy(Answer::Live);
    policy.upstreams[0].backend = Backend::Tc;
    let mut host = Host::bare(policy);
    host.facts(facts());
    host.input(Input::Synced);
    host.facts(vec![station(ROUTER_MAC, ETH), router_known()]);
    assert!(!host.take().iter().any(|output| matches!(output, Output::Program(..))));
    assert_eq!(host.engine.no_program(UP), Some(lone64::engine::NoProgram::OwnBridge));
}

/// The provider has put another router in the place of the first, behind another port.
#[test]
fn the_port_of_a_router_that_is_none_any_more_is_a_guests_port_like_others() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    let to = |router: &str| {
        Fact::Route(KernelRoute { next_hop: NextHop::Via(address(router)), ..default_route(UP) })
    };
    let Fact::Route(before) = to(ROUTER) else { panic!() };
    let next = Mac([0, 0, 0x5e, 0, 0x53, 2]);
    let known =
        Neighbor { link: UP, address: address("fe80::2"), mac: Some(next), state: NeighborState::Reachable };
    host.facts(vec![to("fe80::2"), station(next, OTHER_TAP), Fact::Neighbor(known)]);
    host.facts(vec![Fact::RouteGone(before)]);
    host.take();
    host.solicit(question_from(address("fe80::77"), STRANGER, guest(5)));
    assert_eq!((host.answers(), host.dropped(DropReason::NotUpstream)), (vec![], 1));
    host.solicit(question_from(address("fe80::2"), next, guest(5)));
    assert_eq!(host.answers().len(), 1);
}

/// The kernel may have reached the router before the bridge tells where its station is.
#[test]
fn the_routers_port_is_known_as_soon_as_the_bridge_tells_it_and_no_other_is_taken_for_it() {
    let mut host = Host::bare(policy(Answer::Live));
    host.facts(facts());
    host.input(Input::Synced);
    host.facts(vec![router_known(), station(guest_mac(5), TAP)]);
    host.take();
    host.solicit(question(guest(6)));
    assert!(probes(&host.take()).iter().all(|probe| probe.target != guest(6)));
    host.facts(vec![station(ROUTER_MAC, ETH), station(guest_mac(6), OTHER_TAP)]);
    host.take();
    assert_eq!(asked_and_found(&mut host, guest(6), guest_mac(6)).len(), 1);
    host.solicit(question_from(address("fe80::77"), guest_mac(6), guest(5)));
    assert_eq!(host.answers(), []);
}

/// The same word comes from the router's side when a guest has moved to another host.
#[test]
fn a_guest_with_an_identity_comes_on_the_guests_side_alone() {
    let identity = |mac| GuestPolicy {
        name: "web5".to_owned(),
        mac: Some(mac),
        interface: "up0".parse().ok(),
        addresses: GuestAddresses::Listed(vec![guest(5)]),
        delegate: Vec::new(),
        pin: false,
        guard: None,
    };
    for (mac, has_come) in [(guest_mac(5), true), (STRANGER, false)] {
        for sign in [Input::Solicitation(UP, dad(mac, guest(5))), Input::Arrived(UP, mac)] {
            let mut policy = policy(Answer::Live);
            policy.guests = vec![identity(mac).into()];
            let mut host = host(policy);
            host.input(sign.clone());
            let is_arrival = |event: &Event| matches!(event, Event::GuestMoved(_, GuestMove::Arrived(UP)));
            assert_eq!(host.events().iter().any(is_arrival), has_come, "{mac} {sign:?}");
        }
    }
}

#[test]
fn where_the_router_is_is_asked_once_a_second_and_again_at_once_when_it_can_be_heard() {
    let mut host = Host::bare(policy(Answer::Live));
    host.facts(facts());
    host.input(Input::Synced);
    host.pass(Duration::from_secs(10));
    host.take();
    let asks = |host: &mut Host| {
        host.solicit(question_from(address("fe80::77"), UNSEEN, guest(6)));
        let asked = probes(&host.take()).iter().filter(|probe| probe.target == address(ROUTER)).count();
        host.pass(Duration::from_millis(500));
        host.take();
        asked
    };
    assert_eq!([asks(&mut host), asks(&mut host), asks(&mut host), asks(&mut host)], [1, 0, 1, 0]);
    assert_eq!(asks(&mut host), 1);
    host.input(Input::EarChanged(UP, lone64::engine::Outcome::Done));
    let asked = probes(&host.take()).iter().filter(|probe| probe.target == address(ROUTER)).count();
    assert_eq!(asked, 1);
    // Where the router is matters on its own bridge alone.
    assert!(host.engine.minds_ports());
    let mut host = Host::new(live());
    assert!(!host.engine.minds_ports());
    host.input(Input::EarChanged(UP, lone64::engine::Outcome::Done));
    assert_eq!(probes(&host.take()), []);
}

#[test]
fn an_explanation_says_that_packets_go_to_the_guests_port() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    let steps = host.engine.explain(guest(5), host.now).steps;
    let said: Vec<_> = steps.iter().map(|step| step.value.as_str()).collect();
    assert!(said.contains(&"packets for it leave by up0, to the guest's port"), "{said:?}");
}

/// As hosts ask for each other: a guest would take a check of its address for a conflict, and give it up.
#[test]
fn the_link_is_asked_who_has_the_address_of_a_guest_on_it() {
    let mut policy = policy(Answer::Live);
    policy.upstreams[0].announce = Announce::Yes;
    let mut host = host(policy);
    let probe = probes(&host.ask(guest(5)));
    assert_eq!(probe.len(), 1);
    says(&mut host, guest(5), guest_mac(5));
    host.pass(Duration::from_secs(2));
    let outputs = host.take();
    let asked: Vec<_> = probes(&outputs).into_iter().filter(|asked| asked.target == guest(5)).collect();
    assert!(asked.len() == 1 && !asked[0].is_dad() && asked[0].source_mac == UP_MAC, "{asked:?}");
}

#[test]
fn what_the_kernel_says_of_a_guest_is_no_rivals_word() {
    for state in [NeighborState::Reachable, NeighborState::Permanent] {
        let mut host = host(policy(Answer::Live));
        asked_and_found(&mut host, guest(5), guest_mac(5));
        host.facts(vec![entry(guest(5), guest_mac(5), state)]);
        assert_eq!(host.engine.conflicts().count(), 0, "{state:?}");
        assert!(host.answers_for(guest(5)), "{state:?}");
    }
}
