//! What enters the engine.

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::change::{AddressChange, AddressOutcome, Change, NeighborChange, Outcome};
use super::effect::Remembered;
use super::export::Watch;
use super::facts::{Fact, IfIndex};
use super::guests::{Breach, Claim, GuardKey, GuestId, Object};
use super::policy::Policy;
use super::time::Time;
use crate::wire::{
    Advertisement, DropReason, Mac, MldQuery, MldReport, MulticastRouterSolicitation, Solicitation,
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A valid solicitation arrived on this interface.
    Solicitation(IfIndex, Solicitation),
    /// A valid advertisement arrived on this interface.
    Advertisement(IfIndex, Advertisement),
    /// A station says on this interface, without IPv6, that it is there: RARP or gratuitous ARP.
    Arrived(IfIndex, Mac),
    /// A multicast router, or a switch, asks on this interface who listens.
    Query(IfIndex, MldQuery),
    /// Somebody says on this interface to which solicited-node groups it listens.
    Report(IfIndex, MldReport),
    /// A switch asks on this interface for multicast routers.
    RouterSolicitation(IfIndex, MulticastRouterSolicitation),
    /// A frame arrived on this interface that is not a valid message.
    Discarded(IfIndex, DropReason),
    /// The kernel says something. What comes in one burst is handled as one.
    Facts(Vec<Fact>),
    /// The kernel says everything that there is: what is not in it is not there any more. For when
    /// changes were lost.
    Snapshot(Vec<Fact>),
    /// Every fact of the start has been told: from here on routes are reconciled.
    Synced,
    /// What became of a change that the engine asked for.
    RouteChanged(Change, Outcome),
    /// What became of a change of a gateway's address that the engine asked for.
    AddressChanged(AddressChange, AddressOutcome),
    /// What became of [`super::Output::Listen`] or [`super::Output::Unlisten`] on this interface.
    EarChanged(IfIndex, Outcome),
    /// What became of a change of a neighbor entry that the engine asked for.
    NeighborChanged(NeighborChange, Outcome),
    /// What became of [`super::Output::Suppress`].
    SuppressionChanged(Outcome),
    /// What became of [`super::Output::Program`].
    ProgramChanged(IfIndex, Outcome),
    /// Another program has removed ours from this upstream.
    ProgramLost(IfIndex),
    /// What became of these guests in [`super::Output::Mirror`]. Where the kernel refuses to forget one, the program
    /// is taken away, which is [`Self::ProgramChanged`].
    MirrorChanged(IfIndex, Vec<Ipv6Addr>, Outcome),
    /// What became of [`super::Output::MirrorRanges`]. Where it failed the program answers for no range. Where the kernel
    /// does not let go of one, the program is taken away, which is [`Self::ProgramChanged`].
    RangesMirrored(IfIndex, Outcome),
    /// The program of this upstream knows these guests from before this process began, until then.
    Mirrored(IfIndex, Vec<(Ipv6Addr, Time)>),
    /// So many questions were answered by the program of this upstream since the last time this was said; and for which
    /// guests how many of them.
    AnsweredThere(IfIndex, u64, Vec<(Ipv6Addr, u32)>),
    /// Another program has changed or removed our nftables table.
    SuppressionLost,
    /// What became of these parts of [`super::Output::Guard`].
    GuardChanged(Vec<GuardKey>, Outcome),
    /// Another program has changed or removed the tables of guards.
    GuardLost,
    /// What became of the last of [`super::Output::Export`].
    ExportChanged(Outcome),
    /// So many packets of these guests were dropped since the last time that this was said, each for this reason.
    GuardDropped(Vec<(GuestId, Breach, u64)>),
    /// The interface did not take this advertisement, which left as [`super::Output::Advertise`].
    Unsent(IfIndex, Advertisement),
    /// This was remembered from before, as [`super::Output::Remember`] said it last.
    Remembered(Vec<Remembered>),
    /// The administrator, or a program, says that something is here, or is not any more.
    Claiming(Claiming),
    /// The administrator wants something else now. Whatever both policies share goes on undisturbed.
    Reload(Box<Policy>),
    /// The administrator wants to know whether the target is there: it is asked, as if somebody had.
    Ask(Ipv6Addr),
    /// From here on, this is what is told of.
    Watch(Watch),
    /// The moment of [`super::Engine::next_timeout`] has come.
    Timeout,
    /// The daemon ends: give back what the kernel holds for us.
    Stop,
}

/// What is said of claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claiming {
    /// This is here. It comes to nothing where [`super::House::may_claim`] says why.
    Claim(Claim),
    /// The same of several, in one go.
    Several(Vec<Claim>),
    /// This is not any more.
    Release(Object),
    /// These were remembered from before, as [`super::Output::RememberClaims`] said it last.
    Remembered(Vec<Claim>),
}

impl Input {
    /// The target of a question.
    pub(super) fn target(&self) -> Option<Ipv6Addr> {
        match self {
            Self::Solicitation(_, solicitation) => Some(solicitation.target),
            _ => None,
        }
    }
}
