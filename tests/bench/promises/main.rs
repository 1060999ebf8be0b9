//! What is promised in seconds, measured on the real kernel: the table says which promise was kept.
//!
//! ```text
//! cargo bench --bench promises                      five rounds, some two minutes
//! cargo bench --bench promises -- --quick           one round, with fewer downstreams
//! cargo bench --bench promises -- --only stop       only promises whose name contains this
//! ```
//!
//! No test asserts these times, because how busy a machine is decides them too. Run it on one that has nothing else
//! to do. Everything happens in namespaces that nobody else sees, built as the tests under tests/netns build them;
//! what does not happen at all is given up after a minute, as there, and counts as missed. With `cargo test`
//! nothing is measured.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is a missed promise")]
#![allow(clippy::disallowed_methods, reason = "this is no pure room")]
#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../../netns/advertisement.rs"]
mod advertisement;
#[path = "../../netns/daemon.rs"]
mod daemon;
#[path = "../../netns/endpoint.rs"]
mod endpoint;
#[path = "../../netns/frame.rs"]
mod frame;
#[path = "../../netns/lab.rs"]
mod lab;
#[path = "../../netns/link.rs"]
mod link;
mod measures;
#[path = "../../netns/namespace.rs"]
mod namespace;
#[path = "../../netns/solicitation.rs"]
mod solicitation;
#[path = "../../netns/veths.rs"]
mod veths;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lone64::kernel::netns;

use measures::PROMISES;

/// Measures what is promised in seconds, and prints a table.
#[derive(Debug, Clone, Parser)]
#[command(name = "promises")]
struct Arguments {
    /// One round, with fewer downstreams.
    #[arg(long)]
    quick: bool,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only promises whose name contains this; can be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// What cargo bench passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One promise, and how it is measured.
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    /// What is kept if nothing takes longer.
    pub(crate) within: Duration,
    /// How long it took; `true` for a quick round.
    pub(crate) measure: fn(bool) -> Duration,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if !arguments.bench && !arguments.quick {
        println!("nothing is measured without `cargo bench --bench promises`");
        return ExitCode::SUCCESS;
    }
    if arguments.quick {
        arguments.rounds = 1;
    }
    // Before any thread is started: the kernel refuses a user namespace to a process of several.
    if let Err(error) = netns::enter_user_namespace() {
        eprintln!("ignored: {error}");
        return ExitCode::FAILURE;
    }
    println!("{:<58} {:>6} {:>10} {:>10}", "promise", "within", "median", "latest");
    for promise in PROMISES.iter().filter(|promise| arguments.wants(promise)) {
        let measured: Vec<Option<Duration>> =
            (0..arguments.rounds).map(|_| catch_unwind(|| (promise.measure)(arguments.quick)).ok()).collect();
        println!("{}", row(promise, measured));
    }
    ExitCode::SUCCESS
}

impl Arguments {
    fn wants(&self, promise: &Promise) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| promise.name.contains(word.as_str()))
    }
}

/// A line of the table. `None`: it did not come to an end.
fn row(promise: &Promise, measured: Vec<Option<Duration>>) -> String {
    let mut times: Vec<Duration> = measured.iter().flatten().copied().collect();
    times.sort();
    let missing = measured.len() - times.len();
    let late = times.iter().filter(|time| **time > promise.within).count() + missing;
    let shown = |time: Option<&Duration>| {
        time.map_or_else(|| "never".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1000.0))
    };
    let verdict = match late {
        0 => "kept".to_owned(),
        _ => format!("MISSED {late} of {}", measured.len()),
    };
    let latest = if missing > 0 { None } else { times.last() };
    let within = format!("{} s", promise.within.as_secs());
    let (median, latest) = (shown(times.get(times.len() / 2)), shown(latest));
    format!("{:<58} {within:>6} {median:>10} {latest:>10}  {verdict}", promise.name)
}
