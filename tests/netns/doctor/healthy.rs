//! Hosts whose guests are reached, each in a way of its own: the doctor finds no fault, with a running lone64 and without.

use std::net::Ipv6Addr;
use std::path::Path;

use super::Patient;
use super::served::Served;
use crate::daemon::{Daemon, Settings};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER_AT_LARGE};
use crate::namespace::Namespace;

crate::cases![
    is_content_with_guests_that_routes_lead_to,
    is_content_with_guests_in_another_table_that_a_rule_names,
    is_content_with_a_network_behind_a_guest,
    is_content_where_guests_are_translated,
    is_content_where_services_are_translated,
    is_content_where_an_ipsec_policy_takes_guests,
    is_content_with_an_address_of_the_host_on_a_dummy,
    is_content_with_2000_3_for_a_default_route,
    is_content_with_a_default_route_that_a_rule_leads_to,
    is_content_with_forwarding_by_interface_in_the_log_too,
    is_content_with_automatic_ranges,
    is_content_with_guests_on_the_whole_64,
];

fn settings() -> Settings {
    Settings::default().without_sentinels().upstream("automatic = false\n")
}

/// The same where no switch is between router and host: a range that is answered for as a whole has too many groups.
fn flooded() -> Settings {
    settings().upstream("mld = \"router\"\n")
}

/// Guest and router reach each other.
fn reach_each_other(lab: &Lab, guest: &Namespace, address: Ipv6Addr) {
    lab.router.ping(&address.to_string());
    guest.ping(&format!("-I {address} {}", ROUTER_AT_LARGE.address));
}

/// The network of the bridge is only known by a route to each guest.
fn by_routes() -> Lab {
    let lab = Lab::veth();
    lab.host.ip(&format!("addr flush dev br0 scope global\nroute add {GUEST}/128 dev br0"));
    lab.guest.ip("route replace default via fe80::b0 dev eth0");
    lab
}

fn is_content_with_guests_that_routes_lead_to() {
    Patient::with(by_routes(), &format!("[[range]]\nprefix = \"{C}\"\n")).is_well();
    let served = Served::start(by_routes(), settings().rest(&format!("[[range]]\nprefix = \"{C}\"\n")));
    reach_each_other(&served.patient.lab, &served.patient.lab.guest, GUEST);
    served.is_well();
}

fn is_content_with_guests_in_another_table_that_a_rule_names() {
    let lab = by_routes();
    lab.host.ip(&format!(
        "route del {GUEST}/128 dev br0
         route add {GUEST}/128 dev br0 table 200
         rule add to {C} lookup 200 priority 900"
    ));
    let served = Served::start(lab, settings().rest(&format!("[[range]]\nprefix = \"{C}\"\n")));
    reach_each_other(&served.patient.lab, &served.patient.lab.guest, GUEST);
    served.is_well();
}

fn is_content_with_a_network_behind_a_guest() {
    let lab = Lab::veth();
    let behind: Ipv6Addr = "2001:db8:1:2:e::1".parse().expect("an address");
    lab.host.ip(&format!("route add 2001:db8:1:2:e::/112 via {GUEST} dev br0"));
    lab.guest.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    lab.guest.ip(&format!("addr add {behind}/128 dev lo"));
    let served = Served::start(
        lab,
        flooded()
            .range(C, "br0", "")
            .rest("[[range]]\nprefix = \"2001:db8:1:2:e::/112\"\nanswer = \"live\"\n"),
    );
    // The plain veth has a guest, and nobody serves it here on purpose.
    reach_each_other(&served.patient.lab, &served.patient.lab.guest, behind);
    served.is_well();
}

/// The guest has a private address, and a public one is translated to it and back.
fn is_content_where_guests_are_translated() {
    let lab = Lab::veth();
    let public: Ipv6Addr = "2001:db8:1:2:a::5".parse().expect("an address");
    lab.host.ip("addr add fd00::1/64 dev br0 nodad");
    lab.guest.ip("addr add fd00::5/64 dev eth0 nodad");
    let range = "[[range]]\nprefix = \"2001:db8:1:2:a::/112\"\nanswer = \"always\"\n";
    let served = Served::start(lab, flooded().range(C, "br0", "").rest(range));
    served.patient.shell(&format!(
        "nft -f - <<'END'
         table ip6 nat {{
           chain pre {{ type nat hook prerouting priority -100; iifname up0 ip6 daddr {public} dnat to fd00::5; }}
           chain post {{ type nat hook postrouting priority 100; oifname up0 ip6 saddr fd00::5 snat to {public}; }}
         }}\nEND"
    ));
    served.patient.lab.router.ping(&public.to_string());
    served.patient.lab.guest.ping(&format!("-I fd00::5 {}", ROUTER_AT_LARGE.address));
    served.is_well();
}

/// As kube-proxy has it with iptables: an address that no interface has, and everything to it goes to a guest.
fn is_content_where_services_are_translated() {
    let service: Ipv6Addr = "2001:db8:1:2:5e::7".parse().expect("an address");
    let range = "[[range]]\nprefix = \"2001:db8:1:2:5e::/112\"\nanswer = \"always\"\n";
    let served = Served::start(Lab::veth(), flooded().range(C, "br0", "").rest(range));
    served.patient.shell(&format!(
        "ip6tables-nft -t nat -N KUBE-SERVICES
         ip6tables-nft -t nat -A PREROUTING -j KUBE-SERVICES
         ip6tables-nft -t nat -A KUBE-SERVICES -d {service} -j DNAT --to-destination {GUEST}"
    ));
    served.patient.lab.router.ping(&service.to_string());
    served.is_well();
    // Where every address is translated, Packet Too Big is as well, and so it is not dropped.
    served
        .patient
        .shell(&format!("ip6tables-nft -t nat -A PREROUTING -d {C} -j DNAT --to-destination {GUEST}"));
    served.is_well();
}

fn is_content_where_an_ipsec_policy_takes_guests() {
    let lab = Lab::veth();
    let range = "[[range]]\nprefix = \"2001:db8:1:2:a::/112\"\nanswer = \"always\"\n";
    lab.host.output(
        "ip",
        "xfrm policy add src ::/0 dst 2001:db8:1:2:a::5/128 dir out tmpl src 2001:db8:1:2::2 dst 2001:db8:9::1 proto esp mode tunnel",
    );
    let served = Served::start(lab, flooded().range(C, "br0", "").rest(range));
    served.is_well();
}

fn is_content_with_an_address_of_the_host_on_a_dummy() {
    let lab = Lab::veth();
    let own: Ipv6Addr = "2001:db8:1:2:aa::1".parse().expect("an address");
    lab.host.ip(&format!(
        "link add dm0 type veth peer name dm1\nlink set dm0 up\nlink set dm1 up\naddr add {own}/128 dev dm0"
    ));
    let range = "[[range]]\nprefix = \"2001:db8:1:2:aa::/112\"\n";
    let served = Served::start(lab, settings().range(C, "br0", "").rest(range));
    served.patient.lab.router.ping(&own.to_string());
    served.is_well();
}

fn is_content_with_2000_3_for_a_default_route() {
    let lab = Lab::veth();
    lab.host.ip("route del default\nroute add 2000::/3 via fe80::1 dev up0");
    let served = Served::start(lab, settings().range(C, "br0", "").range(D, "gv1", ""));
    reach_each_other(&served.patient.lab, &served.patient.lab.guest, GUEST);
    served.is_well();
}

fn is_content_with_a_default_route_that_a_rule_leads_to() {
    for rules in [
        format!("rule add from {C} lookup 100 priority 900\nrule add from {D} lookup 100 priority 901"),
        "rule add iif br0 lookup 100 priority 900\nrule add iif gv1 lookup 100 priority 901".to_owned(),
        "rule add lookup 100 priority 40000".to_owned(),
    ] {
        let lab = Lab::veth();
        lab.host.ip(&format!("route del default\nroute add default via fe80::1 dev up0 table 100\n{rules}"));
        let served = Served::start(lab, settings().range(C, "br0", "").range(D, "gv1", ""));
        reach_each_other(&served.patient.lab, &served.patient.lab.guest, GUEST);
        reach_each_other(&served.patient.lab, &served.patient.lab.plain, PLAIN);
        served.is_well();
    }
}

fn is_content_with_forwarding_by_interface_in_the_log_too() {
    if !Path::new("/proc/sys/net/ipv6/conf/all/force_forwarding").exists() {
        // Before Linux 6.17 nothing else forwards.
        return;
    }
    let lab = Lab::veth();
    let links = ["up0", "br0", "gv1"].map(|link| format!("net/ipv6/conf/{link}/force_forwarding"));
    lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    lab.host.sysctls(&links.each_ref().map(|link| (link.as_str(), "1")));
    let daemon = Daemon::start(&lab, settings().range(C, "br0", "").range(D, "gv1", ""));
    reach_each_other(&lab, &lab.guest, GUEST);
    let said = daemon.stop();
    assert!(!said.contains("forwarding is off"), "{said}");
}

fn is_content_with_automatic_ranges() {
    let served = Served::start(Lab::veth(), Settings::default().without_sentinels());
    reach_each_other(&served.patient.lab, &served.patient.lab.guest, GUEST);
    served.is_well();
    // Without a running one it derives them, as `check` does.
    Patient::with(Lab::veth(), "").is_well();
}

fn is_content_with_guests_on_the_whole_64() {
    let lab = Lab::veth();
    lab.host.ip("addr flush dev br0 scope global");
    lab.guest.ip("addr flush dev eth0 scope global\naddr add 2001:db8:1:2:c::5/128 dev eth0 nodad\n\
                  route replace default via fe80::b0 dev eth0");
    let range = "[[range]]\nsuffix = \"::/64\"\ninterface = \"br0\"\n";
    let served = Served::start(lab, settings().rest(range));
    reach_each_other(&served.patient.lab, &served.patient.lab.guest, GUEST);
    served.is_well();
}
