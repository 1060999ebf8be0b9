//! Guests that say nothing, guests that end, and guests that begin.

use lone64::engine::facts::{Fact, LinkState};
use lone64::engine::policy::Limits;
use lone64::engine::{Event, Evidence, Input, Loss};

use crate::host::{dad, guest, millis, seconds};
use crate::village::{Village, mac_on, veth, veth_link};

#[test]
fn a_quiet_guest_keeps_its_route_for_ten_minutes_and_costs_a_probe_a_minute() {
    let mut village = Village::new(1, Limits::default());
    village.settle(guest(5), 0);
    village.ask(guest(5));
    village.changes.clear();
    village.probes.clear();
    village.pass(seconds(600));
    assert_eq!(village.route_of(guest(5)), [veth(0)]);
    assert_eq!(village.changes, [], "the route was never touched");
    assert!((9..=10).contains(&village.probes.len()), "{} probes", village.probes.len());
    assert!(village.probes.iter().all(|(_, _, probe)| probe.destination == guest(5)), "to it alone");
    assert_eq!(village.ask(guest(5)), 1, "answered at once");
}

#[test]
fn a_guest_that_was_killed_without_a_trace_is_withdrawn_after_the_keepalives() {
    let mut village = Village::new(1, Limits::default());
    village.settle(guest(5), 0);
    village.ask(guest(5));
    village.leave(guest(5), 0);
    village.pass(seconds(59));
    assert_eq!(village.route_of(guest(5)), [veth(0)]);
    village.pass(seconds(5));
    assert_eq!(village.route_of(guest(5)), []);
    assert!(village.events.contains(&Event::Gone(guest(5), veth(0), Loss::Unanswered)));
}

#[test]
fn a_downstream_that_goes_ends_its_guests_and_their_routes_at_once() {
    for fact in [Fact::LinkGone(veth(0)), Fact::Link(veth_link(0, LinkState::NoCarrier))] {
        let mut village = Village::new(2, Limits::default());
        for (number, downstream) in [(5, 0), (6, 0), (7, 1)] {
            village.settle(guest(number), downstream);
            village.ask(guest(number));
        }
        village.input(Input::Facts(vec![fact]));
        assert_eq!([5, 6, 7].map(|number| village.place_of(guest(number))), [None, None, Some(veth(1))]);
        assert_eq!(village.route_of(guest(5)), []);
        assert_eq!(village.route_of(guest(7)), [veth(1)]);
    }
}

#[test]
fn a_guest_that_appears_is_answered_for_at_the_first_question_after_its_dad() {
    let mut village = Village::new(3, Limits::default());
    village.input(Input::Solicitation(veth(1), dad(mac_on(1), guest(5))));
    village.settle(guest(5), 1);
    village.probes.clear();
    assert_eq!(village.ask(guest(5)), 1);
    assert_eq!(village.probes, [], "nobody had to be asked for it");
    assert_eq!(village.route_of(guest(5)), [veth(1)]);
    village.pass(seconds(30));
    assert_eq!(village.place_of(guest(5)), Some(veth(1)), "and it has replied since");
}

#[test]
fn a_guest_whose_dad_came_to_nothing_is_forgotten_within_seconds() {
    let mut village = Village::new(1, Limits::default());
    village.input(Input::Solicitation(veth(0), dad(mac_on(0), guest(5))));
    assert!(village.events.contains(&Event::Live(guest(5), veth(0), Some(mac_on(0)), Evidence::Dad)));
    village.pass(seconds(6));
    assert_eq!(village.place_of(guest(5)), None);
    assert_eq!(village.route_of(guest(5)), []);
}

#[test]
fn an_absence_ends_with_the_first_sign_of_life() {
    let mut village = Village::new(1, Limits::default());
    village.ask(guest(5));
    village.pass(millis(3_100));
    assert_eq!(village.place_of(guest(5)), None);
    village.announce(guest(5), 0);
    assert_eq!(village.ask(guest(5)), 1);
}

#[test]
fn nothing_happens_on_a_host_where_nothing_happens() {
    let mut village = Village::new(50, Limits::default());
    assert_eq!(village.engine.next_timeout(), None, "an idle daemon sleeps");
    village.pass(seconds(3_600));
    assert!(village.probes.is_empty());
}
