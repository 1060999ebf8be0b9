//! Where one guest is, of all hosts that know it: here, or behind another host that announces its addresses.
//!
//! A guest that moves says so on its new interface (RARP, gratuitous ARP, an unsolicited advertisement, duplicate address
//! detection), and its addresses are announced there. The host that it has left hears that, asks the guest once, and
//! lets go when there is no reply. RFC 7432 §15.1 has the same limit for a MAC that comes and goes: more than N = 5 moves
//! within M = 180 seconds are no moves but a mistake, such as two guests with one MAC.
//!
//! Two that both reply are never away. So one that was away and replies here has moved, however often: it is announced
//! at once also while it flaps.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::time::Time;
use crate::wire::Mac;

/// Where it is, and how often it has come lately.
#[derive(Debug, Default)]
pub(super) struct Course {
    stand: Stand,
    /// When it came, or was found to be here still; the oldest first, at most [`MOST_TURNS`] and one more.
    turns: VecDeque<Time>,
    /// It flaps, and is quiet from then on if it does not come again.
    quiet_at: Option<Time>,
    /// When it was asked last, or is to be asked.
    asked_at: Option<Time>,
    proof: Proof,
}

/// Whether one that flaps has shown that it has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Proof {
    /// It has not.
    #[default]
    None,
    /// It was away, has come, and is asked.
    Wanted,
    /// It was away, and replies here.
    Given,
}

/// What is known of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stand {
    /// It is here by the administrator's word alone.
    #[default]
    Assumed,
    /// It has said here that it is here.
    Here,
    /// Another station announces its addresses: it has been asked, or is as soon as that may be, and has until then to
    /// reply.
    Asked { by: Mac, until: Time, reply: Reply },
    /// That station has it.
    Away { by: Mac },
}

/// Whether the word of another station may have crossed ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossed {
    /// Nothing of the guest is answered until it replies.
    No,
    /// The guest has come just now, and the other station may not have heard of that: nothing changes as long as it is
    /// not known that the guest does not reply.
    Maybe,
}

/// How it stands with its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// It is asked when that may be.
    NotAskedFor(Crossed),
    /// It has been asked, and is routed until then.
    Awaited(Option<Time>),
    /// It has none so far, and is not routed meanwhile: what another host routes by BGP would be drawn here.
    Late,
}

/// What a frame of the guest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// It begins to be here.
    Arrival,
    /// It is here.
    Sign,
}

/// What follows from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing new.
    Nothing,
    /// It has come: its addresses are announced at once.
    Arrived,
    /// It is here still, although another station announces its addresses.
    Stays,
    /// It has come once too often. From here on it is announced as any other guest is: only when the link was asked.
    Flaps,
    /// It has come, or is here still, and it flaps.
    Still,
    /// The same, and it was away: it is asked whether it is here.
    Returns,
    /// It flaps, was away, and replies here: its addresses are announced at once.
    Moved,
}

/// What follows where another station announces its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubted {
    /// It is asked.
    Now,
    /// It is asked later, or has been.
    Later,
}

/// What has come of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It may be asked now.
    Ask,
    /// It would have replied by now, and may still.
    Late,
    /// It has not replied: that station has it.
    Left(Mac),
    /// It has not come for long enough.
    Quiet,
}

impl Course {
    /// Something was heard of it on its interface.
    pub(super) fn heard(&mut self, sighting: Sighting, now: Time) -> News {
        let was_away = self.away().is_some();
        match (self.stand, sighting) {
            (Stand::Here, Sighting::Sign) if self.proof == Proof::Wanted => {
                self.proof = Proof::Given;
                return News::Moved;
            }
            (Stand::Here, _) | (Stand::Assumed, Sighting::Sign) => return News::Nothing,
            (
                Stand::Asked { reply: Reply::NotAskedFor(Crossed::Maybe) | Reply::Awaited(None), .. },
                Sighting::Sign,
            ) => {
                self.stand = Stand::Here;
                return News::Nothing;
            }
            (Stand::Asked { .. }, Sighting::Sign) => self.stand = Stand::Assumed,
            (Stand::Assumed | Stand::Asked { .. }, Sighting::Arrival) | (Stand::Away { .. }, _) => {
                self.stand = Stand::Here;
            }
        }
        self.proof = Proof::None;
        let is_here = self.stand == Stand::Here;
        let flapped = self.is_flapping();
        match (self.turn(now), flapped) {
            (false, _) if is_here => News::Arrived,
            (false, _) => News::Stays,
            (true, false) => News::Flaps,
            (true, true) if was_away && sighting == Sighting::Sign => {
                self.proof = Proof::Given;
                News::Moved
            }
            (true, true) if was_away => News::Returns,
            (true, true) => News::Still,
        }
    }

    /// It was away, has come, and flaps: it is asked whether it is here. It was not for as long as it took to be away.
    pub(super) fn wants_proof(&mut self, now: Time) {
        self.asked_at = Some(now);
        self.proof = Proof::Wanted;
    }

    /// Another station announces its addresses.
    pub(super) fn announced_elsewhere(&mut self, by: Mac, crossed: Crossed, now: Time) -> Doubted {
        if let Stand::Asked { reply, .. } = &mut self.stand {
            match reply {
                _ if crossed == Crossed::Maybe => {}
                Reply::NotAskedFor(before) => *before = crossed,
                Reply::Awaited(late @ None) => *late = Some(now + SHORT),
                Reply::Awaited(Some(_)) | Reply::Late => {}
            }
        }
        if matches!(self.stand, Stand::Asked { .. } | Stand::Away { .. }) {
            return Doubted::Later;
        }
        let asked_at = self.may_be_asked_from(now);
        let (doubted, reply) = match asked_at <= now {
            true => (Doubted::Now, awaited(crossed, now)),
            false => (Doubted::Later, Reply::NotAskedFor(crossed)),
        };
        self.asked_at = Some(asked_at);
        self.stand = Stand::Asked { by, until: asked_at + PATIENCE, reply };
        doubted
    }

    /// RFC 4861 §7.2.2: "Retransmissions MUST be rate-limited". This is the first question after each announcement, and
    /// no retransmission; but strangers can bring it about.
    fn may_be_asked_from(&self, now: Time) -> Time {
        self.asked_at.map_or(now, |asked| (asked + SPACING).max(now))
    }

    /// Its interface is not there, or not up: when that comes again nothing is known.
    pub(super) fn lost_its_link(&mut self) {
        self.stand = Stand::Assumed;
    }

    /// What is due by now.
    pub(super) fn tick(&mut self, now: Time) -> Option<Over> {
        match self.stand {
            Stand::Asked { by, until, reply: Reply::NotAskedFor(crossed) }
                if self.asked_at.is_none_or(|asked| asked <= now) =>
            {
                self.stand = Stand::Asked { by, until, reply: awaited(crossed, now) };
                return Some(Over::Ask);
            }
            Stand::Asked { by, until, reply: Reply::Awaited(Some(late)) } if late <= now && until > now => {
                self.stand = Stand::Asked { by, until, reply: Reply::Late };
                return Some(Over::Late);
            }
            Stand::Asked { by, until, .. } if until <= now => {
                self.stand = Stand::Away { by };
                return Some(Over::Left(by));
            }
            _ => {}
        }
        if self.quiet_at.is_some_and(|quiet| quiet <= now) {
            self.quiet_at = None;
            self.turns.clear();
            return Some(Over::Quiet);
        }
        None
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Time> {
        let asked = match self.stand {
            Stand::Asked { reply: Reply::NotAskedFor(_), .. } => self.asked_at,
            Stand::Asked { until, reply: Reply::Awaited(Some(late)), .. } => Some(until.min(late)),
            Stand::Asked { until, .. } => Some(until),
            _ => None,
        };
        asked.into_iter().chain(self.quiet_at).min()
    }

    /// The station that has it, if another has.
    pub(super) fn away(&self) -> Option<Mac> {
        match self.stand {
            Stand::Away { by } => Some(by),
            _ => None,
        }
    }

    /// Whether it is being asked, and would have replied by now.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.stand, Stand::Asked { reply: Reply::Late, .. })
    }

    /// Whether it has said here that it is here, and does not do so too often, or has shown that it has moved.
    pub(super) fn has_come(&self) -> bool {
        self.stand == Stand::Here && (!self.is_flapping() || self.proof == Proof::Given)
    }

    /// Whether it comes and goes too often.
    pub(super) fn is_flapping(&self) -> bool {
        self.quiet_at.is_some()
    }

    /// Counts one. Whether it flaps.
    fn turn(&mut self, now: Time) -> bool {
        self.turns.retain(|turn| now.since(*turn) < WINDOW);
        self.turns.push_back(now);
        if self.turns.len() > MOST_TURNS {
            self.turns.pop_front();
            self.quiet_at = Some(now + WINDOW);
        } else if self.is_flapping() {
            self.quiet_at = Some(now + WINDOW);
        }
        self.is_flapping()
    }
}

fn awaited(crossed: Crossed, now: Time) -> Reply {
    Reply::Awaited((crossed == Crossed::No).then(|| now + SHORT))
}

/// A guest that is there replies within milliseconds. One that is busy is routed again when it does.
const SHORT: Duration = Duration::from_millis(50);
/// It has so long to reply. With [`SPACING`] this is below the second within which a host lets go, also where the
/// guest was asked for another announcement just before.
const PATIENCE: Duration = Duration::from_millis(450);
/// From one question to the next.
const SPACING: Duration = Duration::from_millis(500);
/// RFC 7432 §15.1: "N=5".
const MOST_TURNS: usize = 5;
/// RFC 7432 §15.1: "an M-second timer (with a default value of M = 180)".
const WINDOW: Duration = Duration::from_secs(180);
