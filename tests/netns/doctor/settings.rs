//! The kernel's settings.

use super::Patient;

crate::cases![finds_nothing_on_a_healthy_host, finds_that_forwarding_is_off, applies_what_is_safe];

fn finds_nothing_on_a_healthy_host() {
    Patient::healthy().is_well();
}

fn finds_that_forwarding_is_off() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    patient.is_healed("forwarding", "fault", &["forwarding is off", "net/ipv6/conf/all/forwarding = 0"]);
    // Where the default route came by an advertisement, it must not be lost for it.
    patient.lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    patient.lab.host.ip("route replace default via fe80::1 dev up0 proto ra");
    patient.is_healed("forwarding", "fault", &["forwarding is off"]);
    assert!(patient.lab.host.show("route show default").contains("proto ra"));
}

fn applies_what_is_safe() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    patient.doctor(&["--fix", "--yes"]);
    patient.is_well();
}
