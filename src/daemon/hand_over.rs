//! The way out of a daemon that another one follows, as at a restart: everything stays in the kernel as after a crash, and
//! the next start takes it over. What a crash would lose does not get lost.
//!
//! A stop by itself removes everything. The client of `hand_over` says beforehand that another start follows: the service
//! manager knows, the signal does not tell.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::Daemon;
use super::control::Reply;
use super::effects::Done;
use super::service;

impl Daemon {
    /// A stop from now on, within some time, leaves everything to the next start.
    pub(super) fn hand_over(&mut self) -> Reply {
        self.operator.hands_over_until = Some(Instant::now() + TIME);
        tracing::info!(
            "a stop within {} s leaves everything in the kernel: a client of the control socket asked for it",
            TIME.as_secs()
        );
        Reply::result(&serde_json::json!({ "seconds": TIME.as_secs() }))
    }

    /// Whether another daemon follows this one.
    pub(super) fn hands_over(&self) -> bool {
        self.operator.hands_over_until.is_some_and(|until| Instant::now() < until)
    }

    /// Leaves everything where it is.
    pub(super) async fn leave(&mut self) {
        self.operator.service.stopping(PATIENCE);
        tracing::info!("routes, addresses, settings and programs stay in the kernel for the next start");
        self.finish_changes().await;
        // From here on a program answers also what it has passed on so far.
        self.effects.depart();
        // What comes from now on and is not read any more waits in the sockets.
        self.leave_sockets();
        self.answer_what_has_come().await;
        self.settings.leave().await;
    }

    /// Where the service manager keeps them, their questions are answered by the next start.
    fn leave_sockets(&self) {
        let upstreams = || self.frames.ears.upstreams();
        for socket in upstreams() {
            if let Err(error) = socket.wait_for_the_next_start() {
                tracing::debug!(%error, "there is less room for questions until the next start");
            }
        }
        for (name, has_ring) in [(service::UPSTREAM, false), (service::RING, true)] {
            let sockets = upstreams().filter(|socket| socket.has_ring() == has_ring);
            self.operator.service.store(name, sockets.map(AsFd::as_fd));
        }
    }

    /// A program that is halfway to its place would be in none.
    async fn finish_changes(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.effects.is_giving_back() {
            let done = tokio::select! {
                done = self.effects.next() => done,
                () = sleep_until(end) => break,
            };
            let is_program = matches!(done, Done::Program(_));
            self.done(done);
            if is_program && self.is_engine_due() {
                self.handle(crate::engine::Input::Timeout);
            }
        }
    }

    /// Questions that came before are ours to answer.
    async fn answer_what_has_come(&mut self) {
        let end = Instant::now() + LAST_QUESTIONS;
        loop {
            // The kernel is asked for them meanwhile.
            yield_now().await;
            if self.frames.ears.ready().is_empty() || self.frames().is_err() || Instant::now() > end {
                return;
            }
        }
    }
}

/// A service manager stops lone64 right after the word that another start follows.
const TIME: Duration = Duration::from_secs(30);
/// The kernel changes what it is asked to within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// A full receive buffer takes some milliseconds.
const LAST_QUESTIONS: Duration = Duration::from_millis(200);
