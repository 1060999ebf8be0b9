//! What is routed by rules (ip-rule(8)) and in tables of their own.

use std::net::Ipv6Addr;

use crate::client::lone64;
use crate::daemon::{Daemon, Settings};
use crate::doctor::{Patient, RANGES};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, d};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    serves_peers_in_a_table_of_their_own_while_their_route_is_there,
    overlooks_a_rule_for_marked_packets_that_is_in_the_way,
    looks_for_a_guest_where_a_rule_diverts_it,
    reaches_guests_by_a_table_of_its_own_with_a_rule,
    finds_an_upstream_by_a_default_route_in_another_table,
    a_default_route_in_a_table_that_a_rule_names_is_none_that_is_lost,
    a_table_of_ours_that_no_rule_names_is_a_fault_and_its_remedy_heals,
    a_rule_that_leads_a_range_elsewhere_is_a_fault,
];

/// A peer of a VPN, as Tailscale has it.
const PEER: Ipv6Addr = d(7);

fn is_answered(link: &mut Link, target: Ipv6Addr) -> bool {
    !link.advertisements(&Solicitation::multicast(ROUTER, target)).is_empty()
}

fn becomes_answered(link: &mut Link, target: Ipv6Addr) {
    eventually("it is answered for", PATIENCE, || is_answered(link, target).then_some(()));
}

fn becomes_unanswered(link: &mut Link, target: Ipv6Addr) {
    eventually("it is not answered for any more", PATIENCE, || (!is_answered(link, target)).then_some(()));
}

/// A lab in which gv1 has no Neighbor Discovery, as a tunnel has none.
fn with_tunnel() -> Lab {
    let lab = Lab::veth();
    lab.host.ip("link set gv1 arp off");
    lab
}

fn explain(lab: &Lab, daemon: &Daemon, target: Ipv6Addr) -> String {
    let socket = daemon.socket();
    let output = lab.host.run(|| lone64(&socket, &format!("explain {target}")));
    // Lines are wrapped.
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn serves_peers_in_a_table_of_their_own_while_their_route_is_there() {
    let lab = with_tunnel();
    let daemon = Daemon::start(&lab, Settings::default().upstream("automatic = true\n"));
    let mut link = Link::open(&lab);
    lab.host.ip(&format!("route add {PEER} dev gv1 table 52"));
    link.unanswered(&Solicitation::multicast(ROUTER, PEER));
    lab.host.ip("rule add pref 5270 lookup 52");
    becomes_answered(&mut link, PEER);
    link.unanswered(&Solicitation::multicast(ROUTER, d(8)));
    let said = explain(&lab, &daemon, PEER);
    assert!(said.contains("packets for it leave by gv1, by table 52 (rule 5270)"), "{said}");
    assert!(said.contains("sends packets for it that arrive on up0 to gv1 (table 52, rule 5270)"), "{said}");
    lab.host.ip(&format!("route del {PEER} dev gv1 table 52"));
    becomes_unanswered(&mut link, PEER);
    lab.host.ip(&format!("route add {PEER} dev gv1 table 52"));
    becomes_answered(&mut link, PEER);
    lab.host.ip("rule del pref 5270");
    becomes_unanswered(&mut link, PEER);
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn overlooks_a_rule_for_marked_packets_that_is_in_the_way() {
    let lab = with_tunnel();
    // As Tailscale and wg-quick have them.
    lab.host.ip(&format!(
        "rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
         rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
         rule add pref 5260 lookup main suppress_prefixlength 64
         rule add pref 5270 not fwmark 0xca6c lookup 52
         route add throw {GUEST} table 52
         route add {PEER} dev gv1 table 52"
    ));
    let daemon = Daemon::start(&lab, Settings::default().upstream("automatic = true\n"));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, PEER));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn looks_for_a_guest_where_a_rule_diverts_it() {
    let lab = Lab::veth();
    let range = format!("[[range]]\nprefix = \"{C}\"\n[timers]\nabsent = \"200ms\"\n");
    let daemon = Daemon::start(&lab, Settings::default().rest(&range));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    lab.host.ip(&format!("route add default dev gv1 table 77\nrule add pref 90 to {GUEST} lookup 77"));
    becomes_unanswered(&mut link, GUEST);
    // The guest goes where the kernel sends what is for it.
    lab.plain.ip(&format!("addr add {GUEST}/128 dev eth0 nodad"));
    becomes_answered(&mut link, GUEST);
    let said = explain(&lab, &daemon, GUEST);
    assert!(said.contains("leave by gv1, by table 77 (rule 90)"), "{said}");
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn reaches_guests_by_a_table_of_its_own_with_a_rule() {
    let lab = Lab::veth();
    let settings = Settings::default().range(D, "gv1", "").rest("[routes]\ntable = 100\n");
    let daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    let said = explain(&lab, &daemon, PLAIN);
    assert!(said.contains("packets for it leave by the upstream up0 again"), "{said}");
    lab.host.ip("rule add pref 1064 lookup 100");
    eventually("the kernel's route is known", PATIENCE, || {
        explain(&lab, &daemon, PLAIN).contains("leave by gv1, by table 100 (rule 1064)").then_some(())
    });
    lab.router.ping(&PLAIN.to_string());
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn finds_an_upstream_by_a_default_route_in_another_table() {
    let lab = Lab::veth();
    lab.host.ip("route del default
         route add default via fe80::1 dev up0 table 200
         rule add pref 40000 lookup 200");
    let daemon = Daemon::start(&lab, Settings::default().without_upstream().range(C, "br0", ""));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn a_default_route_in_a_table_that_a_rule_names_is_none_that_is_lost() {
    let patient = Patient::healthy();
    patient.lab.host.ip("route del default
         route add default via fe80::1 dev up0 table 200");
    patient.suffers_from("default-route", "fault", &["no IPv6 default route"]);
    patient.lab.host.ip("rule add pref 40000 lookup 200");
    patient.is_well();
}

fn a_table_of_ours_that_no_rule_names_is_a_fault_and_its_remedy_heals() {
    let patient = Patient::with(Lab::veth(), &format!("{RANGES}[routes]\ntable = 100\n"));
    patient.is_healed("tables", "fault", &["no rule uses table 100"]);
    patient.is_well();
}

fn a_rule_that_leads_a_range_elsewhere_is_a_fault() {
    let patient = Patient::healthy();
    patient.lab.host.ip("route add default via fe80::1 dev up0 table 200
         rule add pref 100 to 2001:db8:1:2:d::/112 lookup 200");
    patient.suffers_from("lookups", "fault", &[D, "up0"]);
}
