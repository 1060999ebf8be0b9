//! The host's addresses: what answers, probes and the guests' gateway are made of.

use std::net::Ipv6Addr;

use crate::doctor::{Check, Finding, Group, Host, Remedy, has_neighbors};
use crate::engine::facts::{Address, AddressState, Link, LinkLayer, LinkState};
use crate::engine::policy::Origin;
use crate::wire::Mac;

use super::{ipv6_disabled, lines};

/// The check.
pub static CHECK: Check = Check {
    name: "addresses",
    group: Group::Upstream,
    asks: "the host has the addresses that answers and probes come from",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let links = || {
        let upstreams = host.upstreams().iter().filter_map(|upstream| host.links().get(upstream.link));
        upstreams
            .map(|link| (link, "upstream"))
            .chain(host.downstreams().into_iter().map(|l| (l, "downstream")))
    };
    let mut findings = Vec::new();
    for (link, role) in links() {
        findings.extend(
            host.duplicates
                .iter()
                .filter(|(at, _)| *at == link.index)
                .map(|(_, address)| duplicate(host, link, *address, role)),
        );
    }
    // What is down, or has no IPv6, has its own finding.
    let is_on = |link: &Link| link.state == LinkState::Up && ipv6_disabled::is_on(host, link.index);
    for (link, role) in links().filter(|(link, _)| has_neighbors(link) && is_on(link)) {
        findings.extend(missing(host, link, role));
    }
    findings
}

fn duplicate(host: &Host, link: &Link, address: Ipv6Addr, role: &str) -> Finding {
    let name = &link.name;
    let sentence =
        format!("another station has {address} too, so the {role} {name} cannot use it (DAD failed)");
    let finding = Finding::fault(sentence).seen(format!("ip -6 addr show dev {name}: {address} dadfailed"));
    let all = || host.links().addresses_of(link.index);
    let is_spare = all().any(|other| {
        let is_alike = other.address.is_unicast_link_local() == address.is_unicast_link_local();
        is_alike && host.links().can_use(link.index, other.address)
    });
    match all().find(|known| known.address == address) {
        Some(Address { prefix_len, .. }) if is_spare => {
            finding.run(format!("ip -6 addr del {address}/{prefix_len} dev {name}"))
        }
        _ => finding.remedy(Remedy::Advice(format!(
            "give the other station or {name} another address (`tcpdump -e -ni {name} icmp6` shows its MAC)"
        ))),
    }
}

fn missing(host: &Host, link: &Link, role: &str) -> Option<Finding> {
    let links = host.links();
    let (index, name) = (link.index, &link.name);
    // One that lone64 will put there is no gap, unless it runs and has not.
    let is_to_come =
        host.daemon.is_none() && host.engine.wanted_gateways().iter().any(|(at, _)| *at == index);
    if links.link_local(index).is_some() || is_to_come {
        return None;
    }
    let is_checked = links.addresses_of(index).find(|known| {
        known.state == AddressState::Tentative && !host.duplicates.contains(&(index, known.address))
    });
    let mut finding = match (links.global(index), is_checked) {
        // One that is checked while the link is up is there in a second or two.
        (Some(_), Some(checked)) if checked.address.is_unicast_link_local() => return None,
        (Some(_), _) => Finding::warning(format!(
            "{name} has no link-local address, which Neighbor Discovery takes for granted (RFC 4291 §2.1): \
             questions from routers and guests may stay without an answer"
        )),
        (None, Some(_)) => Finding::warning(format!(
            "the {role} {name} has no address that it can use yet: the only ones are still being checked (DAD)"
        )),
        (None, None) if role == "upstream" => Finding::fault(format!(
            "the upstream {name} has no address that it can use, so nothing can be answered"
        )),
        (None, None) => Finding::fault(format!(
            "the {role} {name} has no address that it can use: guests have no gateway there, and cannot be probed"
        )),
    };
    finding = finding.seen(format!("ip -6 addr show dev {name}: no fe80::"));
    if let Some(checked) = is_checked {
        finding = finding.seen(format!("ip -6 addr show dev {name}: {} tentative", checked.address));
    }
    let LinkLayer::Ethernet(mac) = link.layer else { return None };
    finding = finding.run(format!("ip -6 addr replace {}/64 dev {name} nodad", link_local(mac)));
    // That lasts until the interface goes down; this does not end.
    let written = host.ranges().find(|(range, place)| {
        let is_written = range.origin == Origin::Config && range.gateway.is_none();
        is_written && role == "downstream" && place.downstreams.contains(&index)
    });
    Some(match written {
        Some((range, _)) => {
            let gateway = [("gateway", "\"fe80::1\"".to_owned())];
            finding.remedy(Remedy::Config(lines::range(range, None, &gateway)))
        }
        None => finding,
    })
}

/// The link-local address that a MAC computes to (RFC 4291, appendix A).
pub fn link_local(Mac([a, b, c, d, e, f]): Mac) -> Ipv6Addr {
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// That an interface has another link-local address than that of its MAC. Informs, no more: such an address is an ordinary
/// one (RFC 7217), and some filters know only the other kind.
pub fn has_other_link_local(name: &str, own: Option<Ipv6Addr>, mac: Mac) -> Option<String> {
    let computed = link_local(mac);
    let own = own.filter(|own| *own != computed)?;
    Some(format!(
        "{name} has the link-local address {own}, and not the one of its MAC, {computed}: some providers' filters know \
         no other"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_a_link_local_address_out_of_a_mac() {
        let mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(Ok(link_local(mac)), "fe80::5054:ff:fe12:3456".parse());
    }
}
