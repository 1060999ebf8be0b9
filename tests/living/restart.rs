//! What a predecessor left: its routes are the memory.

use lone64::engine::facts::Fact;
use lone64::engine::policy::Limits;
use lone64::engine::{Change, Input};

use crate::host::{guest, seconds};
use crate::village::{Village, guest_route, veth};

fn village_that_was_left(routes: &[(u16, u32)]) -> Village {
    let mut village = Village::unsynced(2, Limits::default());
    for (number, downstream) in routes {
        let route = guest_route(guest(*number), *downstream);
        village.leave_route(route.clone());
        village.input(Input::Facts(vec![Fact::Route(route)]));
    }
    village
}

#[test]
fn guests_whose_routes_were_left_are_answered_for_at_the_first_question() {
    let mut village = village_that_was_left(&[(5, 0), (6, 1)]);
    village.settle(guest(5), 0);
    village.input(Input::Synced);
    assert_eq!(village.ask(guest(5)), 1);
    assert!(!village.changes.iter().any(|change| matches!(change, Change::Remove(_))));
}

#[test]
fn guests_that_have_gone_in_the_meantime_are_withdrawn() {
    let mut village = village_that_was_left(&[(5, 0), (6, 1)]);
    village.settle(guest(5), 0);
    village.input(Input::Synced);
    village.pass(seconds(10));
    assert_eq!(village.route_of(guest(5)), [veth(0)]);
    assert_eq!(village.route_of(guest(6)), []);
}

#[test]
fn a_route_to_a_downstream_that_is_not_there_any_more_is_removed() {
    let mut village = village_that_was_left(&[(5, 7)]);
    village.input(Input::Synced);
    assert_eq!(village.route_of(guest(5)), []);
    assert_eq!(village.place_of(guest(5)), None);
}
