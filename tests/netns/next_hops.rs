//! Guests behind a router of their own: a container with a prefix behind it, which the host has a route through.

use std::net::Ipv6Addr;

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::doctor::Patient;
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, ROUTER, SENTINELS, c};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;

crate::cases![
    what_is_behind_a_container_is_reached_while_that_container_is_there,
    a_written_range_serves_both_a_link_and_what_is_behind_a_router_there,
    a_nexthop_object_that_is_replaced_is_followed,
    of_two_routers_one_is_enough,
    no_router_among_several_of_a_default_route_is_answered_for,
    finds_an_upstream_by_a_default_route_of_another_name,
    a_route_for_some_senders_only_changes_nothing_for_others,
    what_nobody_serves_behind_a_router_is_healed_by_the_lines_of_the_doctor,
];

const PREFIX: &str = "2001:db8:1:2:f::/112";
const BEHIND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, 7);
/// A target that did not reply is asked for again soon, so that a test can ask several times.
const TIMERS: &str = "[timers]\nabsent = \"200ms\"\n";

/// A lab whose guest is a router with a prefix behind it, and another one beside it that has the same.
fn with_routers() -> (Lab, Namespace) {
    let lab = Lab::veth();
    let other = Namespace::new();
    lab.host.ip(&format!(
        "link add gp1 type veth peer name eth0 address 02:00:00:00:00:07 netns {}
         link set gp1 master br0
         link set gp1 up",
        other.path()
    ));
    other.ip(&format!(
        "link set eth0 up
         addr add fe80::7/64 dev eth0 nodad
         addr add {}/112 dev eth0 nodad
         route add default via {} dev eth0",
        c(7),
        c(1)
    ));
    for router in [&lab.guest, &other] {
        router.ip(&format!("link set lo up\naddr add {BEHIND}/128 dev lo"));
    }
    (lab, other)
}

fn automatic() -> Settings {
    Settings::default().upstream("automatic = true\n").rest(TIMERS)
}

/// A group has no family, and so `ip -6` refuses it.
fn group(lab: &Lab, members: &str) {
    lab.host.output("ip", &format!("nexthop replace id 10 group {members}"));
}

fn is_answered(link: &mut Link, target: Ipv6Addr) -> bool {
    !link.advertisements(&Solicitation::multicast(ROUTER, target)).is_empty()
}

fn becomes_answered(link: &mut Link, target: Ipv6Addr) {
    eventually("it is answered for", PATIENCE, || is_answered(link, target).then_some(()));
}

fn becomes_unanswered(link: &mut Link, target: Ipv6Addr) {
    eventually("it is not answered for any more", PATIENCE, || (!is_answered(link, target)).then_some(()));
}

/// The state of this next hop in the status.
fn state(daemon: &Daemon, address: &str) -> Option<String> {
    let status = status(daemon);
    let hops = status["next_hops"].as_array().expect("a list").clone();
    let hop = hops.iter().find(|hop| hop["address"] == address)?;
    assert_eq!(hop["interface"], "br0");
    Some(hop["state"].as_str().expect("a state").to_owned())
}

fn explain(lab: &Lab, daemon: &Daemon) -> String {
    let socket = daemon.socket();
    let output = lab.host.run(|| lone64(&socket, &format!("explain {BEHIND}")));
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn what_is_behind_a_container_is_reached_while_that_container_is_there() {
    let (lab, _other) = with_routers();
    lab.host.ip(&format!("route add {PREFIX} via fe80::5 dev br0"));
    let daemon = Daemon::start(&lab, automatic());
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, BEHIND));
    lab.router.ping(&BEHIND.to_string());
    assert_eq!(state(&daemon, "fe80::5").as_deref(), Some("live"));
    let said = explain(&lab, &daemon);
    assert!(said.contains("behind the next hop fe80::5 on br0, which was seen"), "{said}");
    let page = String::from_utf8(lone64(&daemon.socket(), "status").stdout).unwrap();
    assert!(page.contains("next hop fe80::5 dev br0: live, seen"), "{page}");

    lab.guest.ip("link set eth0 down");
    becomes_unanswered(&mut link, BEHIND);
    let said = explain(&lab, &daemon);
    assert!(said.contains("behind the next hop fe80::5 on br0, which is"), "{said}");
    lab.guest.ip(&format!(
        "link set eth0 up
         addr replace fe80::5/64 dev eth0 nodad
         addr replace {GUEST}/112 dev eth0 nodad
         route replace default via {} dev eth0",
        c(1)
    ));
    becomes_answered(&mut link, BEHIND);
    lab.host.ip(&format!("route del {PREFIX}"));
    becomes_unanswered(&mut link, BEHIND);
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn a_written_range_serves_both_a_link_and_what_is_behind_a_router_there() {
    let (lab, _other) = with_routers();
    let wide = Settings::default().range("2001:db8:1:2:c::/78", "br0", "routes = \"guests\"").rest(TIMERS);
    // The router is a target itself.
    lab.host.ip(&format!("route add {PREFIX} via {GUEST} dev br0"));
    let daemon = Daemon::start(&lab, wide);
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, BEHIND));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let routes = lab.host.show("route show proto 64");
    assert!(routes.contains(&GUEST.to_string()) && !routes.contains(&BEHIND.to_string()), "{routes}");
    lab.guest.ip("link set eth0 down");
    becomes_unanswered(&mut link, BEHIND);
    becomes_unanswered(&mut link, GUEST);
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn a_nexthop_object_that_is_replaced_is_followed() {
    let (lab, _other) = with_routers();
    lab.host.ip("nexthop add id 1 via fe80::9 dev br0\nnexthop add id 2 via fe80::8 dev br0");
    group(&lab, "1/2");
    lab.host.ip(&format!("route add {PREFIX} nhid 10"));
    let daemon = Daemon::start(&lab, automatic());
    let mut link = Link::open(&lab);
    link.unanswered(&Solicitation::multicast(ROUTER, BEHIND));
    lab.host.ip("nexthop replace id 2 via fe80::7 dev br0");
    becomes_answered(&mut link, BEHIND);
    lab.host.ip("nexthop replace id 2 via fe80::8 dev br0");
    becomes_unanswered(&mut link, BEHIND);
    // A group that loses a member: of its routes the kernel says nothing.
    lab.host.ip("nexthop add id 3 via fe80::5 dev br0");
    group(&lab, "1/3");
    becomes_answered(&mut link, BEHIND);
    lab.host.ip("nexthop del id 3");
    becomes_unanswered(&mut link, BEHIND);
    assert_eq!(state(&daemon, "fe80::5"), None);
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn of_two_routers_one_is_enough() {
    let (lab, other) = with_routers();
    lab.host.ip(&format!("route add {PREFIX} nexthop via fe80::5 dev br0 nexthop via fe80::7 dev br0"));
    let daemon = Daemon::start(&lab, automatic());
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, BEHIND));
    other.ip("link set eth0 down");
    eventually("one of them is known to be off", PATIENCE, || {
        let is_off = state(&daemon, "fe80::7").as_deref() != Some("live");
        assert!(is_answered(&mut link, BEHIND));
        is_off.then_some(())
    });
    assert_eq!(state(&daemon, "fe80::5").as_deref(), Some("live"));
    lab.guest.ip("link set eth0 down");
    becomes_unanswered(&mut link, BEHIND);
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn no_router_among_several_of_a_default_route_is_answered_for() {
    let lab = Lab::veth();
    let [first, second] = [c(8), c(9)];
    lab.host.ip(&format!(
        "route add {first}/128 dev up0
         route add {second}/128 dev up0
         nexthop add id 1 via fe80::1 dev up0
         nexthop add id 2 via {first} dev up0
         nexthop add id 3 via {second} dev up0"
    ));
    group(&lab, "1/2/3");
    let several =
        format!("nexthop via fe80::1 dev up0 nexthop via {first} dev up0 nexthop via {second} dev up0");
    for by in ["nhid 10", several.as_str()] {
        lab.host.ip(&format!("route del default\nroute add default {by}"));
        let keys = "answer = \"always\"\nroutes = \"none\"";
        let daemon = Daemon::start(&lab, Settings::default().without_upstream().range(C, "br0", keys));
        let mut link = Link::open(&lab);
        link.answered(&Solicitation::multicast(ROUTER, c(10)));
        for router in [first, second] {
            link.unanswered(&Solicitation::multicast(ROUTER, router));
        }
        crate::doctor::finds_no_fault(&lab.host);
        daemon.stop();
    }
}

fn finds_an_upstream_by_a_default_route_of_another_name() {
    let patient = Patient::healthy();
    let lab = &patient.lab;
    lab.host.ip("route del default");
    patient.suffers_from("default-route", "fault", &["no IPv6 default route"]);
    for wide in [&["2000::/3"][..], &["::/1", "8000::/1"]] {
        for table in ["", "table 200"] {
            let each = |verb: &str| -> String {
                wide.iter().map(|to| format!("route {verb} {to} via fe80::1 dev up0 {table}\n")).collect()
            };
            lab.host.ip(&format!("{}rule add pref 40000 lookup 200", each("add")));
            patient.is_well();
            let daemon = Daemon::start(lab, Settings::default().without_upstream().range(C, "br0", ""));
            Link::open(lab).answered(&Solicitation::multicast(ROUTER, GUEST));
            crate::doctor::finds_no_fault(&lab.host);
            daemon.stop();
            lab.host.ip(&format!("{}rule del pref 40000", each("del")));
        }
    }
}

fn a_route_for_some_senders_only_changes_nothing_for_others() {
    let (lab, _other) = with_routers();
    // By a router that is off, and only for what the guests send.
    lab.host.ip(&format!("route add {GUEST} from {C} via fe80::9 dev br0"));
    let daemon = Daemon::start(&lab, automatic());
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    lab.host.ip(&format!("route add {PREFIX} from {C} via fe80::5 dev br0"));
    link.unanswered(&Solicitation::multicast(ROUTER, BEHIND));
    // One to the same destination hides the one for all.
    lab.host.ip(&format!("route add {PREFIX} via fe80::5 dev br0"));
    link.unanswered(&Solicitation::multicast(ROUTER, BEHIND));
    let way = lab.host.show(&format!("route get {BEHIND} from 2001:db8:1:2::1 iif up0"));
    assert!(way.contains("dev up0"), "{way}");
    lab.host.ip(&format!("route del {PREFIX} from {C}"));
    becomes_answered(&mut link, BEHIND);
    lab.router.ping(&BEHIND.to_string());
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn what_nobody_serves_behind_a_router_is_healed_by_the_lines_of_the_doctor() {
    let (lab, _other) = with_routers();
    lab.host.ip(&format!("route add {PREFIX} via fe80::5 dev br0"));
    let settings = Settings::default().without_upstream().without_sentinels().range(C, "br0", "");
    let patient = Patient::with(lab, &settings.text());
    let finding = patient.suffers_from("unserved", "warning", &[PREFIX]);
    let lines = &finding.remedies[0].text;
    assert!(!lines.contains("always"), "{lines}");
    patient.configure(&format!("{}{lines}", settings.text()));
    patient.is_well();
    let sentinels = format!(
        "[[range]]\nprefix = \"{SENTINELS}\"\nanswer = \"always\"\nroutes = \"none\"\nbackstop = false\n"
    );
    let daemon = Daemon::start(&patient.lab, settings.rest(&format!("{lines}{sentinels}")));
    becomes_answered(&mut Link::open(&patient.lab), BEHIND);
    daemon.stop();
}
