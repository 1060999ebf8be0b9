//! Work that is taken in slices, so that no answer waits for all of it.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::vec::IntoIter;

use ipnet::Ipv6Net;

use super::facts::{Fact, IfIndex};
use super::guests::Cursor;
use super::host::{Delta, Untold};
use super::plan::{Changes, Making};
use super::policy::Policy;
use super::seed::Seed;
use crate::wire::Mac;

/// One piece of work, or what is left of it. It is done in the order in which it came.
#[derive(Debug)]
pub(super) enum Work {
    /// The kernel has said this.
    Facts(IntoIter<Fact>),
    /// The kernel has said everything that there is.
    Told(Vec<Fact>),
    /// What it did not say is being found.
    Snapshot(Box<Snapshot>),
    /// All of a snapshot has been told.
    ToldAll,
    /// And the plan has followed.
    TakenIn,
    /// The plan is being made.
    Plan(Box<Planning>),
    /// Everything of the start has been told.
    Begin,
    /// The administrator wants something else.
    Reload(Box<Policy>),
    /// The plan is another: what the kernel keeps and how we behave follows, range by range.
    Serve(Box<Serving>),
    /// A link is down or gone: its targets end.
    EndLink(IfIndex),
    /// Bridges have forgotten these stations.
    Stations(BTreeSet<(IfIndex, Mac)>),
    /// A dump is over, and stations of which it did not tell are forgotten: these so far, up to this one.
    Untold(BTreeSet<(IfIndex, Mac)>, Option<(IfIndex, Mac)>),
    /// Stations are forgotten: their targets are asked.
    Doubt(BTreeSet<(IfIndex, Mac)>, u32),
    /// The plan is another: targets that it has no place for end. The prefixes whose ranges are others.
    Review(BTreeSet<Ipv6Net>, u32),
    /// After that, live targets are counted for groups, and their routes wanted, as the plan has it.
    Follow(u32),
    /// The plan is another: guests with an identity, and claims, may be somewhere else.
    Identities(Cursor),
    /// Every live guest is looked at for the programs in the kernel.
    Mirror(u32),
    /// What a predecessor's program knows on this upstream is looked at.
    Inherited(IfIndex),
    /// Every live guest is told to the sets that other programs look at.
    Export(u32),
    /// What is live in this prefix, of a range that stands by, is announced.
    Wake(Ipv6Net, u32),
    /// What is live behind these upstreams is announced; whether each is new.
    Announce(BTreeMap<IfIndex, bool>, u32),
    /// Timers are shorter.
    Hasten(u32),
    /// Fewer targets may be known.
    Shrink,
    /// Our routes are to look different in the kernel: those that are there are given back.
    Reroute,
    /// The end: the routes that the kernel has for us are given back.
    GiveBack,
    /// And switches are told that nothing is listened to any more: of this link and this group on.
    EndReports(IfIndex, u32),
}

impl Work {
    /// A bridge has forgotten this station, and those that the next facts are about.
    pub(super) fn stations_gone(first: (IfIndex, Mac), facts: &mut IntoIter<Fact>) -> Self {
        let mut gone = BTreeSet::from([first]);
        while let Some(Fact::StationGone { bridge, mac }) = facts.as_slice().first() {
            gone.insert((*bridge, *mac));
            facts.next();
        }
        Self::Stations(gone)
    }
}

/// What is to follow a plan, and how far that has come.
#[derive(Debug)]
pub(super) struct Serving {
    /// These ranges are others, or are looked at as if they were.
    pub(super) changes: Changes,
    /// Behind those, every range of the plan from this position on.
    pub(super) all_from: Option<usize>,
    /// And these addresses of the host.
    pub(super) addresses: Vec<Ipv6Addr>,
}

impl Serving {
    pub(super) fn of(changes: Changes) -> Self {
        Self { all_from: changes.concern_all.then_some(0), changes, addresses: Vec::new() }
    }
}

/// A plan in the making.
#[derive(Debug)]
pub(super) struct Planning {
    pub(super) making: Making,
    /// What has changed on the host since the plan was last made.
    pub(super) delta: Delta,
    pub(super) occasion: Occasion,
}

/// Why a plan is made.
#[derive(Debug)]
pub(super) enum Occasion {
    /// The host has changed.
    Host,
    /// Everything of the start has been told.
    Begin,
    /// The administrator has written another policy in the place of this one.
    Reload(Box<Policy>),
}

/// A snapshot, and how far it has been compared with what is known.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Those that are not compared yet.
    facts: Vec<Fact>,
    /// Those that are, in pieces, in the order in which they were told.
    compared: VecDeque<Vec<Fact>>,
    /// What is known and was not among them.
    untold: Untold,
    /// The guests that the kernel was known to have routes for.
    guests: Vec<(Ipv6Addr, IfIndex)>,
    /// Those of them that were told.
    told: HashSet<(Ipv6Addr, IfIndex), Seed>,
}

impl Snapshot {
    /// Compares the last facts that are not compared yet with what is known: how many. 0 when all are.
    ///
    /// The memory of all facts is given back in pieces too. In one go that takes longer than answers may wait.
    pub(super) fn compare_some(&mut self, guest_of: impl Fn(&Fact) -> Option<(Ipv6Addr, IfIndex)>) -> usize {
        let piece = self.facts.split_off(self.facts.len().saturating_sub(PIECE));
        self.facts.shrink_to_fit();
        for fact in &piece {
            self.untold.tick_off(fact);
            self.told.extend(guest_of(fact));
        }
        let count = piece.len();
        if count > 0 {
            self.compared.push_front(piece);
        }
        count
    }

    /// What was not told, and then what was.
    pub(super) fn into_facts(self) -> impl Iterator<Item = Vec<Fact>> {
        std::iter::once(self.untold.gone().collect()).chain(self.compared)
    }

    /// The next guest whose route was not told, so that it is gone. As many are looked at as `left` says.
    pub(super) fn next_untold_guest(&mut self, left: &mut usize) -> Option<(Ipv6Addr, IfIndex)> {
        while *left > 0 {
            *left -= 1;
            let guest = self.guests.pop()?;
            if !self.told.contains(&guest) {
                return Some(guest);
            }
        }
        None
    }
}

impl Snapshot {
    /// Of a kernel that has told these facts, against what is known of the host and of the routes of guests.
    pub(super) fn new(
        facts: Vec<Fact>,
        untold: Untold,
        guests: Vec<(Ipv6Addr, IfIndex)>,
        seed: Seed,
    ) -> Self {
        // Room for all of them, because a set that grows is copied as a whole.
        let told = HashSet::with_capacity_and_hasher(guests.len(), seed);
        Self { facts, compared: VecDeque::new(), untold, guests, told }
    }
}

/// What one step of a plan costs that looks at so many links, routes, ranges and exclusions.
pub(super) const fn plan_step(weight: usize) -> usize {
    SLICE / 64 + weight / 16
}

/// What one slice may do: some hundred microseconds.
pub(super) const SLICE: usize = 256;
/// As many facts of a snapshot are compared in one go.
const PIECE: usize = SLICE / 2;
