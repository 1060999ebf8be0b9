//! Guests that are on the router's own link, as a port of the upstream's bridge, where they answer for themselves.

use lone64::engine::facts::{IfIndex, Neighbor, NeighborState};

use super::*;

fn on_link() -> Option<Missing> {
    Some(Missing::OnLink("up0".parse().expect("a name")))
}

/// What it sends there by itself.
fn own_word() -> Advertisement {
    Advertisement { destination: address("ff02::1"), ..reply(guest(5), MAC) }
}

#[test]
fn one_that_is_heard_on_the_upstream_is_said_to_be_there_and_is_not_answered_for() {
    let mut unsolicited = own_word();
    unsolicited.flags.solicited = false;
    let signs = [
        Input::Solicitation(UP, dad(MAC, guest(5))),
        Input::Advertisement(UP, own_word()),
        Input::Advertisement(UP, unsolicited),
        Input::Facts(vec![Fact::Station { bridge: UP, mac: MAC, port: IfIndex(77) }]),
        Input::Facts(vec![Fact::Neighbor(Neighbor {
            link: UP,
            address: guest(5),
            mac: Some(MAC),
            state: NeighborState::Reachable,
        })]),
    ];
    for sign in signs {
        let mut host = Host::new(policy());
        host.input(sign.clone());
        host.pass(seconds(5));
        assert_eq!(missing(&host), on_link(), "{sign:?}");
        assert_eq!((announcements(&host.take()), host.answers_for(guest(5))), (0, false), "{sign:?}");
    }
}

#[test]
fn one_that_comes_from_there_to_a_downstream_is_announced_at_once() {
    let mut host = Host::new(policy());
    let entry = Neighbor { link: UP, address: guest(5), mac: Some(MAC), state: NeighborState::Reachable };
    host.facts(vec![Fact::Neighbor(entry)]);
    host.input(Input::Advertisement(UP, own_word()));
    host.guests.insert(guest(5), MAC);
    host.take();
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(millis(10));
    assert_eq!((announcements(&host.take()), missing(&host)), (1, None));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn one_that_goes_there_is_let_go_within_a_second() {
    let word = Advertisement { flags: Flags { solicited: false, ..own_word().flags }, ..own_word() };
    let station = Fact::Station { bridge: UP, mac: MAC, port: IfIndex(77) };
    for sign in [Input::Advertisement(UP, word), Input::Facts(vec![station])] {
        let mut host = Host::new(policy()).with_guest(guest(5), MAC);
        host.input(Input::Arrived(BRIDGE, MAC));
        host.pass(seconds(10));
        host.guests.clear();
        host.take();
        host.input(sign.clone());
        host.pass(millis(950));
        assert_eq!(moves(&host.take()), [GuestMove::Left(BRIDGE, MAC)], "{sign:?}");
        assert_eq!((missing(&host), host.answers_for(guest(5))), (on_link(), false), "{sign:?}");
    }
}

#[test]
fn one_that_replies_here_stays_although_its_mac_was_heard_there() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    let station = Fact::Station { bridge: UP, mac: MAC, port: IfIndex(77) };
    host.input(Input::Facts(vec![station]));
    host.pass(seconds(2));
    assert!(host.answers_for(guest(5)) && missing(&host).is_none());
}

/// Anybody on another link can send with its MAC.
#[test]
fn one_that_is_written_on_an_interface_comes_back_there_only() {
    let elsewhere = lone64::engine::facts::IfIndex(9);
    let mut wanted = policy();
    Arc::make_mut(&mut wanted.guests[0]).interface = "lxcbr0".parse().ok();
    wanted.ranges[0].downstream = lone64::engine::policy::Downstream::Matching(
        ["lxcbr0", "br1"].map(|name| name.parse().unwrap()).to_vec(),
    );
    let mut host = Host::new(wanted);
    host.facts(vec![
        Fact::Link(link(elsewhere, "br1", LinkLayer::Ethernet(BRIDGE_MAC))),
        has(elsewhere, "fe80::b1/64"),
    ]);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    host.pass(seconds(5));
    assert!(!host.is_live(guest(5)), "it has gone");
    host.input(Input::Arrived(elsewhere, MAC));
    host.pass(seconds(1));
    assert!(!host.is_live(guest(5)));
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(1));
    assert!(host.is_live(guest(5)));
}

/// It cannot have the address.
/// RARP and gratuitous ARP, which a guest sends that has just come and is silent otherwise.
#[test]
fn what_stations_say_without_ipv6_is_heard_as_long_as_a_guest_is_known_by_its_mac() {
    let heard = |host: &mut Host| -> Vec<bool> {
        let said = |output| if let Output::HearArrivals(are_heard) = output { Some(are_heard) } else { None };
        host.take().into_iter().filter_map(said).collect()
    };
    let mut host = Host::bare(policy());
    host.facts(crate::host::usual_facts());
    host.input(Input::Synced);
    assert_eq!(heard(&mut host), [true]);
    host.input(Input::Reload(Box::new(policy())));
    assert_eq!(heard(&mut host), [false; 0]);
    host.input(Input::Reload(Box::new(crate::host::live())));
    assert_eq!(heard(&mut host), [false]);
}

#[test]
fn what_is_announced_for_a_group_of_stations_says_nothing_of_a_guest() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.take();
    let group = Mac([0x33, 0x33, 0, 0, 0, 1]);
    let said = Advertisement { target_link_layer: Some(group), source_mac: OTHER, ..announced_elsewhere() };
    host.input(Input::Advertisement(UP, said));
    assert!(probes(&host.take()).iter().all(|probe| probe.target != guest(5)));
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    assert!(probes(&host.take()).iter().any(|probe| probe.target == guest(5)));
}

#[test]
fn what_the_kernel_says_of_it_on_a_downstream_does_not_bring_it_there() {
    let entry = Neighbor { link: BRIDGE, address: guest(5), mac: Some(MAC), state: NeighborState::Stale };
    let mut host = Host::new(policy());
    host.facts(vec![Fact::Neighbor(entry)]);
    assert_ne!(missing(&host), Some(Missing::OnLink("lxcbr0".parse().expect("a name"))));
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.take();
    host.facts(vec![Fact::Neighbor(Neighbor { state: NeighborState::Reachable, ..entry })]);
    assert_eq!(probes(&host.take()), [], "it has not left");
}

/// A stranger could send with its MAC there, and each such frame would take a probe.
#[test]
fn one_that_is_heard_there_is_not_asked_while_probes_are_scarce() {
    let mut wanted = policy();
    wanted.limits.probes_per_second = 4;
    let mut host = Host::new(wanted).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    for number in 100..120 {
        host.ask(guest(number));
    }
    host.take();
    host.input(Input::Solicitation(UP, dad(MAC, guest(9))));
    assert!(probes(&host.take()).iter().all(|probe| probe.target != guest(5)));
}
