//! Ranges by suffix: they are under whatever /64 the upstream has.

use lone64::engine::bindings::Problem;
use lone64::engine::facts::{AddressState, Fact, IfIndex, KernelRoute, LinkLayer, RouteKind};
use lone64::engine::policy::{Origin, Policy, RangePolicy};
use lone64::engine::{Change, Event, Input, Output};
use lone64::wire::Mac;

use crate::host::{
    BRIDGE, Host, UP, address, guest, guest_mac, has, host_address, link, net, question, range, route, with,
};

fn suffix() -> Policy {
    with(|policy| {
        policy.ranges.clear();
        policy.suffixes = vec![RangePolicy {
            exclude: vec![net("::c:0:0:1/128")],
            origin: Origin::Suffix,
            ..range("::c:0:0:0/112", "lxcbr0")
        }];
    })
}

fn prefixes(host: &Host) -> Vec<String> {
    host.engine.policy().ranges.iter().map(|range| range.prefix.to_string()).collect()
}

fn gone(text: &str) -> Fact {
    Fact::AddressGone { link: UP, address: address(text) }
}

fn on_link(prefix: &str, link: IfIndex) -> KernelRoute {
    KernelRoute { protocol: 9, ..route(prefix, RouteKind::Unicast(link)) }
}

#[test]
fn is_put_under_the_upstreams_64_with_its_routes_and_exclusions() {
    let mut host = Host::new(suffix()).with_guest(guest(5), guest_mac(5));
    assert_eq!(prefixes(&host), ["2001:db8:1:2:c::/112"]);
    assert_eq!(host.engine.policy().ranges[0].exclude, [net("2001:db8:1:2:c::1/128")]);
    assert!(host.kernel.iter().all(|route| route.destination == net("2001:db8:1:2:c::/112")));
    assert_eq!(host.kernel.len(), 2, "a route and a backstop");
    host.solicit(question(guest(5)));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_new_64_is_served_at_once_and_the_old_one_until_it_is_gone() {
    let mut host = Host::new(suffix());
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![has(UP, "2001:db8:9:9::2/64")]);
    assert_eq!(prefixes(&host), ["2001:db8:1:2:c::/112", "2001:db8:9:9:c::/112"]);
    assert_eq!(host.kernel.len(), 4);
    let old = host_address(UP, "2001:db8:1:2::2/64", AddressState::Deprecated);
    host.facts(vec![Fact::Address(old)]);
    assert!(host.answers_for(guest(5)));
    host.take();
    host.facts(vec![gone("2001:db8:1:2::2")]);
    let outputs = host.take();
    let removed = outputs.iter().filter(|output| matches!(output, Output::ChangeRoute(Change::Remove(_))));
    assert_eq!(removed.count(), 2);
    let told = crate::host::events(&outputs);
    assert!(
        told.iter().any(|event| matches!(event, Event::Withdrawn(range) if range.origin == Origin::Suffix))
    );
    assert_eq!(prefixes(&host), ["2001:db8:9:9:c::/112"]);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn what_routes_say_is_on_link_counts_too_and_keeps_the_range() {
    let mut host = Host::new(suffix());
    let advertised = on_link("2001:db8:1:2::/64", UP);
    host.facts(vec![Fact::Route(advertised.clone()), gone("2001:db8:1:2::2")]);
    assert_eq!(prefixes(&host), ["2001:db8:1:2:c::/112"]);
    host.facts(vec![Fact::RouteGone(advertised)]);
    assert_eq!(prefixes(&host), [""; 0]);
    assert!(host.kernel.is_empty());
}

#[test]
fn neither_tentative_nor_link_local_addresses_nor_those_of_others_count() {
    let mut host = Host::new(suffix());
    let tentative = host_address(UP, "2001:db8:9:9::2/64", AddressState::Tentative);
    host.facts(vec![Fact::Address(tentative), has(BRIDGE, "2001:db8:8:8::1/64")]);
    host.facts(vec![Fact::Route(on_link("2001:db8:8:8::/64", BRIDGE)), has(UP, "2001:db8:7:7::5/128")]);
    assert_eq!(prefixes(&host), ["2001:db8:1:2:c::/112"]);
}

#[test]
fn without_any_64_the_suffix_is_a_problem_until_there_is_one() {
    let mut host = Host::new(suffix());
    host.facts(vec![gone("2001:db8:1:2::2")]);
    let problem = Problem::NoPrefixForSuffix(net("::c:0:0:0/112"));
    assert!(host.events().contains(&Event::Problem(problem.clone())));
    host.facts(vec![has(UP, "2001:db8:9:9::2/64")]);
    assert!(host.events().contains(&Event::Solved(problem)));
}

#[test]
fn a_reload_that_leaves_the_range_as_it_is_does_not_tell_of_it_again() {
    let mut host = Host::new(suffix()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    let mut policy = suffix();
    policy.upstreams[0].router = !policy.upstreams[0].router;
    host.take();
    host.input(Input::Reload(Box::new(policy)));
    let told = host.events();
    assert!(!told.iter().any(|event| matches!(event, Event::Serving(_) | Event::Withdrawn(_))), "{told:?}");
    assert!(host.answers_for(guest(5)));
}

#[test]
fn follows_the_upstream_that_it_names() {
    let other = IfIndex(7);
    let mut policy = suffix();
    policy.suffixes[0].upstream = Some("up1".parse().unwrap());
    policy.upstreams[0].interface = lone64::engine::policy::UpstreamInterface::Named("up1".parse().unwrap());
    let mut host = Host::new(policy);
    assert_eq!(prefixes(&host), [""; 0]);
    host.facts(vec![
        Fact::Link(link(other, "up1", LinkLayer::Ethernet(Mac([2; 6])))),
        has(other, "2001:db8:7:7::2/64"),
    ]);
    assert_eq!(prefixes(&host), ["2001:db8:7:7:c::/112"]);
}

#[test]
fn a_flood_of_advertised_prefixes_makes_few_ranges() {
    let mut host = Host::new(suffix());
    let many = (0..1_000u32).map(|n| Fact::Route(on_link(&format!("2001:db8:{n:x}:5::/64"), UP)));
    host.facts(many.collect());
    assert_eq!(prefixes(&host).len(), 16);
    assert_eq!(prefixes(&host).iter().filter(|prefix| *prefix == "2001:db8:1:2:c::/112").count(), 1);
}
