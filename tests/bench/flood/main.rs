//! The flood: `lone64`, its peers and the kernel's own proxy, side by side on virtual Ethernet.
//!
//! ```text
//! cargo bench --bench flood                     three rounds, about three minutes
//! cargo bench --bench flood -- --quick          one short round, under 30 seconds
//! cargo bench --bench flood -- --rounds 5 --seconds 4 --only static
//! LONE64_OTHER=target/before cargo bench --bench flood -- --only lone64     two builds side by side
//! ```
//!
//! As root or as an ordinary user: everything happens in network namespaces that nobody else sees.
//! Peers are what Debian packages (`apt-get install ndppd npd6`); one that is missing is named.
//!
//! # How it measures
//!
//! Each responder in turn gets a fresh host (`up0` towards the asker, `down0` towards the guests) and
//! a CPU of its own; asker and guests are on another one. The asker keeps at most [`WINDOW`]
//! questions unanswered, so that the responder always has work and no queue runs over. The turns are
//! interleaved over the rounds and the table has the medians: other load on the machine moves the
//! numbers from minute to minute, so only what was measured side by side may be compared.
//!
//! # How to read it
//!
//! * *per CPU s* is answers per second of the responder's own CPU time, user and kernel. Virtual
//!   Ethernet delivers on the sender's CPU, so the way of an answer into the asker's socket is part of
//!   it; the asker's IPv6 stack is not, it is off. The kernel's proxy has no process to charge.
//! * *lone64 metrics* is *lone64 always* with metrics on: what timing each answer costs.
//! * *bare loop* is the floor: recvmmsg, the bytes of an answer, sendmmsg, and no thought at all.
//! * *busy* is the part of the time that the responder was on its CPU. Under 90 %, the asker was
//!   the bottleneck of *answers/s*, and marked with `*`; *per CPU s* holds all the same.
//! * *burst* is how many of 1,000 questions at once were answered, in the worst round.
//! * *p50* to *p99* is the time from question to answer at [`LOW_RATE`] questions per second.
//! * The scan asks for targets outside the range, [`SCAN_RATE`] times a second, and counts what that
//!   costs on top of what it costs a host without responder: in the kernel on the way to the
//!   responder (asker's CPU), and in the responder itself.

mod asker;
mod bare;
mod cold;
mod cpu;
mod guests;
mod lab;
mod responder;
mod table;

use std::io;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lone64::kernel::netns;

use asker::Asker;
use cold::Cold;
use lab::Lab;
use responder::{Responder, Running};
use table::Row;

/// Floods lone64, ndppd, npd6 and the kernel's proxy in turn, and prints what each achieves.
#[derive(Debug, Clone, Parser)]
#[command(name = "flood")]
struct Arguments {
    /// One short round.
    #[arg(long)]
    quick: bool,
    /// How often each responder has its turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each flood lasts, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Only responders whose name contains this; can be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Be the bare loop. Only this program itself calls it so.
    #[arg(long, hide = true)]
    bare: bool,
    /// What cargo bench passes; without it (cargo test --benches) the round is a short one.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.quick || !arguments.bench {
        (arguments.rounds, arguments.seconds) = (1, 0.3);
    }
    if arguments.bare {
        let Err(error) = bare::answer_for_ever();
        eprintln!("bare loop: {error}");
        return ExitCode::FAILURE;
    }
    // Before any thread is started: the kernel refuses a user namespace to a process of several.
    if let Err(error) = netns::enter_user_namespace() {
        eprintln!("ignored: {error}");
        return ExitCode::FAILURE;
    }
    match compare(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    let cpus = cpu::Cpus::choose()?;
    cpu::pin_this_thread(cpus.asker)?;
    let (present, missing): (Vec<_>, Vec<_>) = Responder::ALL
        .into_iter()
        .filter(|responder| arguments.wants(*responder))
        .partition(|responder| responder.program().is_some());
    let mut rows: Vec<Row> = present
        .iter()
        .flat_map(|responder| responder.addresses().iter().map(|count| Row::new(*responder, *count)))
        .collect();
    let asking = present.iter().copied().filter(|responder| responder.asks_guests());
    let mut colds: Vec<_> = asking.map(Cold::new).collect();
    let mut scans: Vec<(Responder, Vec<asker::Scan>)> =
        [Responder::Nobody].into_iter().chain(present).map(|responder| (responder, Vec::new())).collect();

    println!("{cpus}");
    println!("{} rounds, {} s for each flood", arguments.rounds, arguments.seconds);
    for responder in missing.iter().filter(|responder| **responder != Responder::Lone64Other) {
        println!("missing: {responder} ({})", responder.remedy());
    }
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for row in &mut rows {
            if let Err(error) = take_turn(row, arguments, cpus) {
                row.problem = Some(error.to_string());
            }
        }
        for cold in &mut colds {
            // One that fails has its reason in the first table.
            let _ = take_cold(cold, arguments, cpus);
        }
        for (responder, turns) in &mut scans {
            // One that fails has its reason in the first table.
            turns.extend(take_scan(*responder, arguments, cpus).ok());
        }
    }
    table::print(&rows, &scans);
    cold::print(&colds);
    Ok(())
}

/// One responder's turn: it is started, asked until it answers for every address, and measured.
fn take_turn(row: &mut Row, arguments: &Arguments, cpus: cpu::Cpus) -> io::Result<()> {
    let lab = Lab::build()?;
    let targets: Vec<_> = (1..=row.addresses).map(target).collect();
    let _guests = guests::Guests::start(&lab, cpus.asker)?;
    let running = Running::start(row.responder, &lab, &targets, cpus.responder)?;
    let mut asker = Asker::open(&lab)?;
    asker.ask_until_all_answer(&targets, PATIENCE)?;
    row.burst(asker.burst(&targets, BURST)?);

    let before = running.cpu_time()?;
    let flood = asker.flood(&targets, arguments.duration(), WINDOW)?;
    let spent = running.cpu_time()?.zip(before).map(|(after, before)| after.saturating_sub(before));
    row.flood(&flood, spent);
    row.latencies(asker.latencies(&targets, arguments.duration() / 2, LOW_RATE)?);
    Ok(())
}

fn take_scan(responder: Responder, arguments: &Arguments, cpus: cpu::Cpus) -> io::Result<asker::Scan> {
    let lab = Lab::build()?;
    let _guests = guests::Guests::start(&lab, cpus.asker)?;
    let targets = [target(1)];
    let running = Running::start(responder, &lab, &targets, cpus.responder)?;
    let mut asker = Asker::open(&lab)?;
    if responder != Responder::Nobody {
        asker.ask_until_all_answer(&targets, PATIENCE)?;
    }
    let before = running.cpu_time()?;
    let mut scan = asker.scan(arguments.duration() / 2, SCAN_RATE)?;
    scan.responder = running.cpu_time()?.zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(scan)
}

/// Guests that nobody has asked for before: first some at a low rate, then as many as there are as fast as answers come.
fn take_cold(cold: &mut Cold, arguments: &Arguments, cpus: cpu::Cpus) -> io::Result<()> {
    let lab = Lab::build()?;
    let _guests = guests::Guests::start(&lab, cpus.asker)?;
    let awake = [target(u16::MAX)];
    let running = Running::start(cold.responder, &lab, &awake, cpus.responder)?;
    let mut asker = Asker::open(&lab)?;
    asker.ask_until_all_answer(&awake, PATIENCE)?;
    let (few, many) = (1..=COLD_ONE_BY_ONE, COLD_ONE_BY_ONE + 1..=COLD_ONE_BY_ONE + arguments.cold());
    let (few, many): (Vec<_>, Vec<_>) = (few.map(target).collect(), many.map(target).collect());
    let duration = Duration::from_secs(1) * u32::from(COLD_ONE_BY_ONE) / LOW_RATE;
    cold.latencies.extend(asker.latencies(&few, duration, LOW_RATE)?);
    cold.floods.push(asker.once(&many, COLD_WINDOW)?);
    drop(running);
    Ok(())
}

impl Arguments {
    /// So many cold guests at once.
    fn cold(&self) -> u16 {
        if self.seconds < 1.0 { 4_000 } else { 40_000 }
    }

    fn wants(&self, responder: Responder) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| responder.name().contains(name.as_str()))
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s| (0.1..=60.0).contains(s)).ok_or_else(|| "0.1 to 60 seconds".to_owned())
}

/// An address inside the range `2001:db8:1:2:c::/112`.
fn target(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, number)
}

/// As many questions wait for an answer at most: three batches of lone64's, and fewer than fit into
/// a receive buffer of the size that a socket has if nobody asks for another (208 KiB).
const WINDOW: usize = 192;
/// For cold guests, whose answers take longer: each question is probed for, so a few wait at a time.
const COLD_WINDOW: usize = 192;
/// Cold guests that are asked for one after the other.
const COLD_ONE_BY_ONE: u16 = 100;
/// Questions at once.
const BURST: usize = 1_000;
/// Questions per second while the latency is measured.
const LOW_RATE: u32 = 100;
/// Questions per second for targets outside the range: few enough that the slowest responder reads
/// all of them, and what is measured is what one costs.
const SCAN_RATE: u32 = 100_000;
/// How long a responder may take until it answers for every address.
const PATIENCE: Duration = Duration::from_secs(30);
