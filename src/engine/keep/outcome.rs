//! What becomes of the changes that a keeper has asked for.

use std::hash::Hash;
use std::time::Duration;

use super::keeper::{Found, Keeper, Keeping, Manner, Step};
use crate::engine::change::Outcome;
use crate::engine::time::Time;

/// What an outcome comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The change is made.
    Made,
    /// Another program's is in the way, which is news.
    KeptOut,
    /// The kernel refuses, which is news.
    Refused,
    /// Nothing new.
    NoNews,
}

/// What is known under a key that is not at rest.
#[derive(Debug)]
pub(super) struct Open<V> {
    pub(super) wanted: Option<V>,
    pub(super) found: Found<V>,
    pub(super) step: Option<Step<V>>,
    /// What was heard of an addition that is under way.
    pub(super) heard: Heard,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    There,
    /// It was there, and has gone again.
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// `None` where another program's is in the way.
    pub(super) said: Option<String>,
    /// How often in a row.
    times: u32,
    /// It is not tried before this, unless something happens.
    pub(super) until: Option<Time>,
}

impl<K: Ord + Hash + Copy, V: PartialEq + Clone> Keeper<K, V> {
    /// Takes an outcome to heart.
    pub fn outcome(&mut self, key: K, is_addition: bool, outcome: &Outcome, now: Time) -> Verdict {
        match self.manner {
            Manner::Confirmed => self.confirmed(key, is_addition, outcome, now),
            Manner::Assumed => self.assumed(key, outcome, now),
        }
    }

    fn confirmed(&mut self, key: K, is_addition: bool, outcome: &Outcome, now: Time) -> Verdict {
        let Some(open) = self.open.get_mut(&key) else { return Verdict::NoNews };
        let step = match &open.step {
            Some(step) if matches!(step, Step::Add(_)) == is_addition => open.step.take(),
            // Nobody has asked for this, or no more.
            _ => return Verdict::NoNews,
        };
        self.touched.insert(key);
        match (step, outcome) {
            (Some(Step::Add(value)), Outcome::Done) => {
                if open.heard != Heard::Gone {
                    open.found = Found::Ours(value);
                }
                open.refusal = None;
                Verdict::Made
            }
            (Some(Step::Remove(value)), Outcome::Done) => {
                if open.found == Found::Ours(value) {
                    open.found = Found::Nothing;
                }
                open.refusal = None;
                Verdict::Made
            }
            // Another program's, unless the word of our own is only late.
            (Some(Step::Add(_)), Outcome::Exists) if !matches!(open.found, Found::Ours(_)) => {
                let is_news = open.refusal.as_ref().is_none_or(|refusal| refusal.said.is_some());
                let until = now + KEPT_OUT;
                open.refusal = Some(Refusal { said: None, times: 1, until: Some(until) });
                self.retries.insert((until, key));
                if is_news { Verdict::KeptOut } else { Verdict::NoNews }
            }
            (_, Outcome::Failed(said)) => self.refused(key, said, now),
            _ => Verdict::NoNews,
        }
    }

    fn assumed(&mut self, key: K, outcome: &Outcome, now: Time) -> Verdict {
        match outcome {
            Outcome::Done | Outcome::Exists => {
                if let Some(open) = self.open.get_mut(&key)
                    && open.refusal.take().is_some()
                {
                    self.touched.insert(key);
                }
                Verdict::Made
            }
            // What is not wanted any more is not put back.
            Outcome::Failed(_) if self.wanted(&key).is_none() => Verdict::NoNews,
            Outcome::Failed(said) => {
                self.opened(key).found = Found::Nothing;
                self.refused(key, said, now)
            }
        }
    }

    /// Another program has removed it.
    pub fn lost(&mut self, key: K) {
        if self.wanted(&key).is_some() {
            self.opened(key).found = Found::Nothing;
            self.touched.insert(key);
        }
    }

    fn refused(&mut self, key: K, said: &str, now: Time) -> Verdict {
        let Some(open) = self.open.get_mut(&key) else { return Verdict::NoNews };
        let before = open.refusal.as_ref();
        let is_news = before.is_none_or(|refusal| refusal.said.as_deref() != Some(said));
        let times = before.map_or(0, |refusal| refusal.times);
        let until = now + FIRST_RETRY.saturating_mul(1 << times.min(MOST_DOUBLINGS));
        open.refusal = Some(Refusal { said: Some(said.to_owned()), times: times + 1, until: Some(until) });
        self.retries.insert((until, key));
        if is_news { Verdict::Refused } else { Verdict::NoNews }
    }
}

impl<V: PartialEq> Open<V> {
    pub(super) fn keeping(&self) -> Option<Keeping> {
        let wanted = self.wanted.as_ref()?;
        Some(match (&self.refusal, &self.found) {
            (_, Found::Ours(there)) if there == wanted => Keeping::Kept,
            (Some(Refusal { said: None, .. }), _) => Keeping::KeptOut,
            (Some(Refusal { said: Some(_), .. }), _) => Keeping::Refused,
            (None, _) => Keeping::Pending,
        })
    }
}

impl Refusal {
    pub(super) fn is_in_force(&self) -> bool {
        self.until.is_some()
    }
}

/// From the first refusal until it is tried again; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// 64 seconds at most.
const MOST_DOUBLINGS: u32 = 6;
/// The end of what is in the way is told by the kernel; this is for where that got lost.
const KEPT_OUT: Duration = Duration::from_secs(30);
