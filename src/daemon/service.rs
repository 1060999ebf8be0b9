//! What the service manager is told: that we are ready, how we are, and that we are still there
//! (sd_notify(3)).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Service {
    is_there: bool,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    sign_due: Option<Instant>,
    status_due: Option<Instant>,
    status: String,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A sign of life.
    Sign,
    /// A new status line, if it is another than before.
    Status,
}

impl Service {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some();
        // Half the time, as sd_watchdog_enabled(3) recommends.
        let watchdog = sd_notify::watchdog_enabled().filter(|time| !time.is_zero()).map(|time| time / 2);
        let sign_due = watchdog.map(|time| Instant::now() + time);
        Self { is_there, watchdog, sign_due, ..Self::default() }
    }

    /// We serve.
    pub(super) fn ready(&mut self, status: String) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// The configuration is being read again; [`Self::ready`] says when that is done.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(_) => self.notify(&[NotifyState::Reloading]),
        }
    }

    /// We end.
    pub(super) fn stopping(&self) {
        self.notify(&[NotifyState::Stopping]);
    }

    /// Something changed that the status line may tell; a little later, so that what changes in one
    /// moment is told once.
    pub(super) fn changed(&mut self) {
        if self.is_there && self.status_due.is_none() {
            self.status_due = Some(Instant::now() + STATUS_PAUSE);
        }
    }

    /// The status line.
    pub(super) fn say(&mut self, status: String) {
        if status != self.status {
            self.notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// We are still there.
    pub(super) fn sign(&self) {
        self.notify(&[NotifyState::Watchdog]);
    }

    /// Waits until something is due. Cancel-safe.
    pub(super) async fn next(&mut self) -> Due {
        let Some(due) = self.sign_due.into_iter().chain(self.status_due).min() else {
            return std::future::pending().await;
        };
        if Instant::now() < due {
            sleep_until(due).await;
        }
        if self.status_due.is_some_and(|at| at == due) {
            self.status_due = None;
            return Due::Status;
        }
        self.sign_due = self.watchdog.map(|time| Instant::now() + time);
        Due::Sign
    }

    fn notify(&self, state: &[NotifyState<'_>]) {
        if !self.is_there {
            return;
        }
        if let Err(error) = sd_notify::notify(state) {
            tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
        }
    }
}

const STATUS_PAUSE: Duration = Duration::from_secs(1);
