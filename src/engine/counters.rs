//! What was counted: one verdict for every question.

use std::collections::BTreeMap;

use super::facts::IfIndex;
use crate::wire::DropReason;

/// All counters; they only grow, and those of an interface go with it.
#[derive(Debug, Default, Clone)]
pub struct Counters {
    by_link: BTreeMap<IfIndex, LinkCounters>,
    /// Probes sent, over all downstreams.
    pub probes: u64,
    /// Advertisements sent that nobody asked for, over all upstreams.
    pub announcements: u64,
    /// Answers to guests on their own link, over all downstreams.
    pub downstream_answers: u64,
    /// Advertisements of others, heard on an upstream, for targets of ours.
    pub conflicts: u64,
    /// How often everything had to be told again, because changes were lost.
    pub resyncs: u64,
}

/// What became of the frames of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkCounters {
    /// Questions that were answered.
    pub answered: u64,
    dropped: [u64; DropReason::COUNT],
}

impl Counters {
    /// Counts answers.
    pub(super) fn answered(&mut self, link: IfIndex, count: u64) {
        self.by_link.entry(link).or_default().answered += count;
    }

    /// Counts one frame without an answer.
    pub(super) fn dropped(&mut self, link: IfIndex, reason: DropReason) {
        self.by_link.entry(link).or_default().dropped[reason as usize] += 1;
    }

    /// The interface did not take an answer that was counted as given.
    pub(super) fn unsent(&mut self, link: IfIndex) {
        let counters = self.by_link.entry(link).or_default();
        counters.answered = counters.answered.saturating_sub(1);
        counters.dropped[DropReason::NotSent as usize] += 1;
    }

    /// The interface is gone; another may get its number.
    pub(super) fn forget(&mut self, link: IfIndex) {
        self.by_link.remove(&link);
    }

    /// How many questions were answered that came on this interface.
    pub fn answered_on(&self, link: IfIndex) -> u64 {
        self.by_link.get(&link).map_or(0, |counters| counters.answered)
    }

    /// The counters of one interface; all zero if nothing ever arrived there.
    pub fn of(&self, link: IfIndex) -> LinkCounters {
        self.by_link.get(&link).cloned().unwrap_or_default()
    }
}

impl LinkCounters {
    /// How many frames got no answer for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

impl Default for LinkCounters {
    fn default() -> Self {
        Self { answered: 0, dropped: [0; DropReason::COUNT] }
    }
}
