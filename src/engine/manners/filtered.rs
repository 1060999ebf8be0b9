//! Whether the provider's router answers questions from link-local addresses (`gateway-source = "auto"`).
//!
//! When it forwards, the kernel asks for its router from its link-local address. Some providers drop that: the host's
//! own packets leave, because for these it asks from their source, and the guests' do not. So where the kernel gives its
//! entry up again and again, the router is asked twice at the same moment, from a link-local and from a global address. Two
//! such rounds in which only the second is answered prove a filter. A router that is down answers neither, and is asked
//! ever less often; one that answers the first needs nothing.
//!
//! While it is proved the entry is kept by [`super::routers`]. From time to time the link-local question is asked again,
//! and its answer ends that.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::time::Duration;

use super::routers::{RETRANS_TIMER, solicitation};
use crate::engine::facts::{IfIndex, NeighborState};
use crate::engine::time::Time;
use crate::wire::{Advertisement, Mac, Solicitation};

/// The routers that are watched.
#[derive(Debug, Default)]
pub struct Filtered {
    known: BTreeMap<(IfIndex, Ipv6Addr), Watched>,
}

/// A router that is watched.
#[derive(Debug, Clone, Copy)]
struct Watched {
    /// Our own link-layer address, which it is to answer to.
    station: Mac,
    /// When the kernel last gave its entry up.
    failed: Option<Time>,
    stage: Stage,
    /// It is not asked before this, and how long the next pause is.
    not_before: Time,
    pause: Duration,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The kernel keeps its entry.
    Quiet,
    /// It is asked from both addresses.
    Asked(Round),
    /// It does not answer link-local questions. It is asked one again at that moment.
    Proved(Time),
}

/// One question from each address, and what came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Round {
    number: u8,
    due: Time,
    hears_link_local: bool,
    hears_global: bool,
    /// How many rounds before it were answered to the global address alone.
    proofs: u8,
}

/// The addresses that an upstream asks from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    pub link_local: Ipv6Addr,
    pub global: Ipv6Addr,
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The router does not answer link-local questions, and does answer others.
    Proved(IfIndex, Ipv6Addr),
    /// It answers link-local questions again.
    Over(IfIndex, Ipv6Addr),
}

impl Filtered {
    /// These routers are watched, each with our link-layer address on its upstream, and no others.
    pub fn watch(&mut self, wanted: &BTreeMap<(IfIndex, Ipv6Addr), Mac>, now: Time) {
        let before = std::mem::take(&mut self.known);
        for (key, station) in wanted {
            let new = Watched {
                station: *station,
                failed: None,
                stage: Stage::Quiet,
                not_before: now,
                pause: SHORTEST_PAUSE,
            };
            let known = before.get(key).copied().unwrap_or(new);
            self.known.insert(*key, Watched { station: *station, ..known });
        }
    }

    /// Whether the router is proved not to answer link-local questions.
    pub fn is_proved(&self, link: IfIndex, router: Ipv6Addr) -> bool {
        self.known.get(&(link, router)).is_some_and(|known| matches!(known.stage, Stage::Proved(_)))
    }

    /// When one of them is to be asked.
    pub fn next_due(&self) -> Option<Time> {
        self.known.values().filter_map(Watched::due).min()
    }

    /// The kernel's neighbor table says something of a neighbor, which may be a router.
    pub fn entry(&mut self, link: IfIndex, address: Ipv6Addr, state: NeighborState, now: Time) {
        let Some(known) = self.known.get_mut(&(link, address)) else { return };
        if state != NeighborState::Failed {
            return;
        }
        // The host's own packets bring the entry back in between, so that one which is good says nothing.
        let is_again = known.failed.replace(now).is_some_and(|before| now.since(before) <= AGAIN);
        if is_again && known.stage == Stage::Quiet && known.not_before <= now {
            known.stage = Stage::Asked(Round { due: now, ..Round::default() });
        }
    }

    /// An advertisement on the upstream: it may be the answer of a router to one of our addresses, or the kernel's.
    pub fn heard(
        &mut self,
        link: IfIndex,
        own: Own,
        advertisement: &Advertisement,
        now: Time,
    ) -> Option<Verdict> {
        let &Advertisement { target, destination, flags, .. } = advertisement;
        let known = self.known.get_mut(&(link, target))?;
        let mac = advertisement.owner_mac();
        if !flags.solicited || !mac.is_station() || mac == known.station {
            return None;
        }
        let is_link_local = destination == own.link_local;
        match &mut known.stage {
            Stage::Quiet if is_link_local => known.failed = None,
            Stage::Asked(round) => {
                round.hears_link_local |= is_link_local;
                round.hears_global |= destination == own.global;
            }
            Stage::Proved(_) if is_link_local => {
                known.rest(SHORTEST_PAUSE, now);
                return Some(Verdict::Over(link, target));
            }
            Stage::Quiet | Stage::Proved(_) => {}
        }
        None
    }

    /// The questions to those whose time has come, and what has come of those before. `own` has the addresses of an
    /// upstream, if it has both.
    pub fn tick(
        &mut self,
        own: impl Fn(IfIndex) -> Option<Own>,
        now: Time,
    ) -> (Vec<(IfIndex, Solicitation)>, Vec<Verdict>) {
        let (mut questions, mut verdicts) = (Vec::new(), Vec::new());
        for (&(link, router), known) in &mut self.known {
            if known.due().is_none_or(|due| due > now) {
                continue;
            }
            let Some(own) = own(link) else {
                known.rest(known.pause, now);
                continue;
            };
            let question = |source| (link, solicitation(known.station, source, router, None));
            match known.stage {
                Stage::Quiet => {}
                Stage::Asked(round) => match round.outcome() {
                    Outcome::Next(next) => {
                        questions.extend([question(own.link_local), question(own.global)]);
                        known.stage = Stage::Asked(Round { due: now + RETRANS_TIMER, ..next });
                    }
                    Outcome::Proved => {
                        known.pause = SHORTEST_PAUSE;
                        known.stage = Stage::Proved(now + known.pause);
                        verdicts.push(Verdict::Proved(link, router));
                    }
                    Outcome::Answers => known.rest(SHORTEST_PAUSE, now),
                    Outcome::Silent => known.rest(known.longer(), now),
                },
                Stage::Proved(_) => {
                    questions.push(question(own.link_local));
                    known.pause = known.longer();
                    known.stage = Stage::Proved(now + known.pause);
                }
            }
        }
        (questions, verdicts)
    }
}

impl Watched {
    fn due(&self) -> Option<Time> {
        match self.stage {
            Stage::Quiet => None,
            Stage::Asked(round) => Some(round.due),
            Stage::Proved(due) => Some(due),
        }
    }

    /// It is left to the kernel, and not asked for so long.
    fn rest(&mut self, pause: Duration, now: Time) {
        (self.stage, self.failed) = (Stage::Quiet, None);
        (self.not_before, self.pause) = (now + pause, pause);
    }

    fn longer(&self) -> Duration {
        (self.pause * 2).min(LONGEST_PAUSE)
    }
}

/// What a round comes to.
enum Outcome {
    /// The next one.
    Next(Round),
    /// There is a filter.
    Proved,
    /// There is none.
    Answers,
    /// The router is down, or nothing is known.
    Silent,
}

impl Round {
    fn outcome(self) -> Outcome {
        if self.hears_link_local {
            return Outcome::Answers;
        }
        let proofs = self.proofs + u8::from(self.hears_global);
        match self.number {
            _ if proofs >= PROOFS => Outcome::Proved,
            MOST_ROUNDS => Outcome::Silent,
            number => Outcome::Next(Self { number: number + 1, proofs, ..Self::default() }),
        }
    }
}

/// Two failures that are no further apart are of one cause.
const AGAIN: Duration = Duration::from_secs(600);
/// One answer may have come by chance: the router was just starting.
const PROOFS: u8 = 2;
/// As often as RFC 4861 §10 has it (MAX_MULTICAST_SOLICIT), and once more.
const MOST_ROUNDS: u8 = 4;
/// Until a router that does not answer is asked again, at first,
const SHORTEST_PAUSE: Duration = Duration::from_secs(30);
/// and at last.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

#[cfg(test)]
#[path = "filtered_tests.rs"]
mod tests;
