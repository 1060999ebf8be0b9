//! What is on the upstream's own link answers for itself; and links without Neighbor Discovery.

use std::net::Ipv6Addr;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, mac, sender, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, c};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;
use crate::solicitation::Solicitation;

crate::cases![
    lets_a_stranger_check_its_address_over_an_imported_rule_for_the_whole_link,
    leaves_guests_of_a_macvlan_on_the_upstream_to_answer_for_themselves,
    refuses_a_macvlan_on_the_upstream_by_name,
    has_no_backstop_over_its_own_link,
    has_a_backstop_in_another_table_only_beside_the_upstreams_prefix,
    answers_behind_a_link_without_discovery_as_long_as_it_is_up,
    serves_addresses_of_the_host_on_lo_and_on_links_without_carrier,
];

/// What `static` of ndppd is imported as, here for all of the link.
const IMPORTED: &str = "[[range]]\nprefix = \"2001:db8:1:2::/64\"\nanswer = \"always\"\nroutes = \"none\"\n";
/// The range on the macvlan.
const SHIM: &str = "2001:db8:1:2:e::/112";
/// The guest there.
const SHIM_GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5);
/// Its MAC.
const SHIM_GUEST_MAC: [u8; 6] = mac(0x75);

/// Another station on the router's side of the link.
fn stranger(lab: &Lab) -> Namespace {
    let stranger = Namespace::new();
    lab.router.ip(&format!(
        "link add link rt0 name st0 address 02:00:00:00:00:03 netns {} type macvlan mode bridge",
        stranger.path()
    ));
    stranger.sysctls(&[("net/ipv6/conf/st0/accept_dad", "1"), ("net/ipv6/conf/st0/dad_transmits", "2")]);
    stranger.ip("link set st0 up");
    stranger
}

fn lets_a_stranger_check_its_address_over_an_imported_rule_for_the_whole_link() {
    let lab = Lab::veth();
    let stranger = stranger(&lab);
    let daemon = Daemon::start(&lab, Settings::default().rest(IMPORTED));
    stranger.ip("addr add 2001:db8:1:2::77/64 dev st0");
    eventually("the stranger's check is over", PATIENCE, || {
        let addresses = stranger.show("-o addr show dev st0");
        let line = addresses.lines().find(|line| line.contains("2001:db8:1:2::77"))?;
        assert!(!line.contains("dadfailed"), "{line}");
        (!line.contains("tentative")).then_some(())
    });
    let mut link = Link::open(&lab);
    link.unanswered(&Solicitation::multicast(ROUTER, "2001:db8:1:2::78".parse().unwrap()));
    // What the kernel routes elsewhere is answered for.
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::dad(mac(0x61), c(9)));
    daemon.stop();
}

/// A guest with a macvlan of its own, and another of the host's by which the host reaches it.
fn host_shim(lab: &Lab) -> Namespace {
    let guest = Namespace::new();
    lab.host.ip(&format!(
        "link add link up0 name eth0 address 02:00:00:00:00:75 netns {} type macvlan mode bridge
         link add link up0 name shim0 address 02:00:00:00:00:77 type macvlan mode bridge
         link set shim0 up
         addr add fe80::77/64 dev shim0 nodad",
        guest.path()
    ));
    guest.ip(&format!(
        "link set eth0 up
         addr add fe80::75/64 dev eth0 nodad
         addr add {SHIM_GUEST}/64 dev eth0 nodad"
    ));
    guest
}

/// Everybody who answers for the guest on the macvlan, in the order in which they do.
fn stations(lab: &Lab, link: &mut Link) -> Vec<[u8; 6]> {
    let mut router = Endpoint::open(&lab.router, "rt0");
    let mut stations = Vec::new();
    link.send(&Solicitation::multicast(ROUTER, SHIM_GUEST));
    let mut note = |frame: &[u8]| {
        let is_answer = target_of(frame, ADVERTISEMENT) == Some(SHIM_GUEST);
        stations.extend(is_answer.then(|| sender(frame)));
        (is_answer && sender(frame) == SHIM_GUEST_MAC).then_some(())
    };
    // A macvlan hands a multicast frame on when it has time.
    router.receive_until("the guest's own answer", PATIENCE, &mut note);
    link.settle();
    router.heard().iter().for_each(|frame| _ = note(frame));
    stations
}

fn leaves_guests_of_a_macvlan_on_the_upstream_to_answer_for_themselves() {
    let lab = Lab::veth();
    let _guest = host_shim(&lab);
    lab.host.ip(&format!("route add {SHIM} dev shim0"));
    let daemon = Daemon::start(&lab, Settings::default().upstream("automatic = true\n"));
    let mut link = Link::open(&lab);
    for _ in 0..3 {
        assert_eq!(stations(&lab, &mut link), [SHIM_GUEST_MAC]);
    }
    Pings::start(&lab.router, 5, &SHIM_GUEST.to_string()).lose_none();
    // A bridge with a prefix out of the same link is served as before.
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn refuses_a_macvlan_on_the_upstream_by_name() {
    let lab = Lab::veth();
    let _guest = host_shim(&lab);
    let settings = Settings::default().range(C, "br0", "").range(SHIM, "shim0", "answer = \"always\"");
    let daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    assert_eq!(stations(&lab, &mut link), [SHIM_GUEST_MAC]);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let said = daemon.stop();
    assert!(
        said.contains(&format!("range {SHIM}: shim0 ")) && said.contains("answer for themselves"),
        "{said}"
    );
}

fn unreachable(lab: &Lab) -> String {
    lab.host.show("-o route show type unreachable table all proto 64")
}

fn has_no_backstop_over_its_own_link() {
    let lab = Lab::veth();
    // As a DHCPv6 server gives it: one address, and the rest of the /64 by the router.
    lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0
         addr add 2001:db8:1:2::2/128 dev up0 nodad");
    let daemon = Daemon::start(
        &lab,
        Settings::default().range("2001:db8:1:2::/64", "br0", "routes = \"guests\"").range(D, "gv1", ""),
    );
    let backstops = || unreachable(&lab);
    eventually("the part that is no link has its own", PATIENCE, || backstops().contains(D).then_some(()));
    assert_eq!(backstops().lines().count(), 1, "{}", backstops());
    Pings::start(&lab.host, 3, "2001:db8:1:2::1").lose_none();
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn has_a_backstop_in_another_table_only_beside_the_upstreams_prefix() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", "").rest("[routes]\ntable = 100\n"));
    assert_eq!(unreachable(&lab), "");
    assert!(lab.host.show("-o route show table 100").contains(D));
    lab.host.ip("route add 2001:db8:1:2::/64 dev up0 table 100");
    eventually("the backstop is there", PATIENCE, || unreachable(&lab).contains(D).then_some(()));
    lab.host.ip("route del 2001:db8:1:2::/64 dev up0 table 100");
    eventually("the backstop is gone", PATIENCE, || unreachable(&lab).is_empty().then_some(()));
    daemon.stop();
}

fn answers_behind_a_link_without_discovery_as_long_as_it_is_up() {
    let lab = Lab::veth();
    // Without discovery the kernel sends to the address that the link itself has.
    lab.host.ip("link set gv1 arp off");
    lab.plain.ip("link set eth0 down
         link set eth0 address 02:00:00:00:00:b1 arp off
         link set eth0 up
         addr replace 2001:db8:1:2:d::5/128 dev eth0 nodad
         route add default dev eth0");
    eventually("the link has its carrier", PATIENCE, || {
        lab.host.show("-o link show dev gv1").contains("state UP").then_some(())
    });
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", ""));
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.plain, "eth0");
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    let probed = guest.heard().iter().any(|frame| target_of(frame, 135) == Some(PLAIN));
    assert!(!probed, "nobody answers there");
    Pings::start(&lab.router, 3, &PLAIN.to_string()).lose_none();
    lab.plain.ip("link set eth0 down");
    eventually("it is not answered for any more", PATIENCE, || {
        link.advertisements(&Solicitation::multicast(ROUTER, PLAIN)).is_empty().then_some(())
    });
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn serves_addresses_of_the_host_on_lo_and_on_links_without_carrier() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().upstream("automatic = true\n"));
    let own = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, 1);
    let mut link = Link::open(&lab);
    link.unanswered(&Solicitation::multicast(ROUTER, own));
    for made in ["lo", "br7"] {
        // A bridge without ports has no carrier.
        lab.host.ip(if made == "lo" { "" } else { "link add br7 type bridge\nlink set br7 up" });
        lab.host.ip(&format!("addr replace {own}/128 dev {made} nodad noprefixroute"));
        eventually("it is answered for", PATIENCE, || {
            let heard = link.advertisements(&Solicitation::multicast(ROUTER, own));
            (!heard.is_empty()).then_some(())
        });
        lab.router.ping(&own.to_string());
        lab.host.ip(&format!("addr del {own}/128 dev {made}"));
        eventually("it is not answered for any more", PATIENCE, || {
            link.advertisements(&Solicitation::multicast(ROUTER, own)).is_empty().then_some(())
        });
    }
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}
