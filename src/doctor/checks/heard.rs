//! What a running daemon has heard, and nobody can read: guests with too short a mask, and somebody
//! else on the upstream link that says that it has a guest's address.

use core::net::Ipv6Addr;

use serde_json::Value;

use super::lines;
use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::policy::{Origin, RangePolicy};

/// The check of masks.
pub static MASKS: Check = Check {
    name: "guest-masks",
    group: Group::Ranges,
    asks: "no guest was heard that takes the upstream's link for its own",
    examine: masks,
};

/// The check of rivals.
pub static RIVALS: Check = Check {
    name: "rivals",
    group: Group::Others,
    asks: "nobody on the upstream link was heard who has a guest's address",
    examine: rivals,
};

fn masks(host: &Host) -> Vec<Finding> {
    let all = heard(host, "wide_masks");
    let finding = |mask: &Value| {
        let [interface, guest, asked_for] = ["interface", "guest", "asked_for"].map(|key| text(mask, key));
        let range = range_of(host, &guest);
        // Where such guests are answered nothing is wrong; the daemon has heard this before.
        if range.is_some_and(|range| range.proxy_downstream) {
            return None;
        }
        let length = range.map_or(128, |range| range.prefix.prefix_len());
        let finding = Finding::fault(format!(
            "the guest {guest} takes {asked_for} for a neighbor on {interface}, where nobody has it: it reaches \
             nothing in the upstream's prefix, its gateway's other addresses among it"
        ))
        .seen(format!("lone64 heard it ask on {interface} for {asked_for}"))
        .remedy(Remedy::Advice(format!(
            "in the guest, best from its console: `ip -6 addr del {guest}/64 dev eth0 && ip -6 addr add {guest}/{length} \
             dev eth0 nodad`, and the same in its configuration"
        )));
        Some(match range {
            Some(range) if range.origin != Origin::Suffix => {
                let key = ("proxy-downstream", "true".to_owned());
                finding.remedy(Remedy::Config(lines::range(range, None, &[key])))
            }
            _ => finding.remedy(Remedy::Advice(
                "or write `proxy-downstream = true` in the [[range]] of the guest".to_owned(),
            )),
        })
    };
    all.iter().filter_map(finding).collect()
}

/// The range that decides for a guest.
fn range_of<'a>(host: &'a Host, guest: &str) -> Option<&'a RangePolicy> {
    let guest: Ipv6Addr = guest.parse().ok()?;
    let around = host.ranges().map(|(range, _)| range).filter(|range| range.prefix.contains(&guest));
    around.max_by_key(|range| range.prefix.prefix_len())
}

fn rivals(host: &Host) -> Vec<Finding> {
    let all = heard(host, "conflicts");
    let finding = |conflict: &Value| {
        let [address, mac] = ["address", "mac"].map(|key| text(conflict, key));
        let (what, seen) = match conflict["answered"].as_bool() {
            Some(true) => (
                format!("{mac}, on the upstream link, wants {address}, and was refused: it is in use here"),
                format!("lone64 heard {mac} check whether {address} is free"),
            ),
            _ => (
                format!("{mac}, on the upstream link, has {address}, so that is not answered for here"),
                format!("lone64 heard from {mac} that it has {address}"),
            ),
        };
        Finding::fault(what).seen(seen)
        .remedy(Remedy::Advice(format!(
            "find out who {mac} is (another host of yours with the same guest, or another responder), and let one \
             of the two give {address} up"
        )))
    };
    all.iter().map(finding).collect()
}

fn heard(host: &Host, what: &str) -> Vec<Value> {
    let list = host.daemon.as_ref().and_then(|status| status[what].as_array());
    list.cloned().unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
