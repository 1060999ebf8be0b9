//! What the administrator and the service manager want of a running daemon: status, reload, signs
//! of life.

use std::future::pending;

use tokio::signal::unix::Signal;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Daemon;
use super::control::{Answer, Call, Control, Method, Reply, Truth};
use super::events::logs_packets;
use super::explained::Explained;
use super::guest_files::{self, Watched};
use super::in_force::InForce;
use super::metrics::{self, Metrics, Scrape};
use super::privileges;
use super::reload::{self, Refusal, Source};
use super::service::{Due, Service};
use super::spare::Spare;
use super::status::Status;
use crate::config::{Change, GuestFiles, Loaded};
use crate::engine::{Event, Input, Links, Time, Watch};
use crate::kernel::sysctl::SysctlError;

/// Those who may want something of a daemon; by default nobody.
#[derive(Debug, Default)]
pub struct Operator {
    /// The control socket.
    pub(super) control: Option<Control>,
    /// The clients that scrape.
    pub(super) metrics: Option<Metrics>,
    /// Where the configuration comes from.
    source: Option<Source>,
    /// What came from there.
    in_force: Option<InForce>,
    /// Guests that come and go as files do.
    pub(super) guests: Watched,
    /// The sender of the signal wants it to be read again.
    hangup: Option<Signal>,
    /// The service manager.
    pub(super) service: Service,
    /// Under way.
    reading: Option<JoinHandle<Result<Loaded, Refusal>>>,
    /// Read, and about to be taken.
    taking_over: Option<Box<Next>>,
    /// Taken, but not every socket that it asks for is open yet.
    taken: Option<Vec<Change>>,
    /// Who waits for what is under way, and who came too late for it.
    waiting: Vec<oneshot::Sender<Answer>>,
    late: Vec<oneshot::Sender<Answer>>,
    is_signalled_late: bool,
    /// A stop until then is followed by another start.
    pub(super) hands_over_until: Option<Instant>,
    is_watched: bool,
    /// Of a start, a reload and long replies.
    pub(super) spare: Spare,
}

/// A configuration that can be taken as soon as the kernel's settings are as it says.
#[derive(Debug)]
struct Next {
    loaded: Loaded,
    changes: Vec<Change>,
    control: Option<Control>,
    metrics: metrics::Next,
}

/// One thing that is wanted.
#[derive(Debug)]
pub(super) enum Wish {
    Call(Call),
    Scrape(Scrape),
    Reload,
    Read(Box<Result<Loaded, Refusal>>),
    Guests(Box<GuestFiles>),
}

impl Operator {
    /// An administrator with a control socket, if there could be one, and with a signal that asks for a reload of
    /// what `source` reads, as it has read what was `loaded`; and the service manager.
    pub fn new(
        control: Option<Control>,
        (source, loaded): (Source, &Loaded),
        hangup: Signal,
        service: Service,
    ) -> Self {
        let (in_force, guests) = (Some(InForce::new(loaded)), Watched::new(loaded));
        guest_files::tell(guests.files(), &[]);
        Self {
            control,
            source: Some(source),
            in_force,
            guests,
            hangup: Some(hangup),
            service,
            ..Self::default()
        }
    }

    /// What the files of guests say is in force.
    pub(super) fn take_guests_in_force(&mut self) {
        if let Some(in_force) = &mut self.in_force {
            in_force.take_guests(self.guests.files());
        }
    }

    /// The next wish. Cancel-safe.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            call = next_call(&mut self.control) => Wish::Call(call),
            scrape = metrics::next(&mut self.metrics) => Wish::Scrape(scrape),
            () = next_hangup(&mut self.hangup) => Wish::Reload,
            read = next_read(&mut self.reading) => Wish::Read(Box::new(read)),
            files = self.guests.next() => Wish::Guests(Box::new(files)),
        }
    }

    /// Tells the watchers.
    pub(super) fn publish(&mut self, event: &Event, links: &Links, now: Time) {
        if let Some(control) = &mut self.control {
            control.publish(event, links, now);
        }
        if !matches!(event, Event::Solicited(..) | Event::Answered(..) | Event::Dropped(..)) {
            self.service.changed();
        }
    }

    /// What the engine is to tell from now on, if that is another thing than before.
    fn watch(&mut self) -> Option<Watch> {
        let is_watched = logs_packets() || self.control.as_ref().is_some_and(Control::is_watched);
        let is_new = is_watched != self.is_watched;
        self.is_watched = is_watched;
        is_new.then_some(if is_watched { Watch::Questions } else { Watch::Changes })
    }

    /// The loop has worked for a client since then.
    fn rest(&mut self, start: Instant) {
        if let Some(control) = &mut self.control {
            control.rest(start);
        }
    }

    /// Reads the configuration again. Who comes while that is under way gets what is read next: the
    /// file may have been changed behind the reader.
    fn read(&mut self, answer: Option<oneshot::Sender<Answer>>) {
        if self.reading.is_some() || self.taking_over.is_some() || self.taken.is_some() {
            self.is_signalled_late |= answer.is_none();
            self.late.extend(answer);
            return;
        }
        self.service.reloading();
        self.control.iter_mut().for_each(Control::restore);
        self.metrics.iter_mut().for_each(Metrics::restore);
        self.waiting.extend(answer);
        let (source, guests) = (self.source.clone(), self.guests.files().clone());
        let before = self.in_force.as_ref().map(InForce::shared);
        // A file may lie on a disk that is slow, or dead.
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let mut loaded = source.ok_or(Refusal::NoFile)?.read(&guests)?;
            before.iter().for_each(|before| loaded.share_guests(before));
            let refused = privileges::backend_refused(&loaded.read.config.policy);
            refused.map_or(Ok(loaded), |error| Err(Refusal::Backend(Box::new(error))))
        }));
    }

    fn answer_reload(&mut self, result: &Result<Vec<Change>, Refusal>) {
        let reply = match result {
            Ok(changes) => {
                let sentences: Vec<String> = changes.iter().map(Change::to_string).collect();
                let problems = self.guests.files().problems();
                Reply::result(
                    &serde_json::json!({ "changes": sentences, "keys": changes, "problems": problems }),
                )
            }
            Err(refusal) => Reply::Fault(refusal.fault()),
        };
        for client in std::mem::take(&mut self.waiting) {
            // It may have gone meanwhile.
            let _ = client.send(Answer::Line(reply.clone()));
        }
        if !self.late.is_empty() || std::mem::take(&mut self.is_signalled_late) {
            self.waiting = std::mem::take(&mut self.late);
            self.read(None);
        }
    }
}

impl Daemon {
    pub(super) fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Call(call) => self.call(call),
            Wish::Scrape(scrape) => self.scrape(scrape),
            Wish::Reload => {
                tracing::info!("SIGHUP: reading the configuration again");
                self.operator.read(None);
            }
            Wish::Guests(files) => self.take_guests(*files),
            Wish::Read(read) => match (*read).and_then(|loaded| self.prepare(loaded)) {
                Ok(next) => {
                    self.configure_settings(&next.loaded.read.config);
                    self.operator.taking_over = Some(Box::new(next));
                }
                Err(refusal) => self.reloaded(&Err(refusal)),
            },
        }
    }

    fn reloaded(&mut self, result: &Result<Vec<Change>, Refusal>) {
        match result {
            Ok(changes) if changes.is_empty() => tracing::info!("reloaded: nothing changed"),
            Ok(changes) => tracing::info!("reloaded: {}", reload::line(changes)),
            Err(refusal) => {
                // Where there is nothing to read, nothing is refused.
                if let Some(in_force) = self.operator.in_force.as_mut().filter(|_| refusal.is_of_content()) {
                    in_force.refuse(refusal.fault());
                }
                tracing::error!("not reloaded: the old configuration stays in force");
                refusal.lines().iter().for_each(|line| tracing::error!("{line}"));
                self.open_absent();
            }
        }
        self.operator.answer_reload(result);
        let status = self.status_line();
        self.operator.service.ready(status);
        self.operator.spare.change_ended();
    }

    /// Tells the service manager what is due.
    pub(super) fn tell_service(&mut self, now: Instant) {
        while let Some(due) = self.operator.service.take_due(now) {
            match due {
                Due::Rest => self.operator.service.send_rest(),
                Due::Sign => self.operator.service.sign(),
                Due::Status => {
                    let status = self.status_line();
                    self.operator.service.say(status);
                }
            }
        }
    }

    /// Follows who begins or ceases to watch.
    pub(super) fn settle_watch(&mut self) {
        if let Some(watch) = self.operator.watch() {
            self.handle(Input::Watch(watch));
        }
    }

    fn call(&mut self, call: Call) {
        let start = Instant::now();
        let now = self.now();
        let answer = match call.method {
            Method::Status(params) => {
                let reply = Reply::result(&Status::of(&self.engine, &params, now));
                if reply.is_long() {
                    self.operator.spare.long_reply_ended();
                }
                match &self.operator.in_force {
                    Some(in_force) if params.is_first() => {
                        let metrics = self.operator.metrics.as_ref().and_then(Metrics::bound);
                        let told = in_force.told(params.keys, self.operator.guests.files(), metrics);
                        // Files are looked at, and that may take long.
                        tokio::spawn(async move {
                            let _ = call.answer.send(Answer::Line(told.put_into(reply).await));
                        });
                        return self.operator.rest(start);
                    }
                    _ => Answer::Line(reply),
                }
            }
            Method::Explain(params) => {
                if params.probe == Truth::Yes {
                    self.handle(Input::Ask(params.address));
                }
                Answer::Line(Reply::result(&Explained::of(&self.engine, params.address, now)))
            }
            Method::Reload => {
                tracing::info!(
                    "reading the configuration again: a client of the control socket asked for it"
                );
                return self.operator.read(Some(call.answer));
            }
            Method::HandOver => Answer::Line(self.hand_over()),
            Method::Claim(ref params) => {
                let params = params.clone();
                self.claim(&params, call);
                return self.operator.rest(start);
            }
            Method::Release(ref params) => {
                let params = params.clone();
                self.release(&params, call);
                return self.operator.rest(start);
            }
            Method::Watch => match &self.operator.control {
                Some(control) => control.watch(),
                None => return,
            },
        };
        // It may have gone meanwhile.
        let _ = call.answer.send(answer);
        self.operator.rest(start);
    }

    /// All of the new configuration, or none of it: whatever can fail comes first, and the kernel's settings
    /// last of that.
    fn prepare(&mut self, loaded: Loaded) -> Result<Next, Refusal> {
        let (config, effective) = (&loaded.read.config, &loaded.read.effective);
        let in_force = self.operator.in_force.as_ref();
        let changes = in_force.map(|in_force| in_force.effective().changes(effective)).unwrap_or_default();
        self.refuse_unusable(config)?;
        let is_socket_new = config.control.socket != self.config.control.socket;
        let control = match &self.operator.control {
            Some(_) if !is_socket_new => None,
            Some(_) => Some(Control::open(&config.control.socket)?),
            // There was none to be had at the start; that may be another matter now.
            None => Control::open(&config.control.socket).inspect_err(|error| tracing::warn!("{error}")).ok(),
        };
        let metrics = self.next_metrics(&config.control)?;
        Ok(Next { loaded, changes, control, metrics })
    }

    /// Takes the configuration that waits, if the kernel's settings are as it says. Nothing else can fail.
    pub(super) fn take_over(&mut self, settings: Result<(), SysctlError>) {
        let Some(next) = self.operator.taking_over.take() else { return };
        let Next { loaded, changes, control, metrics } = *next;
        if let Err(error) = settings {
            return self.reloaded(&Err(error.into()));
        }
        self.operator.in_force = Some(InForce::new(&loaded));
        guest_files::tell(&loaded.guests, self.operator.guests.files().problems());
        self.operator.guests.take(&loaded);
        let config = loaded.read.config;
        self.switch_metrics(metrics);
        if let Some(control) = control {
            tracing::info!("the control socket is {} now", control.path().display());
            self.operator.control = Some(control);
        }
        if config.log != self.config.log {
            super::logging::change(config.log);
        }
        if config.policy != self.config.policy {
            self.handle(Input::Reload(Box::new(config.policy.clone())));
        }
        let before = std::mem::replace(&mut self.config, config);
        if before.control.socket != self.config.control.socket {
            self.move_claims();
        }
        self.operator.taken = Some(changes);
        self.settle_reload();
    }

    /// A reload is over when a client that is told of it gets answers by it.
    pub(super) fn settle_reload(&mut self) {
        if !self.frames.ears.is_busy()
            && let Some(changes) = self.operator.taken.take()
        {
            // Another may begin with that.
            self.turn.look();
            self.reloaded(&Ok(changes));
        }
    }

    /// What a start would wait for is refused here where all that is served would be lost for it: it may be a slip of
    /// the pen.
    fn refuse_unusable(&self, config: &crate::config::Config) -> Result<(), Refusal> {
        let (problems, ranges) = self.engine.problems_of(&config.policy);
        let is_unusable = reload::is_unusable(&problems, ranges);
        let present = reload::is_unusable(self.engine.problems(), self.engine.bindings().ranges.len());
        if is_unusable && !present { Err(Refusal::Unusable(problems)) } else { Ok(()) }
    }
}

async fn next_call(control: &mut Option<Control>) -> Call {
    match control {
        Some(control) => control.next().await,
        None => pending().await,
    }
}

async fn next_hangup(hangup: &mut Option<Signal>) {
    let received = match hangup {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        pending().await
    }
}

async fn next_read(reading: &mut Option<JoinHandle<Result<Loaded, Refusal>>>) -> Result<Loaded, Refusal> {
    let Some(read) = reading else { return pending().await };
    let result = read.await;
    *reading = None;
    result.unwrap_or(Err(Refusal::Broken))
}
