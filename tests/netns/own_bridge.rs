//! Guests on the upstream's own bridge, where the provider's router takes the host's MAC alone.
//!
//! ```text
//! router rt0 ──── up0 ┐
//! guest eth0 ──── gp0 ┼ vmbr0 host
//! plain eth0 ──── gv1 ┘
//! ```

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, c};
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;

crate::cases![
    the_router_reaches_guests_on_its_own_link_by_the_hosts_mac,
    a_guest_there_may_check_an_address_that_the_router_asks_for,
    redirects_send_guests_past_the_host,
    guests_are_reached_whose_frames_the_bridge_keeps_from_the_uplink,
    says_that_nobody_is_answered_while_the_router_is_not_heard,
];

/// Another guest.
const OTHER: Ipv6Addr = c(6);
/// Beyond the router.
const BEYOND: &str = "2001:db8:ffff::1";
/// No redirect leaves the host.
pub(crate) const NO_REDIRECTS: &str = "add table ip6 own ; add chain ip6 own out { type filter hook output priority 0 ; } ; \
                            add rule ip6 own out oifname vmbr0 icmpv6 type nd-redirect drop";
/// Nothing of the router's side arrives.
pub(crate) const MUTE: &str = "add table netdev mute ; add chain netdev mute in { type filter hook ingress device \"up0\" priority 0 ; } ; \
                            add rule netdev mute in drop";
/// No IPv6 between the uplink and the guests.
const APART: &str = "add table bridge own ; add chain bridge own apart { type filter hook forward priority 0 ; } ; \
                     add rule bridge own apart ether type ip6 iifname up0 drop ; \
                     add rule bridge own apart ether type ip6 oifname up0 drop";

/// The lab with everything on one bridge, and a router that drops what does not come from the host's MAC.
pub(crate) fn lab() -> Lab {
    let lab = Lab::veth();
    lab.host.ip("route del default
         addr flush dev up0
         addr flush dev br0
         addr flush dev gv1
         link add vmbr0 address 02:00:00:00:00:02 type bridge forward_delay 0 mcast_snooping 0
         link set up0 master vmbr0
         link set gp0 nomaster
         link set gp0 master vmbr0
         link set gv1 master vmbr0
         link set vmbr0 up
         addr add fe80::2/64 dev vmbr0 nodad
         addr add 2001:db8:1:2::2/64 dev vmbr0 nodad
         route add default via fe80::1 dev vmbr0");
    lab.guest.ip("route replace default via fe80::2 dev eth0");
    lab.plain.ip(&format!(
        "addr flush dev eth0
         addr add fe80::6/64 dev eth0 nodad
         addr add {OTHER}/112 dev eth0 nodad
         route replace default via fe80::2 dev eth0"
    ));
    lab.router.ip(&format!("addr add {BEYOND}/128 dev lo nodad"));
    nft(
        &lab.router,
        "add table netdev own ; add chain netdev own in { type filter hook ingress device \"rt0\" priority 0 ; } ; \
         add rule netdev own in ether saddr != 02:00:00:00:00:02 drop",
    );
    lab
}

pub(crate) fn nft(place: &Namespace, commands: &str) {
    place.output("nft", commands);
}

fn serving(lab: &Lab) -> Daemon {
    Daemon::start(lab, settings())
}

pub(crate) fn settings() -> Settings {
    Settings::default().without_sentinels().upstream_named("vmbr0").range(C, "vmbr0", "")
}

pub(crate) fn is_reached(lab: &Lab) -> bool {
    let mut ping = Command::new("ping");
    ping.args(["-c", "1", "-W", "1", &GUEST.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    lab.router.spawn(&mut ping).wait().expect("ping ends").success()
}

fn has_the_hosts_mac(lab: &Lab) {
    let entry = lab.router.show(&format!("neigh show {GUEST}"));
    assert!(entry.contains("02:00:00:00:00:02"), "{entry}");
}

fn the_router_reaches_guests_on_its_own_link_by_the_hosts_mac() {
    let lab = lab();
    nft(&lab.host, NO_REDIRECTS);
    assert!(!is_reached(&lab), "the router takes the guest's own frames");
    let daemon = serving(&lab);
    // Its kernel may have asked for the third time already, and would soon drop what waits.
    lab.router.ip("neigh flush all");
    lab.router.ping(&GUEST.to_string());
    has_the_hosts_mac(&lab);
    let out = Pings::start(&lab.guest, 20, BEYOND);
    Pings::start(&lab.router, 20, &GUEST.to_string()).lose_none();
    out.lose_none();
    // The bridge's own route leads to them, and nothing is added to it.
    assert_eq!(lab.host.show("-o route show table all proto 64"), "");
    // Guests find each other themselves.
    lab.guest.ping(&OTHER.to_string());
    let entry = lab.guest.show(&format!("neigh show {OTHER}"));
    assert!(entry.contains("02:00:00:00:00:06"), "{entry}");
    crate::doctor::finds_no_fault(&lab.host);
    let said = daemon.stop();
    assert!(!said.contains("conflict"), "{said}");
}

fn a_guest_there_may_check_an_address_that_the_router_asks_for() {
    let lab = lab();
    nft(&lab.host, NO_REDIRECTS);
    let daemon = serving(&lab);
    lab.router.ping(&GUEST.to_string());
    let asking = Pings::start(&lab.router, 20, &c(7).to_string());
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "3")]);
    lab.guest.ip(&format!("addr add {}/112 dev eth0", c(7)));
    eventually("the guest's check is over", PATIENCE, || {
        let addresses = lab.guest.show("-o addr show dev eth0");
        let line = addresses.lines().find(|line| line.contains(&c(7).to_string()))?;
        assert!(!line.contains("dadfailed"), "{line}");
        (!line.contains("tentative")).then_some(())
    });
    drop(asking);
    // The kernel may have begun to ask for it too early, and drops what waits then.
    eventually("the router reaches it", PATIENCE, || {
        let mut ping = Command::new("ping");
        ping.args(["-c", "1", "-W", "1", &c(7).to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        lab.router.spawn(&mut ping).wait().unwrap().success().then_some(())
    });
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn redirects_send_guests_past_the_host() {
    let lab = lab();
    let daemon = serving(&lab);
    let _out = Pings::start(&lab.guest, 20, BEYOND);
    eventually("the guest believes the router to be nearer", PATIENCE, || {
        lab.guest.show(&format!("route get {BEYOND}")).contains("via fe80::1 ").then_some(())
    });
    daemon.stop();
}

fn guests_are_reached_whose_frames_the_bridge_keeps_from_the_uplink() {
    let lab = lab();
    nft(&lab.host, NO_REDIRECTS);
    nft(&lab.host, APART);
    let daemon = serving(&lab);
    lab.router.ping(&GUEST.to_string());
    has_the_hosts_mac(&lab);
    Pings::start(&lab.guest, 20, BEYOND).lose_none();
    lab.guest.ping(&OTHER.to_string());
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn says_that_nobody_is_answered_while_the_router_is_not_heard() {
    let lab = lab();
    nft(&lab.host, NO_REDIRECTS);
    nft(&lab.host, MUTE);
    let daemon = serving(&lab);
    let messages = || status(&daemon)["problems"].to_string();
    eventually("it is told", PATIENCE, || {
        messages().contains("does not know yet which port of the bridge").then_some(())
    });
    assert_eq!(lone64(&daemon.socket(), "status").status.code(), Some(1));
    let explained = lone64(&daemon.socket(), &format!("explain {GUEST}")).stdout;
    let explained = String::from_utf8(explained).unwrap();
    assert!(explained.contains("not known behind which port of vmbr0"), "{explained}");
    nft(&lab.host, "delete table netdev mute");
    lab.router.ping(&GUEST.to_string());
    has_the_hosts_mac(&lab);
    assert_eq!(messages(), "[]");
    let explained = lone64(&daemon.socket(), &format!("explain {GUEST}")).stdout;
    let explained = String::from_utf8(explained).unwrap();
    assert!(explained.contains("the router is behind up0 of vmbr0"), "{explained}");
    assert!(explained.contains("vmbr0, behind its port gp0"), "{explained}");
    crate::doctor::finds_no_fault(&lab.host);
    let said = daemon.stop();
    assert_eq!(said.matches("the port of vmbr0 towards the router is known now").count(), 1, "{said}");
}
