//! One asker: which of its targets' answers it takes, and which sources of answers were tried for it.

use core::net::Ipv6Addr;
use std::time::Duration;

use super::seen::{Cast, MOST_AGAIN, Seen, Sight, Standing, WINDOW};
use crate::engine::policy::Source;
use crate::engine::time::Time;

/// What is known of one asker.
#[derive(Debug)]
pub struct Tried {
    /// It is a router of a default route: it comes before strangers.
    pub is_gateway: bool,
    /// When it asked last.
    pub heard: Time,
    /// When it last asked again right after an answer.
    doubted: Option<Time>,
    /// The source that has helped.
    pub kept: Option<Source>,
    trial: Option<Trial>,
    /// No source has helped; the next trial does not begin before this.
    failed_until: Option<Time>,
    /// It is to be told then that answers are not taken.
    tell_at: Option<Time>,
    /// That was told, and is not over.
    is_told: bool,
    /// In sets of [`WAYS`] places; a target has its place in one set.
    seen: Vec<Option<Seen>>,
}

/// The sources are being tried.
#[derive(Debug)]
struct Trial {
    /// The target that it is decided by.
    lead: Ipv6Addr,
    /// The present one.
    source: Source,
    /// Those that have not helped.
    failed: Vec<Source>,
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This source helps, and others did not.
    Found(Source),
    /// It is to be told that answers are not taken.
    NotTaken,
    /// All answers are taken again.
    Over,
}

/// Whether an asker gets what all others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// It does.
    None,
    /// It has answers from this source.
    Kept(Source),
    /// Every question of it is to be seen.
    Watched,
}

/// How the answers of an asker stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taking {
    /// How many targets are taken.
    pub taken: usize,
    /// Those that are not.
    pub refused: Vec<Ipv6Addr>,
}

impl Tried {
    /// Nothing is known of it yet, but that this source is kept for it. `room` is that of another, used again.
    pub fn new(is_gateway: bool, kept: Option<Source>, mut room: Vec<Option<Seen>>, now: Time) -> Self {
        room.clear();
        room.resize(SETS as usize * WAYS, None);
        Self {
            is_gateway,
            heard: now,
            doubted: None,
            kept,
            trial: None,
            failed_until: None,
            tell_at: None,
            is_told: false,
            seen: room,
        }
    }

    /// Its room, to be used again.
    pub fn into_room(self) -> Vec<Option<Seen>> {
        self.seen
    }

    /// Whether another may take its place: it has not been heard for long, or there is nothing to be said of it.
    pub fn gives_way(&self, now: Time) -> bool {
        let is_doubted = self.doubted.is_some_and(|doubted| now.since(doubted) <= DOUBT);
        let is_busy = self.trial.is_some() || self.is_told || self.tell_at.is_some() || is_doubted;
        let since = now.since(self.heard);
        if is_busy { since > FORGOTTEN } else { since > WINDOW }
    }

    /// The source of an answer for this target, which has this hash.
    pub fn source_for(&self, target: Ipv6Addr, hash: u64) -> Source {
        let base = self.kept.unwrap_or(Source::Scope);
        let Some(trial) = &self.trial else { return base };
        let is_tried = || self.find(target, hash).is_some_and(|seen| seen.again == MOST_AGAIN);
        if trial.lead == target || is_tried() { trial.source } else { base }
    }

    /// It asks for the target. `ways` are the sources that there are for it, each with another address.
    pub fn ask(
        &mut self,
        target: Ipv6Addr,
        (cast, sight): (Cast, Sight),
        hash: u64,
        ways: impl FnOnce() -> Vec<Source>,
        now: Time,
    ) -> Option<Outcome> {
        self.heard = now;
        let place = self.place_of(target, hash)?;
        let seen = self.seen[place].as_mut()?;
        let was = (seen.standing, seen.again);
        let is_again = seen.ask(cast, sight, now);
        if is_again {
            self.doubted = Some(now);
        }
        if seen.again == MOST_AGAIN && seen.shows() {
            self.refuse(place, ways, now);
            return None;
        }
        if is_again {
            return None;
        }
        let is_taken = seen.standing == Standing::Taken && seen.again == 0 && was != (Standing::Taken, 0);
        if is_taken { self.took(target) } else { None }
    }

    /// It is answered for the target; if for the first time, after a question at this place of its row. When its silence
    /// is to be looked at, if that matters.
    pub fn answer(&mut self, target: Ipv6Addr, question: u8, hash: u64, now: Time) -> Option<Time> {
        let Some(place) = self.place_of(target, hash) else {
            let place = self.free_place(hash, now)?;
            self.seen[place] = Some(Seen::new(target, question, now));
            return None;
        };
        let seen = self.seen[place].as_mut()?;
        seen.answer(now);
        let is_lead = self.trial.as_ref().is_some_and(|trial| trial.lead == target);
        let matters = is_lead || seen.standing == Standing::Refused;
        seen.due().filter(|_| matters)
    }

    /// The same station asks for the target from another of its addresses.
    pub fn ask_elsewhere(&mut self, target: Ipv6Addr, hash: u64, now: Time) {
        if let Some(seen) = self.place_of(target, hash).and_then(|place| self.seen[place].as_mut()) {
            seen.ask_elsewhere(now);
        }
    }

    /// Whether it has asked again right after an answer at this moment. Once sources are being tried the target says nothing
    /// of its own accord, so that it is known what the asker has learned it from.
    pub fn doubts(&self, now: Time) -> bool {
        self.doubted == Some(now) && self.trial.is_none()
    }

    /// Answers for the target did not arrive, for a reason that is over.
    pub fn forgive(&mut self, target: Ipv6Addr, hash: u64) {
        if let Some(seen) = self.place_of(target, hash).and_then(|place| self.seen[place].as_mut()) {
            (seen.standing, seen.again) = (Standing::Unknown, 0);
        }
        self.trial.take_if(|trial| trial.lead == target);
    }

    /// The target is told to routers in another way.
    pub fn tell(&mut self, target: Ipv6Addr, hash: u64, now: Time) {
        if let Some(seen) = self.place_of(target, hash).and_then(|place| self.seen[place].as_mut()) {
            seen.tell(now);
        }
    }

    /// An answer for the target was not sent.
    pub fn unsend(&mut self, target: Ipv6Addr, hash: u64) {
        if let Some(seen) = self.place_of(target, hash).and_then(|place| self.seen[place].as_mut()) {
            seen.answered = None;
        }
    }

    /// What silence says by now, and what is to be told. When to look again.
    pub fn tick(&mut self, now: Time) -> (Vec<Outcome>, Option<Time>) {
        let mut outcomes = Vec::new();
        let lead = self.trial.as_ref().map(|trial| trial.lead);
        for place in 0..self.seen.len() {
            let Some(seen) = self.seen[place].as_mut() else { continue };
            if seen.standing == Standing::Refused && now.since(seen.asked) > FORGOTTEN {
                self.seen[place] = None;
                continue;
            }
            let matters = seen.standing == Standing::Refused || lead == Some(seen.target);
            let target = seen.target;
            if matters && seen.settle(now) {
                outcomes.extend(self.took(target));
            }
        }
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            self.is_told = true;
            outcomes.push(Outcome::NotTaken);
        }
        outcomes.extend(self.end_complaint());
        (outcomes, self.next_due(now))
    }

    /// How its answers stand.
    pub fn taking(&self, now: Time) -> Taking {
        let mut taking = Taking::default();
        for seen in self.seen.iter().flatten() {
            let mut settled = *seen;
            settled.settle(now);
            match settled.standing {
                Standing::Refused => taking.refused.push(settled.target),
                Standing::Unknown if settled.again == MOST_AGAIN => taking.refused.push(settled.target),
                Standing::Unknown => {}
                Standing::Taken => taking.taken += 1,
            }
        }
        taking.refused.sort_unstable();
        taking
    }

    /// When it is to be told that answers are not taken.
    pub fn tell_due(&self) -> Option<Time> {
        self.tell_at
    }

    /// What is said of it to those that answer for us.
    pub fn exception(&self) -> Exception {
        match self.kept {
            _ if self.is_watched() => Exception::Watched,
            Some(source) => Exception::Kept(source),
            None => Exception::None,
        }
    }

    /// Whether every question of it is to be seen: a source is looked for, or its answers are not taken.
    pub fn is_watched(&self) -> bool {
        self.trial.is_some() || self.tell_at.is_some() || self.is_told
    }

    /// Whether there is something to say of it.
    pub fn is_notable(&self) -> bool {
        self.kept.is_some() || self.is_watched()
    }

    /// Whether sources are being tried.
    pub fn is_tried(&self) -> bool {
        self.trial.is_some()
    }

    /// The answers for the target at this place are not taken.
    fn refuse(&mut self, place: usize, ways: impl FnOnce() -> Vec<Source>, now: Time) {
        let Some(target) = self.seen[place].as_ref().map(|seen| seen.target) else { return };
        let base = self.kept.unwrap_or(Source::Scope);
        let (lead, failed) = match self.trial.take() {
            None if self.failed_until.is_some_and(|until| until > now) => return self.fail(now),
            None => (target, vec![base]),
            Some(Trial { lead, source, mut failed }) if lead == target => {
                failed.push(source);
                (target, failed)
            }
            // Its guest may have gone, or nobody sends to it any more.
            Some(trial) if self.is_abandoned(trial.lead, now) => {
                let (source, failed) = (trial.source, trial.failed);
                self.trial = Some(Trial { lead: target, source, failed });
                return self.begin_again(place);
            }
            Some(trial) => return self.trial = Some(trial),
        };
        match ways().into_iter().find(|way| !failed.contains(way)) {
            Some(source) => {
                self.trial = Some(Trial { lead, source, failed });
                self.begin_again(place);
            }
            None => {
                self.failed_until = Some(now + NEXT_TRIAL);
                self.fail(now);
            }
        }
    }

    /// The count begins again, with another source.
    fn begin_again(&mut self, place: usize) {
        if let Some(seen) = &mut self.seen[place] {
            seen.again = 0;
        }
    }

    /// Whatever is not taken by now is not.
    fn fail(&mut self, now: Time) {
        for seen in self.seen.iter_mut().flatten().filter(|seen| seen.again == MOST_AGAIN) {
            seen.standing = Standing::Refused;
        }
        if !self.is_told {
            // Others are about to come to the same.
            self.tell_at.get_or_insert(now + COLLECTING);
        }
    }

    /// It takes the answers for this target.
    fn took(&mut self, target: Ipv6Addr) -> Option<Outcome> {
        let trial = self.trial.take_if(|trial| trial.lead == target);
        if let Some(Trial { source, .. }) = trial {
            self.kept = Some(source).filter(|source| *source != Source::Scope);
            self.failed_until = None;
            // What was not taken from another source may be from this one.
            for seen in self.seen.iter_mut().flatten() {
                if seen.standing == Standing::Refused || seen.again == MOST_AGAIN {
                    (seen.standing, seen.again) = (Standing::Unknown, 0);
                }
            }
            (self.tell_at, self.is_told) = (None, false);
            return Some(Outcome::Found(source));
        }
        self.end_complaint()
    }

    fn end_complaint(&mut self) -> Option<Outcome> {
        let has_refused = self.seen.iter().flatten().any(|seen| seen.standing == Standing::Refused);
        if has_refused || !self.is_told && self.tell_at.is_none() {
            return None;
        }
        (self.tell_at, self.failed_until) = (None, None);
        std::mem::take(&mut self.is_told).then_some(Outcome::Over)
    }

    fn next_due(&self, now: Time) -> Option<Time> {
        let lead = self.trial.as_ref().map(|trial| trial.lead);
        let due = self.seen.iter().flatten().filter_map(|seen| {
            let is_refused = seen.standing == Standing::Refused;
            let silence = seen.due().filter(|_| is_refused || lead == Some(seen.target));
            let forgotten = is_refused.then(|| (seen.asked + FORGOTTEN).next());
            silence.into_iter().chain(forgotten).filter(|due| *due > now).min()
        });
        due.chain(self.tell_at).min()
    }

    fn is_abandoned(&self, target: Ipv6Addr, now: Time) -> bool {
        let mut seen = self.seen.iter().flatten();
        seen.find(|seen| seen.target == target).is_none_or(|seen| now.since(seen.asked) > ABANDONED)
    }

    fn find(&self, target: Ipv6Addr, hash: u64) -> Option<&Seen> {
        self.place_of(target, hash).and_then(|place| self.seen[place].as_ref())
    }

    fn place_of(&self, target: Ipv6Addr, hash: u64) -> Option<usize> {
        let is_its = |place: &usize| self.seen[*place].is_some_and(|seen| seen.target == target);
        set_of(hash).find(is_its)
    }

    /// A place in its set that is free, or has one of which nothing is to be said, the oldest.
    fn free_place(&self, hash: u64, now: Time) -> Option<usize> {
        let age = |place: &usize| match &self.seen[*place] {
            None => Some(Duration::MAX),
            Some(seen) => {
                let is_plain = seen.again == 0 && seen.standing != Standing::Refused;
                let is_lead = self.trial.as_ref().is_some_and(|trial| trial.lead == seen.target);
                Some(now.since(seen.asked)).filter(|age| is_plain && !is_lead && *age > WINDOW)
            }
        };
        let free = set_of(hash).filter_map(|place| Some((age(&place)?, place)));
        free.max_by_key(|(age, _)| *age).map(|(_, place)| place)
    }
}

fn set_of(hash: u64) -> std::ops::Range<usize> {
    let set = usize::try_from(hash % SETS).unwrap_or(0) * WAYS;
    set..set + WAYS
}

/// Sets of places, so that one look finds a target.
const SETS: u64 = 16;
/// Places in a set.
const WAYS: usize = 4;
/// An asker of which nothing is heard so long makes room, and so does a target that is not taken.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// One that has asked again keeps its place so long.
const DOUBT: Duration = Duration::from_secs(60);
/// A trial goes on with another target if its own is not asked for so long.
const ABANDONED: Duration = Duration::from_secs(10);
/// Until the sources are tried once more, where none has helped.
const NEXT_TRIAL: Duration = Duration::from_secs(600);
/// From the first target that is not taken until that is told.
const COLLECTING: Duration = Duration::from_secs(5);
