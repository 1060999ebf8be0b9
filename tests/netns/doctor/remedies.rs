//! What the doctor says is safe to type: over a connection through the upstream, which lives on; and where it is not, it
//! says so, or says nothing of the kind.

use std::fs;
use std::process::{Command, Stdio};

use crate::endpoint::PATIENCE;
use crate::lab::{C, D, Lab};
use crate::namespace::eventually;

use super::session::Session;
use super::{Finding, Patient};

crate::cases![
    sessions_outlive_every_remedy,
    never_removes_the_upstreams_own_route,
    never_removes_a_route_to_the_gateway,
    never_removes_what_a_program_makes_again,
    never_removes_an_advertised_route,
    removes_by_hand_what_was_added_by_hand,
    corrects_a_mask_without_removing_the_address,
    serves_beside_a_single_address_without_removing_it,
    names_the_file_in_which_an_address_lasts,
    says_that_a_filter_opens_guests,
    leaves_the_setting_of_bridged_traffic_alone,
    keeps_the_masquerade_of_others,
    tells_nothing_of_routes_none_that_is_not_written,
    writes_what_check_takes,
    never_switches_the_service_off,
    says_how_long_a_sysctl_holds,
    leaves_the_interface_of_kube_proxy_down,
];

fn range(prefix: &str, interface: &str, keys: &str) -> String {
    format!("[[range]]\nprefix = \"{prefix}\"\ninterface = \"{interface}\"\n{keys}\n")
}

fn one(keys: &str) -> Patient {
    Patient::with(Lab::veth(), &range(C, "br0", keys))
}

/// The findings of one check.
fn found(patient: &Patient, check: &str) -> Vec<Finding> {
    let (mut findings, _) = patient.examine();
    findings.retain(|finding| finding.check == check);
    assert!(!findings.is_empty(), "{check} finds nothing");
    findings
}

/// Lines for the shell that remove something.
fn removals(findings: &[Finding]) -> Vec<&str> {
    let all = findings.iter().flat_map(|finding| &finding.remedies);
    let commands = all.filter(|remedy| remedy.kind == "command").map(|remedy| remedy.text.as_str());
    commands.filter(|text| text.contains(" del ")).collect()
}

/// A host, what is done to it, the check that finds that, and how badly.
type Case = (fn() -> Patient, &'static str, &'static str, &'static str);

const CASES_OF_FAULTS: &[Case] = &[
    (Patient::healthy, "sysctl -w net/ipv6/conf/all/forwarding=0", "forwarding", "fault"),
    (
        Patient::healthy,
        "ip -6 route replace default via fe80::1 dev up0 proto ra; sysctl -w net/ipv6/conf/all/forwarding=0",
        "forwarding",
        "fault",
    ),
    (
        || one(""),
        "ip -6 addr del 2001:db8:1:2::2/64 dev up0; ip -6 addr add 2001:db8:1:2::2/112 dev up0 nodad",
        "on-link",
        "warning",
    ),
    (
        || one(""),
        "ip -6 addr del 2001:db8:1:2:c::1/112 dev br0; ip -6 addr add 2001:db8:1:2:c::1/64 dev br0 nodad",
        "shared-prefix",
        "fault",
    ),
    (
        || one(""),
        "ip -6 addr flush dev br0 scope global; ip -6 addr add 2001:db8:1:2::b/64 dev br0 nodad",
        "shared-prefix",
        "fault",
    ),
    (|| one(""), "ip -6 route add 2001:db8:1:2:c::/112 via fe80::1 dev up0 metric 100", "lookups", "fault"),
    (|| one(""), "ip -6 route add 2001:db8:1:2:c::10/124 dev gv1 proto static", "lookups", "fault"),
    (
        || one("routes = \"none\"\nbackstop = false"),
        "ip -6 addr flush dev br0 scope global",
        "lookups",
        "fault",
    ),
    (Patient::healthy, "ip6tables-nft -P FORWARD DROP", "forward-filter", "fault"),
    (
        Patient::healthy,
        "ip6tables-nft -A INPUT -p ipv6-icmp --icmpv6-type packet-too-big -j DROP",
        "packet-too-big",
        "warning",
    ),
    (Patient::healthy, "ip6tables-nft -t nat -A POSTROUTING -o up0 -j MASQUERADE", "masquerade", "warning"),
    (Patient::healthy, "ip -6 addr del fe80::2/64 dev up0", "addresses", "warning"),
    (|| one(""), "ip -6 addr add 2001:db8:1:2:c::2/64 dev up0 nodad", "reserved", "warning"),
];

fn sessions_outlive_every_remedy() {
    for (patient, fault, check, severity) in CASES_OF_FAULTS {
        let patient = patient();
        patient.shell(fault);
        // What is done to an address may cost the first packet, and the next one comes a second later.
        let mut session = eventually("a session", PATIENCE, || Session::open(&patient.lab));
        patient.is_healed(check, severity, &[]);
        assert!(session.lives(), "{fault}: the remedy cut it");
        let mut next = eventually("another session", PATIENCE, || Session::open(&patient.lab));
        assert!(next.lives(), "{fault}: nor does another live");
    }
}

fn never_removes_the_upstreams_own_route() {
    let config = range("2001:db8:1:2::/64", "br0", "routes = \"none\"\nbackstop = false");
    let patient = Patient::with(Lab::veth(), &config);
    patient.lab.host.ip("addr flush dev br0 scope global");
    let findings = found(&patient, "lookups");
    assert_eq!(removals(&findings), [""; 0], "{findings:#?}");
    // Nor one that takes all of the link away.
    let all = findings.iter().flat_map(|finding| &finding.remedies);
    assert!(all.clone().all(|remedy| remedy.kind == "advice"), "{findings:#?}");
    assert!(all.map(|remedy| &remedy.text).any(|text| text.contains("up0's own")), "{findings:#?}");
}

fn never_removes_a_route_to_the_gateway() {
    let patient = one("routes = \"none\"\nbackstop = false");
    patient.lab.host.ip("addr flush dev br0 scope global
         route add 2001:db8:1:2:c::fe dev up0 proto static
         route replace default via 2001:db8:1:2:c::fe dev up0");
    assert_eq!(removals(&found(&patient, "lookups")), [""; 0]);
    // Where it is on no upstream, it is one all the same.
    let patient = one("");
    patient.lab.host.ip("route add 2001:db8:1:2:c::fe dev gv1 proto static
         route add 2001:db8:7::/48 via 2001:db8:1:2:c::fe dev gv1");
    assert_eq!(removals(&found(&patient, "lookups")), [""; 0]);
}

fn never_removes_what_a_program_makes_again() {
    let patient = one("");
    // Calico's mark, FRR's, and one that nobody knows.
    for mark in [80, 186, 77] {
        patient.lab.host.ip(&format!("route add 2001:db8:1:2:c::10/124 dev gv1 proto {mark}"));
        assert_eq!(removals(&found(&patient, "lookups")), [""; 0], "proto {mark}");
        patient.lab.host.ip("route del 2001:db8:1:2:c::10/124 dev gv1");
    }
    // libreswan's have none.
    patient.lab.host.ip("route add 2001:db8:1:2:c::10/124 via fe80::1 dev up0");
    assert_eq!(removals(&found(&patient, "lookups")).len(), 1);
    let sleep = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
    fs::copy(sleep.expect("coreutils"), patient.directory().join("pluto")).expect("a temporary file");
    let mut program = Command::new(patient.directory().join("pluto"));
    let mut program = patient.lab.host.spawn(program.arg("600").stdin(Stdio::null()));
    eventually("it runs", PATIENCE, || {
        let called = fs::read_to_string(format!("/proc/{}/comm", program.id())).unwrap_or_default();
        (called.trim_end() == "pluto").then_some(())
    });
    let findings = found(&patient, "lookups");
    program.kill().expect("our child");
    program.wait().expect("our child");
    assert_eq!(removals(&findings), [""; 0], "{findings:#?}");
}

fn never_removes_an_advertised_route() {
    let patient = one("");
    patient.lab.host.ip(&format!("route add {C} via fe80::1 dev up0 proto ra metric 100"));
    let findings = found(&patient, "lookups");
    assert_eq!(removals(&findings), [""; 0], "{findings:#?}");
    assert!(findings[0].remedies[0].text.contains("leave that route"), "{findings:#?}");
}

fn removes_by_hand_what_was_added_by_hand() {
    let patient = one("");
    patient.lab.host.ip(&format!("route add {C} via fe80::1 dev up0 metric 100"));
    let findings = found(&patient, "lookups");
    assert_eq!(removals(&findings).len(), 1, "{findings:#?}");
    let remedy = &findings[0].remedies[0].value;
    assert!(remedy["can_cut"] == true && remedy["lasts"] == "until-reboot", "{remedy:#}");
}

fn corrects_a_mask_without_removing_the_address() {
    let patient = one("");
    patient.lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0\naddr add 2001:db8:1:2::2/112 dev up0 nodad");
    let findings = found(&patient, "on-link");
    assert_eq!(removals(&findings), [""; 0], "{findings:#?}");
    let remedy = &findings[0].remedies[0].value;
    assert!(remedy["can_cut"] == true && remedy["lasts"] == "until-reboot", "{remedy:#}");
    assert!(remedy["for_good"].as_str().is_some_and(|how| how.contains("/64")), "{remedy:#}");
    let said = patient.output(&[]);
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("it can cut the connection"), "{said}");
}

fn serves_beside_a_single_address_without_removing_it() {
    let patient = Patient::with(Lab::veth(), "");
    patient.shell("ip -6 addr flush dev br0 scope global; ip -6 addr flush dev gv1 scope global");
    patient.lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0\naddr add 2001:db8:1:2::2/128 dev up0 nodad");
    let mut session = eventually("a session", PATIENCE, || Session::open(&patient.lab));
    let findings = found(&patient, "on-link");
    assert_eq!(removals(&findings), [""; 0], "{findings:#?}");
    patient.is_healed("on-link", "warning", &["a /128"]);
    assert!(session.lives());
}

fn names_the_file_in_which_an_address_lasts() {
    let patient = one("");
    patient
        .file("etc/network/interfaces", "auto up0\niface up0 inet6 static\n\taddress 2001:db8:1:2::2/112\n");
    patient.lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0\naddr add 2001:db8:1:2::2/112 dev up0 nodad");
    let findings = found(&patient, "on-link");
    let how = findings[0].remedies[0].value["for_good"].as_str().unwrap_or_default();
    assert!(how.contains("etc/network/interfaces") && how.contains("2001:db8:1:2::2/64"), "{how}");
}

fn says_that_a_filter_opens_guests() {
    let patient = Patient::healthy();
    patient.shell("ip6tables-nft -P FORWARD DROP");
    let findings = found(&patient, "forward-filter");
    let opening = |net: &str| {
        let mut all = findings.iter().flat_map(|finding| &finding.remedies);
        let to = format!("-d {net} ");
        let remedy = all.find(|remedy| remedy.text.contains(&to)).expect("a rule");
        remedy.value["opens"].as_str().unwrap_or_default().to_owned()
    };
    for net in [C, D] {
        let opens = opening(net);
        assert!(
            opens.contains("every port") && opens.contains(net) && opens.contains("--dport 443"),
            "{opens}"
        );
    }
    let said = patient.output(&[]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("it opens every port"));
}

fn leaves_the_setting_of_bridged_traffic_alone() {
    let patient = Patient::healthy();
    patient.shell(
        "nft add table inet filter
         nft 'add chain inet filter forward { type filter hook forward priority 0; }'
         nft add rule inet filter forward iifname br0 oifname br0 drop",
    );
    patient.lab.host.ip("link set br0 type bridge nf_call_ip6tables 1");
    let findings = found(&patient, "bridged-traffic");
    let texts: Vec<_> = findings[0].remedies.iter().map(|remedy| remedy.text.as_str()).collect();
    assert!(texts.iter().all(|text| !text.contains("ip6tables=") && !text.contains("nf_call")), "{texts:?}");
    assert!(
        findings[0].remedies[0].value["disables"].as_str().is_some_and(|what| what.contains("icc=false"))
    );
}

fn keeps_the_masquerade_of_others() {
    let patient = Patient::healthy();
    patient.shell("ip6tables-nft -t nat -A POSTROUTING -o up0 -j MASQUERADE");
    patient.is_healed("masquerade", "warning", &[]);
    // Guests with private addresses need it.
    patient.shell("ip6tables-nft -t nat -C POSTROUTING -o up0 -j MASQUERADE");
}

fn tells_nothing_of_routes_none_that_is_not_written() {
    let patient = Patient::with(Lab::veth(), &format!("[[range]]\nprefix = \"{C}\"\n"));
    patient.lab.host.ip("addr flush dev br0 scope global\nroute add unreachable 2001:db8:1:2:c::/112");
    let (findings, _) = patient.examine();
    let texts = findings.iter().flat_map(|finding| &finding.remedies).map(|remedy| &remedy.text);
    assert!(texts.clone().all(|text| !text.contains("routes = \"none\"")), "{findings:#?}");
    assert!(findings.iter().all(|finding| !finding.text.contains("`routes` is")), "{findings:#?}");
}

/// A range without an interface: `check` refuses `routes` there.
fn writes_what_check_takes() {
    let patient = Patient::with(Lab::veth(), &format!("[[range]]\nprefix = \"{C}\"\n"));
    patient.lab.host.ip("addr flush dev br0 scope global");
    let (findings, _) = patient.examine();
    let texts = findings.iter().flat_map(|finding| &finding.remedies).map(|remedy| &remedy.text);
    assert!(texts.clone().all(|text| !text.contains("routes = \"")), "{findings:#?}");
}

fn never_switches_the_service_off() {
    let lab = Lab::veth();
    lab.host.ip("addr flush dev br0 scope global\naddr add 2001:db8:7::1/112 dev br0 nodad");
    let patient = Patient::with(lab, &range("2001:db8:7::/112", "br0", ""));
    let findings = found(&patient, "on-link");
    let texts: Vec<_> = findings[0].remedies.iter().map(|remedy| remedy.text.as_str()).collect();
    assert!(texts.iter().all(|text| !text.contains("never")), "{texts:?}");
    assert!(texts[0].contains("tcpdump") && texts[0].contains("neighbor solicitations"), "{texts:?}");
}

fn says_how_long_a_sysctl_holds() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    let findings = found(&patient, "forwarding");
    let remedy = &findings[0].remedies[0].value;
    assert_eq!(remedy["lasts"], "until-reboot", "{remedy:#}");
    let how = remedy["for_good"].as_str().expect("a line");
    // What makes it last is a line too, and does.
    fs::create_dir_all(patient.directory().join("etc/sysctl.d")).expect("a temporary directory");
    patient.shell(how);
    let kept = fs::read_to_string(patient.directory().join("etc/sysctl.d/zz-lone64.conf")).expect("a file");
    assert_eq!(kept, "net/ipv6/conf/all/forwarding = 1\n");
}

/// It holds the addresses of services, and is down on purpose.
fn leaves_the_interface_of_kube_proxy_down() {
    let patient = Patient::with(Lab::veth(), &range("2001:db8:1:2:5::/112", "kube-ipvs0", ""));
    // A veth looks like the dummy that it is, which not every kernel has.
    patient.lab.host.ip("link add kube-ipvs0 type veth peer name other");
    let (findings, _) = patient.examine();
    let texts = findings.iter().flat_map(|finding| &finding.remedies).map(|remedy| &remedy.text);
    assert!(texts.clone().all(|text| !text.contains("kube-ipvs0 up")), "{findings:#?}");
    // Another one is to be switched on.
    patient.configure(&range("2001:db8:1:2:5::/112", "other", ""));
    let (findings, _) = patient.examine();
    let mut texts = findings.iter().flat_map(|finding| &finding.remedies).map(|remedy| &remedy.text);
    assert!(texts.any(|text| text == "ip link set other up"), "{findings:#?}");
}
