//! The mirror: the programs that answer in the kernel, one for each upstream that has one, and the live guests that
//! each of them knows.
//!
//! A guest is in a program's map until a moment that is put off again and again. So, without a daemon, the program
//! falls silent by itself. What is wanted of a program that is not there yet is nothing: guests follow once it is.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::Ipv6Net;

use super::keeper::{Found, Keeper, Manner, Step};
use super::mirrored_ranges::Ranges;
use super::outcome::Verdict;
use crate::engine::asker::Asker;
use crate::engine::change::Outcome;
use crate::engine::effect::{MirroredRanges, Output, Program};
use crate::engine::facts::IfIndex;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// The programs, and what they know.
#[derive(Debug)]
pub struct Mirror {
    programs: Keeper<IfIndex, Program>,
    /// The guests in the map of each program that is there, and until when.
    known: BTreeMap<IfIndex, Keeper<Ipv6Addr, Until>>,
    /// The ranges that they answer for as a whole.
    pub ranges: Ranges,
    /// The guests that a predecessor's program knows, by address, and until when. They are met one after the other, or
    /// when something is wanted of one.
    inherited: BTreeMap<IfIndex, Vec<(Ipv6Addr, Until)>>,
    /// What the kernel said of programs that are not there.
    refusals: BTreeMap<IfIndex, String>,
    /// Something has happened to these since the last look.
    touched: BTreeSet<Ipv6Addr>,
    /// Something may have happened to any of them.
    is_all_touched: bool,
    /// When all are put off again.
    renew_at: Option<Time>,
    seed: Seed,
}

/// A moment, in four bytes: [`Time::coarse`].
type Until = u32;

impl Mirror {
    /// No program yet.
    pub fn new(seed: Seed) -> Self {
        Self {
            programs: Keeper::new(Manner::Assumed, seed),
            known: BTreeMap::new(),
            ranges: Ranges::default(),
            inherited: BTreeMap::new(),
            refusals: BTreeMap::new(),
            touched: BTreeSet::new(),
            is_all_touched: false,
            renew_at: None,
            seed,
        }
    }

    /// These programs are wanted, and no others.
    pub fn want_programs(&mut self, wanted: &BTreeMap<IfIndex, Program>) {
        let there: Vec<_> = self.programs.keys().copied().collect();
        for link in there.iter().filter(|link| !wanted.contains_key(link)) {
            self.programs.want(*link, None);
            self.refusals.remove(link);
        }
        for (link, program) in wanted {
            self.programs.want(*link, Some(program.clone()));
        }
    }

    /// What became of a program. One that is there is told of every guest; one that is not knows nothing any more.
    pub fn program_changed(&mut self, link: IfIndex, outcome: &Outcome, now: Time) -> Verdict {
        let verdict = self.programs.outcome(link, true, outcome, now);
        self.refusals.remove(&link);
        if let Outcome::Failed(said) = outcome {
            self.forget(link);
            self.refusals.insert(link, said.clone());
        } else if self.programs.wanted(&link).is_some() && !self.known.contains_key(&link) {
            self.known.insert(link, Keeper::new(Manner::Assumed, self.seed));
            self.is_all_touched = true;
            self.ranges.touch();
            let renew_at = now + renewal(lease(self.programs.wanted(&link)));
            self.renew_at = Some(self.renew_at.map_or(renew_at, |due| due.min(renew_at)));
        }
        verdict
    }

    /// Another program has removed ours. It is put back, and told of every guest then.
    pub fn program_lost(&mut self, link: IfIndex) {
        self.programs.lost(link);
        self.forget(link);
    }

    /// The program of this upstream is not there: it knows nobody.
    fn forget(&mut self, link: IfIndex) {
        self.known.remove(&link);
        self.inherited.remove(&link);
        self.ranges.end(link);
    }

    /// Why the program that is wanted on this upstream is not there.
    pub fn refusal(&self, link: IfIndex) -> Option<&str> {
        self.programs.wanted(&link)?;
        self.refusals.get(&link).map(String::as_str)
    }

    /// The program of this upstream knows these guests already, each until then: from before this process began. It is not
    /// said that this is wanted.
    pub fn inherit(&mut self, link: IfIndex, guests: Vec<(Ipv6Addr, Time)>) {
        if self.is_on(link) {
            let mut guests: Vec<_> =
                guests.into_iter().map(|(guest, until)| (guest, until.coarse())).collect();
            guests.sort_unstable();
            self.inherited.insert(link, guests);
        }
    }

    /// As many of those, which are met with that.
    pub fn meet(&mut self, link: IfIndex, most: usize) -> Vec<Ipv6Addr> {
        let Some(left) = self.inherited.get_mut(&link) else { return Vec::new() };
        let met = left.split_off(left.len().saturating_sub(most));
        if left.is_empty() {
            self.inherited.remove(&link);
        }
        if let Some(known) = self.known.get_mut(&link) {
            met.iter().for_each(|(guest, until)| found(known, *guest, *until));
        }
        met.into_iter().map(|(guest, _)| guest).collect()
    }

    /// The upstream whose program answers for the guest, as far as it was told.
    pub fn answers_on(&self, guest: Ipv6Addr) -> Option<IfIndex> {
        self.known.iter().find(|(_, known)| known.has_ours(&guest)).map(|(link, _)| *link)
    }

    /// What became of these guests in the map of this program.
    pub fn guests_changed(&mut self, link: IfIndex, guests: &[Ipv6Addr], outcome: &Outcome, now: Time) {
        if let Some(known) = self.known.get_mut(&link) {
            guests.iter().for_each(|guest| _ = known.outcome(*guest, true, outcome, now));
        }
    }

    /// Whether there is a program on this upstream that guests can be made known to.
    pub fn is_on(&self, link: IfIndex) -> bool {
        self.known.contains_key(&link) && self.programs.wanted(&link).is_some()
    }

    /// Whether the program of its upstream answers this asker for this guest.
    pub fn answers(&self, asker: &Asker, guest: Ipv6Addr) -> bool {
        let known = self.known.get(&asker.link);
        let is_known = known.is_some_and(|known| known.wanted(&guest).is_some())
            || self.ranges.answers_on(guest) == Some(asker.link);
        let program = self.programs.wanted(&asker.link).filter(|_| is_known);
        program.is_some_and(|program| program.responder.answers(asker.mac, asker.address))
    }

    /// The upstreams with such a program.
    pub fn links_on(&self) -> Vec<IfIndex> {
        self.known.keys().copied().filter(|link| self.programs.wanted(link).is_some()).collect()
    }

    /// The program of this upstream is to answer for all addresses of these prefixes, and to pass on those.
    pub fn want_ranges(
        &mut self,
        link: IfIndex,
        answered: BTreeSet<Ipv6Net>,
        passed_on: BTreeSet<Ipv6Net>,
        now: Time,
    ) {
        let lease = lease(self.programs.wanted(&link));
        let wanted = MirroredRanges { answered, passed_on, until: now + lease };
        self.ranges.want(link, wanted, now + (lease - renewal(lease) / 2));
    }

    /// Whether there is such a program on any.
    pub fn is_any_on(&self) -> bool {
        !self.known.is_empty()
    }

    /// Something has happened to this target.
    pub fn touch(&mut self, target: Ipv6Addr) {
        if !self.known.is_empty() {
            self.touched.insert(target);
        }
    }

    /// Something may have happened to any target.
    pub fn touch_all(&mut self) {
        self.is_all_touched |= !self.known.is_empty();
        self.ranges.touch();
    }

    /// The targets to which something has happened since the last look.
    pub fn take_touched(&mut self) -> BTreeSet<Ipv6Addr> {
        std::mem::take(&mut self.touched)
    }

    /// Whether every guest is to be looked at. Once.
    pub fn take_all_touched(&mut self) -> bool {
        std::mem::take(&mut self.is_all_touched)
    }

    /// The guest is answered for on this upstream, and on no other; or on none. The moment of a guest that is known
    /// is put off if it was not a moment ago.
    pub fn want(&mut self, guest: Ipv6Addr, upstream: Option<IfIndex>, now: Time) {
        let Self { known, programs, inherited, .. } = self;
        for (link, known) in known {
            if let Some(left) = inherited.get(link)
                && let Ok(place) = left.binary_search_by_key(&guest, |(guest, _)| *guest)
            {
                found(known, guest, left[place].1);
            }
            let lease = lease(programs.wanted(link));
            let until = (now + lease).coarse();
            let fresh = (now + (lease - renewal(lease) / 2)).coarse()..=until;
            let wanted = match (known.wanted(&guest), Some(*link) == upstream) {
                (Some(before), true) if fresh.contains(before) => continue,
                (_, true) => Some(until),
                (_, false) => None,
            };
            known.want(guest, wanted);
        }
    }

    /// How many guests the kernel answers for.
    pub fn count(&self) -> usize {
        self.known.values().map(Keeper::count_ours).sum()
    }

    /// For how many of them on this upstream.
    pub fn count_on(&self, link: IfIndex) -> usize {
        self.known.get(&link).map_or(0, Keeper::count_ours)
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.programs.is_quiet() && self.ranges.is_quiet() && self.known.values().all(Keeper::is_quiet)
    }

    /// The changes that lead from what there is to what is wanted.
    pub fn changes(&mut self, outputs: &mut impl Extend<Output>) {
        for (link, step) in self.programs.steps() {
            let program = match step {
                Step::Add(program) => Some(program),
                Step::Remove(_) => {
                    self.forget(link);
                    None
                }
            };
            outputs.extend([Output::Program(link, program)]);
        }
        for (link, known) in &mut self.known {
            let changes: Vec<_> =
                known.steps().into_iter().map(|(guest, step)| (guest, until(step))).collect();
            outputs.extend((!changes.is_empty()).then_some(Output::Mirror(*link, changes)));
        }
        outputs.extend(self.ranges.changes());
    }

    /// When something is tried again, or put off.
    pub fn next_due(&self) -> Option<Time> {
        let due = self.known.values().filter_map(Keeper::next_due).chain(self.programs.next_due());
        due.chain(self.renew_at).min()
    }

    /// Tries again what is due, and puts off what is to be.
    pub fn tick(&mut self, now: Time) {
        self.programs.tick(now);
        self.known.values_mut().for_each(|known| known.tick(now));
        if self.renew_at.is_some_and(|due| due <= now) {
            self.touch_all();
            self.renew_at =
                self.known.keys().map(|link| now + renewal(lease(self.programs.wanted(link)))).min();
        }
    }
}

/// What was made known since says more than what a predecessor has left.
fn found(known: &mut Keeper<Ipv6Addr, Until>, guest: Ipv6Addr, until: Until) {
    if !known.knows(&guest) {
        known.found(guest, Found::Ours(until));
    }
}

fn until(step: Step<Until>) -> Option<Time> {
    match step {
        Step::Add(until) => Some(Time::from_coarse(until)),
        Step::Remove(_) => None,
    }
}

/// So long the kernel answers for a guest without a word of the daemon.
fn lease(program: Option<&Program>) -> Duration {
    program.map_or(Duration::ZERO, |program| program.on_crash_answer).max(SHORTEST_LEASE)
}

/// So often all guests are put off.
fn renewal(lease: Duration) -> Duration {
    (lease / 5).min(LONGEST_RENEWAL)
}

/// A daemon that is held up for a moment is still there.
const SHORTEST_LEASE: Duration = Duration::from_secs(10);
const LONGEST_RENEWAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Mac;
    use crate::wire::program::{Responder, Sources};

    const UP: IfIndex = IfIndex(2);

    fn guest(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
    }

    /// With a program that knows these guests from before.
    fn mirror(known: impl Iterator<Item = u16>, now: Time) -> Mirror {
        let responder = Responder {
            station: Mac([2, 0, 0, 0, 0, 1]),
            router: false,
            override_entry: false,
            sources: Sources::Target,
            learns: false,
            within: Vec::new(),
            askers: Vec::new(),
        };
        let program = Program { responder, on_crash_answer: Duration::from_secs(300) };
        let mut mirror = Mirror::new(Seed([1, 2]));
        mirror.want_programs(&BTreeMap::from([(UP, program)]));
        changes(&mut mirror);
        mirror.program_changed(UP, &Outcome::Done, now);
        let soon = now + Duration::from_secs(100);
        mirror.inherit(UP, known.map(|last| (guest(last), soon)).collect());
        mirror
    }

    fn changes(mirror: &mut Mirror) -> Vec<(Ipv6Addr, bool)> {
        let mut outputs = Vec::new();
        mirror.changes(&mut outputs);
        let told = outputs.into_iter().filter_map(|output| match output {
            Output::Mirror(_, told) => Some(told),
            _ => None,
        });
        told.flatten().map(|(guest, until)| (guest, until.is_some())).collect()
    }

    #[test]
    fn one_that_is_not_wanted_is_removed_before_its_turn_comes() {
        let now = Time::ORIGIN + Duration::from_secs(9);
        let mut mirror = mirror(1..=9, now);
        mirror.want(guest(3), None, now);
        mirror.want(guest(77), None, now);
        assert_eq!(changes(&mut mirror), [(guest(3), false)]);
        mirror.want(guest(4), Some(UP), now);
        assert_eq!(changes(&mut mirror), [(guest(4), true)]);
        // Its turn says nothing new of it.
        let met: Vec<_> =
            std::iter::from_fn(|| Some(mirror.meet(UP, 4)).filter(|met| !met.is_empty())).collect();
        assert_eq!(met.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
        assert_eq!(mirror.answers_on(guest(4)), Some(UP));
        assert!(mirror.known[&UP].wanted(&guest(4)).is_some());
    }

    #[test]
    fn with_the_program_goes_what_it_knew() {
        let now = Time::ORIGIN + Duration::from_secs(9);
        let mut mirror = mirror(1..=9, now);
        mirror.program_lost(UP);
        assert!(mirror.meet(UP, 4).is_empty());
    }
}
