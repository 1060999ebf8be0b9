//! Askers that wait for a route of the kernel.
//!
//! An answer is a promise that the next packet arrives. Were it made before the guest's route is in, that packet
//! would meet the backstop, and its sender be told that nobody is there.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use crate::engine::asker::{Asker, MAX_ASKERS, join};
use crate::wire::DropReason;

/// Those that wait.
#[derive(Debug, Default)]
pub struct Held {
    /// For the route of a live guest, by guest.
    towards: BTreeMap<Ipv6Addr, Vec<Asker>>,
    /// The questions of guests whose own route is not in yet, by guest.
    back: BTreeMap<Ipv6Addr, Vec<(Asker, Ipv6Addr)>>,
}

impl Held {
    /// The asker waits for the route to the target.
    pub fn hold(&mut self, target: Ipv6Addr, asker: Asker) -> Result<(), DropReason> {
        join(self.towards.entry(target).or_default(), asker)
    }

    /// A guest asks for the target, and the way back to the guest is not there yet.
    pub fn hold_back(&mut self, asker: Asker, target: Ipv6Addr) -> Result<(), DropReason> {
        let waiting = self.back.entry(asker.address).or_default();
        if !waiting.contains(&(asker, target)) {
            if waiting.len() >= MAX_ASKERS {
                return Err(DropReason::AskersFull);
            }
            waiting.push((asker, target));
        }
        Ok(())
    }

    /// Those that have waited for the route to this guest.
    pub fn release(&mut self, guest: Ipv6Addr) -> Vec<Asker> {
        self.towards.remove(&guest).unwrap_or_default()
    }

    /// What this guest has asked while there was no way back to it.
    pub fn release_back(&mut self, guest: Ipv6Addr) -> Vec<(Asker, Ipv6Addr)> {
        self.back.remove(&guest).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::IfIndex;
    use crate::wire::Mac;

    const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    fn asker(last: u16) -> Asker {
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
        Asker { link: IfIndex(2), mac: Mac([2, 0, 0, 0, 0, 1]), address }
    }

    #[test]
    fn each_asker_waits_once_and_is_released_once() {
        let mut held = Held::default();
        for last in [1, 1, 2] {
            assert_eq!(held.hold(GUEST, asker(last)), Ok(()));
        }
        assert_eq!((held.release(GUEST), held.release(GUEST)), (vec![asker(1), asker(2)], Vec::new()));
        assert_eq!(held.hold_back(asker(1), GUEST), Ok(()));
        assert_eq!(held.hold_back(asker(1), GUEST), Ok(()));
        assert_eq!(held.release_back(asker(1).address), [(asker(1), GUEST)]);
    }

    #[test]
    fn no_more_wait_than_a_link_has_routers() {
        let mut held = Held::default();
        for last in 0..8 {
            assert_eq!(held.hold(GUEST, asker(last)), Ok(()));
        }
        assert_eq!(held.hold(GUEST, asker(9)), Err(DropReason::AskersFull));
    }
}
