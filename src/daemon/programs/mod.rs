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

mod hits;
mod job;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::engine::facts::IfIndex;
use crate::engine::{Input, Outcome, Program, Time};
use crate::kernel::bpf::{BpfError, Maps, TcxLink, boot_time};
use crate::kernel::netlink::{NetlinkError, Requests};
use crate::wire::program::{Entry, target_key};
use hits::{Hits, Read};
use job::Put;
pub(super) use job::sweep;

/// The programs, and what is under way with them.
pub(super) struct Programs {
    requests: Requests,
    slots: BTreeMap<IfIndex, Slot>,
    jobs: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// When the programs are looked after.
    look_at: Option<Instant>,
    /// When another program's removal of one was told of last.
    told_lost: Option<Instant>,
}

/// One upstream.
#[derive(Default)]
struct Slot {
    /// Where guests are made known.
    maps: Option<Arc<Maps>>,
    /// None where there is none, or a job has it.
    placed: Option<Placed>,
    /// What is to be done next: another program, and room for so many targets; or none.
    next: Option<Option<(Program, u32)>>,
    busy: Option<Busy>,
    hits: Hits,
    looks: u32,
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
    Looked(IfIndex, Placed, Hits, Result<Look, Failure>),
    Swept,
}

/// What a look at a program has shown.
pub(super) struct Look {
    read: Read,
    is_there: bool,
    took: Duration,
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
            told_lost: None,
        }
    }

    /// Has this program answer on this upstream from now on, with room for so many targets; or none.
    pub(super) fn ask(&mut self, link: IfIndex, program: Option<Program>, targets: usize) {
        let slot = self.slots.entry(link).or_default();
        let targets = u32::try_from(targets).unwrap_or(u32::MAX);
        slot.next = Some(program.map(|program| (program, targets)));
        if program.is_none() {
            // Nothing is made known to one that goes.
            slot.maps = None;
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
        let Some(maps) = self.slots.get(&link).and_then(|slot| slot.maps.clone()) else {
            let guests = changes.into_iter().map(|(guest, _)| guest).collect();
            let failed = Outcome::Failed("there is no program".to_owned());
            return (vec![Input::MirrorChanged(link, guests, failed)], None);
        };
        let since_boot = boot_time();
        let (mut done, mut refused, mut refusal) = (Vec::new(), Vec::new(), None);
        for (guest, until) in changes {
            let key = target_key(guest);
            let result = match until {
                None => maps.targets.remove(&key),
                Some(until) => {
                    let until = since_boot.saturating_add(nanoseconds(until.since(now)));
                    let before = maps.targets.get(&key).ok().flatten().unwrap_or_default();
                    maps.targets.set(&key, Entry { until, ..before })
                }
            };
            match result {
                Ok(()) => done.push(guest),
                // One that stays known is answered for without a reason: then nothing is to be known.
                Err(error) if until.is_none() => {
                    self.ask(link, None, 0);
                    let said = Outcome::Failed(error.to_string());
                    return (vec![Input::ProgramChanged(link, said)], Some(error));
                }
                Err(error) => {
                    refused.push(guest);
                    refusal = Some(error);
                }
            }
        }
        let mut inputs = vec![Input::MirrorChanged(link, done, Outcome::Done)];
        if let Some(error) = &refusal {
            inputs.push(Input::MirrorChanged(link, refused, Outcome::Failed(error.to_string())));
        }
        (inputs, refusal)
    }

    /// Whether a program is being put in its place or taken away, so that what is to come behind that waits.
    pub(super) fn is_changing(&self) -> bool {
        self.slots.values().any(|slot| slot.next.is_some() || slot.busy == Some(Busy::Changing))
    }

    /// The upstreams whose program is in its place.
    pub(super) fn there(&self) -> impl Iterator<Item = IfIndex> {
        self.slots.iter().filter(|(_, slot)| slot.maps.is_some()).map(|(link, _)| *link)
    }

    /// Removes what a predecessor has left for interfaces that have no program now.
    pub(super) fn sweep(&mut self) {
        let ours: BTreeSet<_> = self.slots.keys().copied().collect();
        let requests = self.requests.clone();
        self.jobs.push(job::sweep(ours, requests).map(|()| Ended::Swept).boxed());
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
            if slot.busy.is_some() || slot.next.is_some() {
                continue;
            }
            let Some(placed) = slot.placed.take() else { continue };
            slot.busy = Some(Busy::Looking);
            slot.looks = slot.looks.wrapping_add(1);
            // Where it is by clsact, that takes the kernel's lock of all network settings.
            let is_sought = slot.looks.is_multiple_of(LOOKS_UNTIL_SOUGHT);
            let hits = std::mem::take(&mut slot.hits);
            let looking = look(*link, placed, hits, is_sought, self.requests.clone());
            self.jobs.push(looking.boxed());
        }
        true
    }

    /// The next job that has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Ended {
        match self.jobs.next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// What has ended, as the engine takes it, and what is to be told.
    pub(super) fn ended(&mut self, ended: Ended, now: Time) -> (Vec<Input>, Option<News>) {
        match ended {
            Ended::Put(link, Ok(Put { placed, held })) => {
                let slot = self.freed(link);
                if !matches!(slot.next, Some(None)) {
                    slot.maps = Some(Arc::clone(&placed.maps));
                }
                slot.placed = Some(placed);
                let mut known = Vec::new();
                if let Some(held) = held {
                    (slot.hits, known) = (held.hits, held.known);
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
                slot.maps = None;
                slot.hits = Hits::default();
                self.start_next(link);
                let said = Outcome::Failed(failure.to_string());
                (vec![Input::ProgramChanged(link, said)], None)
            }
            Ended::Removed(link, result) => {
                let slot = self.freed(link);
                slot.hits = Hits::default();
                self.start_next(link);
                match result {
                    Ok(()) => (vec![Input::ProgramChanged(link, Outcome::Done)], None),
                    Err(failure) => {
                        let said = Outcome::Failed(failure.to_string());
                        (vec![Input::ProgramChanged(link, said)], Some(News::Left(link, failure)))
                    }
                }
            }
            Ended::Looked(link, placed, hits, result) => self.looked(link, placed, hits, result),
            Ended::Swept => (Vec::new(), None),
        }
    }

    fn looked(
        &mut self,
        link: IfIndex,
        placed: Placed,
        hits: Hits,
        result: Result<Look, Failure>,
    ) -> (Vec<Input>, Option<News>) {
        if let Ok(Look { took, .. }) = &result {
            // To read many targets takes another thread a while: a twentieth of the time at most.
            self.look_at = self.look_at.max(Some(Instant::now() + *took * 20));
        }
        let slot = self.freed(link);
        slot.hits = hits;
        let (mut inputs, mut news) = (Vec::new(), None);
        match result {
            Ok(Look { read, is_there, .. }) => {
                inputs = read.inputs(link);
                // What is being changed anyway is put right by that.
                if !is_there && slot.next.is_none() {
                    (slot.maps, slot.hits) = (None, Hits::default());
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
                if slot.placed.is_none() && slot.maps.is_none() {
                    self.slots.remove(&link);
                }
                return;
            }
        };
        slot.busy = Some(Busy::Changing);
        self.jobs.push(job);
    }
}

/// Reads what a program has answered; and sees whether it is there, if that is wanted.
async fn look(link: IfIndex, placed: Placed, mut hits: Hits, is_sought: bool, requests: Requests) -> Ended {
    let start = Instant::now();
    let looking = job::blocking(move || {
        let read = hits.read(&placed.maps);
        let is_there = match &placed.place {
            Place::Tcx(tcx) if is_sought => tcx.interface().ok().map(|found| found == Some(link)),
            _ => None,
        };
        Ok((placed, hits, read, is_there))
    });
    let (placed, hits, read, is_there) = match looking.await {
        Ok(looked) => looked,
        Err(failure) => return Ended::Put(link, Err(failure)),
    };
    let is_there = match (&placed.place, is_there) {
        (_, Some(is_there)) => Ok(is_there),
        (Place::Clsact, None) if is_sought => requests.has_responder(link).await.map_err(Failure::from),
        (_, None) => Ok(true),
    };
    let look = read
        .map_err(Failure::from)
        .and_then(|read| Ok(Look { read, is_there: is_there?, took: start.elapsed() }));
    Ended::Looked(link, placed, hits, look)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// From one look at what the programs have answered to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// With each so many looks it is seen whether they are there still.
const LOOKS_UNTIL_SOUGHT: u32 = 5;
/// From one line of the log to the next.
const BETWEEN_LOSSES: Duration = Duration::from_secs(60);
