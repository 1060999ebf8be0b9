//! Whether anybody asks for the range at all: only what is on the link is asked for.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::doctor::{Check, Command, Finding, Group, Host, MAIN, Remedy};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop};
use crate::engine::policy::{Answer, RangePolicy};

use super::keepers::for_good;

/// The check.
pub static CHECK: Check = Check {
    name: "on-link",
    group: Group::Upstream,
    asks: "the ranges lie in a prefix that is on the upstream's link",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    if host.ranges().next().is_none() {
        return host.upstreams().iter().filter_map(|upstream| alone(host, upstream.link)).collect();
    }
    let answered = host.ranges().filter(|(range, _)| range.answer != Answer::Never);
    answered.filter_map(|(range, place)| outside(host, range, place.upstream?)).collect()
}

/// Where nothing is written, what lies in an on-link prefix is served; a /128 is none, and nothing lies in it.
fn alone(host: &Host, link: IfIndex) -> Option<Finding> {
    let name = host.name(link);
    let (address, _) = host.prefixes_of(link).next()?;
    let is_on_link = |route: &KernelRoute| {
        let is_there = route.unicast_link() == Some(link) && route.next_hop == NextHop::OnLink;
        let is_narrow = matches!(route.destination.prefix_len(), 0 | 128);
        let network = route.destination.network();
        is_there && !is_narrow && !network.is_unicast_link_local() && !network.is_multicast()
    };
    if host.prefixes_of(link).any(|(_, prefix)| prefix.prefix_len() < 128)
        || host.routes.iter().any(is_on_link)
    {
        return None;
    }
    let mut finding = Finding::warning(format!(
        "{name} has {address} alone, a /128, and no route says that anything else is on its link: nothing is served, \
         because guests are looked for inside an on-link prefix"
    ))
    .seen(format!("ip -6 addr show dev {name}: {address}/128"))
    .seen(format!("ip -6 route show dev {name}: no on-link prefix"));
    let around = Ipv6Net::new(address, 64).ok()?.trunc();
    let within = |route: &&KernelRoute| {
        around.contains(&route.destination) && route.unicast_link().is_some_and(|other| other != link)
    };
    for route in host.routes.iter().filter(within).filter(|route| route.table == MAIN).take(8) {
        finding =
            finding.seen(format!("ip -6 route show: {} is elsewhere, in the same /64", route.destination));
    }
    Some(
        finding
            .run(on_link(host, link, address))
            .remedy(Remedy::Advice(
                "only if the provider gave this host the /64; one that gave a single address has to be asked for a \
                 prefix, best a routed one"
                    .to_owned(),
            )),
    )
}

fn outside(host: &Host, range: &RangePolicy, link: IfIndex) -> Option<Finding> {
    let prefix = &range.prefix;
    // A prefix that a router advertises to be on the link needs no address.
    let is_routed_there = host.routes.iter().any(|route| {
        let is_there = route.unicast_link() == Some(link) && route.next_hop == NextHop::OnLink;
        is_there
            && route.table == MAIN
            && route.destination.prefix_len() > 0
            && route.destination.contains(prefix)
    });
    // Without any global address it is not known what the provider gave; that has its own finding.
    if is_routed_there || host.links().is_on_link(link, prefix) || host.prefixes_of(link).next().is_none() {
        return None;
    }
    let name = host.name(link);
    let mut finding =
        Finding::warning(format!("{prefix} lies outside every prefix that is on the link of {name}"));
    for (address, on_link) in host.prefixes_of(link).take(8) {
        finding = finding.seen(format!("ip -6 addr show dev {name}: {address}/{}", on_link.prefix_len()));
    }
    let neighbor = host.prefixes_of(link).find(|(address, _)| {
        // What a provider gives is a /64, or more.
        u128::from(*address) >> 64 == u128::from(prefix.network()) >> 64
    });
    Some(match neighbor {
        Some((address, _)) => {
            finding.sentence += &format!(", though {address} is of the same /64: its mask is probably wrong");
            finding.run(on_link(host, link, address))
        }
        None => {
            finding.sentence += ": the provider routes it to this host, and then no proxy is needed, or the \
                                 host's address in it is missing";
            finding.remedy(Remedy::Advice(format!(
                "look with `tcpdump -ni {name} icmp6` while somebody outside pings a guest: if echo requests come, \
                 the prefix is routed to this host, and its guests need no answers; if neighbor solicitations come, \
                 give {name} the address in it that the provider names, with the provider's mask"
            )))
        }
    })
}

/// Puts the /64 on the link, and leaves the address alone: the kernel has an address with one mask only, so another mask
/// means to delete the address that the administrator may have come by.
fn on_link(host: &Host, link: IfIndex, address: Ipv6Addr) -> Command {
    let name = host.name(link);
    let prefix = Ipv6Net::new_assert(address, 64).trunc();
    let lasting = for_good(host, link, &format!("Address={address}/64"), &format!("address {address}/64"));
    let lasting = lasting.unwrap_or_else(|| format!("give {address} the mask /64 where it is configured"));
    Command::new(format!("ip -6 route add {prefix} dev {name}")).for_good(Some(lasting)).can_cut()
}
