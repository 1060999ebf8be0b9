//! Addresses of the host itself: never those of the upstream, always those of other interfaces.

use lone64::engine::Input;
use lone64::engine::facts::{
    AddressState, Fact, IfIndex, KernelRoute, LinkLayer, LinkState, NextHop, RouteKind,
};
use lone64::engine::policy::{Answer, RangeRoutes};
use lone64::wire::DropReason;

use crate::host::{
    BRIDGE, Host, LO, UP, address, advertisements, always, bridge, default_route, guest, guest_mac, has,
    host_address, link, live, range, route, usual_facts, with,
};

#[test]
fn addresses_of_the_upstream_are_never_answered_for() {
    for policy in [live(), always()] {
        let mut host = Host::new(policy);
        host.facts(vec![has(UP, "2001:db8:1:2:c::7/64")]);
        assert_eq!(host.ask(guest(7)), []);
        assert_eq!(host.dropped(DropReason::UpstreamAddress), 1);
    }
}

#[test]
fn not_even_in_whatever_state_they_are() {
    for state in [AddressState::Preferred, AddressState::Deprecated, AddressState::Tentative] {
        let mut host = Host::new(always());
        host.facts(vec![Fact::Address(host_address(UP, "2001:db8:1:2:c::7/64", state))]);
        assert!(!host.answers_for(guest(7)), "{state:?}");
    }
}

#[test]
fn a_live_target_whose_address_the_upstream_gets_is_not_answered_for_any_more() {
    let mut host = Host::new(live());
    host.make_live(guest(7), guest_mac(7));
    host.facts(vec![has(UP, "2001:db8:1:2:c::7/64")]);
    assert!(!host.answers_for(guest(7)));
}

#[test]
fn an_address_on_the_upstream_and_on_a_downstream_is_the_kernels() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::7/112"), has(UP, "2001:db8:1:2:c::7/64")]);
    assert!(!host.answers_for(guest(7)));
}

#[test]
fn the_guests_gateway_on_the_downstream_is_answered_for_without_a_probe() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    let outputs = host.ask(guest(1));
    assert_eq!((outputs.len(), advertisements(&outputs).len()), (1, 1));
}

#[test]
fn so_is_an_address_on_lo_or_on_an_interface_that_no_range_names() {
    let dummy = IfIndex(9);
    for owner in [LO, dummy] {
        let mut host = Host::new(live());
        host.facts(vec![Fact::Link(link(dummy, "dummy0", LinkLayer::Ethernet(guest_mac(99))))]);
        host.facts(vec![has(owner, "2001:db8:1:2:c::1/128")]);
        assert!(host.answers_for(guest(1)), "{owner}");
    }
}

#[test]
fn it_is_answered_for_while_the_downstream_has_no_guest_and_no_carrier() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112"), bridge(LinkState::NoCarrier)]);
    assert!(host.answers_for(guest(1)));
}

#[test]
fn a_tentative_address_of_a_downstream_is_not_answered_for() {
    let mut host = Host::new(live());
    host.facts(vec![Fact::Address(host_address(BRIDGE, "2001:db8:1:2:c::1/112", AddressState::Tentative))]);
    assert!(!host.answers_for(guest(1)));
}

#[test]
fn an_address_that_the_host_loses_is_a_target_like_any_other() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert!(host.answers_for(guest(1)));
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: guest(1) }]);
    assert!(!host.answers_for(guest(1)), "it is probed for first");
}

#[test]
fn an_interface_that_goes_takes_its_addresses_along() {
    let mut host = Host::new(always());
    host.facts(vec![has(LO, "2001:db8:1:2:c::1/128"), Fact::LinkGone(LO)]);
    assert!(host.engine.links().owners(guest(1)).next().is_none());
}

#[test]
fn an_address_of_an_interface_of_which_word_was_lost_goes_when_everything_is_read_anew() {
    let mut host = Host::new(live());
    host.facts(vec![has(IfIndex(9), "2001:db8:1:2:c::1/128")]);
    assert!(host.answers_for(guest(1)));
    host.input(Input::Snapshot(usual_facts()));
    assert!(!host.answers_for(guest(1)), "it is probed for first");
}

#[test]
fn an_address_of_the_host_outside_the_ranges_is_not_answered_for() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:d::1/112")]);
    assert!(!host.answers_for(address("2001:db8:1:2:d::1")));
    assert_eq!(host.dropped(DropReason::NoRange), 1);
}

/// The kernel answers for it as soon as it knows that nobody else has it.
#[test]
fn who_waits_for_a_guest_whose_address_the_upstream_is_checking_meanwhile_gets_no_answer() {
    let mut host = Host::new(live());
    host.ask(guest(7));
    let checked = host_address(UP, "2001:db8:1:2:c::7/64", AddressState::Tentative);
    host.facts(vec![Fact::Address(checked)]);
    host.take();
    host.advertise(guest(7), guest_mac(7));
    assert_eq!((host.answers(), host.dropped(DropReason::UpstreamAddress)), (vec![], 1));
}

/// The kernel would look for them on the upstream's link, where nobody is known to be.
#[test]
fn what_the_host_takes_of_its_link_is_answered_for_also_beside_an_address_of_its_own() {
    let mut host = Host::new(with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:c::/112", "lo")];
        (policy.ranges[0].answer, policy.ranges[0].routes) = (Answer::Always, RangeRoutes::None);
    }));
    let on_link =
        KernelRoute { protocol: 2, metric: 256, ..route("2001:db8:1:2::/64", RouteKind::Unicast(UP)) };
    host.facts(vec![Fact::Route(on_link)]);
    assert!(host.answers_for(guest(5)));
    host.facts(vec![has(UP, "2001:db8:1:2:c::9/128")]);
    assert!(host.answers_for(guest(5)));
    // A router there.
    let router = KernelRoute { next_hop: NextHop::Via(guest(8)), ..default_route(UP) };
    host.facts(vec![Fact::Route(router)]);
    assert!(!host.answers_for(guest(5)));
}
