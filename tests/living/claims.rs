//! Guests that move, and guests that claim what is another's.

use lone64::engine::facts::{Fact, LinkState};
use lone64::engine::policy::Limits;
use lone64::engine::{Change, Event, Input};

use crate::host::{address, dad, guest, guest_mac, has, millis, question_from};
use crate::village::{Village, guest_route, mac_on, veth, veth_link};

fn village_with_a_guest_on_veth0() -> Village {
    let mut village = Village::new(3, Limits::default());
    village.settle(guest(5), 0);
    village.ask(guest(5));
    assert_eq!(village.place_of(guest(5)), Some(veth(0)));
    village.changes.clear();
    village.events.clear();
    village
}

#[test]
fn a_guest_is_asked_for_on_every_downstream_and_found_on_its_own() {
    let village = village_with_a_guest_on_veth0();
    let asked: Vec<_> = village.probes.iter().map(|(_, link, _)| *link).collect();
    assert_eq!(asked, [veth(0), veth(1), veth(2)]);
    assert_eq!(village.route_of(guest(5)), [veth(0)]);
}

#[test]
fn a_guest_that_moved_is_followed_within_a_second_and_answered_for_meanwhile() {
    let mut village = village_with_a_guest_on_veth0();
    village.leave(guest(5), 0);
    village.settle(guest(5), 1);
    village.announce(guest(5), 1);
    assert_eq!(village.ask(guest(5)), 1);
    village.pass(millis(999));
    assert_eq!(village.place_of(guest(5)), Some(veth(1)));
    assert_eq!(
        village.changes,
        [Change::Remove(guest_route(guest(5), 0)), Change::Add(guest_route(guest(5), 1)),]
    );
    assert!(village.events.contains(&Event::Moved(guest(5), veth(0), veth(1), mac_on(1))));
}

#[test]
fn a_guest_that_moved_back_and_forth_ends_where_it_is() {
    let mut village = village_with_a_guest_on_veth0();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        village.leave(guest(5), from);
        village.settle(guest(5), to);
        village.announce(guest(5), to);
        village.pass(millis(1_500));
        assert_eq!(village.place_of(guest(5)), Some(veth(to)));
        assert_eq!(village.route_of(guest(5)), [veth(to)]);
    }
}

#[test]
fn a_guest_whose_old_downstream_goes_away_is_followed_at_once() {
    let mut village = village_with_a_guest_on_veth0();
    village.leave(guest(5), 0);
    village.announce(guest(5), 2);
    village.input(Input::Facts(vec![Fact::LinkGone(veth(0))]));
    assert_eq!(village.place_of(guest(5)), Some(veth(2)));
}

#[test]
fn a_claim_from_a_downstream_that_went_down_comes_to_nothing() {
    let mut village = village_with_a_guest_on_veth0();
    village.leave(guest(5), 0);
    village.announce(guest(5), 1);
    village.input(Input::Facts(vec![Fact::Link(veth_link(1, LinkState::Down))]));
    village.pass(millis(2_000));
    assert_ne!(village.place_of(guest(5)), Some(veth(1)));
}

#[test]
fn nobody_takes_the_address_of_a_guest_that_replies() {
    let mut village = village_with_a_guest_on_veth0();
    let claims = [
        Input::Advertisement(veth(1), crate::host::reply(guest(5), mac_on(1))),
        Input::Solicitation(veth(1), dad(mac_on(1), guest(5))),
        Input::Solicitation(veth(1), question_from(guest(5), mac_on(1), address("fe80::1:1"))),
    ];
    for claim in claims {
        village.input(claim);
        village.pass(millis(3_000));
        assert_eq!(village.place_of(guest(5)), Some(veth(0)));
    }
    assert_eq!(village.changes, []);
    assert!(village.events.contains(&Event::Contested(guest(5), veth(0), veth(1), mac_on(1))));
}

#[test]
fn nobody_becomes_the_host_the_gateway_or_anything_outside_the_range() {
    let mut village = village_with_a_guest_on_veth0();
    village.input(Input::Facts(vec![has(veth(2), "2001:db8:1:2:c::1/128")]));
    for claimed in ["2001:db8:1:2:c::1", "2001:db8:1:2::2", "2001:db8:1:2:d::5", "fe80::1"] {
        village.announce(address(claimed), 1);
        village.input(Input::Solicitation(veth(1), dad(mac_on(1), address(claimed))));
        assert_eq!(village.place_of(address(claimed)), None, "{claimed}");
    }
    assert_eq!(village.changes, []);
}

#[test]
fn a_gateway_inside_the_range_cannot_be_claimed() {
    let mut village = village_with_a_guest_on_veth0();
    let mut default = crate::host::default_route(crate::host::UP);
    default.next_hop = lone64::engine::facts::NextHop::Via(guest(1));
    village.input(Input::Facts(vec![Fact::Route(default)]));
    village.announce(guest(1), 1);
    assert_eq!(village.place_of(guest(1)), None);
}

#[test]
fn a_guest_with_a_new_link_layer_address_on_the_same_downstream_is_the_same_guest() {
    let mut village = village_with_a_guest_on_veth0();
    village.input(Input::Advertisement(veth(0), crate::host::reply(guest(5), guest_mac(99))));
    assert_eq!(village.place_of(guest(5)), Some(veth(0)));
    assert_eq!(village.changes, []);
}
