//! Guests whose mask is too short: known by what they ask their own link for.

use lone64::engine::{Event, Input, WideMask};

use crate::host::{BRIDGE, Host, address, dad, guest, guest_mac, has, live, question_from};

fn asks(host: &mut Host, asked_for: &str) -> Vec<WideMask> {
    let question = question_from(guest(5), guest_mac(5), address(asked_for));
    host.input(Input::Solicitation(BRIDGE, question));
    host.engine.wide_masks().map(|(_, mask)| mask).collect()
}

#[test]
fn a_guest_that_asks_its_own_link_for_a_neighbor_of_the_upstream_is_told_of_once() {
    let mut host = Host::new(live());
    let wide = WideMask { guest: guest(5), asked_for: address("2001:db8:1:2::1") };
    assert_eq!(asks(&mut host, "2001:db8:1:2::1"), [wide]);
    assert!(host.events().contains(&Event::WideMask(guest(5), BRIDGE, wide.asked_for)));
    asks(&mut host, "2001:db8:1:2::77");
    assert!(!host.events().iter().any(|event| matches!(event, Event::WideMask(..))), "one line for a link");
}

#[test]
fn what_every_guest_asks_for_says_nothing_of_its_mask() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    // Its gateway, by both addresses; another guest; something far away; and its own detection.
    for asked_for in ["fe80::1", "2001:db8:1:2:c::1", "2001:db8:1:2:c::6", "2001:db8:9::1"] {
        assert_eq!(asks(&mut host, asked_for), [], "{asked_for}");
    }
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(host.engine.wide_masks().count(), 0);
}

#[test]
fn strangers_on_a_downstream_say_nothing_of_guests() {
    let mut host = Host::new(live());
    let stranger = question_from(address("2001:db8:1:2:d::5"), guest_mac(5), address("2001:db8:1:2::1"));
    host.input(Input::Solicitation(BRIDGE, stranger));
    assert_eq!(host.engine.wide_masks().count(), 0);
}

#[test]
fn a_link_that_goes_takes_its_knowledge_along() {
    let mut host = Host::new(live());
    asks(&mut host, "2001:db8:1:2::1");
    host.facts(vec![lone64::engine::facts::Fact::LinkGone(BRIDGE)]);
    assert_eq!(host.engine.wide_masks().count(), 0);
}

/// A guest may ask from its link-local address, which says nothing of its mask.
#[test]
fn who_asks_from_no_guests_address_is_not_told_of() {
    let mut host = Host::new(live());
    let question = question_from(address("fe80::5"), guest_mac(5), address("2001:db8:1:2::1"));
    host.input(Input::Solicitation(BRIDGE, question));
    assert_eq!(host.engine.wide_masks().count(), 0);
}

#[test]
fn who_asks_for_the_host_itself_is_not_told_of() {
    let mut host = Host::new(live());
    assert_eq!(asks(&mut host, "2001:db8:1:2::2"), []);
}
