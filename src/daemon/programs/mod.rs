//! The programs that answer in the kernel, one at the ingress of each upstream that is to have one: put there, told which
//! guests are live, looked after, and taken away. What they answered is read back, so that everything else is as if the
//! daemon had answered.
//!
//! May touch: bpf(2), its file system, and netlink, through their rooms. A program sees a frame before our packet socket
//! does, and what it answers goes no further (tc ingress comes before the handlers of protocols). So for each frame one of
//! both decides, by one look at the map: there are no two answers, and none is lost while guests come and go there.
//!
//! The map is written by the loop's thread, in the order of the engine's outputs, which takes less than a microsecond for
//! each guest and no lock of others. Whatever takes longer is a job (`job`), one at a time for each upstream.

mod job;
mod look;
mod ranges;
mod watch;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::engine::facts::IfIndex;
use crate::engine::{Input, Outcome, Program, Time};
use crate::kernel::bpf::{Asked, BpfError, Maps, Table, TcxLink, boot_time};
use crate::kernel::netlink::{NetlinkError, Requests, Touched};
use job::Put;
pub(super) use job::sweep;
use look::Look;
use watch::Watch;

/// The programs, and what is under way with them.
pub(super) struct Programs {
    requests: Requests,
    slots: BTreeMap<IfIndex, Slot>,
    jobs: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// When the programs are looked after.
    look_at: Option<Instant>,
    /// Hears of filters that are taken away, once one of ours is there.
    watch: Watch,
    /// When another program's removal of one was told of last.
    told_lost: Option<Instant>,
}

/// One upstream.
#[derive(Default)]
struct Slot {
    /// Where guests are made known, and what is asked of each is read.
    table: Option<Table>,
    /// None where there is none, or a job has it.
    placed: Option<Placed>,
    /// What is to be done next: another program, and room for so many targets; or none.
    next: Option<Option<(Program, u32)>>,
    busy: Option<Busy>,
    /// How many questions it had answered at the last look.
    answered: u64,
    looks: u32,
    /// A filter was taken away from its interface, perhaps it.
    is_touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    Changing,
    Looking,
}

/// A program at its place.
#[derive(Debug)]
pub(super) struct Placed {
    maps: Arc<Maps>,
    place: Place,
}

/// How it is attached.
#[derive(Debug)]
enum Place {
    /// From Linux 6.6 on.
    Tcx(TcxLink),
    /// Before.
    Clsact,
}

/// A job that has ended.
pub(super) enum Ended {
    Put(IfIndex, Result<Put, Failure>),
    Removed(IfIndex, Result<(), Failure>),
    Looked(IfIndex, Placed, Result<Look, Failure>),
    Swept,
    /// A filter was taken away there.
    Touched(Touched),
}

/// Why something is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Bpf(#[from] BpfError),
    #[error("{0}")]
    Netlink(#[from] NetlinkError),
    #[error("a thread of lone64 ended unexpectedly")]
    Broken,
}

/// What is to be told of a program.
pub(super) enum News {
    /// Another program has removed it.
    Lost(IfIndex),
    /// It cannot be taken away.
    Left(IfIndex, Failure),
}

impl Programs {
    pub(super) fn new(requests: Requests) -> Self {
        Self {
            requests,
            slots: BTreeMap::new(),
            jobs: FuturesUnordered::new(),
            look_at: None,
            watch: Watch::default(),
            told_lost: None,
        }
    }

    /// Has this program answer on this upstream from now on, with room for so many targets; or none.
    pub(super) fn ask(&mut self, link: IfIndex, program: Option<Program>, targets: usize) {
        let slot = self.slots.entry(link).or_default();
        let targets = u32::try_from(targets).unwrap_or(u32::MAX);
        let is_going = program.is_none();
        slot.next = Some(program.map(|program| (program, targets)));
        if is_going {
            // Nothing is made known to one that goes.
            slot.table = None;
        }
        self.start_next(link);
    }

    /// Makes guests known to a program, or unknown, in this order, at once. What became of it, as the engine takes it.
    pub(super) fn mirror(
        &mut self,
        link: IfIndex,
        changes: Vec<(Ipv6Addr, Option<Time>)>,
        now: Time,
    ) -> (Vec<Input>, Option<BpfError>) {
        let Some(table) = self.slots.get_mut(&link).and_then(|slot| slot.table.as_mut()) else {
            let guests = changes.into_iter().map(|(guest, _)| guest).collect();
            let failed = Outcome::Failed("there is no program".to_owned());
            return (vec![Input::MirrorChanged(link, guests, failed)], None);
        };
        let since_boot = boot_time();
        let until = |until: Time| since_boot.saturating_add(nanoseconds(until.since(now)));
        let changes: Vec<_> = changes.into_iter().map(|(guest, at)| (guest, at.map(until))).collect();
        let changed = table.change(&changes);
        let Some(error) = changed.error else {
            return (vec![Input::MirrorChanged(link, changed.done, Outcome::Done)], None);
        };
        let said = Outcome::Failed(error.to_string());
        let failed: BTreeSet<_> = changed.failed.iter().collect();
        // One that stays known is answered for without a reason: then nothing is to be known.
        if changes.iter().any(|(guest, until)| until.is_none() && failed.contains(guest)) {
            self.ask(link, None, 0);
            return (vec![Input::ProgramChanged(link, said)], Some(error));
        }
        let done = Input::MirrorChanged(link, changed.done, Outcome::Done);
        (vec![done, Input::MirrorChanged(link, changed.failed, said)], Some(error))
    }

    /// Whether a program is being put in its place or taken away, so that what is to come behind that waits.
    pub(super) fn is_changing(&self) -> bool {
        self.slots.values().any(|slot| slot.next.is_some() || slot.busy == Some(Busy::Changing))
    }

    /// The upstreams whose program is in its place.
    pub(super) fn there(&self) -> impl Iterator<Item = IfIndex> {
        self.slots.iter().filter(|(_, slot)| slot.table.is_some()).map(|(link, _)| *link)
    }

    /// Removes what a predecessor has left for interfaces that have no program now.
    pub(super) fn sweep(&mut self) {
        let ours: BTreeSet<_> = self.slots.keys().copied().collect();
        let requests = self.requests.clone();
        let sweeping = job::sweep(ours, requests).then(|()| job::remove_ended());
        self.jobs.push(sweeping.map(|()| Ended::Swept).boxed());
    }

    /// When the programs are to be looked after.
    pub(super) fn due(&self) -> Option<Instant> {
        self.look_at.filter(|_| self.there().next().is_some())
    }

    /// Looks after them, if it is time: what they answered, and whether they are there still. True if it was time.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        self.look_at = Some(now + BETWEEN_LOOKS);
        for (link, slot) in &mut self.slots {
            if let Some(error) = slot.table.as_ref().and_then(|table| look::attend(table.maps()).err()) {
                tracing::debug!(%link, %error, "cannot tell the program that there is a daemon");
            }
            if slot.busy.is_some() || slot.next.is_some() {
                continue;
            }
            let Some(placed) = slot.placed.take() else { continue };
            slot.busy = Some(Busy::Looking);
            slot.looks = slot.looks.wrapping_add(1);
            let is_touched = std::mem::take(&mut slot.is_touched);
            let is_sought = is_touched || slot.looks.is_multiple_of(LOOKS_UNTIL_SOUGHT);
            let looking = look::look(*link, placed, is_sought, self.requests.clone());
            self.jobs.push(looking.boxed());
        }
        true
    }

    /// The next job that has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Ended {
        let Self { jobs, watch, .. } = self;
        tokio::select! {
            Some(ended) = jobs.next() => ended,
            touched = watch.next() => Ended::Touched(touched),
        }
    }

    /// From here on there is no daemon that looks after them: they answer also what comes again.
    pub(super) fn depart(&self) {
        for table in self.slots.values().filter_map(|slot| slot.table.as_ref()) {
            if let Err(error) = look::depart(table.maps()) {
                tracing::debug!(%error, "cannot tell a program that there is no daemon any more");
            }
        }
    }

    /// A filter was taken away: whether it was one of ours is seen soon.
    fn touched(&mut self, touched: &Touched) {
        for (link, slot) in &mut self.slots {
            slot.is_touched |= match touched {
                Touched::Links(links) => links.contains(link),
                Touched::Any => true,
            };
        }
        if self.slots.values().any(|slot| slot.is_touched) {
            let soon = Instant::now() + BEFORE_A_LOOK;
            self.look_at = self.look_at.map(|at| at.min(soon));
        }
    }

    /// What has ended, as the engine takes it, and what is to be told.
    pub(super) fn ended(&mut self, ended: Ended, now: Time) -> (Vec<Input>, Option<News>) {
        match ended {
            Ended::Put(link, Ok(Put { placed, held })) => {
                if matches!(placed.place, Place::Clsact) {
                    self.watch.open();
                }
                let slot = self.freed(link);
                slot.placed = Some(placed);
                let mut known = Vec::new();
                if let Some(held) = held {
                    (slot.table, slot.answered, known) = (Some(held.table), held.answered, held.known);
                }
                if matches!(slot.next, Some(None)) {
                    slot.table = None;
                }
                self.look_at.get_or_insert_with(|| Instant::now() + BETWEEN_LOOKS);
                self.start_next(link);
                let since_boot = boot_time();
                let until = |at: u64| now + Duration::from_nanos(at.saturating_sub(since_boot));
                let known = known.into_iter().map(|(guest, at)| (guest, until(at))).collect();
                let inputs = vec![Input::ProgramChanged(link, Outcome::Done), Input::Mirrored(link, known)];
                (inputs, None)
            }
            Ended::Put(link, Err(failure)) => {
                let slot = self.freed(link);
                slot.table = None;
                self.start_next(link);
                let said = Outcome::Failed(failure.to_string());
                (vec![Input::ProgramChanged(link, said)], None)
            }
            Ended::Removed(link, result) => {
                self.freed(link);
                self.start_next(link);
                match result {
                    Ok(()) => (vec![Input::ProgramChanged(link, Outcome::Done)], None),
                    Err(failure) => {
                        let said = Outcome::Failed(failure.to_string());
                        (vec![Input::ProgramChanged(link, said)], Some(News::Left(link, failure)))
                    }
                }
            }
            Ended::Looked(link, placed, result) => self.looked(link, placed, result),
            Ended::Swept => (Vec::new(), None),
            Ended::Touched(touched) => {
                self.touched(&touched);
                (Vec::new(), None)
            }
        }
    }

    fn looked(
        &mut self,
        link: IfIndex,
        placed: Placed,
        result: Result<Look, Failure>,
    ) -> (Vec<Input>, Option<News>) {
        let slot = self.freed(link);
        let (mut inputs, mut news) = (Vec::new(), None);
        match result {
            Ok(Look { answered, is_there }) => {
                inputs = slot.read(link, answered);
                // What is being changed anyway is put right by that.
                if !is_there && slot.next.is_none() {
                    slot.table = None;
                    inputs.push(Input::ProgramLost(link));
                    news = Some(News::Lost(link));
                } else {
                    slot.placed = Some(placed);
                }
            }
            Err(failure) => {
                tracing::debug!(%link, %failure, "cannot look at the program");
                slot.placed = Some(placed);
            }
        }
        self.start_next(link);
        (inputs, news)
    }

    /// Whether the loss of a program is to be told of: once a minute, however often it is removed.
    pub(super) fn tells_of_loss(&mut self) -> bool {
        let now = Instant::now();
        let is_told = self.told_lost.is_none_or(|told| now - told >= BETWEEN_LOSSES);
        if is_told {
            self.told_lost = Some(now);
        }
        is_told
    }

    fn freed(&mut self, link: IfIndex) -> &mut Slot {
        let slot = self.slots.entry(link).or_default();
        slot.busy = None;
        slot
    }

    fn start_next(&mut self, link: IfIndex) {
        let Some(slot) = self.slots.get_mut(&link).filter(|slot| slot.busy.is_none()) else { return };
        let requests = self.requests.clone();
        let before = slot.placed.take();
        let job = match slot.next.take() {
            Some(Some((program, targets))) => {
                let putting = job::put(link, program, before, targets, requests);
                putting.map(move |result| Ended::Put(link, result)).boxed()
            }
            Some(None) => {
                let removing = job::remove(link, before, requests);
                removing.map(move |result| Ended::Removed(link, result)).boxed()
            }
            None => {
                slot.placed = before;
                if slot.placed.is_none() && slot.table.is_none() {
                    self.slots.remove(&link);
                }
                return;
            }
        };
        slot.busy = Some(Busy::Changing);
        self.jobs.push(job);
    }
}

impl Slot {
    /// What was asked since the last look, as the engine takes it: the sum, then guests, some at a time.
    fn read(&mut self, link: IfIndex, answered: u64) -> Vec<Input> {
        let since = answered.saturating_sub(std::mem::replace(&mut self.answered, answered));
        let Some(table) = self.table.as_mut().filter(|_| since > 0) else { return Vec::new() };
        let mut guests = Vec::new();
        table.asked(|Asked { target, hits, .. }| guests.push((target, hits)));
        let mut inputs = vec![Input::AnsweredThere(link, since, Vec::new())];
        inputs.extend(guests.chunks(SOME).map(|some| Input::AnsweredThere(link, 0, some.to_vec())));
        inputs
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// From one look at what the programs have answered to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// With each so many looks it is seen whether one by clsact is there still, as what the kernel tells of that may be lost.
const LOOKS_UNTIL_SOUGHT: u32 = 5;
/// What takes filters away at every moment does not make us look at every moment.
const BEFORE_A_LOOK: Duration = Duration::from_millis(100);
/// From one line of the log to the next.
const BETWEEN_LOSSES: Duration = Duration::from_secs(60);
/// As many guests take the engine some hundred microseconds.
const SOME: usize = 256;
