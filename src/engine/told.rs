//! What was told of the networks that nobody serves: each once as it appears, and once when that is over.
//!
//! A host may have thousands of them, so only the first are told one by one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ipnet::Ipv6Net;

use super::event::Event;
use super::facts::IfName;
use super::plan::unserved::{Ended, Networks, Unserved};

/// Those that were told, and for which it is not over.
#[derive(Debug, Default)]
pub struct Told {
    networks: BTreeMap<(Ipv6Net, IfName), Unserved>,
    /// It was told that there are more.
    many: bool,
}

impl Told {
    /// What is new, and what is over, now that there are these. `is_served` says of a network whether a range serves
    /// it.
    pub fn follow(&mut self, networks: &Networks, is_served: impl Fn(&Ipv6Net) -> bool) -> Vec<Event> {
        if networks.first.is_empty() && self.networks.is_empty() {
            return Vec::new();
        }
        let key = |network: &Unserved| (network.prefix, network.interface);
        let there: BTreeMap<_, _> = networks.first.iter().map(|network| (key(network), network)).collect();
        let mut events = Vec::new();
        self.networks.retain(|at, network| {
            if there.contains_key(at) {
                return true;
            }
            let ended = if is_served(&network.prefix) { Ended::Served } else { Ended::Gone };
            events.push(Event::UnservedEnded(Box::new(network.clone()), ended));
            false
        });
        for (at, network) in there {
            if self.networks.len() >= MOST_TOLD {
                break;
            }
            if let Entry::Vacant(free) = self.networks.entry(at) {
                free.insert(network.clone());
                events.push(Event::Unserved(Box::new(network.clone())));
            }
        }
        let are_many = networks.count > self.networks.len();
        if are_many && !self.many {
            events.push(Event::ManyUnserved(networks.count));
        }
        self.many = are_many;
        events
    }
}

/// As many have a line each.
const MOST_TOLD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::unserved::Guests;

    fn network(number: u16) -> Unserved {
        Unserved {
            prefix: format!("2001:db8:0:0:{number:x}::/80").parse().expect("a prefix"),
            interface: "br0".parse().expect("a name"),
            upstream: "eth0".parse().expect("a name"),
            guests: Guests::OnInterface,
            names_upstream: false,
            is_one_of_several: false,
            around: None,
        }
    }

    fn networks(numbers: std::ops::Range<u16>) -> Networks {
        Networks { count: numbers.len(), first: numbers.map(network).collect() }
    }

    #[test]
    fn tells_each_once_as_it_appears_and_once_when_it_is_over() {
        let mut told = Told::default();
        let new = |number| Event::Unserved(Box::new(network(number)));
        assert_eq!(told.follow(&networks(1..3), |_| false), [new(1), new(2)]);
        assert_eq!(told.follow(&networks(1..3), |_| false), []);
        let ended = |number, why| Event::UnservedEnded(Box::new(network(number)), why);
        let served = network(1).prefix;
        let over = told.follow(&networks(3..4), |prefix| *prefix == served);
        assert_eq!(over, [ended(1, Ended::Served), ended(2, Ended::Gone), new(3)]);
    }

    #[test]
    fn tells_of_thousands_in_a_few_lines() {
        let mut told = Told::default();
        let all = told.follow(&networks(0..4_000), |_| false);
        assert_eq!(all.len(), MOST_TOLD + 1);
        assert_eq!(all.last(), Some(&Event::ManyUnserved(4_000)));
        assert_eq!(told.follow(&networks(0..4_000), |_| false), []);
        // Those that were not told have their turn when there is room, and nobody is told again how many there are.
        let some = told.follow(&networks(1..4_000), |_| false);
        assert_eq!(some.len(), 2, "{some:?}");
    }
}
