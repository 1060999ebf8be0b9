//! What the service manager is told: that we are ready, how we are, and that we are still there
//! (sd_notify(3)).
//!
//! May touch: the socket that the environment names. A manager that does not read holds up nothing:
//! what it has no room for waits here, and is tried again.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sd_notify::NotifyState;
use tokio::time::Instant;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Service {
    socket: Option<UnixDatagram>,
    /// What it has had no room for yet.
    unsent: VecDeque<String>,
    retry_due: Option<Instant>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    sign_due: Option<Instant>,
    status_due: Option<Instant>,
    status: String,
    /// Whether it still holds what it has passed to us.
    has_stored: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A sign of life.
    Sign,
    /// A new status line, if it is another than before.
    Status,
    /// What was not sent.
    Rest,
}

impl Service {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let opened = open(&path);
            opened.inspect_err(|error| tracing::warn!(%error, "{UNHEARD}")).ok()
        });
        // Half the time, as sd_watchdog_enabled(3) recommends.
        let watchdog = sd_notify::watchdog_enabled().filter(|time| !time.is_zero()).map(|time| time / 2);
        let sign_due = watchdog.map(|time| Instant::now() + time);
        let has_stored = sd_notify::listen_fds().is_ok_and(|passed| passed.len() > 0);
        Self { socket, watchdog, sign_due, has_stored, ..Self::default() }
    }

    /// We serve.
    pub(super) fn ready(&mut self, status: String) {
        if std::mem::take(&mut self.has_stored) {
            // Else it would keep them open as long as we run.
            for name in [UPSTREAM, RING] {
                let name = format!("FDNAME={name}");
                self.notify(&[NotifyState::Custom("FDSTOREREMOVE=1"), NotifyState::Custom(&name)]);
            }
        }
        self.notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// The configuration is being read again; [`Self::ready`] says when that is done.
    pub(super) fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(_) => self.notify(&[NotifyState::Reloading]),
        }
    }

    /// We end, and this long may pass before we say more.
    pub(super) fn stopping(&mut self, patience: Duration) {
        self.notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros(patience))]);
    }

    /// There is still something to give back, and it goes on.
    pub(super) fn still_stopping(&mut self, patience: Duration) {
        self.notify(&[NotifyState::ExtendTimeoutUsec(micros(patience))]);
    }

    /// The service manager keeps these sockets open for the next start, where the unit says so
    /// (`FileDescriptorStoreMax=`); one that does not closes them.
    pub(super) fn store<'a>(&self, name: &str, sockets: impl Iterator<Item = BorrowedFd<'a>>) {
        let sockets: Vec<_> = sockets.map(|socket| socket.as_raw_fd()).take(MOST_STORED).collect();
        let Some(socket) = self.socket.as_ref().filter(|_| !sockets.is_empty()) else { return };
        // What is wrong with an interface for the moment is no reason to close its socket.
        let message = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        let (message, rights) = ([IoSlice::new(message.as_bytes())], [ControlMessage::ScmRights(&sockets)]);
        let sent = sendmsg::<()>(socket.as_raw_fd(), &message, &rights, MsgFlags::MSG_DONTWAIT, None);
        if let Err(error) = sent {
            tracing::debug!(%error, "questions of the next moments are lost");
        }
    }

    /// Something changed that the status line may tell; a little later, so that what changes in one
    /// moment is told once.
    pub(super) fn changed(&mut self) {
        if self.socket.is_some() && self.status_due.is_none() {
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
    pub(super) fn sign(&mut self) {
        self.notify(&[NotifyState::Watchdog]);
    }

    /// When something is due next.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.sign_due, self.status_due, self.retry_due].into_iter().flatten().min()
    }

    /// What is due by now, once.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.retry_due) {
            return Some(Due::Rest);
        }
        if is_due(&mut self.status_due) {
            return Some(Due::Status);
        }
        if is_due(&mut self.sign_due) {
            self.sign_due = self.watchdog.map(|time| now + time);
            return Some(Due::Sign);
        }
        None
    }

    /// Sends what has waited.
    pub(super) fn send_rest(&mut self) {
        let Some(socket) = &self.socket else { return };
        while let Some(message) = self.unsent.front() {
            match socket.send(message.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.retry_due = Some(Instant::now() + RETRY_PAUSE);
                    return;
                }
                Err(error) => tracing::warn!(%error, "{UNHEARD}"),
                Ok(_) => {}
            }
            self.unsent.pop_front();
        }
    }

    fn notify(&mut self, states: &[NotifyState<'_>]) {
        if self.socket.is_none() {
            return;
        }
        if self.unsent.len() >= MOST_UNSENT {
            // The newest of all says what is so now.
            self.unsent.pop_front();
        }
        self.unsent.push_back(states.iter().map(|state| format!("{state}\n")).collect());
        self.send_rest();
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// A path, or a name in the kernel's own space that is written with an `@`.
fn open(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    Ok(socket)
}

const STATUS_PAUSE: Duration = Duration::from_secs(1);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const MOST_UNSENT: usize = 8;
/// What the sockets of upstreams are called where they wait for the next start.
pub(super) const UPSTREAM: &str = "lone64-upstream";
/// And those with a ring. An older lone64 would hear nothing by them, and does not know this name.
pub(super) const RING: &str = "lone64-upstream-ring";
/// As the unit says, and fewer than a message may have (`SCM_MAX_FD`).
const MOST_STORED: usize = 64;
const UNHEARD: &str = "cannot notify the service manager (NOTIFY_SOCKET)";
