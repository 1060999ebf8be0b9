//! What an upstream's link says of addresses that are no live guests: the host's own, those behind a layer-3
//! interface, those of ranges that are answered for as a whole. Of live guests their machine keeps it.

use core::net::Ipv6Addr;
use std::collections::HashMap;
use std::time::Duration;

use crate::engine::liveness::Owner;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// What the link said of each, and until when that counts.
#[derive(Debug)]
pub struct Asked {
    known: HashMap<Ipv6Addr, (Owner, Time), Seed>,
}

impl Asked {
    /// Nothing yet.
    pub fn new(seed: Seed) -> Self {
        Self { known: HashMap::with_hasher(seed) }
    }

    /// What the link says of who has the address.
    pub fn owner(&self, address: Ipv6Addr, now: Time) -> Owner {
        let known = self.known.get(&address).filter(|(_, until)| *until > now);
        known.map_or(Owner::Unknown, |(owner, _)| *owner)
    }

    /// The link says this. False if there is no room: strangers choose what they ask for.
    pub fn set(&mut self, address: Ipv6Addr, owner: Owner, now: Time) -> bool {
        let lasts = match owner {
            Owner::Unknown => {
                self.known.remove(&address);
                return true;
            }
            Owner::Asked => ASKING,
            Owner::Nobody => VALID,
        };
        if self.known.len() >= MOST && !self.known.contains_key(&address) {
            self.known.retain(|_, (_, until)| *until > now);
            if self.known.len() >= MOST {
                return false;
            }
        }
        self.known.insert(address, (owner, now + lasts));
        true
    }

    /// Another link, or the same after a pause: everything may be different.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

/// As many are known; looking them all through takes some microseconds.
const MOST: usize = 4_096;
/// Longer than it takes to ask, so that a question that could not be sent is sent again.
const ASKING: Duration = Duration::from_secs(5);
/// As long as nobody spoke up counts.
const VALID: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_link_said_counts_for_a_while_and_there_is_room_for_so_many() {
        let mut asked = Asked::new(Seed([1, 2]));
        let (start, later) = (Time::ORIGIN, Time::ORIGIN + VALID);
        let address = |n: usize| Ipv6Addr::from_bits(n as u128);
        assert!((0..MOST).all(|n| asked.set(address(n), Owner::Nobody, start)));
        assert!(!asked.set(address(MOST), Owner::Asked, start), "full");
        assert!(asked.set(address(0), Owner::Nobody, start), "what is known has its place");
        assert_eq!(
            (asked.owner(address(0), start), asked.owner(address(0), later)),
            (Owner::Nobody, Owner::Unknown)
        );
        assert!(asked.set(address(MOST), Owner::Asked, later), "what is old makes room");
        asked.forget();
        assert_eq!(asked.owner(address(MOST), later), Owner::Unknown);
    }
}
