//! The upstream, the host's addresses on it, and the way out.

use crate::endpoint::PATIENCE;
use crate::lab::{C, Lab};
use crate::namespace::eventually;

use super::{Patient, RANGES};

crate::cases![
    finds_that_the_upstream_does_not_exist,
    finds_that_the_upstream_is_a_port,
    finds_that_the_upstream_has_no_link_layer,
    finds_that_the_upstream_is_down,
    finds_that_the_upstream_has_no_carrier,
    finds_that_answers_have_no_source,
    finds_that_no_upstream_covers_a_range,
    finds_that_ipv6_is_off_on_the_upstream,
    finds_that_an_mtu_is_too_small_for_ipv6,
    finds_that_the_upstream_has_no_link_local_address,
    finds_that_the_upstream_has_no_address,
    says_that_the_only_address_is_still_being_checked,
    finds_an_address_that_the_router_has_too,
    finds_a_default_route_that_will_be_lost,
    finds_a_default_route_that_was_lost,
    finds_that_there_is_no_default_route,
    finds_a_gateway_that_does_not_answer,
    finds_a_range_beside_an_address_with_a_narrow_mask,
    finds_a_range_that_the_provider_routes_here,
];

fn with_upstream(lab: Lab, name: &str) -> Patient {
    Patient::with(lab, &format!("[[upstream]]\ninterface = \"{name}\"\n{RANGES}"))
}

/// The lines of the remedy take the place of those about the upstream.
fn is_named(patient: &Patient, words: &[&str]) {
    let finding = patient.suffers_from("upstream", "fault", words);
    assert_eq!(finding.remedies[0].kind, "config", "{finding:#?}");
    patient.configure(&format!("{}{RANGES}", finding.remedies[0].text));
    patient.is_well();
}

fn finds_that_the_upstream_does_not_exist() {
    is_named(&with_upstream(Lab::veth(), "eth9"), &["eth9 does not exist", "up0"]);
}

fn finds_that_the_upstream_is_a_port() {
    let lab = Lab::veth();
    lab.host.ip("link add wan address 02:00:00:00:00:02 type bridge forward_delay 0 mcast_snooping 0
                 addr flush dev up0
                 link set up0 master wan
                 link set wan up
                 addr add fe80::2/64 dev wan nodad
                 addr add 2001:db8:1:2::2/64 dev wan nodad
                 route replace default via fe80::1 dev wan");
    is_named(&with_upstream(lab, "up0"), &["up0 is a port of wan"]);
}

fn finds_that_the_upstream_has_no_link_layer() {
    let lab = Lab::veth();
    // It looks like a tunnel, which not every user may make.
    lab.host.ip("link set lo down\nlink set lo name tun0\nlink set tun0 up");
    is_named(&with_upstream(lab, "tun0"), &["tun0 has no Ethernet", "no link-layer address"]);
}

fn finds_that_the_upstream_is_down() {
    let patient = with_upstream(Lab::veth(), "up0");
    patient.lab.host.ip("link set up0 down");
    patient.is_healed_in_time("upstream", "fault", &["up0 is switched off", "not UP"]);
}

fn finds_that_the_upstream_has_no_carrier() {
    let patient = Patient::healthy();
    patient.lab.router.ip("link set rt0 down");
    let shown = || patient.lab.host.show("-o link show up0").contains("NO-CARRIER").then_some(());
    eventually("the kernel sees it", PATIENCE, shown);
    patient.suffers_from("upstream", "fault", &["up0 has no carrier", "NO-CARRIER"]);
    // Going down has cost the router its addresses.
    patient.lab.router.ip("link set rt0 up\naddr add fe80::1/64 dev rt0 nodad");
    eventually("the doctor is content", PATIENCE, || patient.examine().0.is_empty().then_some(()));
}

fn finds_that_answers_have_no_source() {
    let upstream = "[[upstream]]\ninterface = \"up0\"\nsource = \"2001:db8:1:2::99\"\n";
    let patient = Patient::with(Lab::veth(), &format!("{upstream}{RANGES}"));
    patient.is_healed("upstream", "fault", &["2001:db8:1:2::99", "up0 does not have"]);
    patient.is_well();
}

fn finds_that_no_upstream_covers_a_range() {
    let lab = Lab::veth();
    lab.host.ip("link add up1 type veth peer name other\nlink set up1 up\nlink set other up
                 addr add fe80::3/64 dev up1 nodad\naddr add 2001:db8:9::2/64 dev up1 nodad");
    let upstreams = "[[upstream]]\ninterface = \"up0\"\n[[upstream]]\ninterface = \"up1\"\n";
    let range = "[[range]]\nprefix = \"2001:db8:7::/112\"\ninterface = \"br0\"\n";
    let patient = Patient::with(lab, &format!("{upstreams}{range}"));
    let finding =
        patient.suffers_from("upstream", "fault", &["2001:db8:7::/112 lies in no upstream's prefix"]);
    assert!(finding.remedies[0].text.contains("upstream = \"up0\""), "{finding:#?}");
    patient.configure(&format!("{upstreams}{range}upstream = \"up0\"\n"));
    let (left, _) = patient.examine();
    assert!(left.iter().all(|finding| finding.check != "upstream"), "{left:#?}");
}

fn finds_that_ipv6_is_off_on_the_upstream() {
    let patient = with_upstream(Lab::veth(), "up0");
    patient.lab.host.sysctls(&[("net/ipv6/conf/up0/disable_ipv6", "1")]);
    patient.is_healed("ipv6-disabled", "fault", &["off on up0", "net/ipv6/conf/up0/disable_ipv6 = 1"]);
}

fn finds_that_an_mtu_is_too_small_for_ipv6() {
    let patient = with_upstream(Lab::veth(), "up0");
    for name in ["up0", "br0"] {
        patient.lab.host.ip(&format!("link set {name} mtu 1279"));
        patient.is_healed("ipv6-disabled", "fault", &[name, "has an MTU of 1279, and below 1280"]);
    }
    // Those that went with IPv6 are another matter, and are named.
    assert!(patient.examine().0.iter().any(|finding| finding.check == "addresses"));
}

fn finds_that_the_upstream_has_no_link_local_address() {
    let patient = Patient::healthy();
    patient.lab.host.ip("addr del fe80::2/64 dev up0");
    patient.is_healed("addresses", "warning", &["up0 has no link-local address"]);
    patient.is_well();
}

fn finds_that_the_upstream_has_no_address() {
    let patient = Patient::healthy();
    patient.lab.host.ip("addr flush dev up0");
    patient.is_healed("addresses", "fault", &["up0 has no address that it can use"]);
    patient
        .lab
        .host
        .ip("addr add 2001:db8:1:2::2/64 dev up0 nodad\nroute replace default via fe80::1 dev up0");
    patient.is_well();
}

fn says_that_the_only_address_is_still_being_checked() {
    let patient = Patient::healthy();
    patient.lab.host.ip("addr flush dev up0");
    // A minute, in which nobody answers.
    patient
        .lab
        .host
        .sysctls(&[("net/ipv6/conf/up0/accept_dad", "1"), ("net/ipv6/conf/up0/dad_transmits", "60")]);
    patient
        .shell("ip -6 addr add 2001:db8:1:2::2/64 dev up0\nip -6 route replace default via fe80::1 dev up0");
    patient.is_healed("addresses", "warning", &["up0 has no address that it can use yet", "tentative"]);
}

fn finds_an_address_that_the_router_has_too() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/ipv6/conf/up0/accept_dad", "1")]);
    patient.shell("ip -6 addr add 2001:db8:1:2::1/64 dev up0");
    eventually("the kernel knows", PATIENCE, || {
        patient.lab.host.show("addr").contains("dadfailed").then_some(())
    });
    patient.is_healed("addresses", "fault", &["another station has 2001:db8:1:2::1 too", "dadfailed"]);
    patient.is_well();
}

fn finds_a_default_route_that_will_be_lost() {
    let patient = Patient::healthy();
    patient.lab.host.ip("route replace default via fe80::1 dev up0 proto ra");
    patient.lab.host.sysctls(&[("net/ipv6/conf/up0/accept_ra", "1")]);
    patient.is_healed("default-route", "warning", &["came by router advertisement", "accept_ra = 1"]);
    patient.is_well();
}

fn finds_a_default_route_that_was_lost() {
    let patient = Patient::healthy();
    // The kernel knows a router by its advertisements.
    patient.lab.router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    patient.shell("ping -c 1 -W 60 fe80::1%up0");
    patient.lab.host.sysctls(&[("net/ipv6/conf/up0/accept_ra", "1")]);
    patient.lab.host.ip("route del default");
    let words = ["the default route is lost", "net/ipv6/conf/up0/accept_ra = 1", "fe80::1 dev up0 router"];
    patient.is_healed("default-route", "fault", &words);
    patient.is_well();
}

fn finds_that_there_is_no_default_route() {
    let patient = Patient::healthy();
    patient.lab.host.ip("route del default");
    let finding = patient.suffers_from("default-route", "fault", &["there is no IPv6 default route"]);
    assert_eq!(finding.remedies[0].kind, "advice", "nothing tells the gateway: {finding:#?}");
    patient.lab.host.ip("route add default via fe80::1 dev up0");
    patient.is_well();
}

fn finds_a_gateway_that_does_not_answer() {
    let patient = Patient::healthy();
    patient.lab.router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    patient.shell("ping -c 1 -W 60 fe80::1%up0");
    patient.lab.host.sysctls(&[("net/ipv6/neigh/up0/retrans_time_ms", "100")]);
    patient.lab.host.ip("route replace default via fe80::99 dev up0");
    patient.is_healed("default-route", "fault", &["the gateway fe80::99 does not answer on up0", "FAILED"]);
    patient.is_well();
}

fn one_range(lab: Lab, prefix: &str) -> Patient {
    Patient::with(lab, &format!("[[range]]\nprefix = \"{prefix}\"\ninterface = \"br0\"\n"))
}

fn finds_a_range_beside_an_address_with_a_narrow_mask() {
    let patient = one_range(Lab::veth(), C);
    patient.lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0\naddr add 2001:db8:1:2::2/128 dev up0 nodad");
    let words = ["lies outside every prefix", "its mask is probably wrong", "2001:db8:1:2::2/128"];
    patient.is_healed("on-link", "warning", &words);
    patient.is_well();
}

fn finds_a_range_that_the_provider_routes_here() {
    let lab = Lab::veth();
    // Without the network that it has, which nobody would serve.
    lab.host.ip("addr flush dev br0 scope global\naddr add 2001:db8:7::1/112 dev br0 nodad");
    let patient = one_range(lab, "2001:db8:7::/112");
    let finding =
        patient.suffers_from("on-link", "warning", &["lies outside every prefix", "no proxy is needed"]);
    assert_eq!(finding.remedies[0].kind, "advice", "who it is cannot be seen from here: {finding:#?}");
}
