//! Addresses for the temporary guest that nobody has. Each journey has one of its own: what a router has once learnt
//! of an address, by an announcement say, it need not ask for any more.
//!
//! May touch: what `guest` and `rig` touch; randomness.

use std::hash::{BuildHasher, RandomState};
use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::LiveError;
use super::guest::Guest;
use super::rig::{Own, Rig, Seen};
use super::sighting::{Request, What};
use super::spot::{Seat, Spot};
use super::trial;
use crate::doctor::Host;
use crate::wire::{Mac, Solicitation};

/// The guest's addresses.
pub(super) struct Addresses<'a> {
    host: &'a Host,
    spot: &'a Spot,
    guest: &'a Guest,
    /// The first one, if it was named.
    wanted: Option<Ipv6Addr>,
    /// Those that the guest has.
    pub(super) used: Vec<Ipv6Addr>,
}

impl<'a> Addresses<'a> {
    /// None yet; `wanted` is the first.
    pub(super) fn new(host: &'a Host, spot: &'a Spot, guest: &'a Guest, wanted: Option<Ipv6Addr>) -> Self {
        Self { host, spot, guest, wanted, used: Vec::new() }
    }

    /// Whose they are.
    pub(super) fn guest(&self) -> &'a Guest {
        self.guest
    }

    /// Whether the guest can have another one.
    pub(super) fn has_further(&self) -> bool {
        self.own().is_none()
    }

    /// Another one, of which no router knows anything yet; the same again where there is no other.
    pub(super) async fn another(&mut self, rig: &mut Rig) -> Result<Ipv6Addr, LiveError> {
        match (self.used.last(), self.has_further()) {
            (Some(only), false) => Ok(*only),
            _ => self.move_in(rig).await,
        }
    }

    /// Gives the guest the next one; from here on its packets come from there.
    pub(super) async fn move_in(&mut self, rig: &mut Rig) -> Result<Ipv6Addr, LiveError> {
        let address = self.free(rig).await?;
        let is_first = self.used.is_empty();
        if !self.used.contains(&address) {
            self.used.push(address);
        }
        rig.take_guest(self.guest.settle(address, is_first)?)?;
        Ok(address)
    }

    /// The only one that will do, because the host itself stands in for a guest.
    fn own(&self) -> Option<Ipv6Addr> {
        match self.spot.seat {
            Seat::Host { address, .. } => address,
            Seat::Port { .. } | Seat::Beside(_) => None,
        }
    }

    /// One that nobody has, neither on the guests' side nor on the upstream.
    async fn free(&mut self, rig: &mut Rig) -> Result<Ipv6Addr, LiveError> {
        if let Some(own) = self.own() {
            return Ok(own);
        }
        let mut taken = LiveError::NoneFree(self.spot.range);
        for _ in 0..MOST_ADDRESSES {
            let wanted = self.wanted.take();
            let address = match wanted {
                Some(address) => address,
                None => self.spot.address(self.host, random).ok_or(LiveError::NoneFree(self.spot.range))?,
            };
            match self.owner(address, rig).await? {
                Some((mac, interface)) => taken = LiveError::Taken { address, mac, interface },
                None if self.used.contains(&address) => {}
                None => return Ok(address),
            }
            if wanted.is_some() {
                break;
            }
        }
        Err(taken)
    }

    /// Who has an address, and where.
    async fn owner(&self, address: Ipv6Addr, rig: &mut Rig) -> Result<Option<(Mac, String)>, LiveError> {
        for _ in 0..QUESTIONS {
            self.ask(address, rig);
            if let Some(owner) = self.objection(address, rig).await? {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// Asks on both sides who has an address. The guest does not ask as for its own address (RFC 4862 §5.4): that is
    /// a sign of life, and the daemon would announce it before anybody has asked.
    fn ask(&self, address: Ipv6Addr, rig: &Rig) {
        let upstream = &self.spot.upstream;
        if let Some(source) = upstream.global.or(upstream.link_local) {
            rig.tell(Own::Solicitation(trial::question(upstream.mac, source, address)));
        }
        if let (Some(mac), Some(source)) = (self.guest.mac(), self.guest.link_local()) {
            let question: Solicitation = trial::question(mac, source, address);
            rig.tell_host(Own::Solicitation(question));
        }
    }

    async fn objection(&self, address: Ipv6Addr, rig: &mut Rig) -> Result<Option<(Mac, String)>, LiveError> {
        let request = Request { guest: address, to: Ipv6Addr::UNSPECIFIED, identifier: [0, 0] };
        let until = Instant::now() + TIME_TO_OBJECT;
        loop {
            let seen = rig.watch(&request, until).await?;
            if seen.is_empty() {
                return Ok(None);
            }
            for seen in seen {
                let (sighting, own, interface) = match seen {
                    Seen::Upstream(sighting) => {
                        let upstream = &self.spot.upstream;
                        (sighting, Some(upstream.mac), self.host.name(upstream.link))
                    }
                    Seen::Guest(sighting) => (sighting, self.guest.mac(), "the guests' side".to_owned()),
                    Seen::Received(_) => continue,
                };
                if matches!(sighting.what, What::Advertisement(answer) if answer.target == address)
                    && Some(sighting.from) != own
                {
                    return Ok(Some((sighting.from, interface)));
                }
            }
        }
    }
}

/// Of no use to anybody who could guess it.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// RFC 4862 §5.1 waits a second for one question; somebody who is there needs less for one of two.
const TIME_TO_OBJECT: Duration = Duration::from_millis(500);
const QUESTIONS: u32 = 2;
const MOST_ADDRESSES: usize = 3;
