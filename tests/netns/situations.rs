//! Networks that people really have, rebuilt: what has always worked here works on.

use std::net::Ipv6Addr;

use crate::daemon::{Daemon, Settings};
use crate::doctor::finds_no_fault;
use crate::lab::{C, GUEST, Lab, ROUTER, ROUTER_AT_LARGE, c};
use crate::link::Link;
use crate::namespace::Namespace;
use crate::solicitation::Solicitation;
use crate::veths::{Veths, e};

crate::cases![
    serves_guests_with_a_small_prefix_on_a_tap_each,
    serves_forty_addresses_on_one_mac,
    serves_macvlan_guests_under_a_port_of_the_bridge,
    serves_macvlan_guests_over_a_link_that_leads_nowhere,
    serves_guests_on_a_bridge_inside_a_guest,
    serves_guests_behind_a_guest_that_proxies_by_the_kernel,
    serves_guests_behind_a_guest_that_runs_lone64_too,
    serves_a_network_behind_a_guests_own_link_local_address,
    serves_guests_that_all_answer_with_the_mac_of_their_node,
];

const AUTOMATIC: &str = "automatic = true\n";

/// Nothing but what is written, which is no mistake: the lab has other networks too.
fn written() -> Settings {
    Settings::default().upstream("automatic = false\n")
}

/// Guest and router reach each other, with the first packet of each.
fn reach_each_other(lab: &Lab, guest: &Namespace, address: Ipv6Addr) {
    lab.router.ping(&address.to_string());
    guest.ping(&format!("-I {address} {}", ROUTER_AT_LARGE.address));
}

/// Ends the daemon: neither it nor the doctor had anything to complain of, and it leaves nothing behind.
fn stop_content(lab: &Lab, daemon: Daemon) {
    finds_no_fault(&lab.host);
    let said = daemon.stop();
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    assert_eq!(lab.host.show("-o route show table all proto 64"), "");
}

/// As a hypervisor without a bridge does it: a point-to-point link for each machine, a /124 on it.
fn serves_guests_with_a_small_prefix_on_a_tap_each() {
    let address = |number: u16, last| e(0x10 * number + last);
    for by_hand in [false, true] {
        let lab = Lab::veth();
        let guests: Vec<_> = (0..4).map(|_| Namespace::new()).collect();
        let mut settings = written();
        for (number, guest) in (0..).zip(&guests) {
            lab.host.ip(&format!(
                "link add tap{number} type veth peer name eth0 netns {}
                 link set tap{number} up
                 addr add fe80::1/64 dev tap{number} nodad
                 addr add {}/124 dev tap{number} nodad",
                guest.path(),
                address(number, 1)
            ));
            guest.ip(&format!(
                "link set eth0 up
                 addr add {}/124 dev eth0 nodad
                 route add default via {} dev eth0",
                address(number, 5),
                address(number, 1)
            ));
            if by_hand {
                let prefix = format!("{}/124", address(number, 0));
                settings = settings.range(&prefix, &format!("tap{number}"), "");
            }
        }
        if !by_hand {
            settings = Settings::default().upstream(AUTOMATIC);
        }
        let daemon = Daemon::start(&lab, settings);
        for (number, guest) in (0..).zip(&guests) {
            reach_each_other(&lab, guest, address(number, 5));
            // The host's own end of the link as well.
            lab.router.ping(&address(number, 1).to_string());
        }
        let mut link = Link::open(&lab);
        link.unanswered(&Solicitation::multicast(ROUTER, address(1, 6)));
        link.unanswered(&Solicitation::multicast(ROUTER, address(7, 5)));
        stop_content(&lab, daemon);
    }
}

fn serves_forty_addresses_on_one_mac() {
    let lab = Lab::veth();
    let addresses: Vec<_> = (0x100..0x128).map(c).collect();
    let batch: String =
        addresses.iter().map(|address| format!("addr add {address}/112 dev eth0 nodad\n")).collect();
    lab.guest.ip(&batch);
    let daemon = Daemon::start(&lab, written().range(C, "br0", "routes = \"guests\""));
    let mut link = Link::open(&lab);
    for address in &addresses {
        link.answered(&Solicitation::multicast(ROUTER, *address));
    }
    for address in &addresses {
        reach_each_other(&lab, &lab.guest, *address);
    }
    let routes = lab.host.show("-o route show proto 64");
    let without: Vec<_> =
        addresses.iter().filter(|address| !routes.contains(&format!("{address} dev br0"))).collect();
    assert!(without.is_empty(), "{without:?} of\n{routes}");
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    stop_content(&lab, daemon);
}

/// A macvlan over `parent`, in a namespace of its own.
fn macvlan_guest(
    host: &Namespace,
    parent: &str,
    number: u8,
    address: Ipv6Addr,
    gateway: Ipv6Addr,
) -> Namespace {
    let guest = Namespace::new();
    host.ip(&format!(
        "link add link {parent} name eth0 address 02:00:00:00:00:{number:02x} netns {} type macvlan mode bridge",
        guest.path()
    ));
    guest.ip(&format!(
        "link set eth0 up
         addr add fe80::{number:x}/64 dev eth0 nodad
         addr add {address}/112 dev eth0 nodad
         route add default via {gateway} dev eth0"
    ));
    guest
}

fn serves_macvlan_guests_under_a_port_of_the_bridge() {
    let lab = Lab::veth();
    lab.host.ip("link add gp8 type veth peer name mp8
         link set gp8 master br0
         link set gp8 up
         link set mp8 up");
    let guests: Vec<_> = (1..4)
        .map(|n| (macvlan_guest(&lab.host, "mp8", 0x80 + n, c(0x80 + u16::from(n)), c(1)), n))
        .collect();
    let daemon = Daemon::start(&lab, Settings::default().upstream(AUTOMATIC));
    for (guest, number) in &guests {
        reach_each_other(&lab, guest, c(0x80 + u16::from(*number)));
    }
    Link::open(&lab).unanswered(&Solicitation::multicast(ROUTER, c(0x8f)));
    stop_content(&lab, daemon);
}

/// Docker's macvlan driver without a parent makes a link that leads nowhere; the host has a macvlan over it too.
fn serves_macvlan_guests_over_a_link_that_leads_nowhere() {
    let lab = Lab::veth();
    lab.host.ip(&format!(
        "link add dm0 type veth peer name dm1
         link set dm0 up
         link set dm1 up
         link add link dm0 name mv0 address 02:00:00:00:00:90 type macvlan mode bridge
         link set mv0 up
         addr add fe80::90/64 dev mv0 nodad
         addr add {}/112 dev mv0 nodad",
        e(1)
    ));
    let guests: Vec<_> =
        (1..4).map(|n| (macvlan_guest(&lab.host, "dm0", 0x90 + n, e(u16::from(n) + 4), e(1)), n)).collect();
    let daemon = Daemon::start(&lab, Settings::default().upstream(AUTOMATIC));
    for (guest, number) in &guests {
        reach_each_other(&lab, guest, e(u16::from(*number) + 4));
    }
    Link::open(&lab).unanswered(&Solicitation::multicast(ROUTER, e(0x8f)));
    stop_content(&lab, daemon);
}

fn serves_guests_on_a_bridge_inside_a_guest() {
    let lab = Lab::veth();
    let inner = Namespace::new();
    lab.guest.ip(&format!(
        "link add br1 address 02:00:00:00:00:15 type bridge forward_delay 0 mcast_snooping 0
         link add ip0 type veth peer name eth0 address 02:00:00:00:00:16 netns {}
         addr flush dev eth0
         route flush default
         link set eth0 master br1
         link set ip0 master br1
         link set ip0 up
         link set br1 up
         addr add {GUEST}/112 dev br1 nodad
         route add default via {} dev br1",
        inner.path(),
        c(1)
    ));
    inner.ip(&format!(
        "link set eth0 up
         addr add fe80::16/64 dev eth0 nodad
         addr add {}/112 dev eth0 nodad
         route add default via {} dev eth0",
        c(0x16),
        c(1)
    ));
    for settings in [written().range(C, "br0", ""), Settings::default().upstream(AUTOMATIC)] {
        let daemon = Daemon::start(&lab, settings);
        reach_each_other(&lab, &lab.guest, GUEST);
        reach_each_other(&lab, &inner, c(0x16));
        stop_content(&lab, daemon);
    }
}

/// A container of the guest on the first veth, behind a veth of the guest's own.
fn inner_guest(veths: &Veths, number: u8, address: Ipv6Addr) -> Namespace {
    let inner = Namespace::new();
    let node = &veths.guests[0];
    node.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    node.ip(&format!(
        "link add in{number} address 02:00:00:00:01:{number:02x} type veth peer name eth0 \
         address 02:00:00:00:02:{number:02x} netns {}
         link set in{number} up
         addr add fe80::b1/64 dev in{number} nodad",
        inner.path()
    ));
    inner.ip(&format!(
        "link set eth0 up
         addr add {address}/128 dev eth0 nodad
         route add default via fe80::b1 dev eth0"
    ));
    inner
}

/// Such a proxy answers multicast only, and after up to 0.8 s.
fn proxies_by_the_kernel(veths: &Veths, number: u8, address: Ipv6Addr) -> Namespace {
    let inner = inner_guest(veths, number, address);
    veths.guests[0].sysctls(&[("net/ipv6/conf/eth0/proxy_ndp", "1")]);
    veths.guests[0].ip(&format!(
        "route add {address} dev in{number}
         neigh add proxy {address} dev eth0"
    ));
    inner
}

fn serves_guests_behind_a_guest_that_proxies_by_the_kernel() {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    veths.give(1, e(6));
    let inner = proxies_by_the_kernel(&veths, 1, e(0x15));
    let daemon = Daemon::start(&veths.lab, Veths::settings().upstream("automatic = false\n"));
    reach_each_other(&veths.lab, &inner, e(0x15));
    reach_each_other(&veths.lab, &veths.guests[0], e(5));
    reach_each_other(&veths.lab, &veths.guests[1], e(6));
    veths.routed(&[(e(5), 0), (e(0x15), 0), (e(6), 1)]);
    stop_content(&veths.lab, daemon);
}

/// The lab as the first guest sees it: its host is the router, and its container the guest.
fn inside(veths: &Veths, inner: &Namespace) -> Lab {
    Lab {
        router: veths.lab.host.clone(),
        host: veths.guests[0].clone(),
        guest: inner.clone(),
        plain: inner.clone(),
        parent: None,
    }
}

fn serves_guests_behind_a_guest_that_runs_lone64_too() {
    let veths = Veths::new(2);
    veths.give(1, e(6));
    // The guest has its address, and the rest of a /124 for its containers.
    veths.guests[0].ip(&format!("addr add {}/112 dev eth0 nodad", e(5)));
    let inner = inner_guest(&veths, 1, e(0x15));
    let inner_lab = inside(&veths, &inner);
    let within = Settings::default().upstream_named("eth0").without_sentinels().range(
        "2001:db8:1:2:e::10/124",
        "in*",
        "",
    );
    let inner_daemon = Daemon::start(&inner_lab, within);
    let daemon = Daemon::start(&veths.lab, Veths::settings().upstream("automatic = false\n"));
    reach_each_other(&veths.lab, &inner, e(0x15));
    reach_each_other(&veths.lab, &veths.guests[0], e(5));
    reach_each_other(&veths.lab, &veths.guests[1], e(6));
    veths.routed(&[(e(5), 0), (e(0x15), 0), (e(6), 1)]);
    Link::open(&veths.lab).unanswered(&Solicitation::multicast(ROUTER, e(0x16)));
    stop_content(&veths.lab, daemon);
    stop_content(&inner_lab, inner_daemon);
}

fn serves_a_network_behind_a_guests_own_link_local_address() {
    let lab = Lab::veth();
    let network = "2001:db8:1:2:f::/112";
    let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, last);
    lab.guest.ip(&format!("addr add {}/128 dev lo nodad", address(7)));
    lab.host.ip(&format!("route add {network} via fe80::5 dev br0"));
    let by_hand = written().range(C, "br0", "").range(network, "br0", "routes = \"none\"");
    for settings in [Settings::default().upstream(AUTOMATIC), by_hand] {
        let daemon = Daemon::start(&lab, settings);
        reach_each_other(&lab, &lab.guest, address(7));
        reach_each_other(&lab, &lab.guest, GUEST);
        stop_content(&lab, daemon);
    }
}

/// Cilium's way: the node answers for each of its containers, with one MAC.
fn serves_guests_that_all_answer_with_the_mac_of_their_node() {
    let veths = Veths::new(1);
    let inner: Vec<_> = (1..9)
        .map(|n| (proxies_by_the_kernel(&veths, n, e(0x20 + u16::from(n))), e(0x20 + u16::from(n))))
        .collect();
    veths.lab.host.ip(&format!("addr add {}/112 dev vg0 nodad", e(1)));
    for settings in
        [Veths::settings().upstream("automatic = false\n"), Settings::default().upstream(AUTOMATIC)]
    {
        let daemon = Daemon::start(&veths.lab, settings);
        for (guest, address) in &inner {
            reach_each_other(&veths.lab, guest, *address);
        }
        stop_content(&veths.lab, daemon);
    }
}
