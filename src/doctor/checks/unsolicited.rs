//! A station that moves to another MAC says so unasked (RFC 4861 §7.2.6): a router that takes over, a guest that moved.

use std::collections::BTreeSet;

use super::forwarding::of;
use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check = Check {
    name: "unsolicited-advertisements",
    group: Group::Host,
    asks: "the kernel hears it when gateway or guests have moved to another MAC",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let key = |name: &str| of(name, "drop_unsolicited_na");
    let upstreams: BTreeSet<_> = host.upstreams().iter().map(|upstream| host.name(upstream.link)).collect();
    let downstreams: BTreeSet<_> = host.downstreams().iter().map(|link| link.name.to_string()).collect();
    let is_deaf = |name: &&String| host.setting(&key(name)).is_some_and(|value| value != "0");
    let finding = |name: &String, who: &str| {
        Finding::warning(format!(
            "the kernel drops unsolicited advertisements on {name}: {who} that moves to another MAC is lost until the old \
             entry has been found out"
        ))
        .seen(format!("{} = 1", key(name)))
        .set(key(name), "0")
    };
    let of_upstreams = upstreams.iter().filter(is_deaf).map(|name| finding(name, "a gateway (VRRP, say)"));
    of_upstreams.chain(downstreams.iter().filter(is_deaf).map(|name| finding(name, "a guest"))).collect()
}
