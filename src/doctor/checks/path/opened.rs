//! What a packet filter opens to guests, by its own rules: one port of one guest is enough to show that all else is
//! dropped on purpose.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::{Direction, ORDINARY, ROUTED, Way};
use crate::doctor::firewall::{
    Body, Chain, Fate, Field, Hook, Match, Packet, Ruleset, Sense, State, Step, Value,
};

/// Whether the base chain surely lets something new pass to a guest on this way: to an address, or to a port, that a
/// rule of its table names.
pub fn opens(rules: &Ruleset, hook: Hook, way: &Way, base: &Chain) -> bool {
    let named = Named::by(rules, way, base);
    let passes = |destination: Ipv6Addr, body: Body| {
        let packet = way.packet(Direction::ToGuests, body, State::New);
        let output = if hook == Hook::Prerouting { "" } else { packet.output };
        let packet = Packet { destination, output, ..packet };
        let objections = rules.objections(hook, &ROUTED, "", &packet);
        !objections
            .iter()
            .any(|one| one.base == base && !matches!(one.fate, Fate::Kept | Fate::Translated(_)))
    };
    named.addresses.iter().any(|address| named.bodies.iter().any(|body| passes(*address, *body)))
}

/// What the rules of a table name.
struct Named {
    /// Addresses of guests; one that no rule names comes first.
    addresses: Vec<Ipv6Addr>,
    /// Services; those that guests mostly have come first.
    bodies: Vec<Body>,
}

impl Named {
    fn by(rules: &Ruleset, way: &Way, base: &Chain) -> Self {
        let mut addresses = BTreeSet::new();
        let (mut tcp, mut udp) = (BTreeSet::new(), BTreeSet::new());
        let steps = rules.of_table(&base.table).flat_map(|chain| &chain.rules).flat_map(|rule| &rule.steps);
        for (field, value) in steps.flat_map(compared) {
            match (field, value) {
                (Field::Destination, Value::Net(net)) => {
                    addresses.insert(net.network());
                }
                (Field::Destination, Value::Between(first, _)) => {
                    addresses.insert(*first);
                }
                (Field::TcpPort | Field::UdpPort | Field::Port, Value::Number(first, _)) => {
                    let port = u16::try_from(*first).unwrap_or_default();
                    if *field != Field::UdpPort {
                        tcp.insert(port);
                    }
                    if *field != Field::TcpPort {
                        udp.insert(port);
                    }
                }
                _ => {}
            }
        }
        addresses.retain(|address| way.range.contains(address));
        let services = tcp.into_iter().map(Body::Tcp).chain(udp.into_iter().map(Body::Udp));
        Self {
            addresses: [way.guest].into_iter().chain(addresses).take(MOST).collect(),
            bodies: ORDINARY.into_iter().chain(services).take(MOST).collect(),
        }
    }
}

/// What a step compares a packet with.
fn compared(step: &Step) -> Vec<(&Field, &Value)> {
    match step {
        Step::Match(Match { field, sense: Sense::Among, values }) => {
            values.iter().map(|value| (field, value)).collect()
        }
        Step::Map(field, elements) => elements.iter().map(|(value, _)| (field, value)).collect(),
        _ => Vec::new(),
    }
}

/// Of addresses, and of services: rules that open more than these name the first ones too.
const MOST: usize = 64;
