//! rules.md "Delivery": multicast groups of live targets, and the kinds of interface that an upstream
//! can be.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::process::Command;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_AT_LARGE, c, d};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    reaches_live_guests_behind_a_snooping_switch_and_without_mld_does_not,
    a_guest_that_announces_itself_is_reached_behind_a_snooping_switch,
    reports_the_groups_of_thousands_of_guests_and_their_end,
    stays_known_to_a_switch_that_asks_and_forgets,
    reaches_whom_nobody_has_heard_of_where_a_multicast_router_is_advertised,
    keeps_its_groups_while_the_upstream_is_down_and_reports_them_on_a_new_one,
    serves_an_upstream_that_is_a_bridge,
    serves_an_upstream_that_is_a_macvlan_over_a_bridge,
    waits_for_an_upstream_with_a_link_layer,
];

fn reaches_live_guests_behind_a_snooping_switch_and_without_mld_does_not() {
    let lab = Lab::switched();
    // What is announced, the router need not ask for.
    let settings = Settings::default().range(C, "br0", "").without_sentinels().upstream("announce = false\n");
    for (mld, is_reached) in [("mld = false", false), ("mld = true", true)] {
        let daemon = Daemon::start(&lab, settings.clone().upstream(mld));
        // Nobody can ask for a target that is not live: its group is nobody's.
        assert!(!is_answered(&lab), "{mld}: what is not known yet");
        // The host speaks with its guest, so that the kernel's neighbor table has it.
        lab.host.ping(&GUEST.to_string());
        if is_reached {
            eventually("its group is known", PATIENCE, || groups(&lab).contains(&group(5)).then_some(()));
        }
        assert_eq!(is_answered(&lab), is_reached, "{mld}");
        daemon.stop();
        lab.router.ip("neigh flush all");
        lab.host.ip("neigh flush dev br0");
    }
}

fn a_guest_that_announces_itself_is_reached_behind_a_snooping_switch() {
    let lab = Lab::switched();
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", "").without_sentinels());
    // What a guest does when it comes up: it speaks to its gateway.
    lab.plain.ping("fe80::b1%eth0");
    lab.plain.ping(&format!("-I {PLAIN} 2001:db8:1:2:d::1"));
    eventually("the router reaches it", PATIENCE, || {
        let ping = format!("-c 1 -W 1 {PLAIN}");
        let status = lab.router.spawn(&mut quiet("ping", &ping)).wait().unwrap();
        status.success().then_some(())
    });
    daemon.stop();
}

fn reports_the_groups_of_thousands_of_guests_and_their_end() {
    let (behind_bridge, behind_veth) = (0x100..0xb00, 0xb00..0xd00);
    let lab = Lab::switched();
    lab.switch().ip("link set sw0 type bridge mcast_hash_max 16384");
    let before = groups(&lab);
    let settings = Settings::default().range(C, "br0", "").range(D, "gv1", "").without_sentinels();
    let daemon = Daemon::start(&lab, settings.rest("[limits]\ngroups = 4096\n"));
    lab.host.ip(&behind_bridge.clone().map(|number| neighbor(c(number), "br0")).collect::<String>());
    lab.host.ip(&behind_veth.clone().map(|number| neighbor(d(number), "gv1")).collect::<String>());
    let (first, second): (BTreeSet<_>, BTreeSet<_>) =
        (behind_bridge.map(group).collect(), behind_veth.map(group).collect());
    eventually("the switch knows all", PATIENCE, || {
        let known = groups(&lab);
        (known.is_superset(&first) && known.is_superset(&second)).then_some(())
    });
    let mut router = Endpoint::open(&lab.router, "rt0");
    for target in [c(0xaff), d(0xcff)] {
        router.send(&Solicitation::multicast(ROUTER, target).frame());
        router.receive_until("the answer", PATIENCE, |frame| {
            (target_of(frame, ADVERTISEMENT) == Some(target)).then_some(())
        });
    }
    lab.host.ip("link set br0 down");
    eventually("those of the bridge have ended", PATIENCE, || groups(&lab).is_disjoint(&first).then_some(()));
    assert!(groups(&lab).is_superset(&second));
    daemon.stop();
    eventually("all have ended", PATIENCE, || (groups(&lab) == before).then_some(()));
}

fn stays_known_to_a_switch_that_asks_and_forgets() {
    let lab = Lab::switched();
    // In tenths of a second: what is not reported for three queries is forgotten.
    lab.switch().ip("link set sw0 type bridge mcast_membership_interval 300");
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    lab.host.ping(&GUEST.to_string());
    eventually("its group is known", PATIENCE, || groups(&lab).contains(&group(5)).then_some(()));
    ten_queries(&lab);
    assert!(groups(&lab).contains(&group(5)), "{:?}", groups(&lab));
    assert!(is_answered(&lab));
    // One that is killed says nothing, and is forgotten.
    daemon.kill();
    eventually("its group is forgotten", PATIENCE, || (!groups(&lab).contains(&group(5))).then_some(()));
}

fn reaches_whom_nobody_has_heard_of_where_a_multicast_router_is_advertised() {
    let lab = Lab::switched();
    let is_router_port = || {
        let text = lab.switch().output("bridge", "-d mdb show dev sw0");
        text.lines().any(|line| line.contains("router port") && line.contains("p1"))
    };
    let settings = Settings::default().range(C, "br0", "").without_sentinels();
    let daemon = Daemon::start(&lab, settings.upstream("mld = \"router\"\nannounce = false\n"));
    eventually("the switch knows of a multicast router", PATIENCE, || is_router_port().then_some(()));
    assert!(is_answered(&lab), "nobody has heard of it");
    let mut port = Endpoint::open(lab.switch(), "p1");
    daemon.stop();
    port.receive_until("the end of the multicast router", PATIENCE, |frame| {
        (frame.get(20) == Some(&0) && frame.get(62) == Some(&153)).then_some(())
    });
}

fn keeps_its_groups_while_the_upstream_is_down_and_reports_them_on_a_new_one() {
    let lab = Lab::switched();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    lab.host.ping(&GUEST.to_string());
    let known = || groups(&lab).contains(&group(5)).then_some(());
    eventually("its group is known", PATIENCE, known);
    // Without its port the switch forgets it.
    lab.host.ip("link set up0 down");
    eventually("its group is forgotten", PATIENCE, || known().is_none().then_some(()));
    lab.host.ip("link set up0 up");
    eventually("its group is known again", PATIENCE, known);
    lab.host.ip("link del up0");
    lab.switch().ip(&format!(
        "link add p1 type veth peer name up0 address 02:00:00:00:00:02 netns {}
         link set p1 master sw0
         link set p1 up",
        lab.host.path()
    ));
    lab.host.ip("link set up0 up\naddr add fe80::2/64 dev up0 nodad");
    eventually("its group is known at the new port", PATIENCE, known);
    daemon.stop();
}

fn serves_an_upstream_that_is_a_bridge() {
    let lab = Lab::veth();
    // The port gets an address of its own, and the bridge that of the upstream.
    lab.host.ip("link set up0 address 02:00:00:00:00:22
         addr flush dev up0
         link add ub0 address 02:00:00:00:00:02 type bridge forward_delay 0
         link set up0 master ub0
         link set ub0 up
         addr add fe80::2/64 dev ub0 nodad
         addr add 2001:db8:1:2::2/64 dev ub0 nodad");
    serves(&lab, "ub0");
}

fn serves_an_upstream_that_is_a_macvlan_over_a_bridge() {
    let lab = Lab::veth();
    lab.host.ip("link set up0 address 02:00:00:00:00:22
         addr flush dev up0
         link add ub0 address 02:00:00:00:00:23 type bridge forward_delay 0
         link set up0 master ub0
         link set ub0 up
         link add link ub0 name mv0 address 02:00:00:00:00:02 type macvlan mode bridge
         link set mv0 up
         addr add fe80::2/64 dev mv0 nodad
         addr add 2001:db8:1:2::2/64 dev mv0 nodad");
    serves(&lab, "mv0");
}

fn serves(lab: &Lab, upstream: &str) {
    let daemon = Daemon::start(lab, Settings::default().upstream_named(upstream).range(C, "br0", ""));
    let mut link = Link::open(lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::multicast(ROUTER_AT_LARGE, GUEST));
    lab.router.ping(&GUEST.to_string());
    daemon.stop();
}

fn waits_for_an_upstream_with_a_link_layer() {
    let lab = Lab::veth();
    lab.host.ip("tuntap add dev tun7 mode tun\nlink set tun7 up");
    let settings = Settings::default().upstream_named("tun7").range(C, "br0", "");
    let mut daemon = Daemon::start_unready(&lab, settings);
    let ready = daemon.notified("READY=1");
    assert!(ready.contains("STATUS=waiting for a link layer on tun7"), "{ready}");
    // Another interface may take that name.
    lab.host.rename("tun7", "tun8", "");
    lab.host.ip("link set up0 down\nlink set up0 name tun7\nlink set tun7 up
         addr replace fe80::2/64 dev tun7 nodad\naddr replace 2001:db8:1:2::2/64 dev tun7 nodad");
    eventually("the guest is reached", PATIENCE, || is_answered(&lab).then_some(()));
    let said = daemon.stop();
    assert_eq!(said.matches("tun7 has no link layer").count(), 1, "{said}");
}

fn is_answered(lab: &Lab) -> bool {
    lab.router.ip("neigh flush all");
    let ping = format!("-c 1 -W 1 {GUEST}");
    lab.router.spawn(&mut quiet("ping", &ping)).wait().unwrap().success()
}

fn quiet(program: &str, arguments: &str) -> Command {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).stdout(std::process::Stdio::null());
    command
}

/// A line of ip that makes the kernel know a guest.
pub(crate) fn neighbor(address: Ipv6Addr, interface: &str) -> String {
    format!("neigh add {address} lladdr 02:00:00:01:00:05 dev {interface} nud permanent\n")
}

/// So many intervals of the querier pass.
pub(crate) fn ten_queries(lab: &Lab) {
    let mut host = Endpoint::open(&lab.host, "up0");
    for _ in 0..10 {
        host.receive_until("a query", PATIENCE, |frame| {
            (frame.get(20) == Some(&0) && frame.get(62) == Some(&130)).then_some(())
        });
    }
}

/// The solicited-node groups that the switch passes on to the host.
pub(crate) fn groups(lab: &Lab) -> BTreeSet<String> {
    let text = lab.switch().output("bridge", "mdb show dev sw0");
    let of_host = text.lines().filter(|line| line.contains(" port p1 "));
    let named =
        of_host.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("ff02::1:ff")));
    named.map(str::to_owned).collect()
}

pub(crate) fn group(last: u16) -> String {
    lone64::wire::solicited_node(c(last)).to_string()
}
