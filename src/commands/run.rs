//! `lone64 run`: the daemon, in the foreground.
//!
//! May touch: signals, the control socket, what this process may do, and whatever the daemon room may.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::{Stream, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use super::options::RunArgs;
use super::terminal::complain;
use crate::config::{Endpoint, Loaded};
use crate::daemon::control::Control;
use crate::daemon::socket::SocketError;
use crate::daemon::{Alone, Daemon, Operator, Recorder, Service, Source, logging, threads};
use crate::explanation;
use crate::kernel::confinement::{self, Places};
use crate::kernel::ready::Queue;
use crate::kernel::{heap, image, sysctl};

/// Serves until it is told to stop by SIGTERM or SIGINT.
pub fn run(args: &RunArgs) -> Outcome {
    heap::keep_little();
    image::map_in_pieces();
    let loaded = args.load()?;
    // Before the first thread, which is that of the log.
    let confined = confinement::enter(&places(args, &loaded));
    logging::init(loaded.read.config.log);
    confined.tell();
    raise_file_limit();
    let result = threads::run(|ready| serve(args, loaded, ready))?;
    logging::flush();
    Ok(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell_last(explanation::of(&*error));
            ExitCode::FAILURE
        }
    })
}

/// What a reload reads, and the directories of the sockets and the trace.
fn places(args: &RunArgs, loaded: &Loaded) -> Places {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let control = &loaded.read.config.control;
    let metrics = control.metrics.as_ref().and_then(Endpoint::path);
    let sockets = std::iter::once(control.socket.as_path()).chain(metrics);
    Places {
        read: loaded.files.paths().map(Path::to_owned).chain(loaded.guests.paths()).collect(),
        made: sockets.map(parent).collect(),
        written: args.record.as_deref().map(parent),
    }
}

/// Says why it has ended, behind the log, as `main` would; but nobody may be there to read it.
fn tell_last(text: String) {
    let (told, is_told) = mpsc::channel();
    thread::spawn(move || {
        complain(&format!("{text}\n"));
        let _ = told.send(());
    });
    let _ = is_told.recv_timeout(PATIENCE_AT_EXIT);
}

/// Each downstream takes a socket, and there may be thousands; the usual soft limit of 1024 is for
/// programs that use select(2).
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files (RLIMIT_NOFILE) to its maximum");
    }
}

async fn serve(args: &RunArgs, loaded: Loaded, ready: Queue) -> Result<(), Box<dyn std::error::Error>> {
    let stop = stop_signals()?;
    let hangup = signal(SignalKind::hangup())?;
    // First of all: two that answer for the same guests would be in each other's way. Neither may two that have
    // network namespaces of their own have one control socket.
    let config = &loaded.read.config;
    let alone = Alone::claim().await?;
    let control = open_control(&config.control.socket)?;
    let recorder = args.record.as_deref().and_then(record);
    let mut daemon = Daemon::start_recorded(config, alone, recorder, ready).await?;
    warn_of_small_neighbor_table(daemon.downstreams());
    if let Some(idle) = daemon.idle() {
        tracing::warn!("{idle}");
    }
    for line in daemon.summary() {
        tracing::info!("{line}");
    }
    let args = args.clone();
    let source = Source::new(move |guests| args.load_again(guests));
    let service = Service::of_environment();
    daemon.attach(Operator::new(control, (source, &loaded), hangup, service));
    // It is a copy of all guests.
    drop(loaded);
    daemon.serve(stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Without a trace there are answers all the same.
fn record(path: &Path) -> Option<Recorder> {
    let recorder = Recorder::create(path);
    let told = |error: &io::Error| {
        tracing::warn!("cannot write the trace {}: {error}; lone64 runs without it", path.display());
    };
    recorder.inspect_err(told).ok()
}

/// Without a control socket there are answers all the same; but not where it is another lone64's.
fn open_control(path: &Path) -> Result<Option<Control>, SocketError> {
    match Control::open(path) {
        Ok(control) => Ok(Some(control)),
        Err(error @ SocketError::Running { .. }) => Err(error),
        Err(error) => {
            tracing::warn!("{error}; lone64 answers, but `status` and `reload` do not work");
            Ok(None)
        }
    }
}

/// Has something whenever the process is told to stop. The handlers are in place when this returns. Two signals that come
/// together are one wish: timeout(1) sends its own to the program and then to the whole group.
fn stop_signals() -> io::Result<impl Stream<Item = io::Result<()>>> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let first = None::<Instant>;
    Ok(stream::unfold((terminate, interrupt, first), async |(mut terminate, mut interrupt, first)| {
        let name = loop {
            let name = tokio::select! {
                got = terminate.recv() => got.map(|()| "SIGTERM"),
                got = interrupt.recv() => got.map(|()| "SIGINT"),
            };
            let is_same_wish = first.is_some_and(|first| first.elapsed() < TOGETHER);
            if name.is_none() || !is_same_wish {
                break name;
            }
        };
        let told = match name {
            Some(name) => {
                let what = if first.is_some() { "stopping at once" } else { "stopping" };
                tracing::info!("{name}: {what}");
                Ok(())
            }
            None => Err(io::Error::other("signals no longer arrive")),
        };
        Some((told, (terminate, interrupt, first.or_else(|| Some(Instant::now())))))
    }))
}

/// With a full neighbor table guests cannot reply. (All namespaces share that table; guests that are
/// containers have an entry for the host, as the host has one for them.)
fn warn_of_small_neighbor_table(downstreams: usize) {
    let neighbors = sysctl::read("neigh/default/gc_thresh3").ok().and_then(|text| text.parse::<usize>().ok());
    let needed = 4 * downstreams;
    if let Some(most) = neighbors.filter(|most| *most < needed) {
        tracing::warn!(
            "the kernel's neighbor table has room for {most} entries, which is too few for guests on {downstreams} \
             interfaces: guests can seem to be gone; `sysctl -w net.ipv6.neigh.default.gc_thresh3={needed}` makes \
             room"
        );
    }
}

/// A second signal within this time says no more than the first: nobody has seen what that did.
const TOGETHER: Duration = Duration::from_millis(100);
/// For a reader of what is said last.
const PATIENCE_AT_EXIT: Duration = Duration::from_secs(1);
