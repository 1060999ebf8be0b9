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
