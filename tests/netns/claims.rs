//! rules.md "Before we claim": nobody on the upstream's link loses an address.

use std::net::Ipv6Addr;

use crate::client::status;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, SOLICITATION, sender, target_of};
use crate::lab::{C, GUEST, Lab, ROUTER, ROUTER_AT_LARGE, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;
use crate::solicitation::Solicitation;

crate::cases![
    takes_the_routers_address_from_no_neighbor_though_a_bridge_has_it,
    serves_a_guest_only_while_no_neighbor_has_its_address,
    lets_one_of_two_hosts_serve_a_guest_that_both_have,
    takes_no_router_for_a_rival_that_answers_for_its_whole_link,
];

/// Another customer's machine on the provider's link.
const NEIGHBOR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0x99);

/// The conflicts of which the status tells: the address, and whether it is answered for.
fn conflicts(daemon: &Daemon) -> Vec<(String, bool)> {
    let conflicts = status(daemon)["conflicts"].take();
    let of = |conflict: &serde_json::Value| {
        (conflict["address"].as_str().unwrap().to_owned(), conflict["answered"].as_bool().unwrap())
    };
    conflicts.as_array().expect("a list").iter().map(of).collect()
}

/// Docker does that with `fixed-cidr-v6 = 2001:db8:1:2::/80`.
fn takes_the_routers_address_from_no_neighbor_though_a_bridge_has_it() {
    let lab = Lab::macvlan();
    let (neighbor, router) = (lab.rival(NEIGHBOR), ROUTER_AT_LARGE.address);
    lab.host.ip(&format!(
        "link add docker0 type bridge\nlink set docker0 up\naddr add {router}/80 dev docker0 nodad"
    ));
    neighbor.ping(&router.to_string());
    let pings = Pings::start(&neighbor, 40, &router.to_string());
    let settings = Settings::default().upstream("automatic = true\n").without_sentinels();
    let daemon = Daemon::start(&lab, settings);
    eventually("the conflict is told", PATIENCE, || {
        (conflicts(&daemon) == [(router.to_string(), false)]).then_some(())
    });
    let said = daemon.stop();
    assert!(said.contains("conflict: another host on the upstream has the address"), "{said}");
    pings.lose_none();
    let entry = neighbor.show(&format!("neigh show {router} dev rv0"));
    assert!(entry.contains("02:00:00:00:00:01"), "{entry}");
}

fn serves_a_guest_only_while_no_neighbor_has_its_address() {
    let lab = Lab::macvlan();
    let neighbor = lab.rival(GUEST);
    // A router that has asked the neighbor, before the guest is heard.
    lab.router.ping(&GUEST.to_string());
    let daemon =
        Daemon::start(&lab, Settings::default().range(C, "br0", "").rest("[timers]\nreachable = \"1s\"\n"));
    lab.guest.ping(&c(1).to_string());
    eventually("the conflict is told", PATIENCE, || {
        (conflicts(&daemon) == [(GUEST.to_string(), false)]).then_some(())
    });
    let entry = lab.router.show(&format!("neigh show {GUEST} dev rt0"));
    assert!(entry.contains("02:00:00:00:00:03"), "the router's entry is still its neighbor's: {entry}");
    neighbor.ip("link set rv0 down");
    eventually("the guest has its address for itself", 3 * PATIENCE, || {
        conflicts(&daemon).is_empty().then_some(())
    });
    eventually("the router finds it", PATIENCE, || {
        lab.router.show(&format!("neigh show {GUEST} dev rt0")).contains("02:00:00:00:00:02").then_some(())
    });
    let said = daemon.stop();
    assert!(said.contains("the conflict is over"), "{said}");
}

/// A second host on the link of [`Lab::macvlan`], with a guest that has the address of the first one's guest.
fn second_host(lab: &Lab) -> Lab {
    let host = Namespace::new();
    let guest = Namespace::new();
    lab.parent.as_ref().expect("macvlans").ip(&format!(
        "link add link p0 name up0 address 02:00:00:00:00:22 netns {} type macvlan mode bridge",
        host.path()
    ));
    host.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    host.ip(&format!(
        "link set up0 up
         addr add fe80::22/64 dev up0 nodad
         addr add 2001:db8:1:2::22/64 dev up0 nodad
         route add default via fe80::1 dev up0
         link add br0 address 02:00:00:00:00:b2 type bridge forward_delay 0 mcast_snooping 0
         link add gp0 type veth peer name eth0 address 02:00:00:00:00:25 netns {}
         link set gp0 master br0",
        guest.path()
    ));
    guest.ip(&format!(
        "link set eth0 up
         addr add fe80::25/64 dev eth0 nodad
         addr add {GUEST}/112 dev eth0 nodad"
    ));
    host.ip(&format!(
        "link set gp0 up
         link set br0 up
         addr add fe80::b2/64 dev br0 nodad
         addr add {}/112 dev br0 nodad",
        c(2)
    ));
    Lab { router: Namespace::new(), host, guest, plain: Namespace::new(), parent: None }
}

fn lets_one_of_two_hosts_serve_a_guest_that_both_have() {
    let first = Lab::macvlan();
    let second = second_host(&first);
    let start = |lab| Daemon::start(lab, Settings::default().range(C, "br0", "").without_sentinels());
    let daemons = [start(&first), start(&second)];
    first.guest.ping(&c(1).to_string());
    second.guest.ping(&c(2).to_string());
    let answers = || daemons.each_ref().map(conflicts);
    let guest = GUEST.to_string();
    eventually("both tell of a conflict, and one of them serves", PATIENCE, || {
        let told = answers();
        let serving = told.iter().flatten().filter(|(_, answered)| *answered).count();
        (told.iter().all(|told| told.len() == 1 && told[0].0 == guest) && serving == 1).then_some(())
    });
    // From then on the router hears of one of them alone.
    let mut router = Endpoint::open(&first.router, "rt0");
    let question = Solicitation::multicast(ROUTER, GUEST);
    let mut stations = std::collections::BTreeSet::new();
    for _ in 0..5 {
        router.send(&question.frame());
        let station = |frame: &[u8]| (target_of(frame, ADVERTISEMENT)? == GUEST).then(|| sender(frame));
        stations.insert(router.receive_until("an answer", PATIENCE, station));
    }
    assert_eq!(stations.len(), 1, "{stations:02x?}");
    for daemon in daemons {
        let said = daemon.stop();
        assert_eq!(said.matches("conflict: another host").count(), 1, "{said}");
    }
}

/// Local proxy ND: the router answers for every address of its link, and asks for those that it forwards to.
fn takes_no_router_for_a_rival_that_answers_for_its_whole_link() {
    let lab = Lab::veth();
    let daemon =
        Daemon::start(&lab, Settings::default().range(C, "br0", "").upstream("announce = \"dad\"\n"));
    let mut router = Endpoint::open(&lab.router, "rt0");
    lab.guest.ping(&c(1).to_string());
    let is_check = |frame: &[u8]| {
        (target_of(frame, SOLICITATION)? == GUEST && sender(frame) == UPSTREAM_MAC).then_some(())
    };
    router.receive_until("the check for duplicates", PATIENCE, is_check);
    router.send(&Solicitation::defence(ROUTER, GUEST, false).frame());
    eventually("it is taken for a rival", PATIENCE, || (!conflicts(&daemon).is_empty()).then_some(()));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    assert_eq!(conflicts(&daemon), []);
}
