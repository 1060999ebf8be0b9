//! A bridge that snoops MLD and knows of a querier delivers solicitations only to ports that have
//! reported their group, and with `mld = false` nobody does.
//!
//! Measured on Linux 6.18: without a querier such a bridge floods, also after memberships have timed
//! out, so snooping alone is no fault; nor is it on a downstream whose guests hear the querier, for
//! they join their own groups.

use crate::doctor::{Check, Finding, Group, Host};
use crate::kernel::netlink::Bridge;

/// The check.
pub static CHECK: Check = Check {
    name: "snooping",
    group: Group::Path,
    asks: "no bridge keeps solicitations from the daemon",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let joins = host.engine.policy().upstreams.iter().any(|policy| policy.mld.reports());
    let bridge = |link| host.make(link).and_then(|make| make.bridge);
    let upstreams = host.upstreams().iter().filter(|_| !joins);
    upstreams.filter_map(|upstream| finding(&host.name(upstream.link), bridge(upstream.link)?)).collect()
}

/// Of an upstream on which nobody reports the groups of the targets.
fn finding(name: &str, bridge: Bridge) -> Option<Finding> {
    let finding = match (bridge.snooping, bridge.querier) {
        (false, _) => return None,
        (true, true) => Finding::fault(format!(
            "the bridge {name} snoops MLD and queries, so solicitations for guests do not reach the daemon: \
             mld is off, and nobody reports their groups"
        )),
        (true, false) => Finding::warning(format!(
            "the bridge {name} snoops MLD, so solicitations for guests no longer reach the daemon once \
             there is a querier on it: mld is off, and nobody reports their groups"
        )),
    };
    let querier = u8::from(bridge.querier);
    let finding = finding
        .seen(format!("{name}: mcast_snooping 1 mcast_querier {querier}"))
        .seen("lone64.toml: mld = false");
    Some(finding.run(format!("ip link set {name} type bridge mcast_snooping 0")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn fears_snooping_only_where_nobody_joins_and_most_where_somebody_queries() {
        let severity = |snooping, querier| {
            let bridge = Bridge { snooping, querier, ..Bridge::default() };
            finding("br9", bridge).map(|finding| finding.severity)
        };
        assert_eq!(severity(false, false), None);
        assert_eq!(severity(false, true), None);
        assert_eq!(severity(true, false), Some(Severity::Warning));
        assert_eq!(severity(true, true), Some(Severity::Fault));
    }
}
