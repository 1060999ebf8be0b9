//! The real daemon, on a thread of its own inside the host's namespace.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::stream;
use tokio::sync::oneshot;

use crate::config;
use crate::daemon::{Daemon, threads};
use crate::explanation;
use crate::kernel::netns::Namespace;
use crate::kernel::ready::Queue;

/// A daemon that serves.
pub(super) struct Running {
    /// From the start of its thread until its socket was bound and its routes were in.
    pub(super) ready_after: Duration,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Makes it remove its routes and end.
    pub(super) fn stop(self) -> Result<(), String> {
        // It may have ended by itself; then the thread says why.
        let _ = self.stop.send(());
        ended(self.thread)
    }
}

/// Starts the daemon, and returns once it answers.
pub(super) fn start_daemon(host: &Namespace, configuration: &'static str) -> Result<Running, String> {
    let started = Instant::now();
    let (ready, is_ready) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = host
        .spawn(move || {
            threads::run(|queue| serve(configuration, ready, stopped, queue))
                .map_err(|error| format!("cannot start a runtime: {error}"))?
        })
        .map_err(|error| format!("cannot start the daemon's thread: {error}"))?;
    match is_ready.recv() {
        Ok(()) => Ok(Running { ready_after: started.elapsed(), stop, thread }),
        Err(mpsc::RecvError) => Err(ended(thread)
            .err()
            .unwrap_or_else(|| "the daemon ended before it served anything".to_owned())),
    }
}

/// Serves until told to stop; `ready` hears when it does.
async fn serve(
    configuration: &str,
    ready: mpsc::Sender<()>,
    stop: oneshot::Receiver<()>,
    queue: Queue,
) -> Result<(), String> {
    let config = config::parse(configuration, "lone64.toml").map_err(|problems| problems.to_string())?;
    let daemon = Daemon::start(&config, queue).await.map_err(|error| explanation::of(&error))?;
    // The demo hears it, or has ended already; then `stop` says so, too.
    let _ = ready.send(());
    let stopped = stream::once(async {
        let _ = stop.await;
        Ok(())
    });
    daemon.serve(stopped).await.map_err(|error| explanation::of(&error))
}

fn ended(thread: JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("the daemon's thread panicked".to_owned()))
}
