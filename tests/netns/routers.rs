//! Routers that take little, that keep old entries, that differ, and that take over from each other; with an empty
//! configuration.

use std::net::Ipv6Addr;

use serde_json::Value;

use crate::client::status;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::mac;
use crate::lab::{D, FAR, GATEWAY, GUEST, Lab, PLAIN, ROUTER, ROUTER_AT_LARGE, UPSTREAM_GLOBAL};
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;
use crate::provider::reaches;
use crate::solicitation::{Asker, Solicitation};

crate::cases![
    an_old_entry_gives_way_where_unsolicited_advertisements_are_dropped,
    an_entry_that_the_router_keeps_for_27_seconds_gives_way_at_once,
    a_filter_by_source_is_got_round_while_announcements_bring_entries,
    link_local_discovery_that_is_dropped_both_ways_is_got_round,
    two_routers_with_different_filters_reach_the_guests,
    a_router_takes_over_with_the_same_mac,
    a_router_takes_over_with_another_mac,
];

fn start(lab: &Lab) -> Daemon {
    Daemon::start(lab, Settings::default().without_upstream().without_sentinels())
}

fn lab() -> (Lab, Namespace) {
    let lab = Lab::behind_a_switch();
    lab.host.ip(&format!("route add {D} dev gv1"));
    let far = lab.far();
    (lab, far)
}

fn drops(router: &Namespace, rule: &str) {
    router.output("nft", "add table ip6 provider");
    router.output("nft", "add chain ip6 provider in { type filter hook prerouting priority -300 ; }");
    router.output("nft", &format!("add rule ip6 provider in iifname \"rt0\" {rule} drop"));
}

/// The router checks after seconds whether what it knows is still right.
fn confirms_soon(router: &Namespace) {
    router.sysctls(&[
        ("net/ipv6/neigh/rt0/base_reachable_time_ms", "2000"),
        ("net/ipv6/neigh/rt0/delay_first_probe_time", "1"),
    ]);
}

fn reached(far: &Namespace, what: &str) {
    for guest in [GUEST, PLAIN] {
        eventually(what, PATIENCE, || reaches(far, guest).then_some(()));
    }
}

/// Another station had the addresses of the guests, and the router keeps what it knows in this state.
fn knows_others(router: &Namespace, state: &str) {
    for guest in [GUEST, PLAIN] {
        router.ip(&format!("neigh replace {guest} lladdr 02:00:00:00:00:99 dev rt0 nud {state}"));
    }
}

fn an_old_entry_gives_way_where_unsolicited_advertisements_are_dropped() {
    let (lab, far) = lab();
    drops(&lab.router, "icmpv6 type nd-neighbor-advert ip6 daddr ff02::1");
    lab.router.sysctls(&[("net/ipv6/neigh/rt0/delay_first_probe_time", "3600")]);
    for state in ["stale", "reachable"] {
        knows_others(&lab.router, state);
        let daemon = start(&lab);
        // They are known to be there.
        lab.guest.ping(&GATEWAY.to_string());
        lab.plain.ping("2001:db8:1:2:d::1");
        reached(&far, "the guests are reached");
        daemon.stop();
    }
}

fn an_entry_that_the_router_keeps_for_27_seconds_gives_way_at_once() {
    let (lab, far) = lab();
    lab.router.sysctls(&[
        ("net/ipv6/neigh/rt0/delay_first_probe_time", "27"),
        ("net/ipv6/neigh/rt0/base_reachable_time_ms", "27000"),
        ("net/ipv6/neigh/rt0/gc_stale_time", "3600"),
    ]);
    for state in ["stale", "reachable"] {
        knows_others(&lab.router, state);
        assert!(!reaches(&far, GUEST), "the router does not keep it");
        let daemon = start(&lab);
        lab.guest.ping(&GATEWAY.to_string());
        lab.plain.ping("2001:db8:1:2:d::1");
        reached(&far, "the guests are reached");
        daemon.stop();
    }
}

fn a_filter_by_source_is_got_round_while_announcements_bring_entries() {
    let advertisement = "icmpv6 type nd-neighbor-advert";
    for (rule, source) in [
        (format!("{advertisement} ip6 saddr fe80::/10"), "target"),
        (format!("{advertisement} ip6 saddr != 2001:db8:1:2::/64"), "target"),
        (format!("{advertisement} ip6 saddr != {UPSTREAM_GLOBAL}"), "global"),
    ] {
        let (lab, far) = lab();
        drops(&lab.router, &rule);
        confirms_soon(&lab.router);
        let daemon = start(&lab);
        reached(&far, "the guests are reached");
        // 30 s from the first packet on (tests/engine/filters.rs), which was a moment ago; the rest is for a busy machine.
        let found = eventually("the source is found", PATIENCE, || {
            reaches(&far, GUEST);
            let askers: Vec<Value> = serde_json::from_value(status(&daemon)["askers"].take()).unwrap();
            let mut known = askers.into_iter().filter(|asker| asker["trying"] == false);
            Some(known.find(|asker| asker["source"] != "scope")?["source"].clone())
        });
        assert_eq!(found, source, "{rule}");
        Pings::start(&far, 100, &GUEST.to_string()).lose_none();
        daemon.stop();
    }
}

/// The router asks from its global address, as a host behind such a filter must: what it sends comes from there.
fn link_local_discovery_that_is_dropped_both_ways_is_got_round() {
    let (lab, _far) = lab();
    let gateway = ROUTER_AT_LARGE.address;
    lab.switch().output("nft", "add table bridge provider");
    lab.switch().output("nft", "add chain bridge provider port { type filter hook forward priority 0 ; }");
    for kind in ["nd-neighbor-solicit", "nd-neighbor-advert"] {
        let rule =
            format!("add rule bridge provider port icmpv6 type {kind} ip6 saddr fe80::/10 counter drop");
        lab.switch().output("nft", &rule);
    }
    lab.host.ip(&format!("route replace default via {gateway} dev up0"));
    confirms_soon(&lab.router);
    let daemon = start(&lab);
    for guest in [&lab.guest, &lab.plain] {
        eventually("the guests get out", PATIENCE, || reaches(guest, gateway).then_some(()));
    }
    for guest in [GUEST, PLAIN] {
        eventually("the router reaches the guests", PATIENCE, || reaches(&lab.router, guest).then_some(()));
    }
    eventually("it is known why", PATIENCE, || {
        reaches(&lab.guest, gateway);
        (status(&daemon)["upstreams"][0]["gateway_source"] == "global").then_some(())
    });
    Pings::start(&lab.guest, 100, &gateway.to_string()).lose_none();
    daemon.stop();
}

/// A second router on the switch, at this address and MAC, with somebody behind it.
fn second_router(lab: &Lab, link_local: &str, station: u8) -> (Namespace, Namespace) {
    let (router, far) = (Namespace::new(), Namespace::new());
    router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    lab.switch().ip(&format!(
        "link add p2 type veth peer name rt0 address 02:00:00:00:00:{station:02x} netns {}
         link set p2 master sw0
         link set p2 up",
        router.path()
    ));
    router.ip(&format!(
        "link set rt0 up
         addr add {link_local}/64 dev rt0 nodad
         addr add 2001:db8:1:2::d/64 dev rt0 nodad
         link add fa0 type veth peer name eth0 netns {}
         link set fa0 up
         addr add fe80::f0/64 dev fa0 nodad
         route add {FAR}/128 dev fa0",
        far.path()
    ));
    far.ip(&format!(
        "link set eth0 up
         addr add fe80::f1/64 dev eth0 nodad
         addr add {FAR}/128 dev eth0 nodad
         route add default via fe80::f0 dev eth0"
    ));
    (router, far)
}

fn two_routers_with_different_filters_reach_the_guests() {
    let (lab, far) = lab();
    let (other, other_far) = second_router(&lab, "fe80::d", 0x0d);
    lab.host.ip("route add default via fe80::d dev up0 metric 2048");
    drops(&lab.router, "icmpv6 type nd-neighbor-advert ip6 saddr fe80::/10");
    drops(&other, &format!("icmpv6 type nd-neighbor-advert ip6 saddr != {UPSTREAM_GLOBAL}"));
    [&lab.router, &other].into_iter().for_each(confirms_soon);
    let daemon = start(&lab);
    reached(&far, "the first router reaches the guests");
    // Its replies go by the first router, so that only its own entries tell whether it reaches them.
    for guest in [GUEST, PLAIN] {
        eventually("the second router knows the guests", PATIENCE, || {
            reaches(&other_far, guest);
            let entry = other.show(&format!("neigh show {guest} dev rt0"));
            (entry.contains("02:00:00:00:00:02") && !entry.contains("FAILED")).then_some(())
        });
    }
    daemon.stop();
}

/// The first router is away, and the second has its address.
fn take_over(lab: &Lab) {
    lab.switch().ip("link set p0 down");
}

fn a_router_takes_over_with_the_same_mac() {
    let (lab, far) = lab();
    let (other, other_far) = second_router(&lab, "fe80::d", 0x0d);
    let daemon = start(&lab);
    reached(&far, "the first router reaches the guests");
    take_over(&lab);
    // A virtual MAC, as RFC 9568 has it: the backup begins to use it.
    other.ip("link add link rt0 name vr0 address 02:00:00:00:00:01 type macvlan mode bridge
         link set vr0 up
         addr add fe80::1/64 dev vr0 nodad
         addr add 2001:db8:1:2::1/64 dev vr0 nodad
         addr del 2001:db8:1:2::d/64 dev rt0");
    let mut backup = Endpoint::open(&other, "vr0");
    backup.send(&Solicitation::defence(ROUTER, ROUTER.address, true).frame());
    reached(&other_far, "the backup reaches the guests");
    lab.guest.ping(&FAR.to_string());
    daemon.stop();
}

fn a_router_takes_over_with_another_mac() {
    let (lab, far) = lab();
    let (other, other_far) = second_router(&lab, "fe80::d", 0x0d);
    let daemon = start(&lab);
    reached(&far, "the first router reaches the guests");
    take_over(&lab);
    other.ip("addr add fe80::1/64 dev rt0 nodad
         addr add 2001:db8:1:2::1/64 dev rt0 nodad
         addr del 2001:db8:1:2::d/64 dev rt0");
    let owner = Asker { mac: mac(0x0d), address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1) };
    let mut backup = Endpoint::open(&other, "rt0");
    backup.send(&Solicitation::defence(owner, owner.address, true).frame());
    reached(&other_far, "the backup reaches the guests");
    lab.guest.ping(&FAR.to_string());
    daemon.stop();
}
