//! The control socket: one JSON object per line, and one line back.
//!
//! May touch: the socket and its directory. Unix permissions are the authorization. Each client is a
//! small task on the daemon's own thread; it reads, waits and writes without ever holding up the
//! loop, and clients, their time, their lines and what the loop does for them are all bounded: a
//! hostile client can take the others' turns at most, never an answer.
//!
//! `daemon/socket` owns the path, `client` is one client, `method` is what can be asked, `reply` what is
//! said back, `event` what those who watch are told.

mod client;
mod event;
mod method;
mod reply;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};

pub use method::{ClaimParams, ExplainParams, Method, ReleaseParams, StatusParams, Truth};
pub use reply::{Fault, Reply};

use super::socket::{Purpose, Socket, SocketError};
use crate::engine::{Event, Limiter, Links, Time};

/// The control socket of a daemon. Its path is free again when this is dropped.
#[derive(Debug)]
pub struct Control {
    socket: Socket,
    /// To the task that accepts clients: where they come from now on.
    listeners: mpsc::UnboundedSender<UnixListener>,
    calls: mpsc::Receiver<Call>,
    /// Each watcher has a receiver; what is in here is shared by all of them.
    events: broadcast::Sender<Arc<str>>,
    limit: Limiter,
    left_out: u64,
    /// Before it ends no further call is looked at.
    resting: Option<Pin<Box<Sleep>>>,
}

/// One thing that a client asks for.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Where the answer goes; the client may be gone.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What a client gets.
#[derive(Debug)]
pub(super) enum Answer {
    /// One line.
    Line(Reply),
    /// Lines, until it goes.
    Stream(broadcast::Receiver<Arc<str>>),
}

impl Control {
    /// Takes the path and begins to listen. Must be called within a Tokio runtime with I/O and time.
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let (socket, listener) = Socket::bind(path, Purpose::Control)?;
        let (calls, waiting) = mpsc::channel(MOST_CALLS);
        let (listeners, next) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, next, calls));
        Ok(Self {
            socket,
            listeners,
            calls: waiting,
            events: broadcast::channel(EVENTS_KEPT).0,
            limit: Limiter::new(EVENTS_PER_SECOND),
            left_out: 0,
            resting: None,
        })
    }

    /// Listens at its path again, where somebody has removed it. Clients that are connected stay.
    pub(super) fn restore(&mut self) {
        match self.socket.bind_again() {
            Ok(None) => {}
            Ok(Some(listener)) => {
                // The task that accepts clients ends after this.
                let _ = self.listeners.send(listener);
                tracing::info!("the control socket {} was gone, and is made again", self.path().display());
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// The next call. Cancel-safe.
    pub(super) async fn next(&mut self) -> Call {
        if let Some(resting) = &mut self.resting {
            resting.await;
            self.resting = None;
        }
        match self.calls.recv().await {
            Some(call) => call,
            // The accepting task has ended, and nobody will ever call.
            None => std::future::pending().await,
        }
    }

    /// The loop has worked for a call since `start`: it takes a multiple of that for its own work,
    /// so that clients get a fifth of its time at most, whatever they ask for.
    pub(super) fn rest(&mut self, start: Instant) {
        self.resting = Some(Box::pin(sleep(start.elapsed() * REST)));
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Lets one more watch.
    pub(super) fn watch(&self) -> Answer {
        if self.events.receiver_count() >= MOST_WATCHERS {
            let message = format!("{MOST_WATCHERS} clients already watch; end one of them");
            return Answer::Line(Reply::fault("busy", message));
        }
        Answer::Stream(self.events.subscribe())
    }

    /// Tells those who watch. Questions can be many: what is over the limit is counted.
    pub(super) fn publish(&mut self, event: &Event, links: &Links, now: Time) {
        if !self.is_watched() {
            return;
        }
        let is_limited = matches!(event, Event::Solicited(..) | Event::Answered(..) | Event::Dropped(..));
        if is_limited && !self.limit.take(now) {
            self.left_out += 1;
            return;
        }
        // Nobody may be left to hear it; that is no failure.
        if self.left_out > 0 {
            let _ = self.events.send(event::dropped(std::mem::take(&mut self.left_out)).into());
        }
        let _ = self.events.send(event::line(event, links).into());
    }
}

/// Serves the clients that connect, until nobody takes calls any more. Then those who have been answered get
/// what they were answered.
async fn accept(
    mut listener: UnixListener,
    mut listeners: mpsc::UnboundedReceiver<UnixListener>,
    calls: mpsc::Sender<Call>,
) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(next) = listeners.recv() => {
                listener = next;
                continue;
            }
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
            () = calls.closed() => break,
        };
        // Those that have ended do not count, in whatever order they are looked at.
        while clients.try_join_next().is_some() {}
        match accepted {
            Ok((mut stream, _)) if clients.len() >= MOST_CLIENTS => {
                let message = format!("{MOST_CLIENTS} clients are already connected; try again later");
                // A fresh socket has room for a line; where it has not, the client is not told.
                let line = Reply::fault("busy", message).line();
                let _ = timeout(Duration::from_millis(1), stream.write_all(line.as_bytes())).await;
            }
            Ok((stream, _)) => _ = clients.spawn(client::serve(stream, calls.clone())),
            // Out of descriptors, most likely; they come back.
            Err(error) => {
                tracing::debug!(%error, "a control client was not accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
        // Ten thousand connections at once cost no more than a thousand a second.
        sleep(BETWEEN_CLIENTS).await;
    }
    drop((listener, calls));
    let _ = timeout(TIME_TO_LEAVE, clients.join_all()).await;
}

/// The default path's neighbor, for what must outlive a crash: `control.sock` has `control.sysctls`.
pub(super) fn beside(socket: &Path, extension: &str) -> PathBuf {
    socket.with_extension(extension)
}

const MOST_CLIENTS: usize = 32;
const MOST_WATCHERS: usize = 16;
/// Calls that wait for the loop; clients that have more to ask wait themselves.
const MOST_CALLS: usize = 8;
/// For each time that a call took, as many times the loop does nothing but its own work.
const REST: u32 = 4;
const BETWEEN_CLIENTS: Duration = Duration::from_millis(1);
/// For the last clients of a socket that is given up.
const TIME_TO_LEAVE: Duration = Duration::from_secs(1);
/// For the slowest of those who watch; he is told how many he missed.
const EVENTS_KEPT: usize = 1_024;
/// Questions that are told of. More cannot be read, and would cost the answers.
const EVENTS_PER_SECOND: u32 = 1_000;
