//! What sees frames before packet filters that can be read: filters of tc, and rules that look at bytes.

use super::Patient;
use crate::client::lone64;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab};
use crate::namespace::eventually;

crate::cases![
    finds_a_filter_of_tc_that_may_drop_solicitations,
    finds_a_filter_of_tc_that_may_drop_answers,
    passes_over_a_filter_of_tc_that_only_sorts,
    finds_a_filter_of_tc_under_the_upstream,
    finds_raw_bytes_that_drop_solicitations,
    fears_raw_bytes_that_may,
    finds_rules_of_iptables_that_look_at_bytes,
    explains_that_a_filter_of_tc_is_in_the_way,
    finds_that_the_kernel_hears_no_unsolicited_advertisements,
    finds_a_host_with_a_single_address,
];

/// A program of classic BPF that passes everything on, by its own verdict.
const PROGRAM: &str = "bpf direct-action bytecode '1,6 0 0 0'";

fn finds_a_filter_of_tc_that_may_drop_solicitations() {
    let patient = Patient::healthy();
    patient.shell(&format!("tc qdisc add dev up0 clsact\ntc filter add dev up0 ingress {PROGRAM}"));
    let words = ["may drop solicitations on up0", "tc filter show dev up0 ingress: bpf"];
    let finding = patient.suffers_from("programs", "warning", &words);
    assert!(finding.remedies[0].text.contains("tc -s filter show dev up0 ingress"), "{finding:#?}");
    patient.shell("tc filter del dev up0 ingress");
    patient.is_well();
}

fn finds_a_filter_of_tc_that_may_drop_answers() {
    let patient = Patient::healthy();
    patient
        .shell(&format!("tc qdisc add dev up0 clsact\ntc filter add dev up0 egress protocol ipv6 {PROGRAM}"));
    patient.suffers_from("programs", "warning", &["may drop answers on their way out of up0", "egress: bpf"]);
    // The older place, which has no egress.
    patient.shell(&format!(
        "tc qdisc del dev up0 clsact\ntc qdisc add dev up0 ingress\ntc filter add dev up0 ingress {PROGRAM}"
    ));
    let (findings, _) = patient.examine();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].text.contains("solicitations on up0"), "{findings:#?}");
}

fn passes_over_a_filter_of_tc_that_only_sorts() {
    let patient = Patient::healthy();
    patient.shell(&format!(
        "tc qdisc add dev up0 clsact
         tc filter add dev up0 ingress bpf bytecode '1,6 0 0 4294967295' flowid 1:1
         tc filter add dev up0 ingress protocol ip {PROGRAM}
         tc qdisc add dev br0 clsact
         tc filter add dev br0 ingress {PROGRAM}"
    ));
    patient.is_well();
}

fn finds_a_filter_of_tc_under_the_upstream() {
    let lab = Lab::veth();
    lab.host.ip("link add wan address 02:00:00:00:00:02 type bridge forward_delay 0 mcast_snooping 0
                 addr flush dev up0
                 link set up0 master wan
                 link set wan up
                 addr add fe80::2/64 dev wan nodad
                 addr add 2001:db8:1:2::2/64 dev wan nodad
                 route replace default via fe80::1 dev wan");
    let patient = Patient::with(lab, &format!("[[range]]\nprefix = \"{C}\"\ninterface = \"br0\"\n"));
    eventually("the bridge forwards", PATIENCE, || patient.examine().0.is_empty().then_some(()));
    patient.shell(&format!("tc qdisc add dev up0 clsact\ntc filter add dev up0 ingress {PROGRAM}"));
    patient.suffers_from("programs", "warning", &["may drop solicitations on up0"]);
}

/// Loads rules into the host.
fn nft(patient: &Patient, rules: &str) {
    patient.shell(&format!("nft -f - <<'END'\nflush ruleset\n{rules}\nEND"));
}

fn finds_raw_bytes_that_drop_solicitations() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table netdev early { chain up { type filter hook ingress device up0 priority 0; @nh,48,8 58 @th,0,8 135 drop; }; }",
    );
    patient.is_healed(
        "neighbor-discovery",
        "fault",
        &["drops neighbor solicitations on up0", "netdev early"],
    );
    nft(
        &patient,
        "table inet t { chain i { type filter hook input priority 0; @th,0,8 { 136, 137 } drop; }; }",
    );
    patient.is_healed("neighbor-discovery", "fault", &["drops neighbor advertisements", "up0", "br0"]);
    // Of another protocol, and of another type.
    nft(
        &patient,
        "table inet t { chain i { type filter hook input priority 0; udp dport 53 @th,64,8 1 drop; @th,0,8 128 drop; }; }",
    );
    patient.is_well();
}

fn fears_raw_bytes_that_may() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table inet t { chain i { type filter hook input priority 0; icmpv6 type nd-neighbor-advert @th,32,8 & 0x40 == 0 drop; }; }",
    );
    let words = ["may drop neighbor advertisements", "it depends on @th,32,8"];
    patient.is_healed("neighbor-discovery", "warning", &words);
}

fn finds_rules_of_iptables_that_look_at_bytes() {
    let patient = Patient::healthy();
    patient.shell("ip6tables-legacy -A INPUT -p icmpv6 -m bpf --bytecode '4,48 0 0 40,21 0 1 135,6 0 0 1,6 0 0 0' -j DROP");
    let words = ["may drop", "neighbor solicitations", "--bytecode"];
    patient.is_healed("neighbor-discovery", "warning", &words);
}

fn explains_that_a_filter_of_tc_is_in_the_way() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let socket = daemon.socket();
    let patient = Patient::with(lab, "");
    let explain = || {
        let output = patient.lab.host.run(|| lone64(&socket, &format!("explain {GUEST}")));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = explain();
    assert!(text.contains("liveness") && !text.contains("program"), "{text}");
    patient.shell(&format!("tc qdisc add dev up0 clsact\ntc filter add dev up0 ingress {PROGRAM}"));
    let text = explain();
    assert!(text.contains("? program") && text.contains("may drop"), "{text}");
}

fn finds_that_the_kernel_hears_no_unsolicited_advertisements() {
    let patient = Patient::healthy();
    for (link, who) in [("up0", "a gateway"), ("br0", "a guest")] {
        let key = format!("net/ipv6/conf/{link}/drop_unsolicited_na");
        patient.lab.host.sysctls(&[(&key, "1")]);
        patient.is_healed("unsolicited-advertisements", "warning", &[link, who, &key]);
    }
    patient.is_well();
}

fn finds_a_host_with_a_single_address() {
    let patient = Patient::with(Lab::veth(), "");
    patient.is_well();
    patient.lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0\naddr add 2001:db8:1:2::2/128 dev up0 nodad");
    let (findings, _) = patient.all(&[], &[]);
    let serving = findings.iter().find(|finding| finding.check == "serving").expect("nothing is served");
    // The guests' interface is there already.
    assert!(serving.remedies[0].text.contains("ip -6 addr show dev up0"), "{serving:#?}");
    let words = ["a /128, and no route says", "2001:db8:1:2:c::/112 is elsewhere"];
    patient.is_healed("on-link", "warning", &words);
    patient.is_well();
    // What a router advertises to be on the link needs no address.
    patient.lab.host.ip("route del 2001:db8:1:2::/64 dev up0\nroute add 2001:db8:1:2::/64 dev up0 proto ra");
    patient.is_well();
}
