//! Rivals: somebody else on the upstream link who says that one of our targets is his.
//!
//! A real owner wins over a proxy (RFC 4861 §7.2.8: proxies leave the override flag clear for him),
//! so there are no answers of ours while he speaks up.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use super::facts::IfIndex;
use super::time::Time;
use super::{Engine, Event};
use crate::wire::Mac;

/// Those who have spoken up lately.
#[derive(Debug, Default)]
pub struct Rivals {
    until: BTreeMap<Ipv6Addr, (Mac, Time)>,
}

impl Rivals {
    /// True while somebody else speaks up for the target.
    pub fn defend(&mut self, target: Ipv6Addr, now: Time) -> bool {
        match self.until.get(&target) {
            None => false,
            Some((_, until)) if *until > now => true,
            Some(_) => {
                self.until.remove(&target);
                false
            }
        }
    }

    /// Who speaks up for the target, if somebody does.
    pub fn speaks_for(&self, target: Ipv6Addr, now: Time) -> Option<Mac> {
        self.until.get(&target).filter(|(_, until)| *until > now).map(|(mac, _)| *mac)
    }

    /// Every target that somebody else speaks up for, and who.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, Mac)> {
        self.until.iter().map(|(target, (mac, _))| (*target, *mac))
    }

    /// Somebody speaks up. True if he is new.
    fn insert(&mut self, target: Ipv6Addr, mac: Mac, until: Time, now: Time) -> bool {
        if self.until.len() >= MOST {
            self.until.retain(|_, (_, until)| *until > now);
        }
        let is_known = self.until.get(&target).is_some_and(|(known, until)| *known == mac && *until > now);
        if self.until.len() < MOST || self.until.contains_key(&target) {
            self.until.insert(target, (mac, until));
        }
        !is_known
    }
}

impl Engine {
    /// An advertisement on the upstream, for a target of ours, with another station's address.
    pub(super) fn heard_rival(&mut self, link: IfIndex, target: Ipv6Addr, mac: Mac, now: Time) {
        let is_ours = self.bindings.upstreams.iter().any(|upstream| upstream.mac == mac);
        let is_served_here = self.ranges.find(target).is_some_and(|range| {
            self.bindings.ranges.get(range.0).and_then(|place| place.upstream) == Some(link)
        });
        if is_ours || !is_served_here {
            return;
        }
        // An address of the host's own, say: not disputed here, but not announced either.
        self.announcements.stop(target);
        if self.targets.live(target).is_none() {
            return;
        }
        self.counters.conflicts += 1;
        let until = now + self.policy.timers.reachable;
        if self.rivals.insert(target, mac, until, now) {
            self.tell(Event::Conflict(target, link, mac));
            // A guest that has gone to the upstream's link is asked for by others on its own, and found
            // there only once it is known to have gone.
            if self.ranges.find(target).is_some_and(|range| self.policy.ranges[range.0].proxy_downstream) {
                self.look(target, now);
            }
        }
    }
}

/// As many are remembered; a link with more has other troubles.
const MOST: usize = 1_024;
