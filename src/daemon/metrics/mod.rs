//! Metrics for Prometheus: GET /metrics over HTTP, in Prometheus' text format or as OpenMetrics, as the client asks.
//!
//! May touch: the one Unix socket, or the one TCP port, that the configuration names. What the engine counts is the truth: a
//! scrape asks the loop, as a client of the control socket does, and the loop reads its counters
//! then; between two scrapes nothing is done for them, except that answers are timed (`stopwatch`).
//! Clients are small tasks on the daemon's own thread, bounded in number, bytes and time. When there are
//! too many, a new client takes the place of the oldest, so that a client that only holds connections keeps no other out.
//!
//! `catalog` has every metric, `listener` is where clients connect, `reach` whether others can, `request` is what a
//! client asks, `accept` the format that it wants, `client` is one client, `exposition` and `text` are the two formats,
//! `serving` is the daemon's part.

mod accept;
pub mod catalog;
mod client;
#[cfg(test)]
mod contrib_tests;
mod exposition;
mod listener;
mod reach;
mod request;
mod serving;
mod stopwatch;
mod text;

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, sleep};

use crate::config::Endpoint;
use crate::daemon::socket::{Bound, Socket};
pub use exposition::ANSWERED;
use listener::Listener;
pub use listener::MetricsError;
pub(super) use serving::Next;
use stopwatch::Stopwatch;

/// A port or a socket on which metrics are served, until this is dropped.
#[derive(Debug)]
pub struct Metrics {
    endpoint: Endpoint,
    /// The path is free again when this is dropped.
    socket: Option<Socket>,
    /// To the task that accepts clients: where they come from now on.
    listeners: mpsc::UnboundedSender<Listener>,
    scrapes: mpsc::Receiver<Scrape>,
    /// Before it ends no further scrape is looked at.
    resting: Option<Pin<Box<Sleep>>>,
    accepting: AbortHandle,
}

/// A client that waits for metrics.
#[derive(Debug)]
pub(super) struct Scrape {
    format: accept::Format,
    /// Where the text goes; the client may be gone.
    answer: oneshot::Sender<String>,
}

/// What is measured for metrics, beside what the engine counts.
#[derive(Debug)]
pub(super) struct Measures {
    /// When the daemon started.
    started: SystemTime,
    /// `None`: nobody wants to know.
    pub(super) stopwatch: Option<Stopwatch>,
}

impl Metrics {
    /// Begins to listen, in the network namespace of this thread. Must be called within a Tokio
    /// runtime with I/O and time.
    pub fn open(endpoint: &Endpoint) -> Result<Self, MetricsError> {
        let (listener, socket) = Listener::bind(endpoint)?;
        let (scrapes, waiting) = mpsc::channel(MOST_SCRAPES);
        let (listeners, next) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(accept(listener, next, scrapes)).abort_handle();
        let endpoint = endpoint.clone();
        Ok(Self { endpoint, socket, listeners, scrapes: waiting, resting: None, accepting })
    }

    /// Listens at the path of its socket again, where somebody has removed it. Clients that are connected stay.
    pub(super) fn restore(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        match socket.bind_again() {
            Ok(None) => {}
            Ok(Some(listener)) => {
                // The task that accepts clients ends with this.
                let _ = self.listeners.send(Listener::Socket(listener));
                tracing::info!("the metrics socket {} was gone, and is made again", socket.path().display());
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// What clients are to find, unless it is a port.
    pub(super) fn bound(&self) -> Option<&Bound> {
        self.socket.as_ref().map(Socket::bound)
    }

    /// Where they are.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn next(&mut self) -> Scrape {
        if let Some(resting) = &mut self.resting {
            resting.await;
            self.resting = None;
        }
        match self.scrapes.recv().await {
            Some(scrape) => scrape,
            // The accepting task has ended, and nobody will ever scrape.
            None => pending().await,
        }
    }

    /// The loop has worked for a scrape since `start`: it takes a multiple of that for its own work.
    fn rest(&mut self, start: Instant) {
        self.resting = Some(Box::pin(sleep(start.elapsed() * REST)));
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Measures {
    pub(super) fn new() -> Self {
        Self { started: SystemTime::now(), stopwatch: None }
    }

    /// The kernel has got the answers to a batch of frames.
    pub(super) fn sent(&mut self) {
        if let Some(stopwatch) = self.stopwatch.as_mut().filter(|stopwatch| stopwatch.is_running()) {
            stopwatch.stop(SystemTime::now());
        }
    }
}

/// The next scrape, if metrics are served. Cancel-safe.
pub(super) async fn next(metrics: &mut Option<Metrics>) -> Scrape {
    match metrics {
        Some(metrics) => metrics.next().await,
        None => pending().await,
    }
}

/// Serves the clients that connect. The clients end with this.
async fn accept(
    mut listener: Listener,
    mut listeners: mpsc::UnboundedReceiver<Listener>,
    scrapes: mpsc::Sender<Scrape>,
) {
    let mut clients = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            Some(next) = listeners.recv() => {
                listener = next;
                continue;
            }
            accepted = listener.next() => accepted,
            Some(_) = clients.join_next() => continue,
        };
        match accepted {
            Ok(client) => {
                by_age.retain(|client| !client.is_finished());
                if by_age.len() >= MOST_CLIENTS
                    && let Some(oldest) = by_age.pop_front()
                {
                    oldest.abort();
                }
                by_age.push_back(client.join(&mut clients, scrapes.clone()));
            }
            // Out of descriptors, most likely; they come back.
            Err(error) => {
                tracing::debug!(%error, "cannot accept a client for metrics");
                sleep(Duration::from_millis(100)).await;
            }
        }
        // Ten thousand connections at once cost no more than a thousand a second.
        sleep(BETWEEN_CLIENTS).await;
    }
}

const MOST_CLIENTS: usize = 32;
/// Scrapes that wait for the loop; further ones wait in their clients.
const MOST_SCRAPES: usize = 4;
/// For each time that a scrape took, as many times the loop does nothing but its own work.
const REST: u32 = 4;
const BETWEEN_CLIENTS: Duration = Duration::from_millis(1);
