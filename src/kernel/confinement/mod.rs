//! What this process may do from now on: less than root, however it was started.
//!
//! A unit of systemd starts lone64 with little more than it needs. Started by other means it gives up the rest itself:
//! capabilities that it has no use for, also for what it starts (`capabilities`); that a program that it starts has
//! more than it has (no_new_privs); writing anywhere but where it has to (`landlock`); and system calls that it never
//! makes (`seccomp`). Each of them is for good, and holds for threads that are started afterwards. What this kernel does
//! not have, or something else forbids, is left out: lone64 serves all the same.

mod call;
mod capabilities;
mod landlock;
mod seccomp;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

pub use capabilities::keep_in_force;

/// Where this process reads and writes.
#[derive(Debug, Default)]
pub struct Places {
    /// Files and directories that it reads again later.
    pub read: Vec<PathBuf>,
    /// Directories that it makes, and in which it makes files.
    pub made: Vec<PathBuf>,
    /// A directory in which it makes files, if there is one.
    pub written: Option<PathBuf>,
}

/// What was given up, and what was not.
#[derive(Debug)]
pub struct Confined {
    /// A place that only root's right to pass over permissions opens, so that this right is kept.
    kept_for: Option<PathBuf>,
    parts: [(&'static str, io::Result<()>); 4],
}

/// Gives up what is not needed. Must be called before any thread is started.
pub fn enter(places: &Places) -> Confined {
    // As it would be made later, where that is a right of its own.
    for directory in &places.made {
        let _ = fs::create_dir_all(directory);
    }
    let mut kept_for = None;
    let capabilities = capabilities::give_up(|| {
        kept_for = places.out_of_reach();
        kept_for.is_some()
    });
    let no_new_privileges = nix::sys::prctl::set_no_new_privs().map_err(io::Error::from);
    let parts = [
        ("capabilities", capabilities),
        ("no_new_privs", no_new_privileges),
        ("Landlock", landlock::restrict(places.directories())),
        ("seccomp", seccomp::install()),
    ];
    Confined { kept_for, parts }
}

impl Confined {
    /// Logs it, which takes a thread.
    pub fn tell(&self) {
        if let Some(place) = &self.kept_for {
            tracing::info!(
                "lone64 keeps CAP_DAC_OVERRIDE, because it cannot open {} without it",
                place.display()
            );
        }
        for (part, outcome) in &self.parts {
            match outcome {
                Ok(()) => tracing::debug!("confined by {part}"),
                Err(error) => tracing::debug!(%error, "not confined by {part}"),
            }
        }
    }
}

impl Places {
    /// The first of them that the effective capabilities do not open.
    fn out_of_reach(&self) -> Option<PathBuf> {
        let may = |path: &Path, how| faccessat(AT_FDCWD, path, how, AtFlags::AT_EACCESS).is_ok();
        // One in a directory that must not be searched is there for all that is known.
        let is_there = |path: &Path| path.try_exists().unwrap_or(true);
        let is_shut = |path: &&PathBuf| is_there(path) && !may(path, AccessFlags::R_OK);
        let is_closed = |path: &&Path| {
            path.ancestors().find(|path| is_there(path)).is_some_and(|path| !may(path, AccessFlags::W_OK))
        };
        let shut = self.read.iter().find(is_shut).map(PathBuf::as_path);
        shut.or_else(|| self.directories().find(is_closed)).map(Path::to_owned)
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        self.made.iter().map(PathBuf::as_path).chain(self.written.as_deref())
    }
}
