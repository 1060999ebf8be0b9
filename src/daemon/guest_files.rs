//! The directory `guests.d` beside the configuration: guests that come and go as files do.
//!
//! May touch: inotify(7), and the files, on a thread of Tokio's. Without inotify a reload takes them up.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Daemon;
use crate::config::{GuestFiles, Loaded, Problem};
use crate::engine::Input;
use crate::engine::policy::Policy;
use crate::kernel::packet::Waiter;

/// What the files said last, and what comes of them.
#[derive(Debug, Default)]
pub(super) struct Watched {
    files: GuestFiles,
    /// What else is in force.
    policy: Option<Policy>,
    directory: Option<Directory>,
    reading: Option<JoinHandle<GuestFiles>>,
}

/// A directory that may come and go itself.
#[derive(Debug)]
struct Directory {
    inotify: Inotify,
    /// Tokio waits for this one, in which the other is.
    ready: AsyncFd<Waiter>,
    path: PathBuf,
    /// That of the directory around it.
    around: WatchDescriptor,
}

impl Watched {
    /// Those that were read with this configuration.
    pub(super) fn new(loaded: &Loaded) -> Self {
        let mut watched = Self::default();
        watched.take(loaded);
        watched
    }

    /// Those of another configuration, from here on.
    pub(super) fn take(&mut self, loaded: &Loaded) {
        let directory = loaded.guests.directory();
        if directory.as_deref() != self.directory.as_ref().map(|directory| directory.path.as_path()) {
            self.directory = directory.and_then(|path| Directory::watch_or_tell(&path));
        }
        self.files = loaded.guests.clone();
        self.policy = Some(loaded.read.config.policy.without_guests());
        // What is being read is read by another configuration.
        if self.reading.take().is_some() {
            self.read();
        }
    }

    /// What they said last.
    pub(super) fn files(&self) -> &GuestFiles {
        &self.files
    }

    /// What they say now that something has happened to them. Cancel-safe.
    pub(super) async fn next(&mut self) -> GuestFiles {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = reading.await;
                self.reading = None;
                if let Ok(files) = read {
                    return files;
                }
            }
            match &mut self.directory {
                Some(directory) => directory.changed().await,
                None => pending().await,
            }
            self.read();
        }
    }

    fn read(&mut self) {
        let (files, policy) = (self.files.clone(), self.policy.clone());
        self.reading = policy.map(|policy| spawn_blocking(move || files.read_again(&policy)));
    }
}

impl Directory {
    /// Without inotify there are guests all the same.
    fn watch_or_tell(path: &Path) -> Option<Self> {
        let told = |error: &io::Error| match error.kind() {
            // Options alone make a configuration, and then there is no directory around it.
            ErrorKind::NotFound => {}
            _ => tracing::warn!("cannot watch {}: {error}; `lone64 reload` reads it", path.display()),
        };
        Self::watch(path).inspect_err(told).ok()
    }

    fn watch(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let comes_and_goes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR;
        let around = inotify.add_watch(parent, comes_and_goes)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&inotify, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let directory = Self { inotify, ready: Waiter(epoll).register()?, path: path.to_owned(), around };
        directory.watch_inside();
        Ok(directory)
    }

    /// What is inside, if the directory is there. To watch it twice is to watch it once.
    fn watch_inside(&self) {
        // A file counts when its writer closes it: one that is half written is not read. A link has no writer.
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR;
        let _ = self.inotify.add_watch(&self.path, changes);
    }

    /// Returns when something has happened inside. Cancel-safe.
    async fn changed(&mut self) {
        loop {
            let Ok(mut guard) = self.ready.readable().await else { return pending().await };
            match self.inotify.read_events() {
                Ok(events) => {
                    drop(guard);
                    if events.iter().any(|event| self.concerns(event)) {
                        self.watch_inside();
                        return;
                    }
                }
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::warn!(
                        "cannot watch {}: {}; `lone64 reload` reads it",
                        self.path.display(),
                        io::Error::from(error)
                    );
                    return pending().await;
                }
            }
        }
    }

    fn concerns(&self, event: &InotifyEvent) -> bool {
        let name = event.name.as_deref();
        if event.wd == self.around {
            return name == self.path.file_name();
        }
        !event.mask.contains(AddWatchFlags::IN_CREATE)
            || name.is_some_and(|name| is_link(&self.path.join(name)))
    }
}

/// Whether it is a link of either kind to a file that is elsewhere. One that has gone is told as that.
fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink() || found.nlink() > 1)
}

impl Daemon {
    /// Guests have come or gone, or a file of one has a mistake. The rest of the configuration stays as it is.
    pub(super) fn take_guests(&mut self, files: GuestFiles) {
        let before = std::mem::replace(&mut self.operator.guests.files, files);
        let files = &self.operator.guests.files;
        tell(files, before.problems());
        let guests = files.guests();
        if guests == self.config.policy.guests {
            return;
        }
        self.operator.take_guests_in_force();
        tracing::info!(
            "guests.d has changed: files {}, guests in all {}",
            self.operator.guests.files.count(),
            guests.len()
        );
        self.config.policy.guests = guests;
        let policy = self.config.policy.clone();
        self.handle(Input::Reload(Box::new(policy)));
    }
}

/// What is wrong with files, but for what was told before.
pub(super) fn tell(files: &GuestFiles, before: &[Problem]) {
    for problem in files.problems().iter().filter(|problem| !before.contains(problem)) {
        tracing::warn!("{}", super::reload::line_of(problem));
    }
}
