//! What is remembered across restarts, each kind in a file of its own beside the control socket.
//!
//! May touch: those files, on a thread of its own. What is in them is of another time, and anybody may have written it: what
//! makes no sense is ignored, with one line of the log.

pub(super) mod claims;
pub(super) mod clocks;
pub(super) mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::Daemon;
use super::control::beside;
use crate::engine::{Claiming, Input, Remembered};
use crate::explanation::words;
use claims::{Changed, Journal};
use clocks::Clocks;

/// Writes what is to be remembered.
#[derive(Default)]
pub(super) struct Memory {
    writer: Option<Writer>,
    /// What it is to do as soon as there is one.
    unsent: Vec<Task>,
}

/// What a file is to say from here on.
pub(super) struct Note {
    /// Makes all of it, on the thread that writes: of many in a row only the last is needed.
    pub(super) text: Box<dyn FnOnce() -> Vec<u8> + Send>,
    /// What follows if it cannot be written, behind a semicolon.
    pub(super) else_what: &'static str,
}

/// The thread that writes.
#[derive(Debug)]
struct Writer {
    queue: Sender<Task>,
    is_done: Receiver<()>,
}

enum Task {
    Write(PathBuf, Note),
    /// This has changed of what is claimed, which is in that file.
    Claims(PathBuf, Vec<Changed>, Clocks),
    /// Tell when all before is written, or cannot be.
    Tell(oneshot::Sender<()>),
}

impl Memory {
    /// This is to be in the file, and nothing else.
    pub(super) fn write(&mut self, file: PathBuf, note: Note) {
        self.ask(Task::Write(file, note));
    }

    /// Has something when all that was to be written is.
    pub(super) fn written(&mut self) -> oneshot::Receiver<()> {
        let (tell, is_written) = oneshot::channel();
        self.ask(Task::Tell(tell));
        is_written
    }

    /// What has changed of the claims, which are to be in this file.
    pub(super) fn write_claims(&mut self, file: PathBuf, changed: Vec<Changed>, clocks: Clocks) {
        self.ask(Task::Claims(file, changed, clocks));
    }

    fn ask(&mut self, task: Task) {
        self.unsent.push(task);
        if self.writer.is_none() {
            self.writer = Writer::start()
                .inspect_err(|error| {
                    tracing::warn!("nothing is written into files for now: no thread: {error}")
                })
                .ok();
        }
        if let Some(writer) = &self.writer {
            // It never ends before the queue does.
            self.unsent.drain(..).for_each(|task| _ = writer.queue.send(task));
        }
    }
}

impl Writer {
    fn start() -> io::Result<Self> {
        let (queue, tasks) = channel::<Task>();
        let (done, is_done) = channel();
        let write = move || {
            let (mut failed, mut journal) = (BTreeSet::new(), Journal::default());
            // Once: it changes nothing but what the next start knows.
            let mut complain = |file: &Path, error: io::Error, else_what: &str| {
                if failed.insert(file.to_owned()) {
                    let remedy =
                        if error.kind() == ErrorKind::StorageFull { "; free some space there" } else { "" };
                    let words = words(&error);
                    tracing::warn!("cannot write {}: {words}{remedy}; {else_what}", file.display());
                }
            };
            loop {
                let first = match journal.is_behind() {
                    true => tasks.recv_timeout(AGAIN),
                    false => tasks.recv().map_err(RecvTimeoutError::from),
                };
                if let Err(RecvTimeoutError::Disconnected) = first {
                    break;
                }
                let (mut last, mut waiting) = (BTreeMap::new(), Vec::new());
                for task in first.into_iter().chain(tasks.try_iter()) {
                    match task {
                        Task::Write(file, note) => _ = last.insert(file, note),
                        Task::Claims(file, changed, clocks) => journal.take(file, changed, clocks),
                        Task::Tell(tell) => waiting.push(tell),
                    }
                }
                for (file, note) in last {
                    if let Err(error) = replace(&file, &(note.text)()) {
                        complain(&file, error, note.else_what);
                    }
                }
                if let Err(error) = journal.write() {
                    let else_what = "it is tried again every two seconds, and until it is written the next start does \
                                     not know what is claimed";
                    complain(journal.file(), error, else_what);
                }
                // Those who wait may have gone.
                waiting.into_iter().for_each(|tell| _ = tell.send(()));
            }
            let _ = done.send(());
        };
        thread::Builder::new().name("memory".to_owned()).spawn(write)?;
        Ok(Self { queue, is_done })
    }
}

impl Drop for Memory {
    /// What is being written is written to its end, unless the disk does not answer.
    fn drop(&mut self) {
        if let Some(Writer { queue, is_done }) = self.writer.take() {
            drop(queue);
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }
}

impl Daemon {
    /// What was remembered from before enters the engine, before it begins to serve.
    pub(super) async fn recall(&mut self) {
        let [sources, claims] = ["sources", "claims"].map(|kind| beside(&self.config.control.socket, kind));
        let clocks = Clocks::at(self.now());
        // They may lie on a disk that is slow.
        let read = move || (sources::read(&sources), claims::read(&claims, clocks));
        let (sources, (claims, over)) = spawn_blocking(read).await.unwrap_or_default();
        if over > 0 {
            tracing::info!("claims that ended while lone64 was not running: {over}");
        }
        if !sources.is_empty() {
            self.handle(Input::Remembered(sources));
        }
        if !claims.is_empty() {
            self.remember_claims(
                claims.iter().map(|claim| (claim.object.clone(), Some(claim.clone()))).collect(),
            );
            self.handle(Input::Claiming(Claiming::Remembered(claims)));
        }
    }

    /// These sources are to be in the file beside the control socket.
    pub(super) fn remember_sources(&mut self, all: &[Remembered]) {
        self.memory.write(beside(&self.config.control.socket, "sources"), sources::note(all));
    }

    /// This has changed of the claims in theirs.
    pub(super) fn remember_claims(&mut self, changed: Vec<Changed>) {
        let file = beside(&self.config.control.socket, "claims");
        self.memory.write_claims(file, changed, Clocks::at(self.now()));
    }

    /// The control socket is elsewhere now, and so is the file beside it.
    pub(super) fn move_claims(&mut self) {
        self.remember_claims(Vec::new());
    }
}

/// What a file says, in the form that `parse` reads; nothing if there is none, or it makes no sense. `then` is what
/// becomes of it, behind a semicolon.
fn read<T: Default>(file: &Path, longest: u64, then: &str, parse: impl Fn(&str) -> io::Result<T>) -> T {
    let ignored = |error: &io::Error| {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!("ignored {}: {error}; {then}", file.display());
        }
    };
    let read = read_text(file, longest).and_then(|text| parse(&text));
    read.inspect_err(ignored).unwrap_or_default()
}

fn read_text(file: &Path, longest: u64) -> io::Result<String> {
    // A pipe would be waited for.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no regular file"));
    }
    let mut text = String::new();
    File::open(file)?.take(longest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > longest {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is too long"));
    }
    Ok(text)
}

/// All of the new content is there, or all of the old. What is written to the descriptor is behind it.
fn replace(file: &Path, text: &[u8]) -> io::Result<File> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    // What lies there is nobody's: a link would lead elsewhere, and a pipe would be waited for.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).open(&new)?;
    opened.write_all(text)?;
    fs::rename(&new, file)?;
    Ok(opened)
}

/// What could not be written is tried again after as long.
const AGAIN: Duration = Duration::from_secs(2);
/// For the last write at the exit.
const PATIENCE: Duration = Duration::from_secs(1);
