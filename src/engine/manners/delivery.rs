//! Whether questions come through on an upstream that has a querier, also those for which nobody has reported a group.
//!
//! A switch that snoops MLD (RFC 4541) and hears a querier keeps back what nobody has reported. A question for a guest
//! that nobody has heard of does not come, then, and that it does not come looks the same as that nobody asks. So nothing
//! is concluded from silence alone: what was heard is told, and what follows if there is such a switch. One such question
//! that does come proves that all do, as long as the querier stays.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::facts::IfIndex;
use crate::engine::time::Time;

/// The upstreams on which a querier was heard.
#[derive(Debug, Default)]
pub struct Delivery {
    links: BTreeMap<IfIndex, Heard>,
    is_news: bool,
}

#[derive(Debug)]
struct Heard {
    querier: Ipv6Addr,
    /// It was heard for the first time, and for the last time.
    since: Time,
    last: Time,
    /// A question has come for which no group was reported.
    is_proved: bool,
    /// As many came by unicast, or for groups that are reported.
    others: u32,
    /// What was reported until then: switches may still pass it on.
    ended: BTreeMap<u32, Time>,
    is_told: bool,
}

impl Delivery {
    /// A querier asks on this link who listens.
    pub fn queried(&mut self, link: IfIndex, querier: Ipv6Addr, now: Time) {
        let new = Heard {
            querier,
            since: now,
            last: now,
            is_proved: false,
            others: 0,
            ended: BTreeMap::new(),
            is_told: false,
        };
        let heard = self.links.entry(link).or_insert(new);
        (heard.querier, heard.last) = (querier, now);
    }

    /// A group is not reported on this link any more.
    pub fn ended(&mut self, link: IfIndex, suffix: u32, now: Time) {
        let Some(heard) = self.links.get_mut(&link).filter(|heard| !heard.is_proved) else { return };
        if heard.ended.len() >= MOST_ENDED {
            heard.ended.retain(|_, ended| now.since(*ended) < LISTENER_INTERVAL);
        }
        if heard.ended.len() < MOST_ENDED {
            heard.ended.insert(suffix, now);
        } else {
            // More than are told apart: for a while no question proves anything.
            heard.since = now;
        }
    }

    /// Whether it is of interest which questions come on this link.
    pub fn is_open(&self, link: IfIndex) -> bool {
        self.links.get(&link).is_some_and(|heard| !heard.is_proved)
    }

    /// A question has come on this link. `unreported` are the last 24 bits of its target, where it came by multicast and
    /// no group was reported for it.
    pub fn came(&mut self, link: IfIndex, unreported: Option<u32>, now: Time) {
        let Some(heard) = self.links.get_mut(&link) else { return };
        match unreported {
            None => heard.others = heard.others.saturating_add(1),
            Some(suffix) => {
                let is_old = heard.ended.get(&suffix).is_some_and(|e| now.since(*e) < LISTENER_INTERVAL);
                // A switch passes all on until it has heard what is listened to.
                if is_old || now.since(heard.since) < SETTLED_AFTER {
                    return;
                }
                heard.is_proved = true;
                heard.ended.clear();
            }
        }
        let is_told = !heard.is_proved && heard.others >= OTHERS && now.since(heard.since) >= LONG;
        self.is_news |= std::mem::replace(&mut heard.is_told, is_told) != is_told;
    }

    /// The querier of this link, and whether it is proved that all questions come.
    pub fn querier(&self, link: IfIndex) -> Option<(Ipv6Addr, bool)> {
        self.links.get(&link).map(|heard| (heard.querier, heard.is_proved))
    }

    /// The links on which questions have come for long, and none for what is not reported.
    pub fn one_sided(&self) -> impl Iterator<Item = IfIndex> {
        self.links.iter().filter(|(_, heard)| heard.is_told).map(|(link, _)| *link)
    }

    /// Whether what is to be told has changed since the last look.
    pub fn has_news(&self) -> bool {
        self.is_news
    }

    /// The same, and it has been looked at.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// When a querier is gone that is not heard again.
    pub fn next_due(&self) -> Option<Time> {
        self.links.values().map(|heard| heard.last + QUERIER_PRESENT).min()
    }

    /// Forgets queriers that are gone, and links of which `is_there` is not true.
    pub fn tick(&mut self, is_there: impl Fn(IfIndex) -> bool, now: Time) {
        let mut gone = false;
        self.links.retain(|link, heard| {
            let stays = now < heard.last + QUERIER_PRESENT && is_there(*link);
            gone |= !stays && heard.is_told;
            stays
        });
        self.is_news |= gone;
    }
}

/// RFC 3810 §9.5, Other Querier Present Timeout: twice the interval of queries, and half of the time for responses.
const QUERIER_PRESENT: Duration = Duration::from_secs(255);
/// RFC 3810 §9.4, Multicast Address Listening Interval: so long a switch passes a group on without a report.
const LISTENER_INTERVAL: Duration = Duration::from_secs(260);
/// RFC 3810 §9.3: reports come within 10 s of a query. Three times that.
const SETTLED_AFTER: Duration = Duration::from_secs(30);
/// So long nothing is said of what has not come.
const LONG: Duration = Duration::from_secs(600);
/// And not before so many others have.
const OTHERS: u32 = 16;
/// Groups that have ended and are told apart.
const MOST_ENDED: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;

    const UP: IfIndex = IfIndex(2);
    const QUERIER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

    fn at(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    /// Queries, and a question for what is reported, every so many seconds at these times.
    fn hear(delivery: &mut Delivery, seconds: RangeInclusive<u64>, every: usize) {
        for second in seconds.step_by(every) {
            delivery.queried(UP, QUERIER, at(second));
            delivery.came(UP, None, at(second));
        }
    }

    fn is_told(delivery: &Delivery) -> bool {
        delivery.one_sided().next().is_some()
    }

    #[test]
    fn what_never_comes_is_told_after_long_and_once() {
        let mut delivery = Delivery::default();
        hear(&mut delivery, 0..=590, 10);
        assert!(!is_told(&delivery) && !delivery.has_news());
        hear(&mut delivery, 600..=600, 10);
        assert!(is_told(&delivery) && delivery.has_news() && delivery.take_news());
        hear(&mut delivery, 610..=800, 10);
        assert!(is_told(&delivery) && !delivery.has_news());
    }

    #[test]
    fn a_link_on_which_little_is_asked_or_nobody_queries_is_not_told_of() {
        let mut delivery = Delivery::default();
        hear(&mut delivery, 0..=1_000, 100);
        assert!(!is_told(&delivery), "ten questions");
        let mut delivery = Delivery::default();
        (0..100_000).for_each(|second| delivery.came(UP, None, at(second)));
        assert!(!is_told(&delivery) && delivery.next_due().is_none());
    }

    #[test]
    fn one_question_for_what_nobody_reports_proves_that_all_come_while_the_querier_stays() {
        let mut delivery = Delivery::default();
        hear(&mut delivery, 0..=600, 10);
        delivery.take_news();
        delivery.came(UP, Some(5), at(601));
        assert!(!is_told(&delivery) && delivery.take_news() && !delivery.is_open(UP));
        hear(&mut delivery, 610..=9_000, 10);
        assert!(!is_told(&delivery) && delivery.querier(UP) == Some((QUERIER, true)));
        delivery.tick(|_| true, at(9_000) + QUERIER_PRESENT);
        assert_eq!(delivery.querier(UP), None);
    }

    #[test]
    fn what_a_switch_may_still_pass_on_proves_nothing() {
        let mut delivery = Delivery::default();
        delivery.queried(UP, QUERIER, at(0));
        delivery.came(UP, Some(5), at(29));
        delivery.ended(UP, 6, at(100));
        delivery.came(UP, Some(6), at(359));
        assert!(delivery.is_open(UP));
        delivery.came(UP, Some(6), at(360));
        assert!(!delivery.is_open(UP));
    }

    #[test]
    fn more_groups_that_have_ended_than_are_told_apart_put_the_proof_off_until_they_are_too_old() {
        let mut delivery = Delivery::default();
        delivery.queried(UP, QUERIER, at(0));
        (0..=1_024).for_each(|suffix| delivery.ended(UP, suffix, at(100)));
        for (suffix, second) in [(1_024, 129), (0, 359)] {
            delivery.came(UP, Some(suffix), at(second));
            assert!(delivery.is_open(UP), "{suffix} may still be passed on");
        }
        delivery.ended(UP, 2_000, at(360));
        assert_eq!(delivery.links[&UP].ended.len(), 1);
        delivery.came(UP, Some(3_000), at(370));
        assert!(!delivery.is_open(UP));
    }

    #[test]
    fn with_the_querier_goes_what_was_told_and_memory_has_its_bound() {
        let mut delivery = Delivery::default();
        hear(&mut delivery, 0..=600, 10);
        delivery.take_news();
        (0..100_000).for_each(|suffix| delivery.ended(UP, suffix, at(600)));
        assert!(delivery.links[&UP].ended.len() <= MOST_ENDED);
        assert_eq!(delivery.next_due(), Some(at(600) + QUERIER_PRESENT));
        delivery.tick(|_| true, at(600) + QUERIER_PRESENT);
        assert!(!is_told(&delivery) && delivery.take_news() && delivery.next_due().is_none());
    }
}
