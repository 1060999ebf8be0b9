//! A reverse-path filter drops what did not come by the interface that its reply would leave by.

use std::net::Ipv6Addr;

use super::{Direction, Obstacles, ROUTED, Way, exceptions, listed};
use crate::doctor::firewall::{Body, Exception, Fate, Hook, Reverse, State};
use crate::doctor::{Check, Finding, Group, Host};
use crate::engine::facts::IfIndex;
use crate::engine::policy::RangeRoutes;

/// The check.
pub static CHECK: Check = Check {
    name: "reverse-path",
    group: Group::Path,
    asks: "no reverse-path filter drops what comes by the right interface",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let ways = Way::all(host);
    let mut obstacles = Obstacles::none();
    for way in &ways {
        for direction in [Direction::ToGuests, Direction::FromGuests] {
            let mut packet = way.packet(direction, Body::Tcp(443), State::New);
            let (link, is_kept) = match direction {
                Direction::ToGuests => (way.upstream, false),
                // The route will be there as soon as the daemon runs.
                Direction::FromGuests => (way.downstream, way.routes != RangeRoutes::None),
            };
            if is_kept || has_way_back(host, link, packet.source) {
                continue;
            }
            for hook in [Hook::Prerouting, Hook::Forward] {
                packet.output = if hook == Hook::Prerouting {
                    ""
                } else if direction == Direction::ToGuests {
                    &way.downstream_name
                } else {
                    &way.upstream_name
                };
                packet.reverse = Reverse::Routed;
                let otherwise = host.firewall.rules.objections(hook, &ROUTED, "", &packet);
                packet.reverse = Reverse::Missing;
                for objection in host.firewall.rules.objections(hook, &ROUTED, "", &packet) {
                    let is_dropped = !matches!(objection.fate, Fate::Translated(_));
                    if is_dropped && !otherwise.iter().any(|other| other.is_same(&objection)) {
                        obstacles.add(objection, host.name(link));
                    }
                }
            }
        }
    }
    let finding = |(objection, links): &(_, Vec<String>)| {
        let objection: &crate::doctor::firewall::Objection<'_> = objection;
        let sentence = format!(
            "the reverse-path filter in {} drops what arrives by {}, because no route leads back there",
            objection.chain,
            listed(links.clone())
        );
        let finding = Finding::warning(sentence).seen(objection.place());
        let wanted = links.iter().map(|link| (objection, Exception::By(link.clone())));
        exceptions(wanted).into_iter().fold(finding, Finding::run)
    };
    obstacles.all.iter().map(finding).collect()
}

/// The kernel looks among the routes of the interface alone, so a default route of it is enough.
fn has_way_back(host: &Host, link: IfIndex, source: Ipv6Addr) -> bool {
    host.routes.iter().any(|route| route.unicast_link() == Some(link) && route.destination.contains(&source))
}
