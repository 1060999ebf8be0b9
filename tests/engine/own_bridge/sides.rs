//! Which side of the bridge a station is on decides what the kernel's word about it is worth.

use super::*;
use lone64::engine::State;
use lone64::engine::policy::Backend;

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
