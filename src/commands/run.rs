//! `lone64 run`: the daemon, in the foreground.
//!
//! May touch: signals, the service manager's socket, and whatever the daemon room may.

use std::future::Future;
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use crate::cli::RunArgs;
use crate::config::Config;
use crate::daemon::{Daemon, logging};
use crate::kernel::sysctl;

/// Serves until it is told to stop by SIGTERM or SIGINT.
pub fn run(args: &RunArgs) -> Outcome {
    let config = args.config()?;
    logging::init(config.log);
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(serve(&config))?;
    Ok(ExitCode::SUCCESS)
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

async fn serve(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let stop = stop_signal()?;
    let daemon = Daemon::start(config).await?;
    warn_of_missing_sysctls(daemon.downstreams());
    for line in daemon.summary() {
        tracing::info!("{line}");
    }
    let status = daemon.summary().join("; ");
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let stop = async {
        stop.await;
        notify(&[NotifyState::Stopping]);
    };
    daemon.serve(stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Done when the process is told to stop. The handlers are in place when this returns.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    })
}

/// Without forwarding every answer is a promise that the host does not keep, and with a full
/// neighbour table guests cannot reply. (All namespaces share that table; guests that are containers
/// have an entry for the host, as the host has one for them.)
fn warn_of_missing_sysctls(downstreams: usize) {
    if sysctl::read("conf/all/forwarding").is_ok_and(|value| value == "0") {
        tracing::warn!(
            "IPv6 forwarding is off, so guests are answered for and not reached; where the default route \
             comes from router advertisements first `sysctl -w net.ipv6.conf.UPSTREAM.accept_ra=2`, then \
             `sysctl -w net.ipv6.conf.all.forwarding=1`"
        );
    }
    let neighbours =
        sysctl::read("neigh/default/gc_thresh3").ok().and_then(|text| text.parse::<usize>().ok());
    let needed = 4 * downstreams;
    if let Some(most) = neighbours.filter(|most| *most < needed) {
        tracing::warn!(
            "the kernel's neighbour table holds {most} entries, too few for guests on {downstreams} \
             interfaces, who then seem to be gone; `sysctl -w net.ipv6.neigh.default.gc_thresh3={needed}` \
             makes room"
        );
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
    }
}
