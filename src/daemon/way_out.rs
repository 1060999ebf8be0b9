//! The way out: every end of a daemon that has begun goes through here, and gives back what the kernel holds for us.
//!
//! As long as the kernel confirms, it goes on, however much there is; and the service manager is told so.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::effects::{Done, Mode};
use super::{Daemon, Error};
use crate::engine::Input;

/// What comes on the way out.
enum Step {
    Done(Done),
    Due,
    Again,
    Silence,
}

impl Daemon {
    /// Gives back everything: routes, addresses, neighbor entries, the table of nftables, sysctls. A second word to
    /// stop ends that at once. Where another daemon follows, everything is left to that.
    pub(super) async fn give_back(
        &mut self,
        mut stop: Pin<&mut impl Stream<Item = io::Result<()>>>,
    ) -> Result<(), Error> {
        if self.hands_over() {
            self.leave().await;
            return Ok(());
        }
        self.operator.service.stopping(PATIENCE + PATIENCE);
        let dropped: u64 = self.frames.ears.drops().values().sum();
        if dropped > 0 {
            tracing::info!("{dropped} frames were dropped, because they came faster than lone64 read them");
        }
        self.effects.enter(Mode::Leaving);
        self.handle(Input::Stop);
        self.teller.tell_left_out();
        let result = self.take_everything_back(&mut stop).await;
        // Programs that are to stay answer everything from here on.
        self.effects.depart();
        // Guests whose routes are gone need no forwarding any more.
        self.give_settings_back().await;
        result
    }

    /// Gives back the kernel's settings, which come first and go last.
    pub(super) async fn give_settings_back(&mut self) {
        self.settings.restore();
        while self.settings.is_busy() {
            // One that is still under way then gives its settings back when it ends.
            if timeout(PATIENCE, self.settings.done()).await.is_err() {
                break;
            }
        }
    }

    async fn take_everything_back(
        &mut self,
        stop: &mut Pin<&mut impl Stream<Item = io::Result<()>>>,
    ) -> Result<(), Error> {
        let mut confirmed = Instant::now();
        let mut told = confirmed;
        let mut refusal = Ok(());
        loop {
            // What the engine still has to give back it says in slices.
            let is_due = self.engine.is_behind() || self.is_engine_due();
            if !is_due && !self.effects.is_giving_back() {
                break;
            }
            let has_ears = self.frames.ears.is_busy();
            let step = tokio::select! {
                Some(_) = stop.next() => Step::Again,
                done = self.effects.next() => Step::Done(done),
                tuned = self.frames.ears.done(), if has_ears => Step::Done(Done::Ears(tuned)),
                () = yield_now(), if is_due => Step::Due,
                () = sleep_until(confirmed + PATIENCE) => Step::Silence,
            };
            match step {
                Step::Done(done) => {
                    confirmed = Instant::now();
                    self.done(done);
                    refusal = refusal.and(self.effects.check());
                }
                Step::Due => self.handle(Input::Timeout),
                Step::Again | Step::Silence => return Err(self.left_behind()),
            }
            if told.elapsed() >= BETWEEN_WORDS {
                told = Instant::now();
                self.operator.service.still_stopping(PATIENCE + PATIENCE);
            }
        }
        refusal
    }

    fn left_behind(&self) -> Error {
        if self.effects.owes_routes() {
            let routes = &self.engine.policy().routes;
            Error::RoutesLeft { protocol: routes.protocol, table: routes.table }
        } else {
            Error::TableLeft
        }
    }
}

/// The kernel answers within milliseconds, and on the busiest machine within less than that.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one word to the service manager to the next.
const BETWEEN_WORDS: Duration = Duration::from_secs(1);
