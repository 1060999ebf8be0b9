//! Addresses inside a range that are not guests': the host's own on the upstream, and the gateway's.

use std::net::Ipv6Addr;

use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};
use crate::engine::facts::NextHop;
use crate::engine::policy::{Answer, RangePolicy, RangeRoutes};

use super::keepers::for_good;
use super::lines;

/// The check.
pub static CHECK: Check = Check {
    name: "reserved",
    group: Group::Ranges,
    asks: "no range claims the upstream's addresses",
    examine,
};

/// Only where a range is claimed as a whole. One whose guests are found one by one may well span the
/// whole /64: the engine leaves these addresses alone.
fn examine(host: &Host) -> Vec<Finding> {
    let whole = host
        .ranges()
        .filter(|(range, _)| range.answer == Answer::Always || range.routes == RangeRoutes::Range);
    whole
        .filter_map(|(range, place)| {
            let upstream = host.upstreams().iter().find(|upstream| Some(upstream.link) == place.upstream)?;
            let own = host.prefixes_of(upstream.link).map(|(address, _)| address);
            let gateways = host.default_routes().filter_map(|route| match route.next_hop {
                NextHop::Via(gateway) if route.unicast_link() == Some(upstream.link) => Some(gateway),
                NextHop::Via(_) | NextHop::OnLink => None,
            });
            let claimed = |address: &Ipv6Addr| {
                range.prefix.contains(address) && !range.exclude.iter().any(|except| except.contains(address))
            };
            let own: Vec<_> = own.filter(claimed).collect();
            let gateways: Vec<_> =
                gateways.filter(|gateway| claimed(gateway) && !own.contains(gateway)).collect();
            found(host, range, &host.name(upstream.link), &own, &gateways)
        })
        .collect()
}

fn found(
    host: &Host,
    range: &RangePolicy,
    name: &str,
    own: &[Ipv6Addr],
    gateways: &[Ipv6Addr],
) -> Option<Finding> {
    let prefix = &range.prefix;
    let sentence = match (own, gateways) {
        ([], []) => return None,
        (_, []) => format!("{prefix} contains the upstream's own address, which no guest can have"),
        (_, [..]) => format!("{prefix} contains the gateway, which must be claimed by nobody else"),
    };
    let mut finding = Finding::warning(sentence);
    for address in own {
        finding = finding.seen(format!("ip -6 addr show dev {name}: {address}"));
    }
    for gateway in gateways {
        finding = finding.seen(format!("ip -6 route show default: via {gateway} dev {name}"));
    }
    let spared = range.exclude.iter().map(ToString::to_string);
    let all = spared.chain(own.iter().chain(gateways).map(ToString::to_string));
    let lines = lines::range(range, None, &[("exclude", lines::list(all))]);
    let mut finding = finding.remedy(Remedy::Config(lines));
    for gateway in gateways {
        // The route of the range would lead to the guests' side, and be longer than the link's.
        let has_route = host
            .routes
            .iter()
            .any(|route| route.destination.prefix_len() == 128 && route.destination.addr() == *gateway);
        if !has_route {
            let add = format!("ip -6 route add {gateway}/128 dev {name}");
            let link = host.links().iter().find(|link| link.name.as_str() == name).map(|link| link.index);
            let lasting = link.and_then(|link| {
                for_good(host, link, &format!("[Route] Destination={gateway}/128"), &format!("up {add}"))
            });
            finding = finding.run(Command::new(add).for_good(lasting));
        }
    }
    Some(finding)
}
