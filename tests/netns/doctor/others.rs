//! Who else is at work on the host.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST};
use crate::namespace::eventually;

use super::Patient;

crate::cases![
    finds_the_kernel_s_own_proxy_entries,
    is_content_with_a_proxy_without_entries,
    finds_ndppd,
    finds_npd6,
    finds_that_networkd_will_delete_our_routes,
];

fn finds_the_kernel_s_own_proxy_entries() {
    let patient = Patient::healthy();
    patient.lab.host.ip(&format!("neigh add proxy {GUEST} dev up0"));
    let entry = format!("{GUEST} dev up0");
    patient.is_healed("other-responders", "warning", &["the kernel itself is a proxy", &entry]);
}

fn is_content_with_a_proxy_without_entries() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/ipv6/conf/up0/proxy_ndp", "1")]);
    patient.is_well();
}

fn finds_ndppd() {
    let patient = Patient::healthy();
    patient.file("ndppd.conf", &format!("proxy up0 {{\n  rule {C} {{\n    static\n  }}\n}}\n"));
    finds_and_ends(&patient, "ndppd", "ndppd -c ndppd.conf");
}

fn finds_npd6() {
    let patient = Patient::healthy();
    patient.file("npd6.conf", &format!("prefix = {C}\ninterface = up0\n"));
    finds_and_ends(&patient, "npd6", "npd6 --foreground -l - -c npd6.conf");
}

fn finds_and_ends(patient: &Patient, name: &str, command: &str) {
    let mut process = started(patient, name, command);
    let number = process.id().to_string();
    let sentence = format!("{name} answers solicitations");
    let finding = patient.suffers_from("other-responders", "warning", &[&sentence, &number]);
    patient.shell(&finding.remedies[0].text);
    process.wait().expect("our child");
    patient.is_well();
}

/// Runs a program until it bears its name, which it does once it has been loaded.
fn started(patient: &Patient, name: &str, command: &str) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-ec", &format!("exec {command}")]).current_dir(patient.directory());
    let process =
        patient.lab.host.spawn(shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("it runs", PATIENCE, || {
        let called = fs::read_to_string(format!("/proc/{}/comm", process.id())).unwrap_or_default();
        (called.trim_end() == name).then_some(())
    });
    process
}

fn finds_that_networkd_will_delete_our_routes() {
    let patient = Patient::healthy();
    patient.file("etc/systemd/network/10-wan.network", "[Match]\nName=up*\n\n[Network]\nDHCP=yes\n");
    patient.is_well();
    // Any program of that name will do.
    let sleep = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
    fs::copy(sleep.expect("coreutils"), patient.directory().join("systemd-networkd"))
        .expect("a temporary file");
    let mut process = started(&patient, "systemd-network", "./systemd-networkd 600");
    patient.is_healed("networkd", "warning", &["manages up0", "10-wan.network", "ManageForeignRoutes"]);
    patient.is_well();
    process.kill().expect("our child");
    process.wait().expect("our child");
}
