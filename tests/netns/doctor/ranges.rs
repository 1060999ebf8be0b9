//! Ranges, the interfaces behind which guests are, and the routes to them.

use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab};
use crate::namespace::eventually;

use super::Patient;

crate::cases![
    finds_that_a_downstream_does_not_exist,
    finds_that_a_downstream_is_the_upstream,
    finds_that_a_downstream_is_down,
    finds_a_bridge_without_a_guest,
    finds_that_a_downstream_has_no_address,
    finds_that_a_downstream_has_no_link_local_address,
    is_content_with_a_link_local_address_that_is_being_checked,
    finds_that_ipv6_is_off_towards_guests,
    finds_what_keeps_the_gateway_from_the_guests_interface,
    finds_one_prefix_on_two_interfaces,
    finds_a_range_that_contains_the_upstream_s_address,
    finds_a_range_that_contains_the_gateway,
    is_content_with_a_whole_64_of_single_guests,
    finds_that_lookups_leave_by_the_upstream,
    finds_that_lookups_leave_by_the_upstream_by_a_rules_table,
    finds_a_foreign_route_before_ours,
    finds_a_rule_that_has_another_table_read_before_ours,
    never_tells_to_remove_what_an_address_of_the_host_brings,
    finds_a_foreign_route_inside_a_range,
    is_content_with_the_guests_of_another_host,
    is_content_with_a_range_inside_a_range,
];

fn one(lab: Lab, keys: &str) -> Patient {
    Patient::with(lab, &range(C, "br0", keys))
}

fn range(prefix: &str, interface: &str, keys: &str) -> String {
    format!("[[range]]\nprefix = \"{prefix}\"\ninterface = \"{interface}\"\n{keys}\n")
}

fn finds_that_a_downstream_does_not_exist() {
    let patient = Patient::with(Lab::veth(), &range(C, "lxcbr0", ""));
    patient.is_healed("downstreams", "fault", &["lxcbr0", "does not exist", "has the prefix on br0"]);
    patient.is_well();
    // Where nothing tells, a person has to.
    patient.configure(&range("2001:db8:1:2:e::/112", "lxcbr0", ""));
    let finding = patient.suffers_from("downstreams", "fault", &["lxcbr0"]);
    assert_eq!(finding.remedies[0].kind, "advice", "{finding:#?}");
}

fn finds_that_a_downstream_is_the_upstream() {
    let patient = Patient::with(Lab::veth(), &range(C, "up0", ""));
    patient.is_healed("downstreams", "fault", &["names up0 as the guests' interface"]);
    patient.is_well();
}

fn finds_that_a_downstream_is_down() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip("link set br0 down");
    patient.is_healed_in_time("downstreams", "fault", &["br0 is switched off"]);
}

fn finds_a_bridge_without_a_guest() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip("link set gp0 down");
    has_no_carrier(&patient);
    patient.is_healed_in_time("downstreams", "warning", &["br0 has no carrier", "gp0: master br0, not UP"]);
    patient.lab.host.ip("link set gp0 nomaster");
    has_no_carrier(&patient);
    let finding = patient.suffers_from("downstreams", "warning", &["br0 has no carrier"]);
    assert_eq!(finding.remedies[0].kind, "advice", "{finding:#?}");
    patient.lab.host.ip("link set gp0 master br0");
    eventually("the doctor is content", PATIENCE, || patient.examine().0.is_empty().then_some(()));
}

/// The kernel takes its time to see it.
fn has_no_carrier(patient: &Patient) {
    let shown = || patient.lab.host.show("-o link show br0").contains("NO-CARRIER").then_some(());
    eventually("br0 has no carrier", PATIENCE, shown);
}

fn finds_that_a_downstream_has_no_address() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip("addr flush dev br0");
    patient.is_healed("addresses", "fault", &["the downstream br0 has no address"]);
    patient.is_well();
}

fn finds_that_a_downstream_has_no_link_local_address() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip("addr del fe80::b0/64 dev br0");
    patient.is_healed("addresses", "warning", &["br0 has no link-local address"]);
    patient.is_well();
}

fn is_content_with_a_link_local_address_that_is_being_checked() {
    let patient = one(Lab::veth(), "");
    // The kernel checks it for minutes.
    patient
        .lab
        .host
        .sysctls(&[("net/ipv6/conf/br0/dad_transmits", "600"), ("net/ipv6/conf/br0/accept_dad", "1")]);
    patient.lab.host.ip("addr del fe80::b0/64 dev br0\naddr add fe80::b1/64 dev br0");
    assert!(patient.lab.host.show("addr show dev br0 tentative").contains("fe80::b1"));
    let (found, _) = patient.examine();
    assert!(found.iter().all(|finding| finding.check != "addresses"), "{found:#?}");
}

fn finds_that_ipv6_is_off_towards_guests() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.sysctls(&[("net/ipv6/conf/br0/disable_ipv6", "1")]);
    patient.is_healed("ipv6-disabled", "fault", &["off on br0"]);
}

fn finds_what_keeps_the_gateway_from_the_guests_interface() {
    let gateway = "gateway = \"fe80::1\"";
    let patient = one(Lab::veth(), gateway);
    patient.lab.host.ip("addr del fe80::b0/64 dev br0");
    // It has no address of its own: lone64 brings one when it starts.
    patient.is_well();
    patient.lab.host.ip("link set br0 mtu 1279");
    patient.is_healed("guests-gateway", "fault", &["behind br0 have no gateway fe80::1", "mtu 1279"]);
    // The kernel has forgotten its addresses meanwhile.
    patient.lab.host.ip("addr add 2001:db8:1:2:c::1/112 dev br0 nodad");
    patient.is_well();
}

fn finds_one_prefix_on_two_interfaces() {
    let patient = one(Lab::veth(), "");
    patient
        .lab
        .host
        .ip("addr del 2001:db8:1:2:c::1/112 dev br0\naddr add 2001:db8:1:2:c::1/64 dev br0 nodad");
    patient.is_healed("shared-prefix", "fault", &["2001:db8:1:2::/64 is on both up0 and br0"]);
    patient.is_well();
    assert!(patient.lab.host.show("addr show dev br0").contains("2001:db8:1:2:c::1/112"));
    // The address lies elsewhere: the guests get a gateway of their own.
    patient.lab.host.ip("addr flush dev br0 scope global\naddr add 2001:db8:1:2::b/64 dev br0 nodad");
    patient.is_healed("shared-prefix", "fault", &["2001:db8:1:2::b/64"]);
    patient.is_well();
    assert!(patient.lab.host.show("addr show dev br0").contains("2001:db8:1:2:c::1/112"));
}

fn finds_a_range_that_contains_the_upstream_s_address() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip("addr add 2001:db8:1:2:c::2/64 dev up0 nodad");
    patient.is_healed("reserved", "warning", &["contains the upstream's own address", "2001:db8:1:2:c::2"]);
    patient.is_well();
}

fn finds_a_range_that_contains_the_gateway() {
    let patient = one(Lab::veth(), "answer = \"always\"");
    patient.lab.router.ip("addr add 2001:db8:1:2:c::ff/64 dev rt0 nodad");
    patient
        .lab
        .host
        .ip("addr flush dev br0 scope global\nroute replace default via 2001:db8:1:2:c::ff dev up0");
    patient.is_healed("reserved", "warning", &["contains the gateway", "via 2001:db8:1:2:c::ff"]);
    patient.is_well();
}

fn is_content_with_a_whole_64_of_single_guests() {
    let patient =
        Patient::with(Lab::veth(), "[[range]]\nprefix = \"2001:db8:1:2::/64\"\ninterface = \"gv*\"\n");
    patient.is_well();
}

fn finds_that_lookups_leave_by_the_upstream() {
    let patient = one(Lab::veth(), "routes = \"none\"\nbackstop = false");
    patient.is_well();
    patient.lab.host.ip("addr flush dev br0 scope global");
    patient.is_healed("lookups", "fault", &["leave by up0", "2001:db8:1:2::/64 dev up0"]);
    patient.is_well();
    // The daemon's own route is as good.
    patient.lab.host.ip(&format!("route del {C} dev br0"));
    patient.configure(&range(C, "br0", ""));
    patient.is_well();
}

fn finds_that_lookups_leave_by_the_upstream_by_a_rules_table() {
    let patient = one(Lab::veth(), "routes = \"none\"\nbackstop = false");
    patient.lab.router.ip(&format!("route add {C} via fe80::2 dev rt0"));
    patient.lab.host.ip("rule add lookup 77 priority 100\nroute add default via fe80::1 dev up0 table 77");
    patient.is_healed("lookups", "fault", &["leave by up0", "table 77"]);
    patient.is_well();
    patient.lab.router.ping(&GUEST.to_string());
}

fn finds_a_foreign_route_before_ours() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip(&format!("route add {C} via fe80::1 dev up0 metric 100"));
    patient.is_healed("lookups", "fault", &["sends the guests of 2001:db8:1:2:c::/112 by up0", "metric 100"]);
    patient.is_well();
}

fn finds_a_rule_that_has_another_table_read_before_ours() {
    let patient = one(Lab::veth(), "");
    patient.lab.router.ip(&format!("route add {C} via fe80::2 dev rt0"));
    patient.lab.host.ip("rule add iif up0 lookup 77 priority 100\nroute add unreachable default table 77");
    patient.is_healed("lookups", "fault", &["sends the guests of 2001:db8:1:2:c::/112 nowhere", "table 77"]);
    patient.is_well();
    patient.lab.router.ping(&GUEST.to_string());
}

fn never_tells_to_remove_what_an_address_of_the_host_brings() {
    let lab = Lab::veth();
    let patient = Patient::with(lab, &range("2001:db8:1:2:c::/80", "br0", ""));
    patient.is_well();
    patient.lab.host.ip("addr add 2001:db8:1:2:c:1::1/112 dev gv1 nodad");
    patient.is_healed("lookups", "fault", &["takes 2001:db8:1:2:c:1::/112 out of the range"]);
    let routes = patient.lab.host.show("route show dev gv1");
    assert!(routes.contains("2001:db8:1:2:c:1::/112"), "it stays: {routes}");
}

fn finds_a_foreign_route_inside_a_range() {
    let patient = one(Lab::veth(), "");
    patient.lab.host.ip("route add 2001:db8:1:2:c::10/124 dev gv1 proto static");
    patient.is_healed("lookups", "fault", &["takes 2001:db8:1:2:c::10/124 out of the range", "dev gv1"]);
    patient.lab.host.ip("route add unreachable 2001:db8:1:2:c::20 proto static");
    patient.is_healed("lookups", "fault", &["takes 2001:db8:1:2:c::20/128 out of the range", "nowhere"]);
    patient.is_well();
}

fn is_content_with_the_guests_of_another_host() {
    let patient =
        Patient::with(Lab::veth(), &(range(C, "br0", "routes = \"guests\"") + "[routes]\nmetric = 16\n"));
    let elsewhere = "2001:db8:1:2:c::20 via fe80::1 dev up0 proto 186 metric 20";
    patient.lab.host.ip(&format!("route add {elsewhere}"));
    patient.is_well();
    // It has come here, but the other route comes first.
    patient.lab.host.ip("route add 2001:db8:1:2:c::20 dev br0 proto 64 metric 1024");
    let words = ["takes 2001:db8:1:2:c::20/128 out of the range", "dev up0 metric 20"];
    let finding = patient.suffers_from("lookups", "fault", &words);
    assert!(finding.remedies[0].text.ends_with("[routes]\nmetric = 19\n"), "{finding:#?}");
    patient.lab.host.ip("route del 2001:db8:1:2:c::20 metric 1024");
    patient.lab.host.ip("route add 2001:db8:1:2:c::20 dev br0 proto 64 metric 16");
    patient.is_well();
}

fn is_content_with_a_range_inside_a_range() {
    let inner = range("2001:db8:1:2:c::100/120", "gv1", "");
    let patient = Patient::with(Lab::veth(), &format!("{}{inner}", range(C, "br0", "")));
    patient.lab.host.ip("route add 2001:db8:1:2:c::100/120 dev gv1");
    patient.is_well();
}
