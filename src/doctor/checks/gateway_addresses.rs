//! The guests' gateway (`gateway` of a range): what keeps it from the interfaces that are to have it.

use crate::doctor::{Check, Command, Finding, Group, Host};

use super::keepers::for_good;

/// The check.
pub static CHECK: Check = Check {
    name: "guests-gateway",
    group: Group::Ranges,
    asks: "the guests' interfaces can have the gateway of their range",
    examine,
};

/// Where IPv6 is switched off there is another finding.
fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (link, address) in host.engine.wanted_gateways() {
        let Some(mtu) = host.make(link).map(|make| make.mtu).filter(|mtu| *mtu < LEAST_MTU) else { continue };
        let name = host.name(link);
        let sentence = format!(
            "the guests behind {name} have no gateway {address}: the kernel has no IPv6 where the MTU is below {LEAST_MTU}"
        );
        let finding = Finding::fault(sentence).seen(format!("ip link show {name}: mtu {mtu}"));
        let lasting = for_good(host, link, "[Link] MTUBytes=1500", "mtu 1500");
        findings.push(finding.run(Command::new(format!("ip link set {name} mtu 1500")).for_good(lasting)));
    }
    findings.truncate(MOST);
    findings
}

/// "IPv6 requires that every link in the Internet have an MTU of 1280 octets or greater" (RFC 8200 §5).
pub const LEAST_MTU: u32 = 1280;

/// Interfaces that are named.
const MOST: usize = 16;
