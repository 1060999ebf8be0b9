//! Networks that the kernel routes inside an on-link prefix of the upstream, and that nobody serves: the first range
//! that is written turns automatic off.

use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::Unserved;

/// The check.
pub static CHECK: Check = Check {
    name: "unserved",
    group: Group::Ranges,
    asks: "every network inside an on-link prefix is served, or left alone on purpose",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let (networks, count) = (host.engine.unserved(), host.engine.count_unserved());
    let shown = networks.iter().take(MOST);
    // Routes that lead out of a range are what `lookups` looks at.
    let mut findings: Vec<_> = shown.filter(|network| network.around.is_none()).map(finding).collect();
    if count > MOST {
        let sentence = format!("nobody serves {} more networks either", count - MOST);
        let remedy = Remedy::Advice("`lone64 check --json` names more of them".to_owned());
        findings.push(Finding::warning(sentence).remedy(remedy));
    }
    findings
}

fn finding(network: &Unserved) -> Finding {
    let Unserved { prefix, interface, upstream, .. } = network;
    let sentence = format!(
        "nobody serves {prefix} on {interface}, so the router's questions for its guests get no answer on {upstream}"
    );
    Finding::warning(sentence)
        .seen(format!("ip -6 route show {prefix}: dev {interface}"))
        .remedy(Remedy::Config(network.lines()))
        .remedy(Remedy::Advice(format!("or instead: {}", network.instead())))
}

/// As many are named.
const MOST: usize = 16;
