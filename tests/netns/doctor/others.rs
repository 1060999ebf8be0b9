//! Who else is at work on the host.

use crate::lab::GUEST;

use super::Patient;

crate::cases![finds_the_kernel_s_own_proxy_entries];

fn finds_the_kernel_s_own_proxy_entries() {
    let patient = Patient::healthy();
    patient.lab.host.ip(&format!("neigh add proxy {GUEST} dev up0"));
    let entry = format!("{GUEST} dev up0");
    patient.is_healed("other-responders", "warning", &["the kernel itself is a proxy", &entry]);
}
