//! Signs of life: from whom they are believed, and from whom not.

mod claims;

use lone64::engine::facts::{Fact, IfIndex, LinkLayer, Neighbor, NeighborState};
use lone64::engine::policy::{Answer, Downstream};
use lone64::engine::{Event, Evidence, Input, NeighborChange, Output, State};
use lone64::wire::{Advertisement, Mac};

use crate::host::{
    BRIDGE, Host, UP, address, always, dad, guest, guest_mac, has, link, live, millis, question_from, range,
    reply, seconds, with,
};

const OTHER: IfIndex = IfIndex(4);

fn evidence(host: &Host) -> Option<Evidence> {
    match host.engine.target(guest(5)) {
        Some(State::Live(live)) => Some(live.evidence),
        _ => None,
    }
}

fn neighbor(state: NeighborState, mac: Option<Mac>) -> Fact {
    Fact::Neighbor(Neighbor { link: BRIDGE, address: guest(5), mac, state })
}

/// The usual host with one more bridge, that no range names.
fn host_with_another_bridge() -> Host {
    let mut host = Host::new(live());
    let other = link(OTHER, "other0", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 0xee])));
    host.facts(vec![Fact::Link(other), has(OTHER, "fe80::ee/64")]);
    host
}

#[test]
fn a_guest_that_advertises_itself_is_live() {
    let mut host = Host::new(live());
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(evidence(&host), Some(Evidence::Probe));
    assert_eq!(host.events(), [Event::Live(guest(5), BRIDGE, Some(guest_mac(5)), Evidence::Probe)]);
}

#[test]
fn a_guest_that_asks_for_something_is_live() {
    let mut host = Host::new(live());
    let asks = question_from(guest(5), guest_mac(5), address("fe80::5054:ff:fe00:b0"));
    host.input(Input::Solicitation(BRIDGE, asks));
    assert_eq!(evidence(&host), Some(Evidence::Neighbor));
}

#[test]
fn a_guest_that_checks_for_duplicates_is_live() {
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(evidence(&host), Some(Evidence::Dad));
}

/// Packets may wait in the kernel, which has asked while the guest could not reply yet.
#[test]
fn a_guest_that_checks_its_address_is_asked_as_soon_as_it_has_it() {
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.take();
    host.pass(millis(1000));
    assert_eq!(host.probes(), [], "it would not reply yet");
    // Its clock may be late, so a few times.
    for (by, number) in [(millis(20), 1), (millis(130), 4), (millis(800), 0)] {
        host.pass(by);
        let probes = host.probes();
        assert_eq!(probes.len(), number);
        let are_for_all = probes.iter().all(|probe| probe.destination.is_multicast());
        assert!(are_for_all, "only then the reply has to tell its MAC");
    }
    host.advertise(guest(5), guest_mac(5));
    assert!(host.is_live(guest(5)));
}

/// As a container that is stopped and started anew.
#[test]
fn a_guest_that_comes_back_with_another_mac_is_asked_by_its_group_once_it_has_its_address() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.take();
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(66), guest(5))));
    host.pass(millis(1000));
    assert_eq!(host.probes(), [], "it would not reply yet");
    host.pass(millis(20));
    let probes = host.probes();
    assert_eq!(probes.len(), 1);
    assert!(probes[0].destination.is_multicast());
    host.advertise(guest(5), guest_mac(66));
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(l)) if l.mac == Some(guest_mac(66))));
}

/// Nothing in DAD tells the kernel that what it holds of the address is past.
#[test]
fn a_guest_that_checks_its_address_makes_the_kernel_forget_another_that_had_it() {
    let mut host = Host::new(live());
    let forgotten = |host: &mut Host| -> Vec<_> {
        let changes = host.take().into_iter().filter_map(|output| match output {
            Output::ChangeNeighbor(change) => Some(change),
            _ => None,
        });
        changes.collect()
    };
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(forgotten(&mut host), [NeighborChange::Forget(BRIDGE, guest(5), Some(guest_mac(5)))]);
    host.advertise(guest(5), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(forgotten(&mut host), [], "it was there before");
    for _ in 0..3 {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(66), guest(5))));
    }
    assert_eq!(forgotten(&mut host), [NeighborChange::Forget(BRIDGE, guest(5), Some(guest_mac(66)))]);
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(7), address("2001:db8:1:2:d::7"))));
    assert_eq!(forgotten(&mut host), [], "that is outside of the range");
}

#[test]
fn guests_that_check_addresses_without_end_leave_half_of_the_probes() {
    let probes_per_second = 3_000;
    let mut host = Host::new(with(|policy| policy.limits.probes_per_second = probes_per_second));
    for number in 0..4_000 {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(number))));
    }
    let changes = host.take().iter().filter(|output| matches!(output, Output::ChangeNeighbor(_))).count();
    assert_eq!(changes, probes_per_second as usize / 2 + 1);
}

/// Or a guest could put off the end of a claim that another makes.
#[test]
fn dad_with_another_mac_does_not_delay_a_claim() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["*r0".parse().unwrap()]);
    }));
    let other = link(OTHER, "other0", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 0xee])));
    host.facts(vec![Fact::Link(other), has(OTHER, "fe80::ee/64")]);
    host.make_live(guest(5), guest_mac(5));
    host.take();
    host.input(Input::Solicitation(OTHER, dad(guest_mac(66), guest(5))));
    let forget = NeighborChange::Forget(OTHER, guest(5), Some(guest_mac(66)));
    assert!(host.take().contains(&Output::ChangeNeighbor(forget)), "it may have been there before");
    host.pass(millis(100));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(77), guest(5))));
    host.pass(millis(900));
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(l)) if l.link == OTHER));
}

#[test]
fn a_guest_that_checks_its_address_with_the_mac_that_is_known_is_not_asked() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.take();
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.pass(seconds(3));
    assert_eq!(host.probes(), []);
}

#[test]
fn a_neighbor_that_the_kernel_has_confirmed_is_live() {
    for state in [NeighborState::Reachable, NeighborState::Permanent] {
        let mut host = Host::new(live());
        host.facts(vec![neighbor(state, Some(guest_mac(5)))]);
        assert_eq!(evidence(&host), Some(Evidence::Neighbor), "{state:?}");
    }
}

#[test]
fn one_that_it_knew_some_time_ago_is_believed_and_asked_at_once() {
    let mut host = Host::new(live());
    host.facts(vec![neighbor(NeighborState::Stale, Some(guest_mac(5)))]);
    assert_eq!(evidence(&host), Some(Evidence::Neighbor));
    host.take();
    host.pass(millis(250));
    assert_eq!(host.probes().len(), 1);
}

#[test]
fn one_that_it_has_not_is_not() {
    use NeighborState::{Failed, Incomplete, Noarp};
    for state in [Incomplete, Failed, Noarp] {
        let mut host = Host::new(live());
        host.facts(vec![neighbor(state, Some(guest_mac(5)))]);
        assert_eq!(evidence(&host), None, "{state:?}");
    }
}

#[test]
fn a_neighbor_without_a_link_layer_address_is_not_live() {
    let mut host = Host::new(live());
    host.facts(vec![neighbor(NeighborState::Reachable, None)]);
    assert_eq!(evidence(&host), None);
}

#[test]
fn whoever_waits_is_answered_for_every_kind_of_sign() {
    let signs: [fn(&mut Host); 3] = [
        |host| host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5)))),
        |host| {
            let asks = question_from(guest(5), guest_mac(5), address("fe80::5054:ff:fe00:b0"));
            host.input(Input::Solicitation(BRIDGE, asks));
        },
        |host| host.facts(vec![neighbor(NeighborState::Reachable, Some(guest_mac(5)))]),
    ];
    for sign in signs {
        let mut host = Host::new(live());
        host.ask(guest(5));
        sign(&mut host);
        assert_eq!(host.answers().len(), 1);
    }
}

#[test]
fn nothing_heard_on_the_upstream_makes_a_guest_live() {
    let mut host = Host::new(live());
    host.input(Input::Advertisement(UP, reply(guest(5), guest_mac(5))));
    host.facts(vec![Fact::Neighbor(Neighbor {
        link: UP,
        address: guest(5),
        mac: Some(guest_mac(5)),
        state: NeighborState::Reachable,
    })]);
    assert_eq!((evidence(&host), host.engine.known_targets()), (None, 0));
}

#[test]
fn nothing_heard_on_a_link_that_is_not_the_ranges_makes_a_guest_live() {
    let mut host = host_with_another_bridge();
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(5))));
    host.input(Input::Solicitation(OTHER, dad(guest_mac(5), guest(5))));
    assert_eq!(host.engine.known_targets(), 0);
}

#[test]
fn nor_does_it_move_a_guest_that_is_live() {
    let mut host = host_with_another_bridge();
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(66))));
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(l)) if l.mac == Some(guest_mac(5))));
}

#[test]
fn a_guest_of_one_range_cannot_claim_an_address_of_another_downstreams() {
    let mut host = Host::new(with(|policy| policy.ranges.push(range("2001:db8:1:2:d::/112", "other0"))));
    let other = link(OTHER, "other0", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 0xee])));
    host.facts(vec![Fact::Link(other)]);
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(66))));
    host.advertise(address("2001:db8:1:2:d::5"), guest_mac(66));
    assert_eq!(host.engine.known_targets(), 0);
}

#[test]
fn a_guest_cannot_claim_an_address_of_the_host() {
    for owner in [BRIDGE, UP] {
        let mut host = Host::new(live());
        host.facts(vec![has(owner, "2001:db8:1:2:c::5/128")]);
        host.advertise(guest(5), guest_mac(5));
        assert_eq!(evidence(&host), None, "{owner}");
    }
}

#[test]
fn a_station_that_no_frame_could_go_to_is_not_believed() {
    for mac in [Mac([0; 6]), Mac([0xff; 6]), Mac([0x33, 0x33, 0, 0, 0, 1])] {
        let mut host = Host::new(live());
        host.input(Input::Advertisement(
            BRIDGE,
            Advertisement { target_link_layer: Some(mac), ..reply(guest(5), guest_mac(5)) },
        ));
        assert_eq!(evidence(&host), None, "{mac}");
    }
}

#[test]
fn where_nobody_is_probed_for_nothing_is_remembered() {
    let never = with(|policy| policy.ranges[0].answer = Answer::Never);
    for policy in [always(), never] {
        let mut host = Host::new(policy);
        host.advertise(guest(5), guest_mac(5));
        assert_eq!(host.engine.known_targets(), 0);
    }
}

/// Neither does one that makes it again and again: who had the address is asked once, and its silence counts.
#[test]
fn a_claim_that_is_repeated_comes_through_as_soon_as_one_that_is_not() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["*r0".parse().unwrap()]);
    }));
    let other = link(OTHER, "other0", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 0xee])));
    host.facts(vec![Fact::Link(other), has(OTHER, "fe80::ee/64")]);
    host.make_live(guest(5), guest_mac(5));
    for _ in 0..50 {
        host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(66))));
        host.pass(millis(100));
    }
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(l)) if l.link == OTHER));
}
