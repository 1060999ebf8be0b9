//! The daemon room: the one loop between the kernel and the engine.
//!
//! May touch: the clock, the control socket, the service manager, and the kernel through its room. It
//! decides nothing: what happened goes into the engine, and what comes out is carried out, in the
//! order of the engine's contract.

pub mod control;
mod error;
mod events;
pub mod explained;
pub mod logging;
pub mod metrics;
mod operator;
mod reload;
mod service;
mod stage;
pub mod status;
mod suppressor;
mod sysctls;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout};

pub use error::Error;
pub use operator::Operator;
pub use reload::{Refusal, Source};
pub use service::Service;

use crate::config::Config;
use crate::engine::bindings::{Place, Scope};
use crate::engine::facts::IfIndex;
use crate::engine::policy::{Origin, RangePolicy};
use crate::engine::{Engine, Input, Output, Problem, RouteState, Time};
use crate::kernel::netlink::{Monitor, NetlinkError, Notice};
use crate::kernel::nft::NftError;
use events::Teller;
use metrics::Measures;
use operator::Wish;
use stage::{Done, NeighborDone, Stage};
use sysctls::Sysctls;

/// A daemon that serves: its sockets are bound and its routes are in.
pub struct Daemon {
    engine: Engine,
    monitor: Monitor,
    stage: Stage,
    teller: Teller,
    operator: Operator,
    measures: Measures,
    config: Config,
    /// `None`: they are not ours to change.
    sysctls: Option<Sysctls>,
    origin: Instant,
    /// When everything is to be read anew, because changes were lost or more of it matters now.
    resync_at: Option<Instant>,
}

/// What woke the loop.
enum Wake {
    Stop,
    Frames,
    Kernel(Notice),
    Changed(Done),
    NeighborChanged(NeighborDone),
    Grouped(io::Result<()>),
    Suppressed(Result<(), NftError>),
    Wish(Wish),
    Timeout,
}

impl Daemon {
    /// Learns what the host looks like, binds the sockets and installs the routes, in the network
    /// namespace of this thread. Must be called within a Tokio runtime with I/O and time.
    ///
    /// On an error nothing of ours is left in the kernel.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        let (monitor, requests) = Monitor::start()?;
        let mut daemon = Self {
            engine: Engine::new(config.policy.clone(), random_seed()),
            monitor,
            stage: Stage::new(requests)?,
            teller: Teller::new(),
            operator: Operator::default(),
            measures: Measures::new(),
            config: config.clone(),
            sysctls: None,
            origin: Instant::now(),
            resync_at: None,
        };
        let facts = daemon.monitor.dump().await?;
        daemon.handle(Input::Facts(facts));
        daemon.refuse_problems()?;
        daemon.manage_sysctls(config)?;
        daemon.handle(Input::Synced);
        let started = daemon.settle_kernel().await;
        if started.is_err() {
            // The error that there is says more than one that this could meet.
            let _ = daemon.give_back().await;
        }
        started?;
        daemon.stage.be_lenient();
        Ok(daemon)
    }

    /// Who may want something of it from now on.
    pub fn attach(&mut self, operator: Operator) {
        self.operator = operator;
        self.serve_metrics();
        let status = self.summary().join("; ");
        self.operator.service.ready(status);
    }

    /// Serves until `stop` is done, and then gives back what the kernel holds for us.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let mut stop = pin!(stop);
        let mut alarm = pin!(sleep_until(self.origin));
        loop {
            let due = self.engine.next_timeout().map(|due| self.instant(due));
            let due = [due, self.resync_at, self.operator.service.due()].into_iter().flatten().min();
            if let Some(due) = due.filter(|due| *due != alarm.deadline()) {
                alarm.as_mut().reset(due);
            }
            let wake = tokio::select! {
                () = &mut stop => Wake::Stop,
                ready = self.stage.ears.ready() => {
                    self.stage.ready.extend(ready.map_err(Error::Wait)?);
                    Wake::Frames
                }
                notice = self.monitor.next() => Wake::Kernel(notice),
                Some(done) = self.stage.changes.next() => Wake::Changed(done),
                Some(done) = self.stage.neighbors.next() => Wake::NeighborChanged(done),
                result = self.stage.groups.done(), if self.stage.groups.is_busy() => Wake::Grouped(result),
                result = self.stage.suppressor.done(), if self.stage.suppressor.is_busy() => Wake::Suppressed(result),
                wish = self.operator.next() => Wake::Wish(wish),
                () = &mut alarm, if due.is_some() => Wake::Timeout,
            };
            match wake {
                Wake::Stop => break,
                Wake::Frames => self.frames()?,
                Wake::Kernel(notice) => self.kernel(notice)?,
                Wake::Changed(done) => self.changed(done),
                // What became of it is heard as a fact; an entry that the kernel has made by itself
                // meanwhile, or lost again, is no mistake.
                Wake::NeighborChanged((change, result)) => {
                    if let Err(error) = result {
                        tracing::debug!(?change, %error, "a neighbor entry stays as it is");
                    }
                }
                Wake::Grouped(result) => self.stage.grouped(result),
                Wake::Suppressed(result) => self.stage.suppressed(result),
                Wake::Wish(wish) => self.grant(wish),
                Wake::Timeout => {
                    self.tell_service();
                    self.resync_if_due().await?;
                    self.handle(Input::Timeout);
                }
            }
            self.settle_watch();
            self.stage.check()?;
        }
        self.operator.service.stopping();
        let dropped: u64 = self.stage.ears.drops().values().sum();
        if dropped > 0 {
            tracing::info!("{dropped} frames came faster than they were read, and were dropped");
        }
        self.give_back().await
    }

    /// How many interfaces are listened to for their guests.
    pub fn downstreams(&self) -> usize {
        self.engine.bindings().ranges.iter().map(|place| place.downstreams.len()).sum()
    }

    /// What is served, a line for each range.
    pub fn summary(&self) -> Vec<String> {
        let bindings = self.engine.bindings();
        let name = |link: Option<IfIndex>| {
            link.and_then(|link| self.engine.links().get(link)).map(|link| link.name.to_string())
        };
        let ranges = &self.engine.policy().ranges;
        if ranges.is_empty() {
            let upstreams = bindings.upstreams.iter().filter_map(|upstream| name(Some(upstream.link)));
            let upstreams: Vec<_> = upstreams.collect();
            let nothing = "serving nothing yet: nothing to serve follows from the addresses and routes of";
            return vec![format!("{nothing} {}", upstreams.join(", "))];
        }
        let line = |(range, place): (&RangePolicy, &Place)| {
            let upstream = name(place.upstream).unwrap_or_else(|| "no upstream".to_owned());
            let RangePolicy { prefix, downstream, answer, .. } = range;
            let origin = match range.origin {
                Origin::Config => String::new(),
                origin => format!(", {}", origin.as_str()),
            };
            format!("serving {prefix} on {upstream} for {downstream} ({answer}{origin})")
        };
        let mut lines: Vec<_> = ranges.iter().zip(&bindings.ranges).take(SUMMARY).map(line).collect();
        if ranges.len() > SUMMARY {
            lines.push(format!("and {} more", ranges.len() - SUMMARY));
        }
        lines
    }

    /// Steps 1 and 2 of the engine's contract. (Step 3 is the `select!` above.)
    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.engine.handle(input, now);
        self.carry_out(now);
        self.stage.flush();
    }

    fn carry_out(&mut self, now: Time) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Event(event) => {
                    let links = self.engine.links();
                    self.teller.tell(&event, links, now);
                    self.operator.publish(&event, links, now);
                }
                Output::Resync => self.resync_at = Some(Instant::now()),
                effect => self.stage.carry_out(effect),
            }
        }
    }

    /// One batch from every interface that has frames. The answers to a batch leave together when
    /// all of it has been read, and before anything else is looked at.
    fn frames(&mut self) -> Result<(), Error> {
        let now = self.now();
        while let Some(link) = self.stage.ready.pop() {
            let Some(batch) = self.stage.receive(link)? else { continue };
            match &mut self.measures.stopwatch {
                None => batch.inputs().for_each(|input| self.engine.handle(input, now)),
                Some(stopwatch) => stopwatch.handle(&mut self.engine, &batch, now),
            }
            self.stage.take_back(batch);
            self.carry_out(now);
            self.stage.flush();
            self.measures.sent();
        }
        Ok(())
    }

    fn changed(&mut self, done: Done) {
        let input = self.stage.outcome(done);
        self.handle(input);
    }

    /// What the kernel says, as much as has come by now, as one.
    fn kernel(&mut self, first: Notice) -> Result<(), Error> {
        let mut facts = Vec::new();
        let mut next = Some(first);
        while let Some(notice) = next {
            match notice {
                Notice::Fact(fact) => facts.push(fact),
                Notice::Overrun => {
                    if self.resync_at.is_none() {
                        tracing::info!("the kernel's changes came too fast, and some were lost");
                    }
                    self.resync_at = Some(Instant::now() + RESYNC_PAUSE);
                }
                Notice::Closed => return Err(Error::MonitorClosed),
            }
            next = (facts.len() < FACTS_AT_ONCE).then(|| self.monitor.try_next()).flatten();
        }
        self.handle(Input::Facts(facts));
        self.follow_upstreams();
        Ok(())
    }

    /// Everything anew, if it is time. After a lost change not at once: others follow.
    async fn resync_if_due(&mut self) -> Result<(), Error> {
        if self.resync_at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.resync_at = None;
        match self.monitor.dump().await {
            Ok(facts) => {
                tracing::info!("read anew everything that the kernel says");
                self.handle(Input::Snapshot(facts));
            }
            Err(error @ NetlinkError::Unsettled(_)) => {
                tracing::warn!("{error}");
                self.resync_at = Some(Instant::now() + RESYNC_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A host on which nothing of the configuration can work is refused; what is merely incomplete
    /// is told, and served as far as it goes.
    fn refuse_problems(&self) -> Result<(), Error> {
        let problems = self.engine.problems();
        if is_unusable(problems, self.engine.bindings().ranges.len()) {
            return Err(Error::Unusable(problems.to_vec()));
        }
        Ok(())
    }

    /// Waits until everything that was asked for is done; at the start a refusal is fatal.
    async fn settle_kernel(&mut self) -> Result<(), Error> {
        self.stage.check()?;
        while self.stage.groups.is_busy() {
            let result = self.stage.groups.done().await;
            self.stage.grouped(result);
        }
        while self.stage.suppressor.is_busy() {
            let result = self.stage.suppressor.done().await;
            self.stage.suppressed(result);
            self.stage.check()?;
        }
        while let Some(done) = self.stage.changes.next().await {
            self.changed(done);
            self.stage.check()?;
        }
        let kept_out = self.engine.routes().find(|(_, state)| *state == RouteState::Conflict);
        if let Some((route, _)) = kept_out {
            let other = self.engine.in_the_way_of(route);
            return Err(Error::busy_route(route, other, self.engine.links()));
        }
        Ok(())
    }

    async fn give_back(&mut self) -> Result<(), Error> {
        self.handle(Input::Stop);
        self.teller.tell_left_out();
        let done = async {
            while let Some(done) = self.stage.changes.next().await {
                self.changed(done);
            }
            while self.stage.neighbors.next().await.is_some() {}
        };
        let routes = timeout(PATIENCE_AT_STOP, done).await.map_err(|_| Error::RoutesLeft);
        // Guests whose routes are gone need no forwarding any more.
        self.sysctls = None;
        while self.stage.suppressor.is_busy() {
            match timeout(PATIENCE_AT_STOP, self.stage.suppressor.done()).await {
                Ok(result) => result?,
                Err(_) => return Err(Error::TableLeft),
            }
        }
        routes
    }

    fn now(&self) -> Time {
        Time::at(self.origin.elapsed())
    }

    fn instant(&self, time: Time) -> Instant {
        self.origin + time.since(Time::ORIGIN)
    }
}

/// Whether nothing of a policy with so many ranges can work.
fn is_unusable(problems: &[Problem], ranges: usize) -> bool {
    let count = |scope| problems.iter().filter(|problem| problem.scope() == scope).count();
    count(Scope::Upstream) > 0 || ranges > 0 && count(Scope::Range) == ranges
}

/// From the kernel's pool: nobody else may know it, or addresses that collide could be chosen.
fn random_seed() -> [u64; 2] {
    use std::hash::{BuildHasher, RandomState};
    [RandomState::new().hash_one(0), RandomState::new().hash_one(1)]
}

/// As many ranges have a line each; automatic may serve thousands.
const SUMMARY: usize = 32;
/// What the kernel says is taken in by as much, so that a storm of it does not hold up answers.
const FACTS_AT_ONCE: usize = 4_096;
/// From a lost change until everything is read anew.
const RESYNC_PAUSE: Duration = Duration::from_millis(100);
/// The kernel answers within milliseconds; if it does not, the exit must not wait for it.
const PATIENCE_AT_STOP: Duration = Duration::from_millis(800);
