//! An interface on which the kernel does no IPv6 has no addresses, and the kernel drops what arrives.

use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};
use crate::engine::facts::IfIndex;

use super::forwarding::of;
use super::gateway_addresses::LEAST_MTU;
use super::keepers::for_good;

/// The check.
pub static CHECK: Check =
    Check { name: "ipv6-disabled", group: Group::Upstream, asks: "IPv6 is on where it is needed", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let upstreams = host.upstreams().iter().map(|upstream| upstream.link);
    let downstreams = host.downstreams().into_iter().map(|link| link.index);
    // Where a range has a `gateway` there, the check of that says it.
    let has_gateway = |link| host.engine.wanted_gateways().iter().any(|(at, _)| *at == link);
    let here = upstreams.chain(downstreams);
    let found = |link| switched_off(host, link).or_else(|| narrow(host, link).filter(|_| !has_gateway(link)));
    here.filter_map(found).collect()
}

/// Whether the kernel does IPv6 there.
pub fn is_on(host: &Host, link: IfIndex) -> bool {
    switched_off(host, link).or_else(|| narrow(host, link)).is_none()
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

/// The kernel has taken IPv6 and its addresses off the interface (net/ipv6/addrconf.c, addrconf_notify).
fn narrow(host: &Host, link: IfIndex) -> Option<Finding> {
    let mtu = host.make(link)?.mtu;
    (1..LEAST_MTU).contains(&mtu).then(|| {
        let name = host.name(link);
        let lasting = for_good(host, link, "[Link] MTUBytes=1500", "mtu 1500");
        let sentence =
            format!("{name} has an MTU of {mtu}, and below {LEAST_MTU} the kernel does no IPv6 there");
        Finding::fault(sentence)
            .seen(format!("ip link show dev {name}: mtu {mtu}"))
            .run(Command::new(format!("ip link set {name} mtu 1500")).for_good(lasting))
            .remedy(Remedy::Advice(format!(
                "add the addresses of {name} again, which the kernel has removed"
            )))
    })
}
