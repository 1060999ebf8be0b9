//! The ranges that programs in the kernel answer for as a whole, and what of them each passes on.
//!
//! A program is told all of it at once, and again when that is another or its time runs out. There are few of them.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use crate::engine::change::Outcome;
use crate::engine::effect::{MirroredRanges, Output};
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;

/// What each program was told, or is to be.
#[derive(Debug, Default)]
pub struct Ranges {
    told: BTreeMap<IfIndex, Told>,
    /// Something may have happened to any of them.
    is_touched: bool,
}

#[derive(Debug)]
struct Told {
    ranges: MirroredRanges,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ToBeTold,
    Told,
    /// The kernel has no room for it: the program passes all of it on.
    Refused,
}

impl Ranges {
    /// Something may have happened to any of them.
    pub fn touch(&mut self) {
        self.is_touched = true;
    }

    /// Whether all are to be looked at. Once.
    pub fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.is_touched)
    }

    /// Whether any program answers for a range.
    pub fn are_any(&self) -> bool {
        self.told.values().any(|told| !told.ranges.answered.is_empty())
    }

    /// There is no such program any more, or it knows nothing.
    pub fn end(&mut self, link: IfIndex) {
        self.told.remove(&link);
    }

    /// The program of this upstream is to answer for these, and until then. If it was told the same, and not to end before
    /// `soon`, nothing is told.
    pub fn want(&mut self, link: IfIndex, wanted: MirroredRanges, soon: Time) {
        if let Some(told) = self.told.get(&link)
            && (&told.ranges.answered, &told.ranges.passed_on) == (&wanted.answered, &wanted.passed_on)
            && told.ranges.until >= soon
        {
            return;
        }
        self.told.insert(link, Told { ranges: wanted, state: State::ToBeTold });
    }

    /// What became of it.
    pub fn changed(&mut self, link: IfIndex, outcome: &Outcome) {
        if let (Some(told), Outcome::Failed(_)) = (self.told.get_mut(&link), outcome) {
            told.state = State::Refused;
        }
    }

    /// The upstream whose program answers for this target because it does for all of its range.
    pub fn answers_on(&self, target: Ipv6Addr) -> Option<IfIndex> {
        let mut all = self.told.iter();
        all.find(|(_, told)| told.state == State::Told && told.ranges.answers(target)).map(|(link, _)| *link)
    }

    /// For how many ranges the program of this upstream answers.
    pub fn count_on(&self, link: IfIndex) -> usize {
        let told = self.told.get(&link).filter(|told| told.state == State::Told);
        told.map_or(0, |told| told.ranges.answered.len())
    }

    /// True if nothing is to be told.
    pub fn is_quiet(&self) -> bool {
        self.told.values().all(|told| told.state != State::ToBeTold)
    }

    /// What is to be told.
    pub fn changes(&mut self) -> impl Iterator<Item = Output> {
        self.told.iter_mut().filter(|(_, told)| told.state == State::ToBeTold).map(|(link, told)| {
            told.state = State::Told;
            Output::MirrorRanges(*link, told.ranges.clone())
        })
    }
}

impl MirroredRanges {
    /// Whether the longest prefix that holds the target is one that is answered for.
    fn answers(&self, target: Ipv6Addr) -> bool {
        let longest = |prefixes: &BTreeSet<Ipv6Net>| {
            let holding = prefixes.iter().filter(|prefix| prefix.contains(&target));
            holding.map(|prefix| prefix.prefix_len() + 1).max().unwrap_or(0)
        };
        longest(&self.answered) > longest(&self.passed_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LINK: IfIndex = IfIndex(2);

    fn nets(texts: &[&str]) -> BTreeSet<Ipv6Net> {
        texts.iter().map(|text| text.parse().expect("a prefix")).collect()
    }

    fn wanted(answered: &[&str], passed_on: &[&str], until: u64) -> MirroredRanges {
        let until = Time::at(Duration::from_secs(until));
        MirroredRanges { answered: nets(answered), passed_on: nets(passed_on), until }
    }

    #[test]
    fn tells_what_is_new_and_what_runs_out() {
        let mut ranges = Ranges::default();
        let at = |seconds| Time::at(Duration::from_secs(seconds));
        ranges.want(LINK, wanted(&["2001:db8::/64"], &[], 300), at(200));
        assert_eq!((ranges.changes().count(), ranges.is_quiet()), (1, true));
        ranges.want(LINK, wanted(&["2001:db8::/64"], &[], 310), at(210));
        assert_eq!(ranges.changes().count(), 0);
        ranges.want(LINK, wanted(&["2001:db8::/64"], &[], 410), at(310));
        assert_eq!(ranges.changes().count(), 1);
        ranges.want(LINK, wanted(&["2001:db8::/64"], &["2001:db8::5/128"], 410), at(310));
        assert_eq!(ranges.changes().count(), 1);
        ranges.end(LINK);
        ranges.want(LINK, wanted(&[], &[], 410), at(310));
        assert_eq!(ranges.changes().count(), 1, "what another left there is taken away");
    }

    #[test]
    fn the_longest_prefix_says_whether_the_program_answers() {
        let mut ranges = Ranges::default();
        let all = ["2001:db8::/64", "2001:db8:0:0:a::/80"];
        ranges.want(LINK, wanted(&all, &["2001:db8::/72", "2001:db8::a:0:0:5/128"], 300), Time::default());
        let answers = |ranges: &Ranges, text: &str| ranges.answers_on(text.parse().expect("an address"));
        assert_eq!(answers(&ranges, "2001:db8::a:0:0:1"), None, "it was not told yet");
        assert_eq!(ranges.changes().count(), 1);
        assert_eq!(answers(&ranges, "2001:db8::a:0:0:1"), Some(LINK));
        assert_eq!(answers(&ranges, "2001:db8::a:0:0:5"), None);
        assert_eq!(answers(&ranges, "2001:db8::9"), None);
        assert_eq!(answers(&ranges, "2001:db8::100:0:0:9"), Some(LINK));
        assert_eq!(answers(&ranges, "2001:db8:1::9"), None);
        ranges.changed(LINK, &Outcome::Failed("full".to_owned()));
        assert_eq!(answers(&ranges, "2001:db8::a:0:0:1"), None);
    }
}
