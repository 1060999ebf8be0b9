//! How a daemon begins: it learns what there is, takes over what a predecessor has left, and has its sockets and routes
//! before it serves.

use tokio::task::yield_now;

use super::effects::Done;
use super::settings::Settled;
use super::{Daemon, Error};
use crate::engine::Input;

impl Daemon {
    pub(super) async fn learn(&mut self) -> Result<(), Error> {
        let facts = self.first_dump().await?;
        self.handle(Input::Facts(facts));
        let config = self.config.clone();
        self.configure_settings(&config);
        match self.settings.done().await {
            Settled::Configured(result) => Ok(result?),
            Settled::Followed(_) => Ok(()),
        }
    }

    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.recall().await;
        self.effects.sweep_programs(&self.config.policy).await;
        self.handle(Input::Synced);
        self.settle_kernel().await
    }

    /// Waits until everything that was asked for is done, or refused and to be tried again. A foreign route in the way
    /// is a conflict, now as later: it may go.
    pub(super) async fn settle_kernel(&mut self) -> Result<(), Error> {
        loop {
            self.effects.check()?;
            let (has_ears, has_effects) = (self.frames.ears.is_busy(), self.effects.is_busy());
            let is_due = self.is_engine_due();
            let done = tokio::select! {
                tuned = self.frames.ears.done(), if has_ears => Done::Ears(tuned),
                done = self.effects.next(), if has_effects => done,
                () = yield_now(), if is_due => {
                    self.handle(Input::Timeout);
                    continue;
                }
                else => break,
            };
            self.done(done);
        }
        Ok(())
    }
}
