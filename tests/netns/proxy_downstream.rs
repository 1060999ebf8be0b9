//! `proxy-downstream`: guests that take the whole /64 for their own link, or have the provider's router
//! as their gateway, on the real kernel.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, SOLICITATION, checksum, group_mac, mac, receiver, sender, target_of};
use crate::lab::{BRIDGE_MAC, C, D, GUEST, GUEST_MAC, Lab, PLAIN, ROUTER, ROUTER_AT_LARGE, UPSTREAM_GLOBAL};
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;
use crate::solicitation::{Asker, Solicitation};

crate::cases![
    gets_guests_out_whose_gateway_is_the_providers_global_address,
    gets_guests_out_whose_gateway_is_the_providers_link_local_address,
    keeps_their_entry_for_it_fresh,
    answers_for_the_host_and_for_guests_behind_other_interfaces,
    is_heard_behind_a_switch_that_snoops,
    keeps_a_default_route_that_a_router_has_advertised,
    never_answers_duplicate_address_detection,
    serves_both_sides_of_a_range_that_is_the_whole_link,
    follows_an_address_from_the_upstream_to_a_guest,
];

/// Somewhere behind the router.
const BEYOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
/// A station on the upstream's link.
const NEIGHBOR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0x77);
const KEY: &str = "proxy-downstream = true";
/// All of the upstream's link.
const WHOLE: &str = "2001:db8:1:2::/64";
/// An address that a guest makes for itself there.
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0xff, 0xfe00, 5);

/// The guest believes the whole /64 to be on its link, and this to be its gateway.
fn misled(lab: Lab, gateway: Ipv6Addr) -> Lab {
    lab.router.ip(&format!("addr add {BEYOND}/128 dev lo"));
    lab.guest.ip(&format!(
        "addr del {GUEST}/112 dev eth0
         addr add {GUEST}/64 dev eth0 nodad
         route replace default via {gateway} dev eth0"
    ));
    lab
}

fn settings(keys: &str) -> Settings {
    Settings::default().range(C, "br0", keys).range(D, "gv1", "")
}

fn whole(keys: &str) -> Settings {
    Settings::default().range(WHOLE, "br0", &format!("routes = \"guests\"\n{keys}"))
}

fn reaches(from: &Namespace, to: Ipv6Addr) -> bool {
    let mut ping = Command::new("ping");
    ping.args(["-c", "1", "-W", "1", &to.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    from.spawn(&mut ping).wait().expect("ping ends").success()
}

/// A ping that has to arrive.
fn ping(from: &Namespace, to: Ipv6Addr) {
    from.ping(&to.to_string());
}

fn gets_out_only_with_the_key(gateway: Ipv6Addr) {
    let lab = misled(Lab::veth(), gateway);
    lab.host.ip(&format!("route replace default via {gateway} dev up0"));
    let without = Daemon::start(&lab, settings(""));
    assert!(!reaches(&lab.guest, BEYOND), "without the key: nothing can be shown here");
    without.stop();
    lab.guest.ip("neigh flush dev eth0");
    let _daemon = Daemon::start(&lab, settings(KEY));
    ping(&lab.guest, BEYOND);
    ping(&lab.router, GUEST);
    let entry = lab.guest.show(&format!("neigh show {gateway} dev eth0"));
    assert!(entry.contains("02:00:00:00:00:b0") && entry.contains("router"), "{entry}");
}

fn gets_guests_out_whose_gateway_is_the_providers_global_address() {
    gets_out_only_with_the_key(ROUTER_AT_LARGE.address);
}

fn gets_guests_out_whose_gateway_is_the_providers_link_local_address() {
    gets_out_only_with_the_key(ROUTER.address);
}

fn keeps_their_entry_for_it_fresh() {
    let lab = misled(Lab::veth(), ROUTER.address);
    lab.guest.sysctls(&[
        ("net/ipv6/neigh/eth0/base_reachable_time_ms", "1000"),
        ("net/ipv6/neigh/eth0/delay_first_probe_time", "1"),
    ]);
    let _daemon = Daemon::start(&lab, settings(KEY));
    let mut bridge = Endpoint::open(&lab.host, "br0");
    // Whoever only replies does not confirm its neighbor by itself, so the guest has to probe.
    Pings::start(&lab.router, 60, &format!("-I {BEYOND} {GUEST}")).lose_none();
    let probes = bridge.heard().iter().filter(|frame| is_probe(frame)).count();
    assert!(probes > 0, "the guest never probed by unicast: nothing was shown");
}

/// Whether the guest asks its gateway whether it is still there.
fn is_probe(frame: &[u8]) -> bool {
    target_of(frame, SOLICITATION) == Some(ROUTER.address)
        && sender(frame) == GUEST_MAC
        && receiver(frame) == BRIDGE_MAC
}

fn answers_for_the_host_and_for_guests_behind_other_interfaces() {
    let lab = misled(Lab::veth(), ROUTER.address);
    let targets = [UPSTREAM_GLOBAL, PLAIN, ROUTER_AT_LARGE.address];
    let without = Daemon::start(&lab, settings(""));
    for target in targets {
        assert!(!reaches(&lab.guest, target), "{target} without the key: nothing can be shown here");
    }
    without.stop();
    lab.guest.ip("neigh flush dev eth0");
    let _daemon = Daemon::start(&lab, settings(KEY));
    for target in targets {
        ping(&lab.guest, target);
    }
    // And for nobody who does not exist.
    assert!(!reaches(&lab.guest, NEIGHBOR));
}

fn is_heard_behind_a_switch_that_snoops() {
    let lab = misled(Lab::veth(), ROUTER.address);
    let (switch, guest) = (Namespace::new(), Namespace::new());
    switch.ip(&format!(
        "link add sw0 type bridge forward_delay 0 mcast_snooping 1 \
         mcast_query_response_interval 10 mcast_startup_query_interval 100 mcast_query_interval 100
         link add p0 type veth peer name dw0 netns {}
         link add p1 type veth peer name eth0 netns {}
         link set p0 master sw0
         link set p1 master sw0
         link set p0 up
         link set p1 up
         link set sw0 up
         addr add fe80::9/64 dev sw0 nodad
         link set sw0 type bridge mcast_querier 1",
        lab.host.path(),
        guest.path()
    ));
    lab.host.ip("link set dw0 up\naddr add fe80::d0/64 dev dw0 nodad");
    guest.ip("link set eth0 up");
    guest.ip("addr add fe80::5/64 dev eth0 nodad
              addr add 2001:db8:1:2:f::5/64 dev eth0 nodad
              route add default via fe80::1 dev eth0");
    let settings = || Settings::default().range("2001:db8:1:2:f::/112", "dw0", KEY);
    let asks = || {
        guest.ip("neigh flush dev eth0");
        reaches(&guest, BEYOND)
    };
    let without = Daemon::start(&lab, settings().upstream("mld = false\n"));
    eventually("the switch snoops", 2 * PATIENCE, || (!asks()).then_some(()));
    without.stop();
    let _daemon = Daemon::start(&lab, settings());
    eventually("the guest gets out", PATIENCE, || asks().then_some(()));
    assert!(asks() && asks());
}

fn keeps_a_default_route_that_a_router_has_advertised() {
    let lab = misled(Lab::veth(), ROUTER.address);
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_ra", "1")]);
    lab.guest.ip("route del default");
    let _daemon = Daemon::start(&lab, settings(KEY));
    let mut bridge = Endpoint::open(&lab.host, "br0");
    let has_route = || lab.guest.show("route show default").contains("via fe80::1 dev eth0 proto ra");
    eventually("the guest has taken the route", PATIENCE, || {
        bridge.send(&router_advertisement());
        has_route().then_some(())
    });
    ping(&lab.guest, BEYOND);
    assert!(has_route(), "{}", lab.guest.show("route show default"));
    let entry = lab.guest.show("neigh show fe80::1 dev eth0");
    assert!(entry.contains("router"), "{entry}");
    // An answer as of one that is no router takes it away (RFC 4861 §7.2.5): so it was ours that kept it.
    let asker = Asker { mac: BRIDGE_MAC, address: ROUTER.address };
    let no_router = Solicitation::unicast(asker, ROUTER.address, GUEST_MAC).with(|message| {
        message.icmp_type = ADVERTISEMENT;
        message.destination = GUEST;
        message.reserved = 0x6000_0000;
        message.options[0] = 2;
    });
    eventually("the route is gone", PATIENCE, || {
        bridge.send(&no_router.frame());
        (!has_route()).then_some(())
    });
}

/// RFC 4861 §4.2: the provider's router, as a relay would pass it on.
fn router_advertisement() -> Vec<u8> {
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(1_800_u16.to_be_bytes());
    message.extend([0; 8]);
    let sum = checksum(ROUTER.address, all_nodes, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    let mut frame = Vec::new();
    frame.extend(group_mac(all_nodes));
    frame.extend(BRIDGE_MAC);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 58, 255]);
    frame.extend(ROUTER.address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

fn never_answers_duplicate_address_detection() {
    let lab = Lab::macvlan();
    let _neighbor = lab.rival(NEIGHBOR);
    lab.guest.ip(&format!("addr replace {GUEST}/64 dev eth0 nodad"));
    let _daemon = Daemon::start(&lab, whole(KEY));
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    // All of them are answered for here when they are asked for.
    for target in [NEIGHBOR, ROUTER_AT_LARGE.address, UPSTREAM_GLOBAL] {
        let asker = Asker { mac: GUEST_MAC, address: GUEST };
        guest.send(&Solicitation::multicast(asker, target).frame());
        guest.receive_until("an answer", PATIENCE, |frame| {
            (target_of(frame, ADVERTISEMENT) == Some(target)).then_some(())
        });
    }
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "1")]);
    for address in [OWN, crate::lab::c(0x99), NEIGHBOR, ROUTER_AT_LARGE.address, UPSTREAM_GLOBAL] {
        lab.guest.ip(&format!("addr add {address}/64 dev eth0"));
        settled(&lab.guest, address);
        lab.guest.ip(&format!("addr del {address}/64 dev eth0"));
    }
    // What the guest took for a moment is still where it was.
    lab.router.ip("neigh flush dev rt0");
    ping(&lab.router, NEIGHBOR);
    ping(&lab.router, UPSTREAM_GLOBAL);
}

/// The guest's detection is over, and nobody objected.
fn settled(guest: &Namespace, address: Ipv6Addr) {
    eventually("the guest's DAD is over", PATIENCE, || {
        let addresses = guest.show("-o addr show dev eth0");
        let line = addresses.lines().find(|line| line.contains(&format!(" {address}/")))?;
        assert!(!line.contains("dadfailed"), "{line}");
        (!line.contains("tentative")).then_some(())
    });
}

fn serves_both_sides_of_a_range_that_is_the_whole_link() {
    let lab = Lab::macvlan();
    let neighbor = lab.rival(NEIGHBOR);
    lab.router.ip(&format!("addr add {BEYOND}/128 dev lo"));
    neighbor.ip("route add default via fe80::1 dev rv0");
    // As with SLAAC: the host has nothing of the /64 on the bridge, and the guest all of it.
    lab.host.ip(&format!("addr del {}/112 dev br0", crate::lab::GATEWAY));
    lab.guest.ip(&format!("addr del {GUEST}/112 dev eth0"));
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "1")]);
    let without = Daemon::start(&lab, whole(""));
    lab.guest.ip(&format!("addr add {OWN}/64 dev eth0\nroute replace default via fe80::1 dev eth0"));
    settled(&lab.guest, OWN);
    assert!(!reaches(&lab.guest, BEYOND) && !reaches(&lab.guest, NEIGHBOR), "nothing can be shown here");
    without.stop();
    lab.guest.ip("neigh flush dev eth0");
    let _daemon = Daemon::start(&lab, whole(KEY));
    ping(&lab.guest, BEYOND);
    ping(&lab.guest, NEIGHBOR);
    ping(&lab.guest, UPSTREAM_GLOBAL);
    ping(&lab.router, OWN);
    ping(&neighbor, OWN);
    // The upstream's own stations are not answered for there.
    lab.router.ip("neigh flush dev rt0");
    ping(&lab.router, NEIGHBOR);
    let entry = lab.router.show(&format!("neigh show {NEIGHBOR}"));
    assert!(entry.contains("02:00:00:00:00:03"), "{entry}");
    let routes = lab.host.show("route show proto 64");
    assert!(routes.contains(&format!("{OWN} dev br0")), "{routes}");
    assert!(!routes.contains(&NEIGHBOR.to_string()), "{routes}");
}

fn follows_an_address_from_the_upstream_to_a_guest() {
    let lab = Lab::macvlan();
    let neighbor = lab.rival(NEIGHBOR);
    lab.guest
        .ip(&format!("addr replace {GUEST}/64 dev eth0 nodad\nroute replace default via fe80::1 dev eth0"));
    let _daemon = Daemon::start(&lab, whole(KEY));
    ping(&lab.guest, NEIGHBOR);
    ping(&lab.router, NEIGHBOR);
    neighbor.ip(&format!("addr del {NEIGHBOR}/64 dev rv0"));
    let moved = Instant::now();
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "1")]);
    lab.guest.ip(&format!("addr add {NEIGHBOR}/64 dev eth0"));
    settled(&lab.guest, NEIGHBOR);
    eventually("the router reaches it there", PATIENCE, || reaches(&lab.router, NEIGHBOR).then_some(()));
    println!("moved from the upstream to a guest: out of reach for {:?} at most", moved.elapsed());
    // And back again.
    lab.guest.ip(&format!("addr del {NEIGHBOR}/64 dev eth0"));
    neighbor.ip(&format!("addr add {NEIGHBOR}/64 dev rv0 nodad"));
    // As every station does when it has a new address (RFC 9131), so that the router looks there.
    let back = Solicitation::multicast(Asker { mac: mac(3), address: NEIGHBOR }, ROUTER_AT_LARGE.address);
    let mut there = Endpoint::open(&neighbor, "rv0");
    let mut told = back.clone().with(|message| {
        message.icmp_type = ADVERTISEMENT;
        message.target = NEIGHBOR;
        message.reserved = 0x2000_0000;
        message.options[0] = 2;
        message.destination = "ff02::1".parse().unwrap();
        message.eth_dst = group_mac("ff02::1".parse().unwrap());
    });
    told.source = NEIGHBOR;
    let moved = Instant::now();
    eventually("the guest reaches it on the upstream", PATIENCE, || {
        there.send(&told.frame());
        reaches(&lab.guest, NEIGHBOR).then_some(())
    });
    println!("moved back: out of reach for {:?} at most", moved.elapsed());
}
