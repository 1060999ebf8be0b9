//! `lone64 doctor --live` in front of routers that are choosy: real ones, with filters of nftables. It says which leg
//! is broken by what, and is not content with what only looks like an answer.

use super::traveller::{TO, Traveller, bridge};
use crate::daemon::Settings;
use crate::endpoint::PATIENCE;
use crate::lab::{C, Lab};
use crate::namespace::eventually;

crate::cases![
    is_not_content_with_an_announcement_where_answers_are_not_taken,
    finds_that_the_router_takes_answers_from_the_target_only,
    finds_that_the_router_takes_answers_from_a_global_address_only,
    finds_that_link_local_discovery_is_dropped_both_ways,
    passes_a_router_that_drops_unsolicited_advertisements,
    finds_that_the_router_admits_two_addresses_only,
    finds_that_the_router_admits_three_addresses_for_a_mac,
    finds_that_the_router_takes_no_advertisement_for_a_fourth_address,
    finds_a_reverse_path_filter_on_the_router,
    is_not_content_with_what_the_router_itself_says,
    tells_what_the_router_refuses,
    does_not_blame_the_router_for_a_silent_destination,
    passes_a_prefix_that_is_routed_here,
    does_not_rely_on_the_entry_that_its_own_question_made,
    does_not_rely_on_an_entry_that_the_host_has_made,
    leaves_no_entry_of_the_gateway,
];

/// With these rules in a table of the router, in the order in which they are asked.
fn with(settings: &Settings, hook: &str, rules: &[&str]) -> Traveller {
    let traveller = Traveller::new(Lab::veth(), settings);
    filter(&traveller, hook, rules);
    traveller
}

fn filter(traveller: &Traveller, hook: &str, rules: &[&str]) {
    let router = &traveller.patient.lab.router;
    traveller.nft(
        router,
        &format!("add table ip6 t\nadd chain ip6 t {hook} {{ type filter hook {hook} priority 0; }}"),
    );
    for rule in rules {
        traveller.nft(router, &format!("add rule ip6 t {hook} {rule}"));
    }
}

fn line(key: &str, value: &str) -> String {
    format!("[[upstream]]\ninterface = \"up0\"\n{key} = \"{value}\"\n")
}

fn is_source(traveller: &Traveller, value: &str) {
    let remedies = traveller.is_lost(&[], "reply", &["does not take", "asked for"]);
    assert_eq!(remedies, [line("source", value)]);
}

/// The announcement asks for the gateway from the guest's address, which makes an entry in the router; when that has
/// aged, the guest is lost.
fn is_not_content_with_an_announcement_where_answers_are_not_taken() {
    let mut traveller = with(
        &bridge().upstream("source = \"scope\"\n"),
        "input",
        &["iifname \"rt0\" icmpv6 type nd-neighbor-advert ip6 saddr != 2001:db8:1:2::/64 drop"],
    );
    is_source(&traveller, "target");
    traveller.restart(&bridge().upstream("source = \"target\"\n"));
    traveller.holds(&[]);
}

fn finds_that_the_router_takes_answers_from_the_target_only() {
    let mut traveller = with(
        &bridge().upstream("source = \"global\"\n"),
        "input",
        &[&format!("iifname \"rt0\" icmpv6 type nd-neighbor-advert ip6 saddr != {C} drop")],
    );
    is_source(&traveller, "target");
    traveller.restart(&bridge().upstream("source = \"target\"\n"));
    traveller.holds(&[]);
}

fn finds_that_the_router_takes_answers_from_a_global_address_only() {
    let mut traveller = with(
        &bridge().upstream("source = \"target\"\n"),
        "input",
        &["iifname \"rt0\" icmpv6 type nd-neighbor-advert ip6 saddr != 2001:db8:1:2::2 drop"],
    );
    is_source(&traveller, "global");
    traveller.restart(&bridge().upstream("source = \"global\"\n"));
    traveller.holds(&[]);
}

fn finds_that_link_local_discovery_is_dropped_both_ways() {
    let traveller = Traveller::new(Lab::veth(), &bridge().upstream("gateway-source = \"kernel\"\n"));
    let kinds = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }";
    for (hook, way) in [("input", "iifname"), ("output", "oifname")] {
        let rule = |end: &str| format!("{way} \"rt0\" {kinds} ip6 {end} fe80::/10 drop");
        filter(&traveller, hook, &[&rule("saddr"), &rule("daddr")]);
    }
    traveller.forget();
    let words = [
        "Neighbor Discovery of link-local addresses is dropped, both ways",
        "a global address for the gateway",
    ];
    traveller.is_lost(&[], "request", &words);
    // With a gateway of that kind, a key is all that is missing.
    traveller.patient.lab.host.ip("route replace default via 2001:db8:1:2::1 dev up0");
    traveller.forget();
    let remedies =
        traveller.is_lost(&[], "request", &["the gateway 2001:db8:1:2::1", "from a link-local address"]);
    assert_eq!(remedies, [line("gateway-source", "global")]);
}

fn passes_a_router_that_drops_unsolicited_advertisements() {
    // The S flag is the second bit of the byte behind the checksum (RFC 4861 §4.4).
    let traveller = with(
        &bridge(),
        "input",
        &["iifname \"rt0\" icmpv6 type nd-neighbor-advert @th,32,8 & 0x40 == 0 drop"],
    );
    traveller.holds(&[]);
}

fn finds_that_the_router_admits_two_addresses_only() {
    let traveller = with(
        &bridge(),
        "prerouting",
        &[
            "iifname \"rt0\" ip6 saddr fe80::/10 accept",
            "iifname \"rt0\" ip6 saddr != { 2001:db8:1:2::2, 2001:db8:1:2::3 } drop",
        ],
    );
    is_filtered_by_source(&traveller);
}

fn finds_that_the_router_admits_three_addresses_for_a_mac() {
    let traveller = Traveller::new(Lab::veth(), &bridge());
    let router = &traveller.patient.lab.router;
    traveller.nft(router, "add table netdev t");
    traveller.nft(router, "add set netdev t taken { type ether_addr . ipv6_addr; size 3; flags dynamic; }");
    traveller.nft(router, "add chain netdev t in { type filter hook ingress device \"rt0\" priority 0; }");
    traveller.nft(router, "add rule netdev t in ip6 saddr != 2001:db8:1:2::/64 accept");
    traveller.nft(router, "add rule netdev t in add @taken { ether saddr . ip6 saddr } accept");
    traveller.nft(router, "add rule netdev t in drop");
    // The host's own, and two guests before this one.
    traveller.nft(
        router,
        "add element netdev t taken { 02:00:00:00:00:02 . 2001:db8:1:2::2, 02:00:00:00:00:02 . 2001:db8:1:2:c::1, \
         02:00:00:00:00:02 . 2001:db8:1:2:c::5 }",
    );
    is_filtered_by_source(&traveller);
}

fn is_filtered_by_source(traveller: &Traveller) {
    let words =
        ["drops what comes from", "what the host itself sends comes back", "so many addresses for one MAC"];
    let remedies = traveller.is_lost(&[], "solicitation", &words);
    assert!(remedies[0].contains("ask the provider") && remedies[0].contains(C), "{remedies:?}");
}

fn finds_that_the_router_takes_no_advertisement_for_a_fourth_address() {
    // The target is behind the first eight bytes (RFC 4861 §4.4).
    let traveller = with(
        &bridge(),
        "input",
        &[
            "iifname \"rt0\" icmpv6 type nd-neighbor-advert @th,64,128 != { 0x20010db8000100020000000000000002, \
           0x20010db800010002000c000000000005 } drop",
            &format!("iifname \"rt0\" icmpv6 type nd-neighbor-solicit ip6 saddr {C} drop"),
        ],
    );
    let remedies = traveller.is_lost(
        &[],
        "reply",
        &["does not take", "the same from the target, a global and a link-local address"],
    );
    assert!(remedies[0].contains("how many") && remedies[0].contains("routed prefix"), "{remedies:?}");
}

fn finds_a_reverse_path_filter_on_the_router() {
    let traveller = with(&bridge(), "prerouting", &["iifname \"rt0\" fib saddr . iif oif missing drop"]);
    // Its own table says that the guests are elsewhere.
    traveller.patient.lab.router.ip(&format!("route add {C} via {TO} dev rt1"));
    is_filtered_by_source(&traveller);
}

/// It answers what ends at itself, and lets nothing through that comes from behind it.
fn is_not_content_with_what_the_router_itself_says() {
    let traveller = with(&bridge(), "forward", &[&format!("oifname \"rt0\" ip6 daddr {C} drop")]);
    let words = ["hop limit exceeded", "does not hand on", "what comes for the host itself does"];
    let remedies = traveller.is_lost(&[], "reply", &words);
    assert!(remedies[0].contains("firewall") && remedies[0].contains(C), "{remedies:?}");
}

fn tells_what_the_router_refuses() {
    let traveller = with(
        &bridge(),
        "forward",
        &[&format!("iifname \"rt0\" ip6 saddr {C} reject with icmpv6 type policy-fail")],
    );
    traveller.is_lost(&[], "reply", &["refuses", "source address failed ingress policy"]);
}

fn does_not_blame_the_router_for_a_silent_destination() {
    let traveller = Traveller::usual();
    traveller.nft(
        &traveller.world,
        "add table ip6 t\nadd chain ip6 t i { type filter hook input priority 0; }\n\
         add rule ip6 t i icmpv6 type echo-request drop",
    );
    let remedies = traveller.is_lost(&[], "reply", &["for the host itself neither"]);
    assert!(remedies[0].contains("--to"), "{remedies:?}");
}

/// Nobody asks for anything, and all is well; only that is not shown which did not happen.
fn passes_a_prefix_that_is_routed_here() {
    let traveller = Traveller::usual();
    traveller.patient.lab.router.ip(&format!("route add {C} via fe80::2 dev rt0"));
    let live = traveller.holds(&[]);
    let holds: Vec<_> =
        live["legs"].as_array().expect("legs").iter().map(|leg| leg["holds"].clone()).collect();
    assert_eq!(holds, ["yes", "open", "open", "yes", "yes"], "{live:#}");
}

/// A gateway with a global address, of which the host knows nothing: the kernel asks for it from a global address for the
/// host's own packets, and from a link-local one for those of guests.
fn with_a_global_gateway() -> Traveller {
    let settings = bridge().upstream("gateway-source = \"kernel\"\nannounce = false\n");
    let traveller = Traveller::new(Lab::veth(), &settings);
    traveller.patient.lab.host.ip("route replace default via 2001:db8:1:2::1 dev up0");
    filter(
        &traveller,
        "input",
        &["iifname \"rt0\" icmpv6 type nd-neighbor-solicit ip6 saddr fe80::/10 drop"],
    );
    traveller.forget();
    traveller
}

fn does_not_rely_on_the_entry_that_its_own_question_made() {
    let traveller = with_a_global_gateway();
    let remedies = traveller.is_lost(&[], "request", &["2001:db8:1:2::1", "from a link-local address"]);
    assert_eq!(remedies, [line("gateway-source", "global")]);
}

fn does_not_rely_on_an_entry_that_the_host_has_made() {
    let traveller = with_a_global_gateway();
    traveller.patient.shell(&format!("ping -c 1 -W 60 {TO}"));
    let remedies =
        traveller.is_lost(&[], "request", &["as long as the host's own packets keep", "2001:db8:1:2::1"]);
    assert_eq!(remedies, [line("gateway-source", "global")]);
}

fn leaves_no_entry_of_the_gateway() {
    let traveller = Traveller::usual();
    // Nobody else asks for it meanwhile.
    let neighbors = || traveller.patient.lab.host.show("neigh show dev up0");
    eventually("the host knows nobody on the upstream", PATIENCE, || {
        traveller.forget();
        neighbors().trim().is_empty().then_some(())
    });
    let before = traveller.state();
    traveller.holds(&[]);
    assert_eq!(traveller.state(), before);
}
