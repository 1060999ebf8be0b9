//! What is in force, and whether it is still what the files say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::control::{Fault, Reply, Truth};
use super::socket::Bound;
use crate::config::{Compared, Effective, Files, GuestFiles, Key, Loaded};
use crate::explanation::words;

/// The configuration that is served.
#[derive(Debug)]
pub(super) struct InForce {
    files: Arc<Files>,
    effective: Arc<Effective>,
    loaded: Instant,
    /// Of the last reload that was refused, unless one was taken after it.
    refused: Option<(Instant, Fault)>,
    /// One look at the files at a time: it may never end.
    looks: Arc<Semaphore>,
}

/// What is told of it, but for what the files have to say.
#[derive(Debug)]
pub(super) struct Told {
    files: Arc<Files>,
    /// Where metrics are served, if it is a socket.
    metrics: Option<Bound>,
    looks: Arc<Semaphore>,
    value: Value,
    /// If every key is wanted.
    keys: Option<Arc<Effective>>,
}

impl InForce {
    pub(super) fn new(loaded: &Loaded) -> Self {
        Self {
            files: Arc::new(loaded.files.clone()),
            effective: Arc::new(loaded.read.effective.clone()),
            loaded: Instant::now(),
            refused: None,
            looks: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) fn effective(&self) -> &Effective {
        &self.effective
    }

    /// The same for another thread.
    pub(super) fn shared(&self) -> Arc<Effective> {
        Arc::clone(&self.effective)
    }

    /// The files of guests say something else.
    pub(super) fn take_guests(&mut self, files: &GuestFiles) {
        files.put_into(Arc::make_mut(&mut self.effective));
    }

    /// A reload came to nothing.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.refused = Some((Instant::now(), fault));
    }

    /// As it is at this moment.
    pub(super) fn told(&self, keys: Truth, guests: &GuestFiles, metrics: Option<&Bound>) -> Told {
        let refusal = self.refused.as_ref().map(|(at, fault)| {
            json!({ "seconds": at.elapsed().as_secs(), "message": fault.message, "problems": fault.problems })
        });
        let value = json!({
            "file": self.files.main().map(absolute),
            "files": self.files.paths().map(absolute).collect::<Vec<_>>(),
            "loaded_seconds": self.loaded.elapsed().as_secs(),
            "last_refusal": refusal,
            "guest_files": guests.problems().iter().take(MOST_PROBLEMS).collect::<Vec<_>>(),
        });
        let keys = (keys == Truth::Yes).then(|| Arc::clone(&self.effective));
        let (files, looks) = (Arc::clone(&self.files), Arc::clone(&self.looks));
        Told { files, metrics: metrics.cloned(), looks, value, keys }
    }
}

impl Told {
    /// Puts it into a status, with whether the files have changed since; null where they do not say so in time. The
    /// loop's thread neither waits for a file nor writes what can be very much.
    pub(super) async fn put_into(self, status: Reply) -> Reply {
        let Self { files, metrics, looks, mut value, keys } = self;
        let look = async {
            let permit = looks.acquire_owned().await.ok()?;
            // A disk may be slow, or dead; then this thread keeps the permit, and no other one is stuck.
            let looked = spawn_blocking(move || {
                let _permit = permit;
                let gone = metrics.filter(|metrics| !metrics.is_there());
                (files.compared(), gone.map(|gone| absolute(gone.path())))
            });
            looked.await.ok()
        };
        let (compared, gone) = timeout(PATIENCE, look).await.ok().flatten().unwrap_or_default();
        value["metrics_gone"] = json!(gone);
        value["changed_since"] = json!(compared.as_ref().map(|now| !matches!(now, Compared::Same)));
        value["unreadable"] = unreadable(compared.as_ref());
        let written = spawn_blocking(move || {
            if let Some(keys) = &keys {
                let all = keys.keys();
                let shown: &[Key] = &all[..all.len().min(MOST_KEYS)];
                value["keys"] = json!(shown);
                value["keys_left_out"] = json!(all.len() - shown.len());
            }
            status.with("config", &value)
        });
        written.await.unwrap_or_else(|_| Reply::fault("internal", "cannot write the status".to_owned()))
    }
}

/// The file that cannot be compared, so that a reload is refused for it. Null where there is none.
fn unreadable(compared: Option<&Compared>) -> Value {
    match compared {
        Some(Compared::Gone(file)) => {
            json!({ "file": absolute(file), "gone": true, "message": "it is no longer there" })
        }
        Some(Compared::Unreadable(file, error)) => {
            json!({ "file": absolute(file), "gone": false, "message": words(error) })
        }
        Some(Compared::Same | Compared::Changed) | None => Value::Null,
    }
}

/// A client may be elsewhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// As many mistakes in files of guests are told.
const MOST_PROBLEMS: usize = 16;
/// For the files to be read.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of a thousand ranges.
const MOST_KEYS: usize = 10_000;
