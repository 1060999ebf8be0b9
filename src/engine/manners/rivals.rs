//! Rivals: other stations on the upstream link that say that one of our targets is their own.
//!
//! A real owner wins over a proxy (RFC 4861 §7.2.8: proxies leave the override flag clear for it), so there are
//! no answers of ours while one has the address. Whether it still has it is asked from time to time, ever less
//! often. Another kind of rival only wants the address, and was refused.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

/// Those that have spoken up.
#[derive(Debug, Default)]
pub struct Rivals {
    by_target: BTreeMap<Ipv6Addr, Rival>,
    ends: BTreeSet<(Time, Ipv6Addr)>,
    /// Stations that say of what they do not have that they have it: a router that answers for its whole link.
    proxies: BTreeSet<(IfIndex, Mac)>,
    /// What such a station has asked for, which it does not have so long, whatever it says.
    denied: BTreeMap<(IfIndex, Ipv6Addr), (Mac, Time)>,
    /// Of these it may be another since the last look whether a station has them.
    touched: BTreeSet<Ipv6Addr>,
}

#[derive(Debug, Clone, Copy)]
struct Rival {
    link: IfIndex,
    mac: Mac,
    /// It has the address, and did not merely want it.
    stands: bool,
    /// It checks whether the address is free: it will have it, and may still ask for the one that had it.
    checks: bool,
    /// How often in a row the link was silent about a router's.
    silences: u8,
    /// How often the link was asked again.
    again: u8,
    /// When the link is asked again, or the rival forgotten.
    until: Time,
}

impl Rivals {
    /// True while another station has the target.
    pub fn defend(&self, target: Ipv6Addr) -> bool {
        !self.by_target.is_empty() && self.owner(target).is_some()
    }

    /// The station that has the target, if one does.
    pub fn owner(&self, target: Ipv6Addr) -> Option<Mac> {
        self.by_target.get(&target).filter(|rival| rival.stands).map(|rival| rival.mac)
    }

    /// Every target that another station has or wanted, that station, and whether it has it.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, Mac, bool)> {
        self.by_target.iter().map(|(target, rival)| (*target, rival.mac, rival.stands))
    }

    /// Whether there is room for one more that is not a live guest's.
    pub fn has_room(&self) -> bool {
        self.by_target.len() < MOST
    }

    /// True for a station that was caught saying what is not so.
    pub fn is_proxy(&self, link: IfIndex, mac: Mac) -> bool {
        self.proxies.contains(&(link, mac))
    }

    /// A station has the target. True if that is news.
    pub fn heard(&mut self, target: Ipv6Addr, link: IfIndex, mac: Mac, pause: Duration, now: Time) -> bool {
        let before = self.by_target.get(&target).filter(|rival| rival.stands).copied();
        let again = before.map_or(0, |rival| rival.again);
        let until = now + pause * (1 << again.min(LONGEST));
        self.put(target, Rival { link, mac, stands: true, checks: false, silences: 0, again, until });
        before.is_none_or(|before| before.mac != mac)
    }

    /// A station wanted the target, and was refused; it counts until then. True if that is news.
    pub fn refused(&mut self, target: Ipv6Addr, link: IfIndex, mac: Mac, until: Time) -> bool {
        let before = self.by_target.get(&target).copied();
        if before.is_some_and(|rival| rival.stands) || before.is_none() && !self.has_room() {
            return false;
        }
        self.put(target, Rival { link, mac, stands: false, checks: false, silences: 0, again: 0, until });
        before.is_none_or(|before| before.mac != mac)
    }

    /// Whether a station keeps the target although the link is silent about it: a router of a default route that is
    /// started again is away for minutes.
    pub fn may_return(&self, target: Ipv6Addr, is_router: impl Fn(IfIndex, Mac) -> bool) -> bool {
        let rival = self.by_target.get(&target).filter(|rival| rival.stands);
        rival.is_some_and(|rival| rival.silences < PATIENCE && is_router(rival.link, rival.mac))
    }

    /// The link was silent about a target that a station keeps.
    pub fn count_silence(&mut self, target: Ipv6Addr) {
        if let Some(rival) = self.by_target.get_mut(&target) {
            rival.silences += 1;
        }
    }

    /// The station that has the target has only checked so far whether it is free.
    pub fn is_checking(&mut self, target: Ipv6Addr) {
        if let Some(rival) = self.by_target.get_mut(&target) {
            rival.checks = true;
        }
    }

    fn put(&mut self, target: Ipv6Addr, rival: Rival) {
        self.end(target);
        self.ends.insert((rival.until, target));
        self.touched.insert(target);
        self.by_target.insert(target, rival);
    }

    /// This station asks for the target, so it does not have it. True if it has said that it has.
    pub fn asks(&mut self, target: Ipv6Addr, link: IfIndex, mac: Mac, now: Time) -> bool {
        if let Some((_, until)) = self.denied.get_mut(&(link, target)).filter(|(known, _)| *known == mac) {
            *until = now + DENIAL;
        }
        let has_said = |rival: &&Rival| rival.stands && rival.mac == mac && !rival.checks;
        if self.by_target.get(&target).filter(has_said).is_none() {
            return false;
        }
        if self.proxies.len() < MOST_PROXIES {
            self.proxies.insert((link, mac));
        }
        if self.denied.len() >= MOST {
            self.denied.retain(|_, (_, until)| *until > now);
        }
        if self.denied.len() < MOST {
            self.denied.insert((link, target), (mac, now + DENIAL));
        }
        self.end(target);
        true
    }

    /// Whether this station has asked for the target a while ago, although it had said that it has it.
    pub fn is_denied(&self, target: Ipv6Addr, link: IfIndex, mac: Mac, now: Time) -> bool {
        let denied = self.denied.get(&(link, target));
        denied.is_some_and(|(known, until)| *known == mac && *until > now)
    }

    /// Nobody disputes the target any more: it is not ours, or the link was asked and is silent. The station that
    /// had it, if one did.
    pub fn end(&mut self, target: Ipv6Addr) -> Option<Mac> {
        let rival = self.by_target.remove(&target)?;
        self.ends.remove(&(rival.until, target));
        self.touched.insert(target);
        rival.stands.then_some(rival.mac)
    }

    /// The upstream is gone, and with it those that were heard there.
    pub fn end_link(&mut self, link: IfIndex) {
        let gone = self.by_target.iter().filter(|(_, rival)| rival.link == link);
        let gone: Vec<_> = gone.map(|(target, _)| *target).collect();
        gone.into_iter().for_each(|target| _ = self.end(target));
        self.proxies.retain(|(on, _)| *on != link);
        self.denied.retain(|(on, _), _| *on != link);
    }

    /// The targets of which it may be another since the last look whether a station has them.
    pub fn take_touched(&mut self) -> BTreeSet<Ipv6Addr> {
        std::mem::take(&mut self.touched)
    }

    /// When something is due for one of them.
    pub fn next_due(&self) -> Option<Time> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Forgets those that only wanted something. The targets of which the link is to be asked again; their owners
    /// stay until the answer is there.
    pub fn tick(&mut self, pause: Duration, now: Time) -> Vec<Ipv6Addr> {
        let mut asked = Vec::new();
        while let Some((_, target)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            let Some(rival) = self.by_target.get(&target).copied() else { break };
            self.end(target);
            if rival.stands {
                let again = rival.again.saturating_add(1).min(LONGEST);
                self.put(target, Rival { again, until: now + pause * (1 << again), ..rival });
                asked.push(target);
            }
        }
        asked
    }
}

/// So often the link may be silent about a target until its router does not have it any more.
const PATIENCE: u8 = 3;
/// A router that sends to a target asks for it again within minutes.
const DENIAL: Duration = Duration::from_secs(600);
/// The longest pause is this power of two of the first one.
const LONGEST: u8 = 3;
/// Of targets that are no live guests, so many are known: anybody on the link can say that it has an address.
const MOST: usize = 4_096;
/// A link has one router, or two.
const MOST_PROXIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const LINK: IfIndex = IfIndex(2);
    const PAUSE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_rival_is_news_once_and_stays_until_the_link_is_silent() {
        let mut rivals = Rivals::default();
        assert!(rivals.heard(TARGET, LINK, MAC, PAUSE, at(0)));
        assert!(!rivals.heard(TARGET, LINK, MAC, PAUSE, at(10)));
        assert!(rivals.take_touched().into_iter().eq([TARGET]) && rivals.take_touched().is_empty());
        assert!(rivals.tick(PAUSE, at(39)).is_empty() && rivals.next_due() == Some(at(40)));
        assert_eq!(rivals.tick(PAUSE, at(40)), [TARGET], "the link is asked again");
        assert!(rivals.defend(TARGET) && rivals.next_due() == Some(at(100)), "ever less often");
        assert!(!rivals.heard(TARGET, LINK, MAC, PAUSE, at(41)));
        assert_eq!(rivals.next_due(), Some(at(101)));
        assert_eq!((rivals.end(TARGET), rivals.end(TARGET)), (Some(MAC), None));
        assert_eq!((rivals.iter().count(), rivals.next_due()), (0, None));
    }

    #[test]
    fn one_that_only_wanted_it_keeps_no_answer_back_and_is_forgotten() {
        let mut rivals = Rivals::default();
        assert!(rivals.refused(TARGET, LINK, MAC, at(30)) && !rivals.refused(TARGET, LINK, MAC, at(31)));
        assert!(!rivals.defend(TARGET) && rivals.iter().count() == 1);
        assert_eq!((rivals.tick(PAUSE, at(31)), rivals.iter().count()), (vec![], 0));
        rivals.heard(TARGET, LINK, MAC, PAUSE, at(40));
        assert!(!rivals.refused(TARGET, LINK, MAC, at(99)) && rivals.defend(TARGET));
    }

    #[test]
    fn one_that_asks_does_not_have_it() {
        let mut rivals = Rivals::default();
        rivals.heard(TARGET, LINK, MAC, PAUSE, at(0));
        assert!(!rivals.asks(TARGET, LINK, Mac([2, 0, 0, 0, 0, 9]), at(0)) && !rivals.is_proxy(LINK, MAC));
        assert!(rivals.asks(TARGET, LINK, MAC, at(0)) && rivals.is_proxy(LINK, MAC));
        assert!(!rivals.defend(TARGET) && !rivals.asks(TARGET, LINK, MAC, at(100)));
        assert!(
            rivals.is_denied(TARGET, LINK, MAC, at(699)) && !rivals.is_denied(TARGET, LINK, MAC, at(700))
        );
    }

    #[test]
    fn a_rival_goes_with_its_link() {
        let mut rivals = Rivals::default();
        for target in [OTHER, TARGET] {
            rivals.heard(target, LINK, MAC, PAUSE, at(9));
        }
        rivals.asks(OTHER, LINK, MAC, at(9));
        rivals.end_link(IfIndex(3));
        assert_eq!(rivals.iter().count(), 1);
        assert!(rivals.is_proxy(LINK, MAC) && rivals.is_denied(OTHER, LINK, MAC, at(9)));
        rivals.end_link(LINK);
        assert_eq!((rivals.iter().count(), rivals.next_due()), (0, None));
        assert!(!rivals.is_proxy(LINK, MAC) && !rivals.is_denied(OTHER, LINK, MAC, at(9)));
    }

    #[test]
    fn a_router_may_be_silent_three_times() {
        let mut rivals = Rivals::default();
        rivals.heard(TARGET, LINK, MAC, PAUSE, at(0));
        for _ in 0..3 {
            assert!(rivals.may_return(TARGET, |_, _| true) && !rivals.may_return(TARGET, |_, _| false));
            rivals.count_silence(TARGET);
        }
        assert!(!rivals.may_return(TARGET, |_, _| true));
    }

    #[test]
    fn whatever_strangers_say_what_is_kept_of_it_has_its_bound_and_what_is_old_makes_room() {
        let target = |n: usize| Ipv6Addr::from_bits(n as u128);
        let mac = |n: usize| Mac([2, 0, 0, 0, (n >> 8) as u8, n as u8]);
        let mut rivals = Rivals::default();
        (0..=MOST).for_each(|n| _ = rivals.refused(target(n), LINK, MAC, at(9)));
        assert_eq!(rivals.iter().count(), MOST);
        let mut rivals = Rivals::default();
        let deny = |rivals: &mut Rivals, n: usize, seconds| {
            rivals.heard(target(n), LINK, mac(n), PAUSE, at(seconds));
            rivals.asks(target(n), LINK, mac(n), at(seconds));
            rivals.is_denied(target(n), LINK, mac(n), at(seconds))
        };
        assert!((0..MOST).all(|n| deny(&mut rivals, n, 0)));
        assert!(!deny(&mut rivals, MOST, 0) && rivals.is_denied(target(1), LINK, mac(1), at(0)));
        assert_eq!((0..=MOST).filter(|n| rivals.is_proxy(LINK, mac(*n))).count(), MOST_PROXIES);
        assert!(deny(&mut rivals, MOST, 600), "what is old makes room");
    }
}
