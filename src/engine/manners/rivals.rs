//! Rivals: other stations on the upstream link that say that one of our targets is their own.
//!
//! A real owner wins over a proxy (RFC 4861 §7.2.8: proxies leave the override flag clear for it), so there are
//! no answers of ours while it speaks up.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

/// Those that have spoken up lately. Only for live targets, so there are no more than these.
#[derive(Debug, Default)]
pub struct Rivals {
    by_target: BTreeMap<Ipv6Addr, Rival>,
    ends: BTreeSet<(Time, Ipv6Addr)>,
}

#[derive(Debug, Clone, Copy)]
struct Rival {
    link: IfIndex,
    mac: Mac,
    until: Time,
}

impl Rivals {
    /// True while another station speaks up for the target.
    pub fn defend(&self, target: Ipv6Addr, now: Time) -> bool {
        !self.by_target.is_empty() && self.speaks_for(target, now).is_some()
    }

    /// The station that speaks up for the target, if one does.
    pub fn speaks_for(&self, target: Ipv6Addr, now: Time) -> Option<Mac> {
        self.by_target.get(&target).filter(|rival| rival.until > now).map(|rival| rival.mac)
    }

    /// Every target that another station speaks up for, and its link-layer address.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, Mac)> {
        self.by_target.iter().map(|(target, rival)| (*target, rival.mac))
    }

    /// A station speaks up for a live target, which counts until then. True if that is news.
    pub fn heard(&mut self, target: Ipv6Addr, link: IfIndex, mac: Mac, until: Time) -> bool {
        let before = self.by_target.insert(target, Rival { link, mac, until });
        if let Some(before) = &before {
            self.ends.remove(&(before.until, target));
        }
        self.ends.insert((until, target));
        before.is_none_or(|before| before.mac != mac)
    }

    /// The target is not ours any more, so nobody disputes it.
    pub fn end(&mut self, target: Ipv6Addr) {
        if let Some(rival) = self.by_target.remove(&target) {
            self.ends.remove(&(rival.until, target));
        }
    }

    /// The upstream is gone, and with it those that were heard there.
    pub fn end_link(&mut self, link: IfIndex) {
        let gone = self.by_target.iter().filter(|(_, rival)| rival.link == link);
        let gone: Vec<_> = gone.map(|(target, _)| *target).collect();
        gone.into_iter().for_each(|target| self.end(target));
    }

    /// When one of them is forgotten.
    pub fn next_due(&self) -> Option<Time> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Forgets those that have been silent for long enough.
    pub fn tick(&mut self, now: Time) {
        while let Some((_, target)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            self.end(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    #[test]
    fn a_rival_is_news_once_and_forgotten_when_it_is_silent() {
        let mut rivals = Rivals::default();
        let at = |seconds| Time::at(Duration::from_secs(seconds));
        assert!(rivals.heard(TARGET, IfIndex(2), MAC, at(30)));
        assert!(!rivals.heard(TARGET, IfIndex(2), MAC, at(40)));
        rivals.tick(at(39));
        assert!(rivals.defend(TARGET, at(39)) && rivals.next_due() == Some(at(40)));
        rivals.tick(at(40));
        assert_eq!((rivals.iter().count(), rivals.next_due()), (0, None));
    }

    #[test]
    fn a_rival_goes_with_its_link_and_with_its_target() {
        let mut rivals = Rivals::default();
        rivals.heard(TARGET, IfIndex(2), MAC, Time::at(Duration::from_secs(9)));
        rivals.end_link(IfIndex(3));
        assert_eq!(rivals.iter().count(), 1);
        rivals.end_link(IfIndex(2));
        assert_eq!((rivals.iter().count(), rivals.next_due()), (0, None));
        rivals.heard(TARGET, IfIndex(2), MAC, Time::at(Duration::from_secs(9)));
        rivals.end(TARGET);
        assert_eq!(rivals.next_due(), None);
    }
}
