//! `lone64 demo`: a guest unreachable, then `lone64` running, then reachable. Needs no root and no
//! network; everything happens in namespaces that end with the process.

mod daemon;
pub mod ping;
pub mod topology;
pub mod trace;

use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Outcome;
use super::terminal::Shown;
use crate::kernel::netlink::NetlinkError;
use crate::kernel::netns::{self, NamespaceError};
use crate::kernel::sysctl::SysctlError;
use daemon::start_daemon;
use ping::{Echo, ping};
use topology::{GUEST, HOST, Lab, draw};
use trace::{Sighting, Trace, time_to_answer};

/// The options of `demo`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 demo")]
pub struct DemoArgs {}

/// Runs the demo, and prints it as it goes. Must be called before any thread is started.
///
/// Success only if the guest was unreachable without `lone64`, and reachable with it.
pub fn run(_args: &DemoArgs) -> Outcome {
    match show(&mut Shown::default()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // The reader closed the pipe: it has seen enough.
        Err(DemoError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::FAILURE),
        Err(error) => Err(error.into()),
    }
}

/// Why the demo does not show what it should.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No namespaces to build in.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The lab cannot be built.
    #[error("cannot build the lab")]
    Netlink(#[from] NetlinkError),
    /// The lab cannot be set up.
    #[error("cannot build the lab")]
    Sysctl(#[from] SysctlError),
    /// A socket, a file or a thread that the lab needs is not to be had.
    #[error("cannot build the lab: {0}")]
    Lab(&'static str, #[source] io::Error),
    /// Nowhere to print to.
    #[error(transparent)]
    Print(#[from] io::Error),
    /// The daemon cannot run; its own words.
    #[error("{0}")]
    Daemon(String),
    /// Something was seen that should not be.
    #[error("{0}")]
    Unexpected(String),
}

fn show(out: &mut impl Write) -> Result<(), DemoError> {
    netns::enter_user_namespace()?;
    writeln!(out, "Three throw-away network namespaces; the guest lives in the host's /64:\n")?;
    writeln!(out, "{}", draw())?;
    let lab = Lab::build()?;
    lab.wait_until_ready()?;
    without_lone64(&lab, out)?;
    let running = start(&lab, out)?;
    let reached = with_lone64(&lab, out);
    running.stop().map_err(DemoError::Daemon)?;
    reached?;
    let left = lab.routes_of_lone64()?;
    if !left.is_empty() {
        return Err(DemoError::Unexpected(format!("lone64 left {} routes behind", left.len())));
    }
    writeln!(out, "\nlone64 has stopped and removed its routes. Nothing is left behind.")?;
    Ok(())
}

fn without_lone64(lab: &Lab, out: &mut impl Write) -> Result<(), DemoError> {
    writeln!(out, "1. Without lone64, the router pings the host, then the guest.\n")?;
    let trace = Trace::start(&lab.router, "rt0")?;
    report(out, HOST, 1, &echo(lab, HOST, 1, PATIENCE)?, PATIENCE)?;
    let guest = echo(lab, GUEST, 1, SILENCE)?;
    report(out, GUEST, 1, &guest, SILENCE)?;
    let asked = trace.stop();
    let answers = asked.iter().filter(|sighting| !sighting.is_solicitation()).count();
    let questions = asked.len() - answers;
    writeln!(out, "\n   On the router's wire (solicitations: {questions}, answers: {answers}):\n")?;
    list(out, &asked)?;
    match guest {
        Echo::Silence => Ok(()),
        Echo::Reply(_) => Err(DemoError::Unexpected(format!(
            "{GUEST} answered before lone64 ran, so the demo has nothing to show"
        ))),
    }
}

fn start(lab: &Lab, out: &mut impl Write) -> Result<daemon::Running, DemoError> {
    writeln!(out, "\n2. lone64 starts on the host, with these three lines:\n")?;
    for line in CONFIGURATION.lines() {
        writeln!(out, "     {line}")?;
    }
    let running = start_daemon(&lab.host, CONFIGURATION).map_err(DemoError::Daemon)?;
    writeln!(out, "\n   It was ready after {}, with these routes:\n", milliseconds(running.ready_after))?;
    for route in lab.routes_of_lone64()? {
        writeln!(out, "     {route}")?;
    }
    Ok(running)
}

fn with_lone64(lab: &Lab, out: &mut impl Write) -> Result<(), DemoError> {
    writeln!(out, "\n3. The router pings the guest again.\n")?;
    lab.router_forgets_guest()?;
    let trace = Trace::start(&lab.router, "rt0")?;
    let mut replies = 0;
    for sequence in 1..=3 {
        let echo = echo(lab, GUEST, sequence, PATIENCE)?;
        report(out, GUEST, sequence, &echo, PATIENCE)?;
        replies += u32::from(matches!(echo, Echo::Reply(_)));
    }
    let seen = trace.stop();
    writeln!(out, "\n   On the router's wire:\n")?;
    list(out, &seen)?;
    if let Some(time) = time_to_answer(&seen) {
        writeln!(out, "\n   From the solicitation to the answer: {}.", milliseconds(time))?;
    }
    if replies == 3 {
        Ok(())
    } else {
        Err(DemoError::Unexpected(format!("with lone64 running, {replies} of 3 pings reached {GUEST}")))
    }
}

fn echo(lab: &Lab, target: Ipv6Addr, sequence: u16, patience: Duration) -> Result<Echo, DemoError> {
    lab.router.run(|| ping(target, sequence, patience)).map_err(|e| DemoError::Lab("no ICMPv6 socket", e))
}

fn report(
    out: &mut impl Write,
    target: Ipv6Addr,
    sequence: u16,
    echo: &Echo,
    patience: Duration,
) -> io::Result<()> {
    match echo {
        Echo::Reply(time) => writeln!(out, "   {target:<20} ping {sequence}: {}", milliseconds(*time)),
        Echo::Silence => {
            writeln!(out, "   {target:<20} ping {sequence}: no reply within {} s", patience.as_secs())
        }
    }
}

fn list(out: &mut impl Write, seen: &[Sighting]) -> io::Result<()> {
    let start = seen.first().map(|sighting| sighting.at).unwrap_or_default();
    seen.iter().try_for_each(|sighting| writeln!(out, "{}", sighting.describe(start)))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// The common case of the configuration.
const CONFIGURATION: &str = r#"[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "lxcbr0"
"#;

/// How long a ping waits for a reply that does not come.
const SILENCE: Duration = Duration::from_secs(1);
/// How long one waits for a reply that does, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_configuration_is_three_lines() {
        assert_eq!(CONFIGURATION.lines().count(), 3);
        assert!(config::parse(CONFIGURATION, "demo").is_ok());
    }
}
