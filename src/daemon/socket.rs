//! A Unix socket at a path, for the control socket and for metrics: whose the path is, and whose it was.
//!
//! A lock beside the socket decides who may have the path; the kernel gives it back when its holder
//! dies, however that happens. What lies at the path is removed only if it is a socket on which
//! nobody answers.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, process};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{Mode, major, minor, umask};
use socket2::{Domain, SockAddr, Type};
use tokio::net::UnixListener;

use crate::explanation::words;

/// What a socket is for, and so which key of `[control]` names its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The control socket.
    Control,
    /// Metrics.
    Metrics,
}

/// A path that is ours.
#[derive(Debug)]
pub(super) struct Socket {
    bound: Bound,
    purpose: Purpose,
    /// Held as long as the socket is ours.
    lock: Flock<File>,
}

/// What we have put at a path.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    path: PathBuf,
    inode: Option<Inode>,
}

/// A file, whatever its name: its device and its number there.
type Inode = (u64, u64);

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon serves there. Two that answer for the same guests only confuse their router.
    #[error(
        "another lone64 is running{}: it has {}; stop it, or give this one its own `{}` in [control]",
        with_pid(*.pid), .path.display(), .purpose.key()
    )]
    Running {
        /// What it is for.
        purpose: Purpose,
        /// The socket.
        path: PathBuf,
        /// The process, if it is known.
        pid: Option<i32>,
    },
    /// Something that is not ours to remove.
    #[error(
        "no {}: {} exists and is not a socket; remove it, or set another `{}` in [control]",
        .purpose.noun(), .path.display(), .purpose.key()
    )]
    Foreign {
        /// What it is for.
        purpose: Purpose,
        /// The path.
        path: PathBuf,
    },
    /// The system said no.
    #[error(
        "no {}: cannot {what} {}: {}{}",
        .purpose.noun(), .path.display(), words(.source), remedy(.source, .purpose.key())
    )]
    Refused {
        /// What it is for.
        purpose: Purpose,
        /// As in "create the directory".
        what: &'static str,
        /// What it is about.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Purpose {
    /// As in "no control socket".
    const fn noun(self) -> &'static str {
        match self {
            Self::Control => "control socket",
            Self::Metrics => "metrics",
        }
    }

    /// The key that names the path.
    const fn key(self) -> &'static str {
        match self {
            Self::Control => "socket",
            Self::Metrics => "metrics",
        }
    }
}

impl Socket {
    /// Takes the path, and listens. Root and the group of this process may connect.
    pub(super) fn bind(path: &Path, purpose: Purpose) -> Result<(Self, UnixListener), SocketError> {
        make_directory(path, purpose)?;
        let bound = Bound { path: path.to_owned(), inode: None };
        let mut socket = Self { bound, purpose, lock: lock(path, purpose)? };
        let listener = socket.listen()?;
        Ok((socket, listener))
    }

    /// What is to be found at its path.
    pub(super) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Listens at the path once more, where clients do not find it; `None` where they do.
    pub(super) fn bind_again(&mut self) -> Result<Option<UnixListener>, SocketError> {
        if self.bound.is_there() {
            return Ok(None);
        }
        make_directory(self.path(), self.purpose)?;
        if inode(self.lock.metadata()) != inode(fs::metadata(lock_of(self.path()))) {
            self.lock = lock(self.path(), self.purpose)?;
        }
        self.listen().map(Some)
    }

    fn listen(&mut self) -> Result<UnixListener, SocketError> {
        let (path, purpose) = (&self.bound.path, self.purpose);
        let refused =
            || |source| SocketError::Refused { purpose, what: "listen on", path: path.clone(), source };
        free(path, purpose)?;
        // Between the two calls of bind and chmod anybody could connect.
        let before = umask(Mode::from_bits_truncate(0o117));
        let bound = bind(path);
        umask(before);
        let listener = UnixListener::from_std(bound.map_err(refused())?).map_err(refused())?;
        self.bound.inode = inode(fs::symlink_metadata(path));
        Ok(listener)
    }

    pub(super) fn path(&self) -> &Path {
        &self.bound.path
    }
}

impl Bound {
    /// Whether clients find it: somebody may have removed it, or put something else there.
    pub(super) fn is_there(&self) -> bool {
        self.inode.is_some() && self.inode == inode(fs::symlink_metadata(&self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may have been removed, together with its directory, and another may be there.
        if self.bound.is_there() {
            let _ = fs::remove_file(self.path());
        }
    }
}

fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn inode(metadata: io::Result<Metadata>) -> Option<Inode> {
    metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn make_directory(path: &Path, purpose: Purpose) -> Result<(), SocketError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    let (what, path) = ("create the directory", directory.to_owned());
    made.map_err(|source| SocketError::Refused { purpose, what, path, source })
}

/// The lock beside a socket.
fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// The process that holds the lock beside a socket, as far as the kernel shows it here (proc_locks(5)).
pub fn holder(path: &Path) -> Option<i32> {
    let (device, number) = inode(fs::metadata(lock_of(path)))?;
    let file = format!("{:02x}:{:02x}:{number}", major(device), minor(device));
    // `1: FLOCK  ADVISORY  WRITE 708 00:1a:1234 0 EOF`
    fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "FLOCK", _, _, pid, locked, ..] if locked == file => pid.parse().ok(),
            _ => None,
        }
    })
}

/// Takes the lock, or says who has it.
fn lock(path: &Path, purpose: Purpose) -> Result<Flock<File>, SocketError> {
    let name = lock_of(path);
    let refused = |source| SocketError::Refused { purpose, what: "lock", path: name.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o644).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(&name) {
        // One that ran as another user has left it. Whether it still runs is seen when the socket is looked at.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && fs::remove_file(&name).is_ok() => {
            options.open(&name)
        }
        opened => opened,
    };
    let file = file.map_err(refused)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // The number is for people; without it the lock is as good.
            let _ = lock.set_len(0).and_then(|()| lock.rewind());
            let _ = writeln!(lock, "{}", process::id());
            Ok(lock)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            Err(SocketError::Running { purpose, path: path.to_owned(), pid })
        }
        Err((_, error)) => Err(refused(error.into())),
    }
}

/// Removes the socket of a daemon that died; anything else stays, and is an error.
fn free(path: &Path, purpose: Purpose) -> Result<(), SocketError> {
    let refused = |what| move |source| SocketError::Refused { purpose, what, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused("look at")(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::Foreign { purpose, path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).map_err(refused("connect to"))?;
    probe.set_nonblocking(true).map_err(refused("connect to"))?;
    let address = SockAddr::unix(path).map_err(refused("connect to"))?;
    match probe.connect(&address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(refused("remove the stale socket"))
        }
        // Somebody listens: he answered, or too many wait for him already.
        Ok(()) => {
            let pid = getsockopt(&probe, PeerCredentials).ok().map(|peer| peer.pid());
            Err(SocketError::Running { purpose, path: path.to_owned(), pid })
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(SocketError::Running { purpose, path: path.to_owned(), pid: None })
        }
        Err(error) => Err(refused("connect to")(error)),
    }
}

fn with_pid(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn remedy(error: &io::Error, key: &str) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "; run lone64 as root, restart it if `{key}` in [control] names another directory than at the start, or \
             set a `{key}` in a directory where its user may write"
        ),
        ErrorKind::ReadOnlyFilesystem => format!(
            "; let systemd make the directory (RuntimeDirectory=lone64), or set another `{key}` in [control]"
        ),
        _ => format!("; set another `{key}` in [control]"),
    }
}

/// Clients that wait to be accepted. A client that fills it does not keep the others waiting for long.
const BACKLOG: i32 = 64;
