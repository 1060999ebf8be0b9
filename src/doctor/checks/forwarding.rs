//! Without forwarding the host answers for guests, and then throws their packets away.

use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check =
    Check { name: "forwarding", group: Group::Host, asks: "the host forwards IPv6", examine };

const ALL: &str = "net/ipv6/conf/all/forwarding";

fn examine(host: &Host) -> Vec<Finding> {
    if host.setting(ALL) != Some("0") {
        return Vec::new();
    }
    let mut finding = Finding::fault("IPv6 forwarding is off, so no packet reaches a guest or leaves it")
        .seen(format!("{ALL} = 0"));
    // Forwarding switches router advertisements off where accept_ra is 1, and the default route that
    // came by one goes at once: this has to be set first.
    for upstream in host.upstreams() {
        let name = host.name(upstream.link);
        let accepts = format!("net/ipv6/conf/{name}/accept_ra");
        let by_advertisement = |route: &&crate::engine::facts::KernelRoute| {
            route.protocol == RTPROT_RA && route.unicast_link() == Some(upstream.link)
        };
        if host.default_routes().any(|route| by_advertisement(&route)) && host.setting(&accepts) != Some("2")
        {
            finding = finding.set(accepts, "2");
        }
    }
    vec![finding.set(ALL, "1")]
}

/// Installed because of a router advertisement (rtnetlink(7)).
const RTPROT_RA: u8 = 9;
