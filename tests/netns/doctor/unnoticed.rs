//! What keeps guests from being reached, or soon will, and is seen in no table of routes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use super::served::Served;
use super::{Patient, RANGES};
use crate::daemon::Settings;
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, ROUTER_AT_LARGE, UPSTREAM_GLOBAL};
use crate::namespace::eventually;

crate::cases![
    finds_that_a_rule_sends_what_guests_send_elsewhere,
    finds_that_what_guests_send_goes_nowhere,
    warns_where_a_mark_may_send_replies_back,
    finds_that_a_rule_keeps_packets_from_a_live_guest,
    finds_a_guest_without_a_gateway,
    finds_that_networkd_will_take_no_advertisements,
    finds_a_bridge_that_waits_for_the_spanning_tree,
    finds_a_bridge_whose_mac_follows_its_ports,
    finds_that_the_table_of_connections_is_full,
    finds_what_no_wireguard_peer_may_have,
    finds_an_interface_by_its_other_name,
];

fn one() -> Settings {
    Settings::default().without_sentinels().upstream("automatic = false\n").range(C, "br0", "")
}

/// A host on which the guest is live.
fn live() -> Served {
    let served = Served::start(Lab::veth(), one());
    let lab = &served.patient.lab;
    lab.host.ip("tuntap add dev tun7 mode tun\nlink set tun7 up");
    lab.router.ping(&GUEST.to_string());
    lab.guest.ping(&format!("-I {GUEST} {}", ROUTER_AT_LARGE.address));
    served.is_well();
    served
}

fn finds_that_a_rule_sends_what_guests_send_elsewhere() {
    let served = live();
    served
        .patient
        .lab
        .host
        .ip(&format!("route add default dev tun7 table 100\nrule add from {C} lookup 100 priority 1000"));
    let words = ["does not leave by up0, but by tun7 (table 100, rule 1000)", "ip -6 rule: 1000:"];
    served.patient.is_healed("guests-ways", "fault", &words);
    served.is_well();
}

fn finds_that_what_guests_send_goes_nowhere() {
    let served = live();
    served
        .patient
        .lab
        .host
        .ip(&format!("route add unreachable default table 100\nrule add from {C} lookup 100 priority 1000"));
    served.patient.suffers_from("guests-ways", "fault", &["but nowhere"]);
}

/// A VPN for what guests begin themselves, with a mark that sends replies back.
fn warns_where_a_mark_may_send_replies_back() {
    let served = live();
    served.patient.lab.host.ip(&format!(
        "route add default dev tun7 table 100
         rule add fwmark 0x1 lookup main priority 999
         rule add from {C} lookup 100 priority 1000"
    ));
    served.patient.suffers_from("guests-ways", "warning", &["but by tun7"]);
}

/// A selector that the kernel alone follows: the tables look as they should.
fn finds_that_a_rule_keeps_packets_from_a_live_guest() {
    let served = live();
    served
        .patient
        .lab
        .host
        .ip(&format!("route add {GUEST}/128 dev tun7 table 100\nrule add iif up0 lookup 100 priority 1000"));
    let (findings, status) = served.patient.examine();
    let found = findings.iter().find(|finding| finding.check == "guests-ways").expect("it is found");
    assert!(found.text.contains("the kernel sends them by tun7 (table 100, rule 1000)"), "{found:#?}");
    assert!(found.text.contains(&format!("ip -6 route get {GUEST} from")), "{found:#?}");
    assert_eq!((found.severity.as_str(), status), ("fault", 1));
    served.patient.shell(&found.remedies[0].text);
    served.patient.lab.router.ping(&GUEST.to_string());
}

fn finds_a_guest_without_a_gateway() {
    let served = live();
    served.patient.lab.guest.ip("route del default");
    let words = [
        &format!("the guest {GUEST} replies on br0 and not to {UPSTREAM_GLOBAL}") as &str,
        "no default route",
    ];
    served.patient.suffers_from("guests-replies", "warning", &words);
    served.patient.lab.guest.ip("route add default via fe80::b0 dev eth0");
    served.is_well();
}

/// Any program of that name will do.
fn networkd(patient: &Patient) -> Child {
    let sleep = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
    let program = patient.directory().join("systemd-networkd");
    fs::copy(sleep.expect("coreutils"), &program).expect("a temporary file");
    let mut command = Command::new(program);
    command.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = patient.lab.host.spawn(&mut command);
    eventually("it runs", PATIENCE, || {
        let called = fs::read_to_string(format!("/proc/{}/comm", process.id())).unwrap_or_default();
        (called.trim_end() == "systemd-network").then_some(())
    });
    process
}

fn finds_that_networkd_will_take_no_advertisements() {
    let patient = Patient::healthy();
    patient.file("etc/systemd/networkd.conf.d/routes.conf", "[Network]\nManageForeignRoutes=no\n");
    patient.file("etc/systemd/network/10-wan.network", "[Match]\nName=up0\n[Network]\nDHCP=no\n");
    patient.lab.host.ip("route replace default via fe80::1 dev up0 proto ra");
    let mut process = networkd(&patient);
    let words = ["takes no router advertisements on up0 after its next start", "IPv6AcceptRA is not set"];
    let finding = patient.suffers_from("networkd-advertisements", "warning", &words);
    // No networkctl is to hear of it here.
    let line = finding.remedies[0].text.replace("&& networkctl reload", "");
    patient.shell(&line);
    patient.is_well();
    process.kill().expect("our child");
    process.wait().expect("our child");
}

fn finds_a_bridge_that_waits_for_the_spanning_tree() {
    let patient = Patient::healthy();
    patient.lab.host.ip("link set br0 type bridge stp_state 1 forward_delay 1500");
    patient.is_healed("forward-delay", "warning", &["is cut off for 30 s", "stp_state 1 forward_delay 1500"]);
}

/// `/sys` shows the network namespace that it was mounted in.
const SYSFS: &str = "mount -t sysfs none /sys";

fn finds_a_bridge_whose_mac_follows_its_ports() {
    let lab = Lab::veth();
    // A bridge that is made without an address is like this.
    lab.host.ip("link add br1 type bridge forward_delay 0
         link add gp9 address 02:00:00:00:00:0a type veth peer name other
         link set gp9 master br1
         link set gp9 up
         link set other up
         link set br1 up
         addr add fe80::b9/64 dev br1 nodad");
    let patient = Patient::with(
        lab,
        &format!("{RANGES}[[range]]\nprefix = \"2001:db8:1:2:e::/112\"\ninterface = \"br1\"\n"),
    );
    let (findings, status) = patient.doctor_after(SYSFS);
    let [only] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((only.check.as_str(), only.severity.as_str(), status), ("bridge-mac", "warning", 0));
    assert!(only.text.contains("br1 has the MAC of one of its ports"), "{only:?}");
    patient.shell(&only.remedies[0].text);
    let (findings, _) = patient.doctor_after(SYSFS);
    assert!(findings.is_empty(), "{findings:#?}");
    // Another namespace's tells nothing.
    patient.is_well();
}

fn finds_that_the_table_of_connections_is_full() {
    let patient = Patient::healthy();
    let table = |count: &str, most: &str| {
        format!(
            "mkdir -p /proc/sys/net/netfilter; mount -t tmpfs none /proc/sys/net/netfilter
             echo {count} > /proc/sys/net/netfilter/nf_conntrack_count
             echo {most} > /proc/sys/net/netfilter/nf_conntrack_max"
        )
    };
    if !fs::exists("/proc/sys/net/netfilter").unwrap_or(false) {
        // A kernel that tracks nothing has no table.
        return;
    }
    let (findings, status) = patient.doctor_after(&table("65000", "65536"));
    assert_eq!((findings[0].check.as_str(), status), ("conntrack", 1), "{findings:#?}");
    assert!(findings[0].text.contains("65000 of 65536"), "{findings:#?}");
    assert_eq!(findings[0].remedies[0].text, "sysctl -w net/netfilter/nf_conntrack_max=262144");
    let (findings, status) = patient.doctor_after(&table("65000", "262144"));
    assert!(findings.is_empty() && status == 0, "{findings:#?}");
}

/// What `wg` would say of it; not every kernel has WireGuard.
fn finds_what_no_wireguard_peer_may_have() {
    let lab = Lab::veth();
    lab.host.ip("tuntap add dev wg0 mode tun\nlink set wg0 up\nroute add 2001:db8:1:2:e::7/128 dev wg0");
    let patient = Patient::with(lab, &format!("{RANGES}[[range]]\nprefix = \"2001:db8:1:2:e::/112\"\n"));
    let says = |line: &str| {
        patient.file("usr/bin/wg", &format!("#!/bin/sh\nprintf '{line}\\n'\n"));
        let program = patient.directory().join("usr/bin/wg");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("our file");
    };
    says("wg0\\tkey=\\t10.0.0.7/32 2001:db8:1:2:e::8/128");
    let words = ["no peer of wg0 has 2001:db8:1:2:e::7/128 in its AllowedIPs"];
    patient.suffers_from("allowed-ips", "fault", &words);
    says("wg0\\tkey=\\t(none)");
    patient.suffers_from("allowed-ips", "fault", &words);
    says("wg0\\tkey=\\t10.0.0.7/32 2001:db8:1:2:e::7/128");
    let (findings, _) = patient.examine();
    assert!(findings.iter().all(|finding| finding.check != "allowed-ips"), "{findings:#?}");
}

fn finds_an_interface_by_its_other_name() {
    let lab = Lab::veth();
    lab.host.ip("link property add dev br0 altname guests\nlink property add dev up0 altname enp1s0");
    let patient = Patient::with(lab, &format!("[[range]]\nprefix = \"{C}\"\ninterface = \"guests\"\n"));
    patient.is_healed("downstreams", "fault", &["guests is another name of br0"]);
    patient.configure(&format!("[[upstream]]\ninterface = \"enp1s0\"\n{RANGES}"));
    let finding = patient.suffers_from("upstream", "fault", &["enp1s0 is another name of up0"]);
    assert_eq!(finding.remedies[0].text, "[[upstream]]\ninterface = \"up0\"\n");
}
