//! The kernel's settings, kept on a thread of Tokio's: writing one waits for the kernel's lock of all network
//! settings, and the loop must not.

use std::future::pending;
use std::path::PathBuf;

use tokio::task::{JoinHandle, spawn_blocking};

use super::Daemon;
use super::control::beside;
use super::sysctls::{Needs, Sysctls, missing, needs};
use crate::config::Config;
use crate::kernel::sysctl::SysctlError;

/// What we have changed, and what is to be done about it.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// `None`: they are not ours to change, or a thread has them.
    ours: Option<Sysctls>,
    under_way: Option<JoinHandle<(Option<Sysctls>, Settled)>>,
    next: Option<Task>,
    is_managing: bool,
    /// What was told last to be needed.
    needs: Needs,
    /// What was said last to be missing, and what was needed then.
    warned: (Needs, Vec<String>),
}

/// Something to be done.
#[derive(Debug)]
enum Task {
    /// A configuration says that they are ours, or not, and where the record lies.
    Configure(bool, Needs, PathBuf),
    /// An upstream may have come, or a default route.
    Follow(Needs),
    /// Everything back.
    Restore,
}

/// What has been done.
#[derive(Debug)]
pub(super) enum Settled {
    /// As the configuration says, or not; then what was set for it is given back.
    Configured(Result<(), SysctlError>),
    /// As the upstreams want it, or not.
    Followed(Result<(), SysctlError>),
}

impl Settings {
    /// Whether they are ours to change.
    pub(super) fn are_ours(&self) -> bool {
        self.is_managing
    }

    /// Whether something is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// What has been done. Cancel-safe.
    pub(super) async fn done(&mut self) -> Settled {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let ended = under_way.await;
        self.under_way = None;
        let (ours, settled) = ended.unwrap_or((None, Settled::Followed(Ok(()))));
        self.ours = ours;
        self.is_managing = self.ours.is_some();
        self.start_next();
        settled
    }

    fn configure(&mut self, is_ours: bool, needs: Needs, record: PathBuf) {
        self.needs.clone_from(&needs);
        self.next = Some(Task::Configure(is_ours, needs, record));
        self.start_next();
    }

    /// Nothing to do if they are the same as before.
    fn follow(&mut self, needs: Needs) {
        if !self.is_managing || needs == self.needs {
            return;
        }
        self.needs.clone_from(&needs);
        match &mut self.next {
            Some(Task::Configure(_, known, _)) => *known = needs,
            Some(Task::Restore) => {}
            next => *next = Some(Task::Follow(needs)),
        }
        self.start_next();
    }

    /// Gives everything back, last of all.
    pub(super) fn restore(&mut self) {
        if self.is_managing || self.is_busy() {
            self.next = Some(Task::Restore);
            self.start_next();
        }
    }

    /// Leaves everything as it is, and the record of it, to the next start.
    pub(super) async fn leave(&mut self) {
        while self.is_busy() {
            self.done().await;
        }
        if let Some(ours) = self.ours.take() {
            ours.leave();
        }
    }

    fn start_next(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        let Some(task) = self.next.take() else { return };
        let ours = self.ours.take();
        self.under_way = Some(spawn_blocking(move || carry_out(task, ours)));
    }
}

fn carry_out(task: Task, ours: Option<Sysctls>) -> (Option<Sysctls>, Settled) {
    match (task, ours) {
        (Task::Configure(true, needs, record), Some(mut ours)) => {
            let applied = ours.apply(needs);
            if applied.is_ok() {
                ours.move_record(record);
            }
            (Some(ours), Settled::Configured(applied))
        }
        (Task::Configure(true, needs, record), None) => {
            let mut ours = Sysctls::inherit(&record);
            match ours.apply(needs) {
                Ok(()) => (Some(ours), Settled::Configured(Ok(()))),
                // They are not ours to change, then, and what is missing is told as where they are not meant to be. What
                // was set already is given back at once, because it is dropped.
                Err(error) if error.is_of_privilege() => {
                    tracing::warn!("{}", crate::explanation::of(&error));
                    (None, Settled::Configured(Ok(())))
                }
                // An interface that goes at this moment comes back, and is looked at again then.
                Err(error) => {
                    tracing::warn!("{}", crate::explanation::of(&error));
                    (Some(ours), Settled::Configured(Ok(())))
                }
            }
        }
        (Task::Configure(false, ..), Some(mut ours)) => {
            ours.restore();
            (None, Settled::Configured(Ok(())))
        }
        (Task::Configure(false, _, record), None) => {
            Sysctls::inherit(&record).restore_if_any();
            (None, Settled::Configured(Ok(())))
        }
        (Task::Follow(needs), Some(mut ours)) => {
            let applied = ours.apply(needs);
            (Some(ours), Settled::Followed(applied))
        }
        (Task::Restore, Some(mut ours)) => {
            ours.restore();
            (None, Settled::Followed(Ok(())))
        }
        (Task::Follow(_) | Task::Restore, None) => (None, Settled::Followed(Ok(()))),
    }
}

impl Daemon {
    /// Sets, or gives back, what this configuration says; soon.
    pub(super) fn configure_settings(&mut self, config: &Config) {
        let record = beside(&config.control.socket, "sysctls");
        self.settings.configure(config.sysctl.manage, needs(&self.engine), record);
    }

    /// An upstream may have come, or a default route.
    pub(super) fn follow_upstreams(&mut self) {
        if self.settings.are_ours() {
            self.settings.follow(needs(&self.engine));
        } else if !self.settings.is_busy() {
            self.warn_of_missing();
        }
    }

    /// Says what is missing for guests to be reached, where that is not ours to change: once for the upstreams as they
    /// are, which may come long after the start.
    pub(super) fn warn_of_missing(&mut self) {
        let needs = needs(&self.engine);
        if self.settings.are_ours() || needs == self.settings.warned.0 {
            return;
        }
        let sentences = missing(&self.engine);
        let new = sentences.iter().filter(|sentence| !self.settings.warned.1.contains(sentence));
        new.for_each(|sentence| tracing::warn!("{sentence}"));
        self.settings.warned = (needs, sentences);
    }

    /// Some have been set, or not. The reload that waits for them goes on.
    pub(super) fn settled(&mut self, settled: Settled) {
        match settled {
            Settled::Configured(result) => {
                self.take_over(result);
                // What has come meanwhile.
                self.follow_upstreams();
            }
            Settled::Followed(Ok(())) => {}
            Settled::Followed(Err(error)) => tracing::warn!("{}", crate::explanation::of(&error)),
        }
    }
}
