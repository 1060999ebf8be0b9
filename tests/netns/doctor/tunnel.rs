//! A host behind a tunnel: a prefix is routed to it, nobody is answered for, and there is no upstream.

use std::process::{Command, Stdio};

use super::Patient;
use crate::lab::{C, GUEST, Lab};

crate::cases![
    is_healthy_without_an_upstream_and_says_that_none_is_needed,
    has_to_forward_all_the_same,
    is_told_of_filters_between_the_tunnel_and_the_guests,
    follows_the_table_that_a_rule_names_for_the_guests,
    has_nothing_to_try_alive,
];

/// The prefix of the bridge comes by a tunnel: an interface without Neighbor Discovery, as sit, WireGuard and tun are.
fn host() -> Patient {
    let lab = Lab::veth();
    lab.host.ip("link del up0
         tuntap add dev tun7 mode tun
         link set tun7 up
         route add default dev tun7");
    Patient::with(lab, &format!("[[range]]\nprefix = \"{C}\"\ninterface = \"br0\"\nanswer = \"never\"\n"))
}

/// What a command prints, for people.
fn printed(patient: &Patient, command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lone64"));
    program.args(command.split(' ')).arg("--config").arg(patient.directory().join("lone64.toml"));
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = patient.lab.host.spawn(&mut program).wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn is_healthy_without_an_upstream_and_says_that_none_is_needed() {
    let patient = host();
    patient.is_well();
    let report = printed(&patient, "doctor");
    assert!(report.contains("ok       no upstream is needed: no range is answered for"), "{report}");
    assert!(!report.contains("the upstream is there"), "{report}");
    // Not even a way out is ours to judge: a table of its own may have it.
    patient.lab.host.ip("route del default dev tun7");
    patient.is_well();
}

fn has_to_forward_all_the_same() {
    let patient = host();
    patient.lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    patient.is_healed("forwarding", "fault", &["no packet reaches a guest"]);
    patient.is_well();
}

fn is_told_of_filters_between_the_tunnel_and_the_guests() {
    for (rules, check, severity, words) in [
        ("type filter hook forward priority 0; policy drop;", "forward-filter", "fault", "sent to guests"),
        (
            "type filter hook forward priority 0; iifname tun7 drop;",
            "forward-filter",
            "fault",
            "sent to guests",
        ),
        (
            "type nat hook postrouting priority 100; oifname tun7 masquerade;",
            "masquerade",
            "warning",
            "translates",
        ),
    ] {
        let patient = host();
        patient.shell(&format!("nft 'table ip6 t {{ chain c {{ {rules} }}\n}}'"));
        patient.is_healed(check, severity, &[words, C]);
        patient.is_well();
    }
}

fn follows_the_table_that_a_rule_names_for_the_guests() {
    let patient = host();
    patient.lab.host.ip(&format!(
        "tuntap add dev tun8 mode tun
         link set tun8 up
         route add default dev tun8 table 100
         rule add from {C} lookup 100 priority 1000"
    ));
    let drop = |tunnel: &str| {
        let chain = format!("type filter hook forward priority 0; iifname {tunnel} drop;");
        patient.shell(&format!("nft 'flush ruleset; table ip6 t {{ chain c {{ {chain} }}\n}}'"));
    };
    drop("tun7");
    patient.is_well();
    drop("tun8");
    patient.is_healed("forward-filter", "fault", &[C]);
}

fn has_nothing_to_try_alive() {
    let patient = host();
    let said = printed(&patient, "doctor --live");
    assert!(said.contains("`answer` is \"never\" in each, and there is no upstream"), "{said}");
    let explained = printed(&patient, &format!("explain {GUEST}"));
    assert!(explained.contains("and no upstream, where"), "{explained}");
    assert!(!explained.contains("write answer"), "{explained}");
}
