//! Guests with global addresses of their own appear outside with the host's, if they are translated.

use super::{Direction, Obstacles, ROUTED, Way, listed};
use crate::doctor::firewall::{Body, Fate, Hook, State};
use crate::doctor::{Check, Finding, Group, Host, Remedy};

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
                obstacles.add(objection, way.range.to_string());
            }
        }
    }
    let finding = |(objection, ranges): (_, Vec<String>)| {
        let objection: crate::doctor::firewall::Objection<'_> = objection;
        let sentence = format!(
            "guests in {} appear outside with an address of the host, because {} translates it",
            listed(ranges),
            objection.chain
        );
        let finding = Finding::warning(sentence).seen(objection.place());
        if objection.is_of_docker() {
            return finding.remedy(Remedy::Advice(DOCKER.to_owned()));
        }
        match objection.remove() {
            Some(command) => finding.run(command),
            None => finding,
        }
    };
    obstacles.all.into_iter().map(finding).collect()
}

const DOCKER: &str = "Docker masquerades what leaves its networks, unless they are made otherwise: create \
    the network anew with `docker network create --ipv6 --subnet PREFIX \
    -o com.docker.network.bridge.gateway_mode_ipv6=routed NAME` (Docker 27 or later)";
