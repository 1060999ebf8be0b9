//! Docker's rules are Docker's to write: what its networks were made for can be told from them, and
//! what it would have to be told instead.

use ipnet::Ipv6Net;

use super::{Direction, ROUTED, Way};
use crate::doctor::Remedy;
use crate::doctor::firewall::{Body, Field, Hook, Objection, Ruleset, Sense, State, Step, Value, Verdict};

/// What a filter of Docker's lets pass to guests, although it drops all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Nothing, or it is none of Docker's.
    Nothing,
    /// Published ports, beside the translation of addresses; or pings alone.
    Something,
    /// Published ports and pings, as in a network of the mode `routed`: nobody wants it otherwise.
    AsIntended,
}

/// What the chain that drops something to guests on this way opens to them.
pub fn opened(rules: &Ruleset, way: &Way, objection: &Objection<'_>) -> Opened {
    if !objection.is_of_docker() {
        return Opened::Nothing;
    }
    let echo = way.packet(Direction::ToGuests, Body::Icmp(ECHO_REQUEST), State::New);
    let met = rules.objections(Hook::Forward, &ROUTED, "", &echo);
    // Its rule for the mode `routed` lets all of ICMPv6 pass, its policy for the mode `nat` nothing.
    let is_routed = objection.rule.is_some() && !met.iter().any(|other| other.base == objection.base);
    match (is_routed, publishes(rules, way.range, objection)) {
        (true, true) => Opened::AsIntended,
        (false, false) => Opened::Nothing,
        _ => Opened::Something,
    }
}

/// Whether some rule of the table lets pass what is sent to a guest of the range.
fn publishes(rules: &Ruleset, range: Ipv6Net, objection: &Objection<'_>) -> bool {
    let names_guest = |step: &Step| match step {
        Step::Match(one) if one.field == Field::Destination && one.sense == Sense::Among => {
            one.values.iter().any(|value| matches!(value, Value::Net(net) if range.contains(net)))
        }
        _ => false,
    };
    let accepts = |step: &Step| matches!(step, Step::Verdict(Verdict::Accept));
    rules
        .of_table(&objection.base.table)
        .flat_map(|chain| &chain.rules)
        .any(|rule| rule.steps.iter().any(names_guest) && rule.steps.iter().any(accepts))
}

/// What makes it last, since Docker writes its rules again at every boot.
pub fn for_good() -> Remedy {
    Remedy::Advice(
        "for good, create the network again with `docker network create --ipv6 --subnet PREFIX \
         -o com.docker.network.bridge.gateway_mode_ipv6=routed NAME`, and publish the ports that are to be \
         reached (Docker 27 or later); or take `ip6tables` out of /etc/docker/daemon.json, and boot (an \
         older one)"
            .to_owned(),
    )
}

const ECHO_REQUEST: u8 = 128;

#[cfg(test)]
mod tests {
    use super::super::ORDINARY;
    use super::*;
    use crate::doctor::firewall::Listings;
    use crate::engine::facts::IfIndex;
    use crate::engine::policy::RangeRoutes;

    /// What Docker 28 keeps for one network, in short.
    fn opened_by(rules_of_network: &str) -> Option<Opened> {
        let text = format!(
            "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n:DOCKER-BRIDGE - [0:0]\n:DOCKER-FORWARD - [0:0]\n\
             :DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n\
             {rules_of_network}\
             -A DOCKER ! -i br-d -o br-d -j DROP\n-A DOCKER-BRIDGE -o br-d -j DOCKER\n\
             -A DOCKER-FORWARD -j DOCKER-BRIDGE\n-A DOCKER-FORWARD -i br-d -j ACCEPT\nCOMMIT\n"
        );
        let rules = Listings { iptables: Some(text), ..Listings::default() }.parse();
        let range: Ipv6Net = "2001:db8:1:2:d::/112".parse().unwrap();
        let way = Way {
            range,
            guest: range.broadcast(),
            routes: RangeRoutes::None,
            upstream: IfIndex(2),
            upstream_name: "eth0".to_owned(),
            downstream: IfIndex(3),
            downstream_name: "br-d".to_owned(),
        };
        let packet = way.packet(Direction::ToGuests, ORDINARY[0], State::New);
        let met = rules.objections(Hook::Forward, &ROUTED, "", &packet);
        met.first().map(|objection| opened(&rules, &way, objection))
    }

    const PINGS: &str = "-A DOCKER -o br-d -p ipv6-icmp -j ACCEPT\n";
    const PORT: &str =
        "-A DOCKER -d 2001:db8:1:2:d::5/128 ! -i br-d -o br-d -p tcp -m tcp --dport 80 -j ACCEPT\n";
    const OTHER: &str =
        "-A DOCKER -d 2001:db8:1:2:e::5/128 ! -i br-e -o br-e -p tcp -m tcp --dport 80 -j ACCEPT\n";

    #[test]
    fn a_routed_network_with_published_ports_is_as_it_should_be() {
        assert_eq!(opened_by(&[PORT, PINGS].concat()), Some(Opened::AsIntended));
        assert_eq!(opened_by(&[OTHER, PINGS].concat()), Some(Opened::Something), "no port of its own");
        assert_eq!(opened_by(PINGS), Some(Opened::Something));
    }

    #[test]
    fn a_translated_network_opens_published_ports_alone() {
        assert_eq!(opened_by(PORT), Some(Opened::Something));
        assert_eq!(opened_by(OTHER), Some(Opened::Nothing));
        assert_eq!(opened_by("-A DOCKER-USER -d 2001:db8:1:2:d::/112 -j ACCEPT\n"), None, "all of it");
    }
}
