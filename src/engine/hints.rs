//! Hints: where an address may be, because somebody there listens to its solicited-node group.
//!
//! RFC 4861 §7.2.1: a node joins "the solicited-node multicast address corresponding to each of the IP addresses assigned
//! to the interface", and it reports that (MLD). So the first question for a guest goes to the link from which its
//! group was reported, at once and outside the budget of probes. A hint makes nothing live.
//!
//! Guests are not trusted, so everything is bounded: how many groups one of them may report, how many stations and
//! groups one link may have, on how many links one group may be, and how often a group is asked from which nobody
//! replies.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::facts::IfIndex;
use super::seed::Seed;
use super::time::Time;
use crate::wire::Mac;

/// Who reports groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reporter {
    /// A bridge, of what is behind one of its ports. It forgets that by itself after some minutes.
    Port(IfIndex),
    /// A station that was heard.
    Station(Mac),
}

/// The groups that were reported on downstreams.
#[derive(Debug)]
pub struct Hints {
    groups: HashTable<Hint>,
    seed: Seed,
    links: BTreeMap<IfIndex, OnLink>,
    /// Where guests have been asked to which groups they listen.
    queried: BTreeSet<IfIndex>,
}

/// One group on one link.
#[derive(Debug, Clone, Copy)]
struct Hint {
    /// The low 24 bits of the group's addresses.
    suffix: u32,
    link: IfIndex,
    reporter: Reporter,
    /// So many questions may go there without a reply.
    left: u8,
    /// When the last of them was granted, in coarse steps.
    granted: u32,
}

/// What was reported on one link.
#[derive(Debug, Default)]
struct OnLink {
    groups: usize,
    reporters: BTreeMap<Reporter, Reported>,
}

/// What one has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    /// So many groups.
    Groups(usize),
    /// More than a guest listens to: it is not listened to any more.
    TooMany,
}

/// A few links, in ascending order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Few {
    links: [IfIndex; MOST_LINKS],
    count: usize,
}

impl Hints {
    /// None yet.
    pub fn new(seed: Seed) -> Self {
        Self { groups: HashTable::new(), seed, links: BTreeMap::new(), queried: BTreeSet::new() }
    }

    /// Somebody on this link listens to the group of the addresses that end like this.
    pub fn begin(&mut self, link: IfIndex, reporter: Reporter, suffix: u32) {
        let hash = self.seed.hash_one(suffix);
        let on_link = self.links.entry(link).or_default();
        let is_new = !on_link.reporters.contains_key(&reporter);
        if is_new && on_link.reporters.len() >= MOST_REPORTERS
            || on_link.reporters.get(&reporter) == Some(&Reported::TooMany)
        {
            return;
        }
        if let Some(known) = self.groups.find_mut(hash, |hint| hint.is(link, suffix)) {
            // What was heard is worth more than what a bridge tells, since a bridge forgets it.
            let is_better = matches!((known.reporter, reporter), (Reporter::Port(_), Reporter::Station(_)));
            if !is_better {
                return;
            }
            on_link.count_less(std::mem::replace(&mut known.reporter, reporter));
        } else {
            let others = self.groups.iter_hash(hash).filter(|hint| hint.suffix == suffix).count();
            if others >= MOST_LINKS || on_link.groups >= MOST_ON_LINK || self.groups.len() >= MOST {
                return;
            }
            let (hint, seed) = (Hint { suffix, link, reporter, left: QUESTIONS, granted: 0 }, self.seed);
            self.groups.insert_unique(hash, hint, |hint| seed.hash_one(hint.suffix));
        }
        if !on_link.count_more(reporter) {
            let is_its = |hint: &Hint| hint.link == link && hint.reporter == reporter;
            let before = self.groups.len();
            self.groups.retain(|hint| !is_its(hint));
            on_link.groups -= before - self.groups.len();
        }
    }

    /// It does not listen to it any more.
    pub fn end(&mut self, link: IfIndex, reporter: Reporter, suffix: u32) {
        let hash = self.seed.hash_one(suffix);
        let is_its = |hint: &Hint| hint.is(link, suffix) && hint.reporter == reporter;
        if let Ok(found) = self.groups.find_entry(hash, is_its) {
            found.remove();
            if let Some(on_link) = self.links.get_mut(&link) {
                on_link.count_less(reporter);
            }
        }
    }

    /// The link is down or gone, and so are the guests behind it.
    pub fn end_link(&mut self, link: IfIndex) {
        self.queried.remove(&link);
        if self.links.remove(&link).is_some_and(|on_link| on_link.groups > 0) {
            self.groups.retain(|hint| hint.link != link);
        }
    }

    /// True the first time since the link is up: guests there are asked to which groups they listen.
    pub fn is_first_query(&mut self, link: IfIndex) -> bool {
        self.queried.insert(link)
    }

    /// The links on which somebody may have an address that ends like this, of those that `may_be_asked`. As long as
    /// nobody replies there, each is given a few times in a row, and then once a second.
    pub fn take(&mut self, suffix: u32, may_be_asked: impl Fn(IfIndex) -> bool, now: Time) -> Few {
        let mut few = Few::default();
        if self.groups.is_empty() {
            return few;
        }
        for hint in self.groups.iter_hash_mut(self.seed.hash_one(suffix)) {
            if hint.suffix == suffix && may_be_asked(hint.link) && hint.grant(now) {
                few.push(hint.link);
            }
        }
        few
    }

    /// Where somebody listens to the group of the addresses that end like this.
    pub fn known(&self, suffix: u32) -> impl Iterator<Item = IfIndex> {
        let all = self.groups.iter_hash(self.seed.hash_one(suffix));
        all.filter(move |hint| hint.suffix == suffix).map(|hint| hint.link)
    }

    /// One with such an address has replied there.
    pub fn confirm(&mut self, suffix: u32, link: IfIndex) {
        if !self.groups.is_empty()
            && let Some(hint) = self.groups.find_mut(self.seed.hash_one(suffix), |hint| hint.is(link, suffix))
        {
            hint.left = QUESTIONS;
        }
    }
}

impl Hint {
    fn is(&self, link: IfIndex, suffix: u32) -> bool {
        (self.link, self.suffix) == (link, suffix)
    }

    fn grant(&mut self, now: Time) -> bool {
        let now = now.coarse();
        let gained = now.saturating_sub(self.granted) / STEPS_OF_A_SECOND;
        self.left = u8::try_from(gained).unwrap_or(QUESTIONS).saturating_add(self.left).min(QUESTIONS);
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.granted = now;
        true
    }
}

impl OnLink {
    /// The reporter has one group more. False if that is more than it may have.
    fn count_more(&mut self, reporter: Reporter) -> bool {
        let reported = self.reporters.entry(reporter).or_insert(Reported::Groups(0));
        self.groups += 1;
        let is_too_many = match reported {
            Reported::Groups(count) => {
                *count += 1;
                *count > MOST_OF_ONE
            }
            Reported::TooMany => true,
        };
        if is_too_many {
            *reported = Reported::TooMany;
        }
        !is_too_many
    }

    fn count_less(&mut self, reporter: Reporter) {
        self.groups -= 1;
        match self.reporters.get_mut(&reporter) {
            Some(Reported::Groups(count @ 2..)) => *count -= 1,
            Some(Reported::Groups(_)) => _ = self.reporters.remove(&reporter),
            Some(Reported::TooMany) | None => {}
        }
    }
}

impl Few {
    fn push(&mut self, link: IfIndex) {
        if self.count < MOST_LINKS {
            self.links[self.count] = link;
            self.count += 1;
            self.links[..self.count].sort_unstable();
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[IfIndex] {
        &self.links[..self.count]
    }
}

/// Groups of one guest: one that reports more gets no hints at all.
const MOST_OF_ONE: usize = 2_048;
/// Stations and ports of one link.
const MOST_REPORTERS: usize = 1_024;
/// Groups of one link. A Linux bridge knows 4,096 by default.
const MOST_ON_LINK: usize = 8_192;
/// Groups in all. The table grows in one go, which is to be no longer than a turn of the engine.
const MOST: usize = 16_384;
/// Links on which the same group is known.
const MOST_LINKS: usize = 8;
/// Questions in a row for a group from which nobody replies.
const QUESTIONS: u8 = 4;
/// Coarse steps of [`Time`] in a second.
const STEPS_OF_A_SECOND: u32 = 61;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const VETH: IfIndex = IfIndex(3);
    const OTHER: IfIndex = IfIndex(4);
    const GUEST: Reporter = Reporter::Station(Mac([2, 0, 0, 0, 0, 9]));

    fn hints() -> Hints {
        Hints::new(Seed([1, 2]))
    }

    fn asked(hints: &mut Hints, suffix: u32, seconds: u64) -> Vec<IfIndex> {
        let now = Time::at(Duration::from_secs(100 + seconds));
        hints.take(suffix, |_| true, now).as_slice().to_vec()
    }

    #[test]
    fn a_group_is_asked_for_where_it_was_reported() {
        let mut hints = hints();
        hints.begin(OTHER, GUEST, 7);
        hints.begin(VETH, GUEST, 7);
        hints.begin(VETH, GUEST, 8);
        assert_eq!(asked(&mut hints, 7, 0), [VETH, OTHER]);
        assert_eq!(asked(&mut hints, 9, 0), []);
        hints.end_link(VETH);
        assert_eq!((asked(&mut hints, 7, 0), hints.groups.len()), (vec![OTHER], 1));
        hints.end(OTHER, GUEST, 7);
        assert_eq!((hints.groups.len(), hints.links[&OTHER].reporters.len()), (0, 0));
    }

    #[test]
    fn a_group_from_which_nobody_replies_is_asked_for_seldom() {
        let mut hints = hints();
        hints.begin(VETH, GUEST, 7);
        let in_a_row = (0..100).filter(|_| !asked(&mut hints, 7, 0).is_empty()).count();
        assert_eq!(in_a_row, usize::from(QUESTIONS));
        let later = (0..100).filter(|_| !asked(&mut hints, 7, 2).is_empty()).count();
        assert_eq!(later, 2);
        hints.confirm(7, VETH);
        assert_eq!(asked(&mut hints, 7, 2), [VETH]);
    }

    #[test]
    fn one_that_reports_thousands_gets_no_hints_and_takes_none_from_others() {
        let mut hints = hints();
        let honest = Reporter::Station(Mac([2, 0, 0, 0, 0, 1]));
        hints.begin(VETH, honest, 1);
        (0..100_000).for_each(|suffix| hints.begin(VETH, GUEST, suffix));
        assert_eq!((hints.groups.len(), hints.links[&VETH].groups), (1, 1));
        assert_eq!(asked(&mut hints, 1, 0), [VETH]);
        hints.begin(VETH, honest, 2);
        assert_eq!(asked(&mut hints, 2, 0), [VETH]);
    }

    #[test]
    fn many_stations_of_one_link_have_half_of_the_room_at_most() {
        let mut hints = hints();
        for station in 0..4_000_u32 {
            let [a, b, c, d] = station.to_be_bytes();
            let reporter = Reporter::Station(Mac([2, 0, a, b, c, d]));
            (0..100).for_each(|group| hints.begin(VETH, reporter, station << 8 | group));
        }
        assert_eq!(hints.groups.len(), MOST_ON_LINK);
        assert!(hints.links[&VETH].reporters.len() <= MOST_REPORTERS);
        hints.begin(OTHER, GUEST, 0xff_ffff);
        assert_eq!(asked(&mut hints, 0xff_ffff, 0), [OTHER]);
    }

    #[test]
    fn what_was_heard_outlives_what_a_bridge_forgets() {
        let mut hints = hints();
        let port = Reporter::Port(IfIndex(9));
        hints.begin(VETH, port, 7);
        hints.begin(VETH, GUEST, 7);
        hints.begin(VETH, port, 7);
        hints.end(VETH, port, 7);
        assert_eq!(asked(&mut hints, 7, 0), [VETH]);
        hints.end(VETH, GUEST, 7);
        assert_eq!((hints.groups.len(), hints.links[&VETH].groups), (0, 0));
    }
}
