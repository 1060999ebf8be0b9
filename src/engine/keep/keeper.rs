//! One kind of thing that the kernel holds for us: what is wanted, what is there, what is under way, what was
//! refused, and when it is tried again.
//!
//! At any time at most one change of a thing is under way. What is at rest (wanted, and there) costs a key and
//! a value; only what is not at rest has more.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::ops::RangeBounds;

use super::outcome::{Heard, Open};
use super::rest::Rest;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// Keeps things in the kernel, by key.
#[derive(Debug)]
pub struct Keeper<K, V> {
    pub(super) manner: Manner,
    pub(super) at_rest: Rest<K, V>,
    pub(super) open: BTreeMap<K, Open<V>>,
    /// Something happened to these since the last look.
    pub(super) touched: BTreeSet<K>,
    pub(super) retries: BTreeSet<(Time, K)>,
}

/// How changes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The kernel confirms each, and one thing makes way for another: routes, addresses.
    Confirmed,
    /// Each counts as done unless it is said to have failed, and one thing is changed into another in its place:
    /// ears, groups, the nftables table.
    Assumed,
}

/// What the kernel is known to have under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<V> {
    /// Nothing.
    Nothing,
    /// One of ours.
    Ours(V),
    /// What is another program's, and is left alone.
    Other,
}

/// A change to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<V> {
    /// Put this there.
    Add(V),
    /// Remove this.
    Remove(V),
}

/// What became of something that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Asked for, or to be asked for.
    Pending,
    /// There.
    Kept,
    /// What is another program's keeps it out.
    KeptOut,
    /// The kernel refused it.
    Refused,
}

impl<K: Ord + Hash + Copy, V: PartialEq + Clone> Keeper<K, V> {
    /// Nothing is wanted yet, and nothing there.
    pub fn new(manner: Manner, seed: Seed) -> Self {
        Self {
            manner,
            at_rest: Rest::new(seed),
            open: BTreeMap::new(),
            touched: BTreeSet::new(),
            retries: BTreeSet::new(),
        }
    }

    /// From here on this is wanted; or nothing.
    pub fn want(&mut self, key: K, value: Option<V>) {
        if self.wanted(&key) != value.as_ref() {
            let open = self.opened(key);
            open.wanted = value;
            open.refusal = None;
            self.touched.insert(key);
        }
    }

    /// Nothing is wanted any more of what is not at rest.
    pub fn want_nothing_open(&mut self) {
        for key in self.open.keys().copied().collect::<Vec<_>>() {
            self.want(key, None);
        }
    }

    /// As many that are at rest are not wanted any more. How many they were.
    pub fn want_less(&mut self, most: usize) -> usize {
        let keys: Vec<_> = self.at_rest.keys().copied().take(most).collect();
        keys.iter().for_each(|key| self.want(*key, None));
        keys.len()
    }

    /// The kernel says what it has there.
    pub fn found(&mut self, key: K, found: Found<V>) {
        let is_known = match (self.at_rest.get(&key), self.open.get(&key), &found) {
            (Some(there), _, Found::Ours(value)) => there == value,
            (None, Some(open), found) => open.found == *found && open.heard == Heard::Nothing,
            (None, None, Found::Nothing | Found::Other) => true,
            _ => false,
        };
        if is_known {
            return;
        }
        let open = self.opened(key);
        if let Some(Step::Add(added)) = &open.step {
            let is_there = matches!(&found, Found::Ours(value) if value == added);
            open.heard = match open.heard {
                _ if is_there => Heard::There,
                Heard::There | Heard::Gone => Heard::Gone,
                Heard::Nothing => Heard::Nothing,
            };
        }
        if open.found != found {
            open.found = found;
            open.refusal = None;
        }
        self.touched.insert(key);
    }

    /// What is wanted there.
    pub fn wanted(&self, key: &K) -> Option<&V> {
        match self.open.get(key) {
            Some(open) => open.wanted.as_ref(),
            None => self.at_rest.get(key),
        }
    }

    /// Whether the kernel has one of ours there, as far as is known.
    pub fn has_ours(&self, key: &K) -> bool {
        match self.open.get(key) {
            Some(open) => matches!(open.found, Found::Ours(_)),
            None => self.at_rest.contains(key),
        }
    }

    /// Whether something is wanted there, was there or is under way.
    pub fn knows(&self, key: &K) -> bool {
        self.at_rest.contains(key) || self.open.contains_key(key)
    }

    /// Whether the kernel has exactly this there, as far as is known.
    pub fn has(&self, key: &K, value: &V) -> bool {
        match self.open.get(key) {
            Some(open) => matches!(&open.found, Found::Ours(there) if there == value),
            None => self.at_rest.get(key) == Some(value),
        }
    }

    /// What the kernel has of ours there, as far as is known.
    pub fn found_at(&self, key: &K) -> Option<&V> {
        match self.open.get(key).map(|open| &open.found) {
            Some(Found::Ours(there)) => Some(there),
            Some(Found::Nothing | Found::Other) => None,
            None => self.at_rest.get(key),
        }
    }

    /// What the kernel has of ours, as far as is known.
    pub fn found_ours(&self) -> impl Iterator<Item = (&K, &V)> {
        let open = self.open.iter().filter_map(|(key, open)| match &open.found {
            Found::Ours(there) => Some((key, there)),
            Found::Nothing | Found::Other => None,
        });
        self.at_rest.iter().chain(open)
    }

    /// How much that is.
    pub fn count_ours(&self) -> usize {
        let open = self.open.values().filter(|open| matches!(open.found, Found::Ours(_))).count();
        self.at_rest.len() + open
    }

    /// What is on its way in.
    pub fn adding(&self) -> impl Iterator<Item = (&K, &V)> {
        self.open.iter().filter_map(|(key, open)| match &open.step {
            Some(Step::Add(value)) => Some((key, value)),
            _ => None,
        })
    }

    /// What is not at rest, and is wanted and there.
    pub fn open_and_there(&self) -> impl Iterator<Item = (&K, &V)> {
        self.open.iter().filter_map(|(key, open)| match &open.found {
            Found::Ours(_) => Some((key, open.wanted.as_ref()?)),
            Found::Nothing | Found::Other => None,
        })
    }

    /// Nothing is wanted there any more, and nothing known. What was there of ours.
    pub fn forget(&mut self, key: &K) -> Option<V> {
        self.touched.remove(key);
        match self.open.remove(key).map(|open| open.found) {
            Some(Found::Ours(there)) => Some(there),
            Some(Found::Nothing | Found::Other) => None,
            None => self.at_rest.remove(key),
        }
    }

    /// As many that are at rest, of which nothing is known any more.
    pub fn take_at_rest(&mut self, most: usize) -> Vec<(K, V)> {
        let keys: Vec<_> = self.at_rest.keys().copied().take(most).collect();
        keys.into_iter().filter_map(|key| Some((key, self.at_rest.remove(&key)?))).collect()
    }

    /// The keys of this range of which something is not at rest.
    pub fn open_in(&self, keys: impl RangeBounds<K>) -> impl Iterator<Item = &K> {
        self.open.range(keys).map(|(key, _)| key)
    }

    /// Every key of which something is known or wanted.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.at_rest.keys().chain(self.open.keys())
    }

    /// What became of what is wanted there.
    pub fn keeping(&self, key: &K) -> Option<Keeping> {
        match self.open.get(key) {
            Some(open) => open.keeping(),
            None => self.at_rest.get(key).map(|_| Keeping::Kept),
        }
    }

    /// True if this is wanted there and the kernel has not said yet whether it has it. Where everything is at
    /// rest that costs nothing.
    pub fn is_pending(&self, key: &K, value: &V) -> bool {
        !self.open.is_empty()
            && self.open.get(key).is_some_and(|open| {
                open.wanted.as_ref() == Some(value) && open.keeping() == Some(Keeping::Pending)
            })
    }

    /// Everything that is wanted, and what became of it.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V, Keeping)> {
        let at_rest = self.at_rest.iter().map(|(key, value)| (key, value, Keeping::Kept));
        at_rest.chain(
            self.open.iter().filter_map(|(key, open)| Some((key, open.wanted.as_ref()?, open.keeping()?))),
        )
    }

    /// How much of what is wanted is kept like this.
    pub fn count(&self, is_meant: impl Fn(Keeping) -> bool) -> usize {
        let open = self.open.values().filter_map(Open::keeping).filter(|keeping| is_meant(*keeping)).count();
        open + if is_meant(Keeping::Kept) { self.at_rest.len() } else { 0 }
    }

    /// Something happened there: it is looked at again, and what was refused is tried again.
    pub fn touch(&mut self, key: K) {
        if let Some(open) = self.open.get_mut(&key) {
            open.refusal = None;
            self.touched.insert(key);
        }
    }

    /// What the kernel refused may work now.
    pub fn retry_refused(&mut self) {
        for (key, open) in &mut self.open {
            if let Some(refusal) = &mut open.refusal
                && refusal.said.is_some()
                && refusal.until.take().is_some()
            {
                self.touched.insert(*key);
            }
        }
    }

    /// What a route of another program keeps out is tried again: that may have gone without a message.
    pub fn retry_kept_out(&mut self) {
        for (key, open) in &mut self.open {
            if open.refusal.as_ref().is_some_and(|refusal| refusal.said.is_none()) {
                open.refusal = None;
                self.touched.insert(*key);
            }
        }
    }

    /// When something is tried again.
    pub fn next_due(&self) -> Option<Time> {
        self.retries.first().map(|(due, _)| *due)
    }

    /// Tries again what is due by now.
    pub fn tick(&mut self, now: Time) {
        while let Some((_, key)) = self.retries.first().copied().filter(|(due, _)| *due <= now) {
            self.retries.pop_first();
            if let Some(open) = self.open.get_mut(&key)
                && let Some(refusal) = &mut open.refusal
                && refusal.until.is_some_and(|until| until <= now)
            {
                refusal.until = None;
                self.touched.insert(key);
            }
        }
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.touched.is_empty()
    }

    /// The changes that lead from what there is to what is wanted, where something happened.
    pub fn steps(&mut self) -> Vec<(K, Step<V>)> {
        let mut steps = Vec::new();
        while let Some(key) = self.touched.pop_first() {
            steps.extend(self.step_at(key).map(|step| (key, step)));
        }
        steps
    }

    fn step_at(&mut self, key: K) -> Option<Step<V>> {
        let open = self.open.get_mut(&key)?;
        let is_there = matches!(&open.found, Found::Ours(there) if open.wanted.as_ref() == Some(there));
        let is_refused = !is_there && open.refusal.as_ref().is_some_and(|refusal| refusal.is_in_force());
        if open.step.is_some() || is_refused {
            return None;
        }
        let step = match (&open.wanted, &open.found) {
            (Some(wanted), Found::Ours(there)) if wanted == there => {
                let wanted = wanted.clone();
                self.open.remove(&key);
                self.at_rest.insert(key, wanted);
                return None;
            }
            (None, Found::Nothing | Found::Other) => {
                self.open.remove(&key);
                return None;
            }
            (Some(wanted), Found::Ours(_)) if self.manner == Manner::Assumed => Step::Add(wanted.clone()),
            (_, Found::Ours(there)) => Step::Remove(there.clone()),
            (Some(wanted), Found::Nothing | Found::Other) => Step::Add(wanted.clone()),
        };
        match self.manner {
            Manner::Confirmed => {
                open.heard = Heard::Nothing;
                open.step = Some(step.clone());
            }
            Manner::Assumed => {
                let is_retried = open.refusal.is_some();
                open.found = match &step {
                    Step::Add(value) => Found::Ours(value.clone()),
                    Step::Remove(_) => Found::Nothing,
                };
                // What was refused before stays open until it is said to be done.
                if !is_retried {
                    self.touched.insert(key);
                }
            }
        }
        Some(step)
    }

    /// What is known there, as something that is not at rest.
    pub(super) fn opened(&mut self, key: K) -> &mut Open<V> {
        let at_rest = self.at_rest.remove(&key);
        self.open.entry(key).or_insert_with(|| Open {
            found: at_rest.clone().map_or(Found::Nothing, Found::Ours),
            wanted: at_rest,
            step: None,
            heard: Heard::Nothing,
            refusal: None,
        })
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
