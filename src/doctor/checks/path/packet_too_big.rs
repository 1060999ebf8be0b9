//! Without Packet Too Big (RFC 8201), connections hang as soon as a packet does not fit: IPv6 routers
//! do not fragment.

use super::forward;
use super::{Direction, FAR_AWAY, Obstacles, ROUTED, Way, exceptions};
use crate::doctor::firewall::{Body, Exception, Fate, Hook, Packet, Reverse, State};
use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check = Check {
    name: "packet-too-big",
    group: Group::Path,
    asks: "Packet Too Big reaches guests and host",
    examine,
};

const TOO_BIG: u8 = 2;

fn examine(host: &Host) -> Vec<Finding> {
    let ways = Way::all(host);
    // Where nothing passes at all, that is what has to be said.
    let barred = forward::obstacles(host, &ways, &[Hook::Prerouting, Hook::Forward, Hook::Postrouting]);
    let mut obstacles = Obstacles::none();
    let mut look = |hook, packet: &Packet<'_>, whose: &'static str| {
        for objection in host.firewall.rules.objections(hook, &ROUTED, "", packet) {
            // With another address it goes on, as what it belongs to did.
            let is_translated = matches!(objection.fate, Fate::Translated(_));
            if !is_translated && !barred.all.iter().any(|(known, _)| known.base == objection.base) {
                obstacles.add(objection, whose);
            }
        }
    };
    for way in &ways {
        for direction in [Direction::ToGuests, Direction::FromGuests] {
            let packet = way.packet(direction, Body::Icmp(TOO_BIG), State::Related);
            look(Hook::Prerouting, &Packet { output: "", ..packet }, "guests");
            look(Hook::Forward, &packet, "guests");
        }
    }
    for upstream in host.upstreams() {
        let Some(destination) = upstream.global else { continue };
        let name = host.name(upstream.link);
        let packet = Packet {
            input: &name,
            output: "",
            source: FAR_AWAY,
            destination,
            body: Body::Icmp(TOO_BIG),
            state: State::Related,
            reverse: Reverse::Routed,
        };
        look(Hook::Input, &packet, "the host");
    }
    let finding = |(objection, whose): &(_, Vec<&'static str>)| {
        let objection: &crate::doctor::firewall::Objection<'_> = objection;
        let sentence = format!(
            "{} drops Packet Too Big messages, so connections of {} hang when the path carries less",
            objection.chain,
            whose.join(" and ")
        );
        let finding = Finding::warning(sentence).seen(objection.place());
        let wanted = [(objection, Exception::Icmp(vec![TOO_BIG]))];
        exceptions(wanted).into_iter().fold(finding, Finding::run)
    };
    obstacles.all.iter().map(finding).collect()
}
