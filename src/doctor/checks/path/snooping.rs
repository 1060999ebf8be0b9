//! A bridge that snoops MLD and knows of a querier delivers solicitations only to ports that have
//! joined their group, and a packet socket joins none.
//!
//! Measured on Linux 6.18: without a querier such a bridge floods, also after memberships have timed
//! out, so snooping alone is no fault; nor is it on a downstream whose guests hear the querier, for
//! they join their own groups.

use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check = Check {
    name: "snooping",
    group: Group::Path,
    asks: "no bridge keeps solicitations from the daemon",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for upstream in host.upstreams() {
        let name = host.name(upstream.link);
        let Some(bridge) = host.make(upstream.link).and_then(|make| make.bridge) else { continue };
        let joins = host.engine.policy().upstreams.iter().any(|policy| policy.mld);
        if !bridge.snooping || joins {
            continue;
        }
        let finding = if bridge.querier {
            Finding::fault(format!(
                "the bridge {name} snoops MLD and queries, so solicitations for guests do not reach the daemon: \
                 mld is off, and nobody joins their groups"
            ))
        } else {
            Finding::warning(format!(
                "the bridge {name} snoops MLD, so solicitations for guests no longer reach the daemon once \
                 there is a querier on it: mld is off, and nobody joins their groups"
            ))
        };
        let querier = u8::from(bridge.querier);
        findings.push(
            finding
                .seen(format!("{name}: mcast_snooping 1 mcast_querier {querier}"))
                .seen("lone64.toml: mld = false")
                .run(format!("ip link set {name} type bridge mcast_snooping 0")),
        );
    }
    findings
}
