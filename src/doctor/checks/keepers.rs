//! Who made what a remedy would change: routes that are to be left alone, and the files in which a change lasts.

use crate::doctor::{Command, Host};
use crate::engine::facts::{IfIndex, KernelRoute, Link, NextHop};

use super::forwarding::RTPROT_RA;
use super::networkd;

/// Why a route is not to be removed, as in "leave that route: …". Without it the host, or what a program does, is cut
/// off; or the program makes it again.
pub fn keeps(host: &Host, route: &KernelRoute) -> Option<String> {
    let link = route.unicast_link();
    if route.destination.prefix_len() == 0 {
        return Some("it is the default route".to_owned());
    }
    if is_of_an_address(host, route) {
        return Some(format!(
            "it is {}'s own",
            route.link().map_or_else(String::new, |link| host.name(link))
        ));
    }
    if let Some(gateway) = gateway_by(host, route) {
        return Some(format!("the gateway {gateway} is reached by it"));
    }
    if let Some(name) = program(route.protocol) {
        return Some(format!("{name} makes it again"));
    }
    if route.table == STRONGSWAN {
        return Some("strongSwan makes it again".to_owned());
    }
    let runs = |name: &str| host.processes.iter().any(|process| process.name == name);
    if let Some((_, name)) = ENGINES.into_iter().find(|(process, _)| runs(process)) {
        return Some(format!("{name} runs here, and may make it again"));
    }
    let managed = link.filter(|_| runs(networkd::PROCESS)).and_then(|link| host.links().get(link));
    managed
        .and_then(|link| networkd::manager(host, link))
        .map(|file| format!("systemd-networkd makes it again, if {} has it: take it out there", file.path))
}

/// Whether the route comes with an address of the host, or says what is on the upstream's own link. Without it that
/// link is cut off.
pub fn is_of_an_address(host: &Host, route: &KernelRoute) -> bool {
    let is_on_link = route.next_hop == NextHop::OnLink;
    is_on_link && (route.protocol == RTPROT_KERNEL || is_by_an_upstream(host, route))
}

/// Whether the route leads to an upstream, by which the administrator may have come.
pub fn is_by_an_upstream(host: &Host, route: &KernelRoute) -> bool {
    let link = route.unicast_link();
    link.is_some_and(|link| host.upstreams().iter().any(|upstream| upstream.link == link))
}

/// A gateway that the kernel finds by this route.
fn gateway_by(host: &Host, route: &KernelRoute) -> Option<core::net::Ipv6Addr> {
    let others = host.routes.iter().filter(|other| other.link() == route.link());
    let gateways = others.filter_map(|other| match other.next_hop {
        NextHop::Via(gateway) if !gateway.is_unicast_link_local() => Some(gateway),
        NextHop::Via(_) | NextHop::OnLink => None,
    });
    let mut by_this = gateways.filter(|gateway| route.destination.contains(gateway));
    by_this.next().filter(|_| route.next_hop == NextHop::OnLink)
}

/// The program whose mark a route bears (rtnetlink(7), `/etc/iproute2/rt_protos`). The first five are the kernel's and
/// people's.
fn program(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        0..=4 => return None,
        RTPROT_RA => "the next router advertisement",
        11 | 186..=189 | 192..=198 => "FRR",
        12 => "BIRD",
        16 => "the DHCP client",
        18 => "keepalived",
        42 => "babeld",
        80 => "Calico",
        _ => "the program that it is of",
    })
}

/// Switches an interface on.
pub fn switched_on(host: &Host, link: &Link) -> Command {
    let Link { index, name, .. } = link;
    let lasting = for_good(host, *index, "[Link] ActivationPolicy=up", &format!("auto {name}"));
    Command::new(format!("ip link set {name} up")).for_good(lasting)
}

/// What makes a change to an interface last, if it is known who sets it up: as networkd and as ifupdown write it.
pub fn for_good(host: &Host, link: IfIndex, networkd: &str, ifupdown: &str) -> Option<String> {
    let runs = |name: &str| host.processes.iter().any(|process| process.name == name);
    let link = host.links().get(link)?;
    let name = &link.name;
    if runs(networkd::PROCESS)
        && let Some(file) = networkd::manager(host, link)
    {
        return Some(match file.path.contains("netplan") {
            true => format!("the same under {name} in /etc/netplan"),
            false => format!("`{networkd}` in {}", file.path),
        });
    }
    let is_told = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next(), words.next(), words.next()) == (Some("iface"), Some(name.as_str()), Some("inet6"))
    };
    let mut interfaces = host.files.iter().filter(|file| file.path.contains("etc/network/interfaces"));
    if let Some(file) = interfaces.find(|file| file.content.lines().any(is_told)) {
        return Some(format!("`{ifupdown}` below `iface {name} inet6` in {}", file.path));
    }
    runs("NetworkManager").then(|| format!("the same in NetworkManager's connection of {name}"))
}

/// Daemons whose routes bear no mark of theirs. The kernel cuts names off after 15 bytes.
const ENGINES: [(&str, &str); 6] = [
    ("pluto", "libreswan"),
    ("charon", "strongSwan"),
    ("charon-systemd", "strongSwan"),
    ("calico-node", "Calico"),
    ("bird", "BIRD"),
    ("zebra", "FRR"),
];

/// rtnetlink(7).
const RTPROT_KERNEL: u8 = 2;
/// Its table, unless it is told another (strongswan.conf(5), `charon.routing_table`).
const STRONGSWAN: u32 = 220;
