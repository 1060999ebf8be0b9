//! Bridges that guests are on: how long a new port waits, and whether the MAC stays.

use crate::doctor::checks::keepers::for_good;
use crate::doctor::{Check, Command, Finding, Group, Host};
use crate::engine::facts::{IfIndex, Link};

/// The check of what a new port waits for.
pub static DELAY: Check = Check {
    name: "forward-delay",
    group: Group::Path,
    asks: "a guest that starts is on its bridge at once",
    examine: delays,
};

/// The check of MACs.
pub static MAC: Check = Check {
    name: "bridge-mac",
    group: Group::Path,
    asks: "no bridge changes its MAC when guests come and go",
    examine: macs,
};

/// With the spanning tree protocol a new port listens, and then learns, and forwards nothing meanwhile (IEEE 802.1D
/// §8.4). Without it the kernel forwards at once.
fn delays(host: &Host) -> Vec<Finding> {
    let slow = host.downstreams().into_iter().filter_map(|link| {
        let bridge = host.make(link.index)?.bridge.filter(|bridge| bridge.spanning_tree)?;
        (bridge.forward_delay >= LONG).then_some((link, bridge.forward_delay))
    });
    let finding = |(link, delay): (&Link, u32)| {
        let name = &link.name;
        let sentence = format!(
            "a guest that starts on {name} is cut off for {} s: the bridge speaks the spanning tree protocol, and its new \
             port listens and learns first",
            2 * delay / HUNDREDTHS
        );
        let finding = Finding::warning(sentence)
            .seen(format!("ip -d link show {name}: stp_state 1 forward_delay {delay}"));
        // A loop takes a port that leads out of this host.
        let (setting, networkd, ifupdown) = match ports(host, link.index).all(|port| is_virtual(host, port)) {
            true => ("stp_state 0", "[Bridge] STP=no", "bridge_stp off"),
            false => ("forward_delay 200", "[Bridge] ForwardDelaySec=2", "bridge_fd 2"),
        };
        let lasting = for_good(host, link.index, networkd, ifupdown);
        finding.run(Command::new(format!("ip link set {name} type bridge {setting}")).for_good(lasting))
    };
    slow.map(finding).collect()
}

/// Without an address of its own a bridge has the lowest MAC of its ports.
fn macs(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for link in host.downstreams() {
        if host.random_macs.contains(&link.index) {
            findings.push(changing(
                host,
                link,
                "guests then send to a gateway that is gone until they ask again",
            ));
        }
    }
    for upstream in host.upstreams().iter().filter(|upstream| host.random_macs.contains(&upstream.link)) {
        let mac = host.links().mac(upstream.link);
        let mut guests = ports(host, upstream.link).filter(|port| is_virtual(host, port));
        let Some(link) = host.links().get(upstream.link) else { continue };
        if guests.any(|port| mac.is_some() && host.links().mac(port.index) == mac) {
            findings.push(changing(
                host,
                link,
                "the provider then sees another MAC than the one that it knows",
            ));
        }
    }
    findings
}

fn changing(host: &Host, link: &Link, what: &str) -> Finding {
    let (name, mac) =
        (&link.name, host.links().mac(link.index).map(|mac| mac.to_string()).unwrap_or_default());
    let sentence =
        format!("{name} has the MAC of one of its ports, and another one when guests come and go: {what}");
    let finding = Finding::warning(sentence)
        .seen(format!("/sys/class/net/{name}/addr_assign_type is not 3: nobody has set the address {mac}"));
    let lasting =
        for_good(host, link.index, &format!("[Link] MACAddress={mac}"), &format!("hwaddress ether {mac}"));
    finding.run(Command::new(format!("ip link set {name} address {mac}")).for_good(lasting))
}

fn ports(host: &Host, bridge: IfIndex) -> impl Iterator<Item = &Link> {
    host.links().iter().filter(move |link| link.master == Some(bridge))
}

/// Whether guests are behind a port, and not a wire.
fn is_virtual(host: &Host, port: &Link) -> bool {
    host.make(port.index).is_some_and(|make| matches!(make.kind.as_str(), "veth" | "tun" | "macvtap"))
}

/// 802.1D has 15 s; four and more are noticed.
const LONG: u32 = 400;
/// Of a second.
const HUNDREDTHS: u32 = 100;
