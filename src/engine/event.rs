//! What the engine tells: one change that is worth a line in the log, or a question where each is watched.

mod no_program;
mod note;

use core::net::Ipv6Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::facts::{IfIndex, KernelRoute};
use super::guests::{Breach, Ended as ClaimEnded, Object};
use super::liveness::{Evidence, Transition, Why};
use super::plan::Changes;
use super::plan::problem::Problem;
pub use super::plan::unserved::{Ended, Guests, Unserved};
use super::policy::{Origin, RangePolicy, Source};
use crate::wire::{DropReason, Mac};
pub use no_program::NoProgram;
pub use note::Note;

/// One change that is worth a line in the log; or, where every question is watched, a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The target exists, and is answered for from now on.
    Live(Ipv6Addr, IfIndex, Option<Mac>, Evidence),
    /// The target is not answered for any more.
    Gone(Ipv6Addr, IfIndex, Loss),
    /// The target is behind the second downstream now, and was behind the first.
    Moved(Ipv6Addr, IfIndex, IfIndex, Mac),
    /// The target is where it was; a claim from behind the second downstream came to nothing.
    Contested(Ipv6Addr, IfIndex, IfIndex, Mac),
    /// The next hop with this address on this interface is there, so that what is behind it is answered for.
    HopLive(Ipv6Addr, IfIndex, Mac),
    /// It is not there any more.
    HopGone(Ipv6Addr, IfIndex),
    /// Another station on this upstream says that the target is its own; there are no answers meanwhile.
    Conflict(Ipv6Addr, IfIndex, Mac),
    /// Nobody else on this upstream has the target any more; it is answered for again.
    ConflictOver(Ipv6Addr, IfIndex),
    /// Another station on this upstream wanted the target, and was refused.
    Defended(Ipv6Addr, IfIndex, Mac),
    /// This guest behind this downstream takes that address for a neighbor of its own, and it is one of
    /// the upstream's: its mask is too short.
    WideMask(Ipv6Addr, IfIndex, Ipv6Addr),
    /// The route is in the kernel.
    RouteInstalled(KernelRoute),
    /// The route is not in the kernel any more.
    RouteRemoved(KernelRoute),
    /// Another program's route, if it is known, keeps ours out.
    RouteConflict(KernelRoute, Option<KernelRoute>),
    /// The kernel refused the route, and this is what it said.
    RouteFailed(KernelRoute, String),
    /// The guests' gateway has its address on this downstream.
    GatewayAdded(IfIndex, Ipv6Addr),
    /// It has it there no more.
    GatewayRemoved(IfIndex, Ipv6Addr),
    /// Another program has given the pin of this address on this interface another MAC, or none, or has removed it. It is put
    /// back.
    PinOverwritten(Ipv6Addr, IfIndex, Option<Mac>),
    /// To announce everything again on this upstream took longer than the period that is wanted: that, and this.
    RoundLate(IfIndex, Duration, Duration),
    /// The range follows from the host as it is, and is served from now on, or in another way than before.
    Serving(Box<RangePolicy>),
    /// The range does not follow from the host any more, and is not served.
    Withdrawn(Box<RangePolicy>),
    /// The asker takes answers from this source, and took none before.
    SourceFound(Asker, Source),
    /// The asker does not take all answers, whatever their source.
    NotTaken(Box<NotTaken>),
    /// That is over.
    TakenAgain(Asker),
    /// This router of the upstream answers no question from a link-local address, and does answer one from a global one.
    GatewayFiltered(IfIndex, Ipv6Addr),
    /// It answers link-local ones again.
    GatewayAnswers(IfIndex, Ipv6Addr),
    /// This router of the upstream answers questions from the host, and none from the target: the provider does not
    /// admit the target.
    NotAdmitted(Ipv6Addr, IfIndex, Ipv6Addr),
    /// That is over.
    Admitted(Ipv6Addr, IfIndex),
    /// The provider of this upstream forgets guests; all are announced again at this period.
    Forgets(IfIndex, Duration),
    /// This was claimed, and is behind this downstream, if that is up.
    Claimed(Object, Option<IfIndex>),
    /// It is not claimed any more.
    Released(Object, ClaimEnded),
    /// So many packets of this guest were dropped by its guard, since the last time that this was told.
    GuardDropped(String, Breach, u64),
    /// The guest of this name comes and goes between hosts.
    GuestMoved(String, GuestMove),
    /// Something that the policy asks for is not there.
    Problem(Problem),
    /// It is there now.
    Solved(Problem),
    /// Switches that snoop MLD may keep something from this host.
    Note(Note),
    /// That is over.
    NoteOver(Note),
    /// The kernel routes this network inside an on-link prefix, and nobody serves it.
    Unserved(Box<Unserved>),
    /// That is over.
    UnservedEnded(Box<Unserved>, Ended),
    /// There are so many of them that those behind the first ones are not told one by one.
    ManyUnserved(usize),
    /// Somebody asked for the target.
    Solicited(Ipv6Addr, Asker),
    /// The asker got an answer.
    Answered(Ipv6Addr, Asker),
    /// A frame on this interface, a question for the target if it was one, got none.
    Dropped(Option<Ipv6Addr>, IfIndex, DropReason),
}

impl Event {
    /// What becomes of the ranges that the host brings about.
    pub(super) fn of_changes(changes: &Changes) -> Vec<Self> {
        let followed = |range: &RangePolicy| range.origin != Origin::Config;
        let gone = changes.iter().filter_map(|(before, after)| match (before, after) {
            (Some((range, _)), None) if followed(range) => Some(Self::Withdrawn(Box::new(range.clone()))),
            _ => None,
        });
        let new = changes.iter().filter_map(|(before, after)| {
            let (range, _) = after.filter(|(range, _)| followed(range))?;
            let is_new = before
                .is_none_or(|(old, _)| (&old.downstream, old.answer) != (&range.downstream, range.answer));
            is_new.then(|| Self::Serving(Box::new(range.clone())))
        });
        gone.chain(new).collect()
    }

    /// What a change of a target is told as, if at all.
    pub(super) fn of(transition: &Transition) -> Option<Self> {
        let Transition { target, why, .. } = *transition;
        let loss = match why {
            Why::Unanswered => Loss::Unanswered,
            Why::Downstream => Loss::Downstream,
            Why::NoRoom => Loss::NoRoom,
            Why::Policy => Loss::Policy,
            Why::Released => Loss::Released,
            _ => {
                return match (transition.was(), transition.is()) {
                    (None, Some(is)) => Some(Self::Live(target, is.link, is.mac, is.evidence)),
                    (Some(was), Some(is)) if was.link != is.link => {
                        Some(Self::Moved(target, was.link, is.link, is.mac?))
                    }
                    _ => None,
                };
            }
        };
        let was = transition.was().filter(|_| transition.is().is_none())?;
        Some(Self::Gone(target, was.link, loss))
    }
}

/// What becomes of a guest that moves between hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestMove {
    /// It has come to this interface, and is announced.
    Arrived(IfIndex),
    /// It has left this interface: that station announces its addresses.
    Left(IfIndex, Mac),
    /// It comes to this interface and goes too often, and is announced no more without asking.
    Flaps(IfIndex),
    /// That is over.
    Quiet,
}

/// Why a live target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// Probes went unanswered.
    Unanswered,
    /// Its downstream is down or gone.
    Downstream,
    /// It had to make room: it had only announced itself and another took its place, or fewer may be
    /// known than before.
    NoRoom,
    /// The policy does not serve it there any more.
    Policy,
    /// A claim of it was released, or is over.
    Released,
}

impl Loss {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "it did not reply to probes",
            Self::Downstream => "its downstream is down or gone",
            Self::NoRoom => "the limit of targets is reached",
            Self::Policy => "no range serves it there any more",
            Self::Released => "it is no longer claimed",
        }
    }
}

/// An asker does not take answers, whatever their source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotTaken {
    /// The asker.
    pub asker: Asker,
    /// How many targets it takes, of those that it has asked for lately.
    pub taken: usize,
    /// Those that it does not take.
    pub targets: Vec<Ipv6Addr>,
}
