//! Guards: what a guest sends that is another's is dropped and counted, and what it needs passes; behind a port of a bridge,
//! and on a veth that is routed.

mod kept;
mod passes;
mod sets;
mod spoof;

use std::net::Ipv6Addr;

use serde_json::Value;

use crate::client::status;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{Mac, mac};
use crate::lab::{BRIDGE_MAC, C, D, GATEWAY, GUEST, GUEST_MAC, Lab, PLAIN, PLAIN_MAC, c, d};
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;
use crate::trials::Case;
use spoof::{
    ALL_NODES, ALL_ROUTERS, From, ROUTER_ADVERTISEMENT, advertisement, dad, echo, icmp_behind, link_layer,
    redirect, solicitation, to_group,
};

crate::cases![
    drops_and_counts_what_is_anothers_behind_a_port_of_a_bridge,
    drops_and_counts_what_is_anothers_where_only_the_bridge_is_named,
    drops_and_counts_what_is_anothers_on_a_routed_veth,
    guards_all_guests_of_a_range_but_those_that_say_no,
];

/// Every case of this room.
pub(crate) fn cases() -> impl Iterator<Item = (&'static str, &'static Case)> {
    [CASES, passes::CASES, kept::CASES, sets::CASES].into_iter().flatten().map(|case| ("guards", case))
}

/// The other guest: beside the first on the bridge, or beside `plain` on a veth of its own.
pub(super) const OTHER: Ipv6Addr = c(7);
pub(super) const OTHER_ROUTED: Ipv6Addr = d(7);
pub(super) const OTHER_MAC: Mac = mac(0x07);

pub(super) const PLAIN_GUEST_MAC: Mac = mac(0x06);

/// A `[[guest]]`.
pub(super) fn guest(name: &str, mac: u8, interface: &str, address: Ipv6Addr, keys: &str) -> String {
    format!(
        "[[guest]]\nname = \"{name}\"\nmac = \"02:00:00:00:00:{mac:02x}\"\ninterface = \"{interface}\"\naddresses = \
         [\"{address}\"]\n{keys}\n"
    )
}

/// One more guest on the bridge, behind `gp2`.
pub(super) fn other_on_the_bridge(lab: &Lab) -> Namespace {
    let other = Namespace::new();
    lab.host.ip(&format!(
        "link add gp2 type veth peer name eth0 address 02:00:00:00:00:07 netns {}
         link set gp2 master br0
         link set gp2 up",
        other.path()
    ));
    other.ip(&format!(
        "link set eth0 up
         addr add fe80::7/64 dev eth0 nodad
         addr add {OTHER}/112 dev eth0 nodad
         route add default via {GATEWAY} dev eth0"
    ));
    other
}

/// One more guest on a veth, `gv3`.
fn other_routed(lab: &Lab) -> Namespace {
    let other = Namespace::new();
    lab.host.ip(&format!(
        "link add gv3 type veth peer name eth0 address 02:00:00:00:00:07 netns {}
         link set gv3 up
         addr add fe80::b3/64 dev gv3 nodad",
        other.path()
    ));
    other.ip(&format!(
        "link set eth0 up
         addr add fe80::7/64 dev eth0 nodad
         addr add {OTHER_ROUTED}/128 dev eth0 nodad
         route add default via fe80::b3 dev eth0"
    ));
    other
}

/// What was dropped of this guest for this reason.
pub(super) fn dropped(status: &Value, guest: &str, reason: &str) -> u64 {
    let guests = status["guests"].as_array().expect("guests");
    let of_guest = guests.iter().find(|one| one["name"] == guest).expect("the guest");
    of_guest["dropped"][reason].as_u64().unwrap_or(0)
}

/// Waits until as many were counted, and not one more.
pub(super) fn eventually_dropped(daemon: &Daemon, guest: &str, reason: &str, packets: u64) {
    let counted = eventually(reason, PATIENCE, || {
        let counted = dropped(&status(daemon), guest, reason);
        (counted >= packets).then_some(counted)
    });
    assert_eq!(counted, packets, "{reason}");
}

/// Waits until the guard of each of these is in the kernel.
pub(super) fn eventually_guarded(daemon: &Daemon, guests: &[&str]) {
    eventually("the guests are guarded", PATIENCE, || {
        let told = status(daemon);
        let is_on = |name: &&str| {
            told["guests"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["name"] == **name && one["guard"] == "on"))
        };
        guests.iter().all(is_on).then_some(())
    });
}

/// What guest A must not send, each with the reason for which it is dropped. A has `own`; B has the other MAC and `theirs`.
fn forbidden(own: From, link_local: Ipv6Addr, theirs: From, router: Mac) -> Vec<(&'static str, Vec<u8>)> {
    let From { mac, .. } = own;
    let local = From { mac, address: link_local };
    let gateway = (router, GATEWAY);
    let foreign = link_layer(2, theirs.mac);
    let fragment = [58, 0, 0, 0, 0, 0, 0, 7];
    vec![
        ("source", echo(From { address: theirs.address, ..own }, gateway, 1)),
        ("source", echo(From { address: "fe80::7".parse().unwrap(), ..own }, gateway, 2)),
        ("source", echo(From { address: Ipv6Addr::UNSPECIFIED, ..own }, gateway, 3)),
        ("source", solicitation(From { address: theirs.address, ..own }, GATEWAY, &link_layer(1, mac))),
        ("target", advertisement(own, theirs.address, &link_layer(2, mac))),
        ("target", advertisement(local, theirs.address, &[])),
        ("target", advertisement(local, "fe80::b0".parse().unwrap(), &link_layer(2, mac))),
        ("option", advertisement(own, own.address, &foreign)),
        ("option", advertisement(own, own.address, &[&[14, 1, 0, 0, 0, 0, 0, 0][..], &foreign].concat())),
        ("option", solicitation(local, GATEWAY, &link_layer(1, theirs.mac))),
        (
            "option",
            to_group(
                local,
                ALL_ROUTERS,
                &[&[133, 0, 0, 0, 0, 0, 0, 0][..], &link_layer(1, theirs.mac)].concat(),
            ),
        ),
        (
            "option",
            advertisement(own, own.address, &[[9, 1, 0, 0, 0, 0, 0, 0].repeat(6), foreign.clone()].concat()),
        ),
        ("option", advertisement(own, own.address, &[9, 0, 0, 0, 0, 0, 0, 0])),
        ("dad", dad(mac, theirs.address)),
        ("dad", dad(mac, "fe80::7".parse().unwrap())),
        ("dad", dad(mac, "fe80::b0".parse().unwrap())),
        ("router_advertisement", to_group(local, ALL_NODES, &ROUTER_ADVERTISEMENT)),
        (
            "router_advertisement",
            icmp_behind(local, ALL_NODES, (0, &[58, 0, 1, 4, 0, 0, 0, 0]), &ROUTER_ADVERTISEMENT),
        ),
        ("router_advertisement", icmp_behind(local, ALL_NODES, (44, &fragment), &ROUTER_ADVERTISEMENT)),
        ("redirect", to_group(local, ALL_NODES, &redirect(own.address, theirs.address))),
        (
            "fragment",
            icmp_behind(
                own,
                ALL_NODES,
                (44, &fragment),
                &[&[136, 0, 0, 0, 0, 0, 0, 0][..], &own.address.octets()].concat(),
            ),
        ),
        ("mac", echo(From { mac: mac_of_nobody(), ..own }, gateway, 4)),
        ("mac", echo(theirs, gateway, 5)),
        ("mac", advertisement(theirs, theirs.address, &link_layer(2, theirs.mac))),
    ]
}

fn mac_of_nobody() -> Mac {
    mac(0x99)
}

/// Every forbidden packet is dropped and counted, and the other guest hears none and loses nothing meanwhile.
fn attack(
    lab: &Lab,
    daemon: &Daemon,
    attacker: &Namespace,
    (own, link_local, theirs, router): (From, Ipv6Addr, From, Mac),
    other: &Namespace,
) {
    let pings = Pings::start(&lab.router, 40, &theirs.address.to_string());
    let mut heard = Endpoint::open(other, "eth0");
    let mut endpoint = Endpoint::open(attacker, "eth0");
    let forbidden = forbidden(own, link_local, theirs, router);
    let mut expected = std::collections::BTreeMap::new();
    for (reason, frame) in &forbidden {
        endpoint.send(frame);
        *expected.entry(*reason).or_insert(0) += 1;
    }
    for (reason, packets) in expected {
        eventually_dropped(daemon, "a", reason, packets);
    }
    pings.lose_none();
    let heard = heard.heard();
    for (reason, frame) in &forbidden {
        // Checksums of what the kernel forwards are its own affair: nothing of it arrives at all.
        assert!(!heard.contains(frame), "the other guest has heard what is dropped for its {reason}");
    }
    let told = status(daemon);
    assert_eq!(
        told["guests"].as_array().unwrap().iter().find(|one| one["name"] == "b").unwrap()["dropped"],
        serde_json::json!({})
    );
    attacker.ping(&crate::lab::ROUTER_AT_LARGE.address.to_string());
}

fn drops_and_counts_what_is_anothers_behind_a_port_of_a_bridge() {
    bridged(["gp0", "gp2"]);
}

fn drops_and_counts_what_is_anothers_where_only_the_bridge_is_named() {
    bridged(["br0", "br0"]);
}

fn bridged([first, second]: [&str; 2]) {
    let lab = Lab::veth();
    let other = other_on_the_bridge(&lab);
    let own = From { mac: GUEST_MAC, address: GUEST };
    let theirs = From { mac: OTHER_MAC, address: OTHER };
    let link_local = "fe80::5".parse().unwrap();
    // Without a guard all of it that goes to all arrives.
    let mut heard = Endpoint::open(&other, "eth0");
    let mut endpoint = Endpoint::open(&lab.guest, "eth0");
    let all: Vec<_> = forbidden(own, link_local, theirs, BRIDGE_MAC)
        .into_iter()
        .filter(|(_, frame)| frame[0] == 0x33)
        .collect();
    assert!(all.len() > 10);
    for (reason, frame) in &all {
        endpoint.send(frame);
        heard.receive_until(reason, PATIENCE, |received| (received == &frame[..]).then_some(()));
    }
    // The bridge has learnt the other guest where it is not, and the neighbors what is not true.
    lab.host.output("ip", "-6 neigh flush all");
    for namespace in [&lab.guest, &other] {
        namespace.output("ip", "-6 neigh flush all");
    }
    other.ping(&GATEWAY.to_string());
    lab.guest.ping(&GATEWAY.to_string());
    let settings = Settings::default()
        .range(C, "br0", "routes = \"guests\"")
        .rest(&guest("a", 5, first, GUEST, "guard = true"))
        .rest(&guest("b", 7, second, OTHER, "guard = true"));
    let daemon = Daemon::start(&lab, settings);
    eventually_guarded(&daemon, &["a", "b"]);
    // What is heard first is their own.
    lab.guest.ping("fe80::b0%eth0");
    other.ping("fe80::b0%eth0");
    eventually("link-local addresses and ports are known", PATIENCE, || {
        let table = lab.host.output("nft", "list table bridge lone64_guard");
        let fresh = lab.host.output("nft", "list set bridge lone64_guard fresh");
        (!fresh.contains("elements") && table.contains("\"gp0\"") && table.contains("\"gp2\"")).then_some(())
    });
    attack(&lab, &daemon, &lab.guest, (own, link_local, theirs, BRIDGE_MAC), &other);
    tagged(&lab, &daemon, From { address: link_local, ..own }, &other);
    daemon.stop();
    assert!(!lab.host.output("nft", "list tables").contains("lone64"), "nothing is left");
}

/// Stations take off tags with the number 0, so what is behind them is looked at as well.
fn tagged(lab: &Lab, daemon: &Daemon, own: From, other: &Namespace) {
    let plain = to_group(own, ALL_NODES, &ROUTER_ADVERTISEMENT);
    let behind = |tags: &[u8]| [&plain[..12], tags, &plain[12..]].concat();
    let mut heard = Endpoint::open(other, "eth0");
    let mut endpoint = Endpoint::open(&lab.guest, "eth0");
    endpoint.send(&behind(&[0x81, 0, 0, 0]));
    endpoint.send(&behind(&[0x81, 0, 0, 0, 0x81, 0, 0, 0]));
    endpoint.send(&behind(&[0x88, 0xa8, 0, 0, 0x81, 0, 0, 0]));
    eventually_dropped(daemon, "a", "tag", 3);
    let is_advertised = |frame: &Vec<u8>| frame.ends_with(&plain[14..]);
    assert!(!heard.heard().iter().any(is_advertised), "it has passed behind a tag");
}

fn drops_and_counts_what_is_anothers_on_a_routed_veth() {
    let lab = Lab::veth();
    let other = other_routed(&lab);
    let settings = Settings::default()
        .range(D, "gv*", "routes = \"guests\"")
        .rest(&guest("a", 6, "gv1", PLAIN, "guard = true"))
        .rest(&guest("b", 7, "gv3", OTHER_ROUTED, "guard = true"));
    let daemon = Daemon::start(&lab, settings);
    eventually_guarded(&daemon, &["a", "b"]);
    lab.plain.ping("fe80::b1%eth0");
    other.ping("fe80::b3%eth0");
    eventually("link-local addresses are known", PATIENCE, || {
        let fresh = lab.host.output("nft", "list set ip6 lone64_guard fresh");
        (!fresh.contains("elements")).then_some(())
    });
    let own = From { mac: PLAIN_GUEST_MAC, address: PLAIN };
    let theirs = From { mac: OTHER_MAC, address: OTHER_ROUTED };
    attack(&lab, &daemon, &lab.plain, (own, "fe80::6".parse().unwrap(), theirs, PLAIN_MAC), &other);
    let neighbors = lab.host.output("ip", "-6 neigh show dev gv1");
    assert!(!neighbors.contains(&OTHER_ROUTED.to_string()), "{neighbors}");
    daemon.stop();
}

fn guards_all_guests_of_a_range_but_those_that_say_no() {
    let lab = Lab::veth();
    let other = other_on_the_bridge(&lab);
    let settings = Settings::default()
        .range(C, "br0", "routes = \"guests\"\nguard = true")
        .rest(&guest("a", 5, "gp0", GUEST, ""))
        .rest(&guest("b", 7, "gp2", OTHER, "guard = false"));
    let daemon = Daemon::start(&lab, settings);
    eventually_guarded(&daemon, &["a"]);
    let told = status(&daemon);
    assert_eq!(told["guests"][1]["guard"], "off");
    let mut endpoint = Endpoint::open(&lab.guest, "eth0");
    endpoint.send(&echo(From { mac: GUEST_MAC, address: OTHER }, (BRIDGE_MAC, GATEWAY), 1));
    eventually_dropped(&daemon, "a", "source", 1);
    // Who is not guarded sends what it likes.
    let mut free = Endpoint::open(&other, "eth0");
    let mut heard = Endpoint::open(&lab.guest, "eth0");
    let foreign = advertisement(From { mac: OTHER_MAC, address: OTHER }, c(9), &link_layer(2, OTHER_MAC));
    free.send(&foreign);
    heard.receive_until("what is not guarded", PATIENCE, |frame| (frame == &foreign[..]).then_some(()));
    daemon.stop();
}
