//! What a running daemon has found out of the provider: routers that do not take its answers, and guests that are not
//! let through.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::doctor::{Check, Finding, Group, Host, Remedy};

/// The check.
pub static CHECK: Check = Check {
    name: "answers-taken",
    group: Group::Others,
    asks: "every router that asks takes the answers",
    examine,
};

/// Whether the provider lets every guest through.
pub static ADMITTED: Check = Check {
    name: "guests-admitted",
    group: Group::Others,
    asks: "the provider's gateway answers questions from every guest",
    examine: examine_admitted,
};

fn examine_admitted(host: &Host) -> Vec<Finding> {
    let listed = host.daemon.as_ref().and_then(|status| status["not_admitted"].as_array());
    let mut by_upstream = BTreeMap::<_, Vec<&str>>::new();
    for one in listed.into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        by_upstream.entry((text("interface"), text("gateway"))).or_default().push(text("address"));
    }
    by_upstream.iter().map(|((interface, gateway), targets)| refused(interface, gateway, targets)).collect()
}

fn refused(interface: &str, gateway: &str, targets: &[&str]) -> Finding {
    let more = targets.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = targets.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    Finding::fault(format!(
        "the provider does not admit {named}{more} on {interface}: it has a filter by source, a limit of addresses for \
         each MAC, or a switch that does not learn them"
    ))
    .seen(format!(
        "the gateway {gateway} answered the host, and nothing from these addresses, also after duplicate address \
         detection for each"
    ))
    .remedy(Remedy::Advice(
        "ask the provider for a routed prefix, for a second MAC, or to admit these addresses".to_owned(),
    ))
}

fn examine(host: &Host) -> Vec<Finding> {
    let askers = host.daemon.as_ref().and_then(|status| status["askers"].as_array());
    askers.into_iter().flatten().filter_map(finding).collect()
}

fn finding(asker: &Value) -> Option<Finding> {
    let text = |key: &str| asker[key].as_str().unwrap_or_default().to_owned();
    let not_taken = asker["not_taken"].as_array().filter(|targets| !targets.is_empty())?;
    // While sources are being tried nothing is known yet.
    if asker["trying"].as_bool() == Some(true) {
        return None;
    }
    let (address, mac, interface) = (text("address"), text("mac"), text("interface"));
    let taken = asker["taken"].as_u64().unwrap_or_default();
    let refused = not_taken.len() as u64;
    let named: Vec<_> = not_taken.iter().filter_map(Value::as_str).take(MOST_NAMED).collect();
    let named = named.join(", ");
    let seen =
        format!("lone64 answered {address} on {interface} from every source, and it asked again each time");
    Some(match taken {
        0 => Finding::fault(format!(
            "{address} ({mac}) on {interface} takes no answer, whatever its source: it asks again and again for {named}"
        ))
        .seen(seen)
        .remedy(Remedy::Advice(format!(
            "ask the provider whether the port of {interface} may use more than its own address, and whether the \
             prefix is routed to another host"
        ))),
        _ => Finding::fault(format!(
            "{address} ({mac}) on {interface} takes {taken} of {} guests, and not {named}: it has a limit of addresses \
             for each MAC, a list of those that it takes, or a full table",
            taken + refused
        ))
        .seen(seen)
        .remedy(Remedy::Advice(
            "ask the provider for a routed prefix, for a second MAC, or to admit these addresses".to_owned(),
        )),
    })
}

/// As many targets are named.
const MOST_NAMED: usize = 8;
