//! Reads everything again: when changes were lost, or more of what the kernel says matters. A dump is one more thing that
//! the loop waits for.
//!
//! What the kernel has said before a dump is taken in before what the dump says, and what it says meanwhile is kept
//! until after it.

use std::future::pending;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::{Instant, sleep};

use super::{Daemon, Error};
use crate::engine::Input;
use crate::engine::facts::Fact;
use crate::kernel::netlink::{NetlinkError, Notice, Ports};

/// Whether everything is to be read again, and how far that has come.
#[derive(Default)]
pub(super) struct Resync {
    due: Option<Due>,
    phase: Phase,
    /// What the kernel has said since the dump began.
    held: Vec<Fact>,
}

/// When a dump is to begin. After a lost change not at once: others follow. But not for ever later, either.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    latest: Instant,
}

#[derive(Default)]
enum Phase {
    #[default]
    Idle,
    /// What is older than the dump is being taken in; so much of it has been.
    Draining(usize),
    Dumping(BoxFuture<'static, Result<Vec<Fact>, NetlinkError>>),
}

impl Resync {
    /// As soon as possible.
    pub(super) fn ask(&mut self) {
        let now = Instant::now();
        self.due = Some(Due { at: now, latest: now });
    }

    /// Changes were lost.
    fn overrun(&mut self, now: Instant) {
        if self.due.is_none() {
            tracing::info!("the kernel sent changes faster than lone64 read them, and some were lost");
        }
        self.ask_soon(now);
    }

    /// Something has changed of which the kernel says nothing, and more may follow.
    fn ask_soon(&mut self, now: Instant) {
        let latest = self.due.map_or(now + LATEST, |due| due.latest);
        self.due = Some(Due { at: latest.min(now + PAUSE), latest });
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle => self.due.map(|due| due.at),
            Phase::Draining(_) => Some(Instant::now()),
            Phase::Dumping(_) => None,
        }
    }

    /// Whether there is room for what the kernel says.
    pub(super) fn takes_notices(&self) -> bool {
        self.held.len() < MOST_HELD
    }

    /// What the dump says. Cancel-safe.
    pub(super) async fn dumped(&mut self) -> Result<Vec<Fact>, NetlinkError> {
        let Phase::Dumping(dump) = &mut self.phase else { return pending().await };
        let result = dump.await;
        self.phase = Phase::Idle;
        result
    }
}

impl Daemon {
    /// Everything that there is, at the start. A host that boots may change faster than it can be read.
    pub(super) async fn first_dump(&mut self) -> Result<Vec<Fact>, Error> {
        loop {
            match self.monitor.dump().await {
                Err(error @ NetlinkError::Unsettled(_)) => tracing::warn!("{error}"),
                result => return Ok(result?),
            }
            sleep(PAUSE).await;
        }
    }

    /// What the kernel says, as much as has come by now, as one.
    pub(super) fn kernel(&mut self, first: Notice) -> Result<(), Error> {
        let (facts, _) = self.said(Some(first))?;
        if matches!(self.resync.phase, Phase::Dumping(_)) {
            self.resync.held.extend(facts);
            return Ok(());
        }
        self.hand_in(facts);
        Ok(())
    }

    /// What the kernel has said before it handed on the frames that have been read: of a bridge whose guests are told from
    /// strangers by their ports, behind which port the sender is.
    pub(super) fn look_for_stations(&mut self) -> Result<(), Error> {
        if self.engine.minds_ports()
            && let Some(notice) = self.monitor.try_next()
        {
            self.turn.look();
            self.kernel(notice)?;
        }
        Ok(())
    }

    /// One step towards reading everything again, if it is time.
    pub(super) fn resync_if_due(&mut self, now: Instant) -> Result<(), Error> {
        let taken = match self.resync.phase {
            Phase::Idle if self.resync.due.is_some_and(|due| due.at <= now) => 0,
            Phase::Draining(taken) => taken,
            Phase::Idle | Phase::Dumping(_) => return Ok(()),
        };
        let next = self.monitor.try_next();
        let (facts, is_empty) = self.said(next)?;
        let taken = taken + facts.len();
        self.hand_in(facts);
        // When as much has come as the queue holds, what was in it at first is taken in.
        if !is_empty && taken < MOST_QUEUED {
            self.resync.phase = Phase::Draining(taken);
            return Ok(());
        }
        // What was lost up to here the dump will tell.
        self.resync.due = None;
        let ports = if self.engine.minds_ports() { Ports::Wanted } else { Ports::LeftOut };
        self.resync.phase = Phase::Dumping(self.monitor.dump_with(ports).boxed());
        self.turn.look();
        Ok(())
    }

    /// Everything that there is; and then what has changed meanwhile.
    pub(super) fn dumped(&mut self, result: Result<Vec<Fact>, NetlinkError>) -> Result<(), Error> {
        match result {
            Ok(facts) => {
                tracing::info!("resynchronized with the kernel");
                self.handle(Input::Snapshot(facts));
            }
            Err(NetlinkError::Closed) => return Err(NetlinkError::Closed.into()),
            Err(error) => {
                tracing::warn!("{error}");
                let now = Instant::now();
                self.resync.due.get_or_insert(Due { at: now + PAUSE, latest: now + LATEST });
            }
        }
        let held = std::mem::take(&mut self.resync.held);
        self.hand_in(held);
        Ok(())
    }

    /// Collects what the kernel has said, beginning with this. Tells whether that was all.
    fn said(&mut self, first: Option<Notice>) -> Result<(Vec<Fact>, bool), Error> {
        let mut facts = Vec::new();
        let mut next = first;
        while let Some(notice) = next {
            match notice {
                Notice::Fact(fact) => facts.push(fact),
                Notice::Overrun => self.resync.overrun(Instant::now()),
                Notice::GroupShrunk => self.resync.ask_soon(Instant::now()),
                Notice::Closed => return Err(Error::MonitorClosed),
            }
            if facts.len() == FACTS_AT_ONCE {
                return Ok((facts, false));
            }
            next = self.monitor.try_next();
        }
        Ok((facts, true))
    }

    fn hand_in(&mut self, facts: Vec<Fact>) {
        if !facts.is_empty() {
            self.handle(Input::Facts(facts));
            self.follow_upstreams();
        }
    }
}

/// What the kernel says is taken in by as much, so that a storm of it does not hold up answers.
const FACTS_AT_ONCE: usize = 4_096;
/// From a lost change until everything is read again.
const PAUSE: Duration = Duration::from_millis(100);
/// The same, where changes are lost all the time.
const LATEST: Duration = Duration::from_secs(1);
/// More changes than fit into the monitor's queue: 8 MiB, of which the smallest takes 768 bytes.
const MOST_QUEUED: usize = 16_384;
/// Changes that are kept while a dump is under way; what comes after them waits in the kernel.
const MOST_HELD: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_losses_put_a_dump_off_by_a_second_at_most() {
        let mut resync = Resync::default();
        let first = Instant::now();
        for step in 0..100 {
            resync.overrun(first + step * Duration::from_millis(50));
        }
        assert_eq!(resync.due(), Some(first + LATEST));
    }

    #[test]
    fn one_loss_waits_for_those_that_follow() {
        let mut resync = Resync::default();
        let first = Instant::now();
        resync.overrun(first);
        assert_eq!(resync.due(), Some(first + PAUSE));
        resync.overrun(first + PAUSE / 2);
        assert_eq!(resync.due(), Some(first + PAUSE + PAUSE / 2));
    }

    #[test]
    fn what_is_asked_for_is_not_put_off_by_a_loss() {
        let mut resync = Resync::default();
        resync.ask();
        let asked = resync.due();
        resync.overrun(Instant::now() + PAUSE);
        assert_eq!(resync.due(), asked);
    }
}
