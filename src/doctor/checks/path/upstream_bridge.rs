//! Bridges towards the router: the guests should not be on them.

use super::bridge_filter::ports;
use crate::doctor::{Check, Finding, Group, Host, Remedy};

/// The check.
pub static CHECK: Check = Check {
    name: "upstream-bridge",
    group: Group::Path,
    asks: "the upstream is no bridge that guests are ports of",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for upstream in host.upstreams() {
        let name = host.name(upstream.link);
        let ports = ports(host, upstream.link);
        if host.make(upstream.link).is_none_or(|make| make.bridge.is_none()) || ports.len() < 2 {
            continue;
        }
        let sentence = format!(
            "the upstream {name} is a bridge with several ports, so guests on it send with MACs of their own to \
             the router; providers that know only the host's MAC drop that, and some block the host"
        );
        let advice = format!(
            "move the guests to a bridge of their own that no port of {name} belongs to, and make it a range's \
             interface: then all that leaves bears the MAC of {name}"
        );
        findings.push(
            Finding::warning(sentence)
                .seen(format!("ports of {name}: {}", ports.join(", ")))
                .remedy(Remedy::Advice(advice)),
        );
    }
    findings
}
