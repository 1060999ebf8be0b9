//! Guests with global addresses of their own appear outside with the host's, if they are translated.

use ipnet::Ipv6Net;

use super::{Direction, Obstacles, ROUTED, Way, docker, exceptions, listed};
use crate::doctor::firewall::{Body, Exception, Fate, Hook, Keeper, Objection, State};
use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check = Check {
    name: "masquerade",
    group: Group::Path,
    asks: "guests keep their own addresses on the way out",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let ways = Way::all(host);
    let mut obstacles = Obstacles::none();
    for way in &ways {
        for body in [Body::Tcp(443), Body::Udp(443), Body::Icmp(128)] {
            let packet = way.packet(Direction::FromGuests, body, State::New);
            let all = host.firewall.rules.objections(Hook::Postrouting, &ROUTED, "", &packet);
            for objection in all.into_iter().filter(|one| matches!(one.fate, Fate::Translated(_))) {
                let exception = Exception::Leaving(way.range, way.upstream_name.clone());
                obstacles.add(objection, (way.range, exception));
            }
        }
    }
    let finding = |(objection, losses): (Objection<'_>, Vec<(Ipv6Net, Exception)>)| {
        let sentence = format!(
            "guests in {} appear outside with an address of the host, because {} translates it",
            listed(losses.iter().map(|(range, _)| range.to_string())),
            objection.chain
        );
        let finding = Finding::warning(sentence).seen(objection.place());
        // The rule stays for what else it translates: guests with private addresses, say. A rule that Docker misses it
        // writes again, and one in a table of its own nft it throws away.
        let is_of_docker = objection.is_of_docker();
        let wanted = losses.into_iter().map(|(_, exception)| (&objection, exception));
        let is_kept = !is_of_docker || objection.chain.table.keeper != Keeper::Nft;
        let commands = if is_kept { exceptions(wanted) } else { Vec::new() };
        let finding = commands.into_iter().fold(finding, Finding::run);
        if is_of_docker { finding.remedy(docker::for_good()) } else { finding }
    };
    obstacles.all.into_iter().map(finding).collect()
}
