//! The daemon room: the one loop between the kernel and the engine.
//!
//! May touch: the clock, the control socket, the service manager, and the kernel through its room. It
//! decides nothing: what happened goes into the engine, and what comes out is carried out, in the
//! order of the engine's contract. The loop's thread waits for nothing but news: whatever takes a lock of the
//! kernel's, or a disk, is done by another thread, and its outcome is one more thing that happens.
//!
//! `frames` are sockets and what comes and leaves by them, `effects` everything else that is asked of the kernel,
//! `programs` those that answer in the kernel, `settings` its sysctls, `resync` what is read again, `turn` whose turn it
//! is, `way_out` what every end goes through. `alone` and `privileges` are what a start may fail of; what `waiting` tells of is waited for.

mod alone;
mod arrivals;
mod begin;
pub mod claiming;
pub mod control;
mod effects;
mod error;
mod events;
pub mod explained;
mod exports;
mod frames;
mod guards;
mod guest_files;
mod hand_over;
mod in_force;
mod log_writer;
pub mod logging;
mod lookout;
mod memory;
pub mod metrics;
mod operator;
mod privileges;
mod programs;
mod provider;
mod record;
mod reload;
mod resync;
mod service;
mod settings;
pub mod socket;
mod spare;
pub mod status;
mod summary;
mod suppressor;
mod sysctls;
pub mod threads;
mod turn;
pub mod unserved;
mod waiting;
mod way_out;

use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

pub use alone::Alone;
pub use error::Error;
pub use operator::Operator;
pub use privileges::backend_refused;
pub use record::Recorder;
pub use reload::{Refusal, Source};
pub use service::Service;

use crate::config::Config;
use crate::engine::facts::IfIndex;
use crate::engine::{Event, Input, Output, Time};
use crate::kernel::netlink::Monitor;
use crate::kernel::packet::PacketSocket;
use crate::kernel::ready::Queue;
use effects::{Done, Effects, Mode};
use events::Teller;
use frames::Frames;
use memory::Memory;
use metrics::Measures;
use record::Recorded;
use resync::Resync;
use settings::Settings;
use turn::{Turn, Wake};

/// A daemon that serves: its sockets are bound and its routes are in.
pub struct Daemon {
    engine: Recorded,
    monitor: Monitor,
    frames: Frames,
    effects: Effects,
    teller: Teller,
    /// What happened, to be told when all frames have left.
    untold: Vec<Event>,
    operator: Operator,
    measures: Measures,
    config: Config,
    settings: Settings,
    resync: Resync,
    turn: Turn,
    /// When something is to be done that is not the engine's.
    rest_due: Option<Instant>,
    memory: Memory,
    origin: Instant,
    /// Given up last.
    _alone: Alone,
}

impl Daemon {
    /// Learns what the host looks like, binds the sockets and installs the routes, in the network namespace of this
    /// thread. Must be called as a part of what [`threads::run`] runs, with its queue.
    ///
    /// What is not there yet, or is in the way, is waited for and told, at the start as later. An error is what does
    /// not heal: another lone64, a missing privilege. On an error nothing of ours is left in the kernel.
    pub async fn start(config: &Config, ready: Queue) -> Result<Self, Error> {
        Self::start_recorded(config, Alone::claim().await?, None, ready).await
    }

    /// The same in a network namespace that is claimed, and everything that enters and leaves the engine is written
    /// down.
    pub async fn start_recorded(
        config: &Config,
        alone: Alone,
        recorder: Option<Recorder>,
        ready: Queue,
    ) -> Result<Self, Error> {
        let (monitor, requests) = Monitor::start_beside()?;
        privileges::check(config, &requests).await?;
        let mut frames = Frames::new(ready.clone());
        frames.ears.inherit(PacketSocket::inherited(service::UPSTREAM, service::RING));
        let mut daemon = Self {
            engine: Recorded::new(config.policy.clone(), random_seed(), recorder),
            monitor,
            frames,
            effects: Effects::new(requests),
            teller: Teller::new(),
            untold: Vec::new(),
            operator: Operator::default(),
            measures: Measures::new(),
            config: config.clone(),
            settings: Settings::default(),
            resync: Resync::default(),
            turn: Turn::new(ready),
            rest_due: None,
            memory: Memory::default(),
            origin: Instant::now(),
            _alone: alone,
        };
        // What went wrong says more than whatever the way out could meet.
        if let Err(error) = daemon.learn().await {
            daemon.give_settings_back().await;
            return Err(error);
        }
        if let Err(error) = daemon.begin().await {
            let _ = daemon.give_back(pin!(futures_util::stream::pending())).await;
            return Err(error);
        }
        daemon.frames.ears.close_inherited();
        daemon.effects.enter(Mode::Serving);
        daemon.warn_of_missing();
        Ok(daemon)
    }

    /// Who may want something of it from now on.
    pub fn attach(&mut self, operator: Operator) {
        self.operator = operator;
        self.serve_metrics();
        self.operator.spare.change_ended();
        let status = self.first_status_line();
        self.operator.service.ready(status);
    }

    /// Serves until `stop` has something, or something fails for which there is no way around, and then gives back
    /// what the kernel holds for us; until `stop` has something again.
    pub async fn serve(mut self, stop: impl Stream<Item = io::Result<()>>) -> Result<(), Error> {
        let mut stop = pin!(stop.fuse());
        let ended = self.run(stop.as_mut()).await;
        let given_back = self.give_back(stop).await;
        ended.and(given_back)
    }

    async fn run(&mut self, mut stop: Pin<&mut impl Stream<Item = io::Result<()>>>) -> Result<(), Error> {
        let mut now = Instant::now();
        // Also before the first question: those who log or watch packets are told of that one, too.
        self.settle_watch();
        loop {
            self.tell_of_unsent();
            match self.next(&mut stop, now).await {
                Wake::Stop(told) => return told.map_err(Error::Deaf),
                Wake::Frames => self.frames()?,
                Wake::Kernel(notice) => self.kernel(notice)?,
                Wake::Dumped(result) => self.dumped(result)?,
                Wake::Done(done) => self.done(done),
                Wake::Settled(settled) => self.settled(settled),
                Wake::Wish(wish) => self.grant(wish),
                Wake::Timeout => {}
            }
            // What is due, or was left over for later, has its turn after anything else: it waits for no quiet moment.
            now = Instant::now();
            if self.engine_due().is_some_and(|due| due <= now) {
                self.handle(Input::Timeout);
            }
            // Most questions stir nothing but the engine.
            if self.turn.was_of_frames_only() && self.rest_due.is_none_or(|due| due > now) {
                continue;
            }
            self.tell_service(now);
            self.resync_if_due(now)?;
            self.settle_watch();
            self.settle_reload();
            self.effects.check()?;
            let due = [self.resync.due(), self.operator.service.due(), self.effects.look(now, &self.turn)];
            self.rest_due = due.into_iter().flatten().min();
        }
    }

    /// Steps 1 and 2 of the engine's contract.
    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.engine.handle(input, now);
        self.carry_out(now);
    }

    fn carry_out(&mut self, now: Time) {
        self.send();
        self.tell(now);
    }

    /// What has come out, in order; but what is told waits until all frames have left, because it takes longer and
    /// nobody's answer should wait for it.
    fn send(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Event(event) => self.untold.push(event),
                Output::Resync => {
                    self.turn.look();
                    self.resync.ask();
                }
                Output::Remember(all) => self.remember_sources(&all),
                Output::RememberClaims(changed) => self.remember_claims(changed),
                effect => {
                    // Of everything but frames there is an outcome to be waited for.
                    if !effect.is_frame() {
                        self.turn.look();
                    }
                    if let Some(effect) = self.frames.carry_out(effect) {
                        self.effects.carry_out(effect, &self.engine, Time::at(self.origin.elapsed()));
                    }
                }
            }
        }
        self.frames.flush();
    }

    fn tell(&mut self, now: Time) {
        if self.untold.is_empty() {
            return;
        }
        // A status line may follow.
        self.turn.look();
        let links = self.engine.links();
        for event in self.untold.drain(..) {
            self.teller.tell(&event, links, now);
            self.operator.publish(&event, links, now);
        }
    }

    /// Batches of frames, from one interface after the other, until no more have come or the turn is over.
    fn frames(&mut self) -> Result<(), Error> {
        let mut now = self.now();
        let end = now + TURN;
        for _ in 0..MOST_BATCHES {
            let Some(link) = self.frames.ears.next_ready() else { break };
            self.arrivals(now);
            self.frames.take_asked();
            // One alone may be followed by the next question of somebody who waited for the answer: that has its own turn.
            if self.batch(link, now)? > 1 {
                self.frames.ears.look_again(link);
            }
            // Their replies may be here already, and the kernel need not be asked first.
            for link in self.frames.take_asked().into_iter().flatten() {
                now = self.now();
                self.batch(link, now)?;
            }
            if self.frames.ears.ready().is_empty() {
                break;
            }
            now = self.now();
            if now >= end {
                break;
            }
        }
        Ok(())
    }

    /// One batch from an interface, if there is one. The answers to a batch leave together when all of it has been
    /// read, and before anything else is looked at. Says how many frames there were.
    fn batch(&mut self, link: IfIndex, now: Time) -> Result<usize, Error> {
        let batch = self.frames.receive(link);
        let links = self.engine.links();
        let batch = batch.map_err(|source| Error::Receive { link: links.name(link), source })?;
        let Some(mut batch) = batch else { return Ok(0) };
        let count = batch.inputs().len();
        self.look_for_stations()?;
        self.engine.look_ahead(batch.inputs());
        match &mut self.measures.stopwatch {
            None => batch.take_inputs().for_each(|(input, _)| self.engine.handle(input, now)),
            Some(stopwatch) => stopwatch.handle(&mut self.engine, &mut batch, now),
        }
        self.frames.take_back(batch);
        self.send();
        self.measures.sent();
        self.tell(now);
        Ok(count)
    }

    /// What has ended, and whatever else has by now, as one.
    fn done(&mut self, first: Done) {
        let now = self.now();
        let (mut next, mut count) = (Some(first), 0);
        while let Some(done) = next {
            let mut heard = Vec::new();
            if let Done::Ears(tuned) = &done {
                self.frames.release(tuned);
                heard = self.frames.heard_before(tuned);
            }
            for input in self.effects.outcomes(done, &self.engine, now).into_iter().chain(heard) {
                self.engine.handle(input, now);
            }
            count += 1;
            next = if count < DONE_AT_ONCE { self.effects.try_next() } else { None };
        }
        self.carry_out(now);
        self.effects.release(now);
    }

    /// The engine learns which of its advertisements did not leave: once in a turn, since it may send others.
    fn tell_of_unsent(&mut self) {
        if self.frames.has_unsent() {
            let unsent = self.frames.take_unsent();
            let now = self.now();
            unsent.into_iter().for_each(|input| self.engine.handle(input, now));
            self.carry_out(now);
        }
    }

    fn is_engine_due(&self) -> bool {
        self.engine_due().is_some_and(|due| due <= Instant::now())
    }

    /// When the engine wants to be asked; that may have been already, if it has left something over.
    fn engine_due(&self) -> Option<Instant> {
        self.engine.next_timeout().map(|due| self.instant(due))
    }

    fn now(&self) -> Time {
        Time::at(self.origin.elapsed())
    }

    fn instant(&self, time: Time) -> Instant {
        self.origin + time.since(Time::ORIGIN)
    }
}

/// From the kernel's pool: nobody else may know it, or addresses that collide could be chosen.
fn random_seed() -> [u64; 2] {
    use std::hash::{BuildHasher, RandomState};
    [RandomState::new().hash_one(0), RandomState::new().hash_one(1)]
}

/// Questions are answered for so long before something else has a turn, and a batch longer at most.
const TURN: Duration = Duration::from_micros(500);
/// And so many batches at most, before the kernel is asked on which other interfaces frames have come.
const MOST_BATCHES: usize = 64;
/// Outcomes that are handed in together: thousands come at once.
const DONE_AT_ONCE: usize = 256;
