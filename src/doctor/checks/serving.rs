//! Whether anything is served at all.

use crate::doctor::{Check, Finding, Group, Host, Remedy};

/// The check.
pub static CHECK: Check =
    Check { name: "serving", group: Group::Daemon, asks: "there is something to serve", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let Some(idle) = host.engine.idle() else { return Vec::new() };
    let finding = Finding::warning(idle.to_string());
    let finding = match idle.on_link {
        Some(net) => finding
            .seen(format!("ip -6 route show {net}: dev {}; no route to guests inside it", idle.upstream)),
        None => finding,
    };
    vec![match idle.lines() {
        Some(lines) => finding.remedy(Remedy::Config(lines)),
        None if idle.on_link.is_none() => finding.remedy(Remedy::Advice(format!(
            "`ip -6 addr show dev {}` shows its addresses: give it the prefix length that the provider names, such as \
             /64",
            idle.upstream
        ))),
        None => finding.remedy(Remedy::Advice(
            "make the guests' interface first: a bridge, or what the engine of the containers makes"
                .to_owned(),
        )),
    }]
}
