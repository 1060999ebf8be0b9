//! Without forwarding the host answers for guests, and then throws their packets away.

use crate::doctor::{Check, Finding, Group, Host};
use crate::engine::facts::IfIndex;

/// The check.
pub static CHECK: Check =
    Check { name: "forwarding", group: Group::Host, asks: "the host forwards IPv6", examine };

/// The setting that decides.
pub const ALL: &str = "net/ipv6/conf/all/forwarding";

fn examine(host: &Host) -> Vec<Finding> {
    if host.setting(ALL) != Some("0") {
        return host
            .downstreams()
            .into_iter()
            .filter_map(|link| no_router(host, link.name.as_str()))
            .collect();
    }
    if host.engine.serves_itself_alone() {
        return Vec::new();
    }
    // Since Linux 6.17 an interface can be made to forward by itself.
    let forwards = |link: IfIndex| host.setting(&of(&host.name(link), "force_forwarding")) == Some("1");
    let downstreams = host.downstreams();
    let mut links = host.upstreams().iter().map(|up| up.link).chain(downstreams.iter().map(|l| l.index));
    if !host.upstreams().is_empty() && links.all(forwards) {
        return Vec::new();
    }
    let finding = Finding::fault("IPv6 forwarding is off, so no packet reaches a guest or leaves it");
    vec![switched_on(finding.seen(format!("{ALL} = 0")), host)]
}

/// Adds the settings that switch forwarding on. It switches router advertisements off where accept_ra
/// is 1, and the default route that came by one goes at once: that has to be set first.
pub fn switched_on(mut finding: Finding, host: &Host) -> Finding {
    // Also by one that is no upstream, because none is needed.
    for link in host.links().iter().filter(|link| has_advertised_route(host, link.index)) {
        let accepts = of(link.name.as_str(), "accept_ra");
        if would_be_deaf(host, &accepts) {
            finding = finding.set(accepts, "2");
        }
    }
    finding.set(ALL, "1")
}

/// Whether a default route by this link came by router advertisement.
pub fn has_advertised_route(host: &Host, link: IfIndex) -> bool {
    host.default_routes().any(|route| route.protocol == RTPROT_RA && route.unicast_link() == Some(link))
}

/// Whether nobody takes router advertisements on an interface any more once the host forwards: the
/// kernel does if its `accept_ra` is 2, and some programs switch the kernel off and take them themselves.
pub fn would_be_deaf(host: &Host, accept_ra: &str) -> bool {
    let listens = |name: &str| host.processes.iter().any(|process| process.name == name);
    match host.setting(accept_ra) {
        None | Some("2") => false,
        Some("0") => !LISTENERS.into_iter().any(listens),
        Some(_) => true,
    }
}

/// A setting of one interface.
pub fn of(name: &str, setting: &str) -> String {
    format!("net/ipv6/conf/{name}/{setting}")
}

/// Packets are forwarded all the same: for that Linux looks at `all` only. But its advertisements
/// there have R=0, and a guest that learned of this router by RFC 4861 drops it (§7.2.5).
fn no_router(host: &Host, name: &str) -> Option<Finding> {
    let key = of(name, "forwarding");
    let is_off = host.setting(&key) == Some("0") && host.setting(&of(name, "force_forwarding")) != Some("1");
    is_off.then(|| {
        let sentence = format!(
            "towards {name} the host calls itself no router, so guests that learned of it by router \
             advertisements drop their default route"
        );
        Finding::warning(sentence).seen(format!("{key} = 0, while {ALL} = 1")).set(key, "1")
    })
}

/// Installed because of a router advertisement (rtnetlink(7)).
pub const RTPROT_RA: u8 = 9;
/// Programs that take router advertisements themselves, with `accept_ra = 0`. The kernel cuts names off
/// after 15 bytes.
const LISTENERS: [&str; 3] = ["systemd-network", "NetworkManager", "dhcpcd"];
