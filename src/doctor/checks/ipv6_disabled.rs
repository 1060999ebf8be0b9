//! An interface on which the kernel does no IPv6 has no addresses, and the kernel drops what arrives.

use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};
use crate::engine::facts::IfIndex;

use super::forwarding::of;

/// The check.
pub static CHECK: Check =
    Check { name: "ipv6-disabled", group: Group::Upstream, asks: "IPv6 is on where it is needed", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let upstreams = host.upstreams().iter().map(|upstream| upstream.link);
    let downstreams = host.downstreams().into_iter().map(|link| link.index);
    upstreams.chain(downstreams).filter_map(|link| found(host, link)).collect()
}

/// Whether the kernel does IPv6 there.
pub fn is_on(host: &Host, link: IfIndex) -> bool {
    found(host, link).is_none()
}

fn found(host: &Host, link: IfIndex) -> Option<Finding> {
    switched_off(host, link).or_else(|| narrow(host, link))
}

fn switched_off(host: &Host, link: IfIndex) -> Option<Finding> {
    let name = host.name(link);
    let key = of(&name, "disable_ipv6");
    let is_off = host.setting(&key) == Some("1");
    is_off.then(|| {
        let sentence = format!("IPv6 is switched off on {name}, so nothing is forwarded there");
        Finding::fault(sentence).seen(format!("{key} = 1")).set(key, "0")
    })
}

/// RFC 8200 §5: "IPv6 requires that every link in the Internet have an MTU of 1280 octets or greater." Below that the
/// kernel takes IPv6 and its addresses off the interface (net/ipv6/addrconf.c, addrconf_notify).
fn narrow(host: &Host, link: IfIndex) -> Option<Finding> {
    let mtu = host.make(link)?.mtu;
    (1..LEAST_MTU).contains(&mtu).then(|| {
        let name = host.name(link);
        let sentence =
            format!("{name} has an MTU of {mtu}, and below {LEAST_MTU} the kernel does no IPv6 there");
        Finding::fault(sentence)
            .seen(format!("ip link show dev {name}: mtu {mtu}"))
            .run(Command::new(format!("ip link set {name} mtu {LEAST_MTU}")))
            .remedy(Remedy::Advice(format!(
                "add the addresses of {name} again, which the kernel has removed"
            )))
    })
}

const LEAST_MTU: u32 = 1280;
