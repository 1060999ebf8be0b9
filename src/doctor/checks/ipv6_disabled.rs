//! An interface on which the kernel does no IPv6 has no addresses, and the kernel drops what arrives.

use crate::doctor::{Check, Finding, Group, Host};

use super::forwarding::of;

/// The check.
pub static CHECK: Check =
    Check { name: "ipv6-disabled", group: Group::Upstream, asks: "IPv6 is on where it is needed", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let upstreams = host.upstreams().iter().map(|upstream| host.name(upstream.link));
    let downstreams = host.downstreams();
    let names = upstreams.chain(downstreams.iter().map(|link| link.name.to_string()));
    names
        .filter_map(|name| {
            let key = of(&name, "disable_ipv6");
            let is_off = host.setting(&key) == Some("1");
            is_off.then(|| {
                let sentence = format!("IPv6 is switched off on {name}, so nothing is forwarded there");
                Finding::fault(sentence).seen(format!("{key} = 1")).set(key, "0")
            })
        })
        .collect()
}
