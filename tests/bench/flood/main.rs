//! The flood: `lone64`, its peers and the kernel's own proxy, side by side on virtual Ethernet.
//!
//! ```text
//! cargo bench --bench flood                     two rounds, about five minutes
//! cargo bench --bench flood -- --quick          one short round without some rows, under a minute
//! cargo bench --bench flood -- --json target/flood.json --svg contrib/bench/flood.svg
//! cargo bench --bench flood -- --rounds 5 --seconds 4 --only static
//! cargo bench --bench flood -- --rounds 5 --only kernel     the kernel's proxy, the program, and ndppd static
//! cargo bench --bench flood -- --continuity     answers while the daemon is killed, restarted and upgraded; needs root
//! LONE64_OTHER=target/before cargo bench --bench flood -- --only lone64     two builds side by side
//! ```
//!
//! As root or as an ordinary user: everything happens in network namespaces that nobody else sees.
//! Peers are what Debian packages (`apt-get install ndppd npd6`); one that is missing is named.
//! `--json` writes every number with its unit, and the machine, for programs; `--svg` draws them.
//!
//! # How it measures
//!
//! Each responder in turn gets a fresh host (`up0` towards the asker, `down0` towards the guests) and
//! a CPU of its own; asker and guests are on another one. The asker keeps at most 192 questions
//! unanswered, so that the responder always has work and no queue runs over. The turns are
//! interleaved over the rounds and the table has the medians: other load on the machine moves the
//! numbers from minute to minute, so only what was measured side by side may be compared.
//!
//! Each guest has a MAC of its own. When its address comes up, it reports the solicited-node group to
//! ff02::16 as real hosts do (MLDv2, twice), and again when a general query asks. lone64 runs with its
//! default configuration, but for the range, its mode and the level of the log.
//!
//! # How to read it
//!
//! The flood, for 1, 1,000, 65,536 and 1,000,000 addresses (as far as a responder gets in seconds):
//!
//! * *per CPU s* is answers per second of the responder's own CPU time, user and kernel. Virtual
//!   Ethernet delivers on the sender's CPU, so the way of an answer into the asker's socket is part of
//!   it; the asker's IPv6 stack is not, it is off. The kernel's proxy has no process to charge, and neither has
//!   *kernel program*: all that they do is done on the asker's CPU. So of these two the CPU time of asking is measured
//!   alone, in the same lab, and taken away (`side.rs`).
//! * *kernel program* is lone64's program by itself, with every address in its map and no daemon, loaded
//!   with the capabilities that the unit has. It needs root.
//! * *lone64 metrics* is *lone64 always* with metrics on: what timing each answer costs.
//! * *bare loop* does not think: recvmmsg, the bytes of an answer, sendmmsg. lone64 has no recvmmsg on its upstream, but a
//!   ring.
//! * *busy* is the part of the time that the responder was on its CPU. Under 90 %, the asker was
//!   the bottleneck of *answers/s*, and marked with `*`; *per CPU s* holds all the same.
//! * *burst* is how many of 1,000 questions at once were answered, in the worst round.
//! * *lone µs* is the CPU time of the whole process for one question at 100 per second, and *p50* to
//!   *p99* is the time from such a question to its answer.
//! * *memory* is the resident size (VmRSS) at the end of the turn.
//!
//! Guests that nobody has asked for before: the time to the *first* answer at 100 per second, and how
//! many such guests are answered per second, as fast as answers come. lone64 has asked for the first thousand of those
//! that report (*reporting*) by then, as it does for any guest that reports, so it answers for them at once; it knows
//! nothing of the others (*silent*).
//!
//! The scan asks for 1,000, 5,000 and 100,000 dead targets inside the range per second, never for one
//! twice, and meanwhile for guests that nobody has asked for before, at most 100 in a round. The asker
//! asks again every 300 ms. *first* is how many were answered before that, *in 1 s* how many within a
//! second. Guests report their groups (*reporting*) or do not (*silent*).
//!
//! Solicitations outside the range and foreign UDP packets come 100,000 times a second. What counts is
//! what they cost on top of what they cost a host without responder: in the kernel on the way to the
//! responder (asker's CPU), and in the responder itself.
//!
//! The goals at the end are ratios of numbers of this run.

mod asker;
mod bare;
mod cold;
mod continuity;
mod cpu;
mod figures;
mod goals;
mod guests;
mod lab;
mod machine;
mod noise;
mod numbers;
mod picture;
mod questions;
mod responder;
mod scan;
mod side;
mod table;
mod turns;
mod unit;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use clap::Parser;
use lone64::kernel::netns;

use cold::Cold;
use figures::Figures;
use machine::Machine;
use noise::Noise;
use responder::Responder;
use scan::Scan;
use table::Row;

/// Floods lone64, ndppd, npd6 and the kernel's proxy in turn, and prints what each achieves.
#[derive(Debug, Clone, Parser)]
#[command(name = "flood")]
struct Arguments {
    /// One short round.
    #[arg(long)]
    quick: bool,
    /// How often each responder has its turn.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each flood lasts, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Only responders whose name contains this; can be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write all numbers into this file, for programs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the numbers into this file, for people.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only measure what `backend = "tc"` answers while the daemon is killed, restarted and upgraded, and during a scan.
    #[arg(long)]
    continuity: bool,
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
    // Before minutes are spent on what cannot be written.
    for folder in [&arguments.json, &arguments.svg].into_iter().flatten().filter_map(|path| path.parent()) {
        fs::create_dir_all(folder)?;
    }
    let machine = Machine::here();
    let cpus = cpu::Cpus::choose()?;
    cpu::pin_this_thread(cpus.asker)?;
    let (present, missing): (Vec<_>, Vec<_>) = Responder::ALL
        .into_iter()
        .filter(|responder| arguments.wants(*responder))
        .filter(|responder| !(arguments.is_short() && *responder == Responder::Lone64Metrics))
        .partition(|responder| responder.program().is_some());
    let mut rows: Vec<Row> = present
        .iter()
        .flat_map(|responder| responder.addresses().iter().map(|count| Row::new(*responder, *count)))
        .collect();
    let asking: Vec<_> = present.iter().copied().filter(|responder| responder.asks_guests()).collect();
    let mut colds: Vec<_> = asking.iter().copied().flat_map(Cold::all).collect();
    let mut scans: Vec<_> = asking.iter().copied().flat_map(Scan::all).collect();
    scans.retain(|scan| !arguments.is_short() || scan.rate != scan::RATES[0]);
    let everybody = [Responder::Nobody].into_iter().chain(present);
    let mut noises: Vec<_> = everybody.flat_map(Noise::both).collect();

    println!("{machine}\n{cpus}");
    if arguments.continuity {
        return continuity::measure(arguments.duration(), cpus);
    }
    println!("{} rounds, {} s for each flood", arguments.rounds, arguments.seconds);
    for responder in missing.iter().filter(|responder| **responder != Responder::Lone64Other) {
        println!("missing: {responder} ({})", responder.remedy());
    }
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for row in &mut rows {
            let both = turns::flood(row, arguments, cpus).and_then(|()| turns::side(row, arguments, cpus));
            if let Err(error) = both {
                row.problem = Some(error.to_string());
            }
        }
        for cold in &mut colds {
            // One that fails has its reason in the first table.
            let _ = turns::cold(cold, arguments, cpus);
        }
        for scan in &mut scans {
            if let Err(error) = turns::scan(scan, arguments, cpus) {
                scan.problem = Some(error.to_string());
            }
        }
        for both in noises.chunks_mut(2) {
            // One that fails has its reason in the first table.
            let _ = turns::noise(both, arguments, cpus);
        }
    }
    let mut figures = Figures::default();
    table::print(&rows, &mut figures);
    cold::print(&colds, &mut figures);
    scan::print(&scans, &mut figures);
    noise::print(&noises, &mut figures);
    goals::print(&figures);
    if let Some(path) = &arguments.json {
        figures.write(path, &machine, arguments.rounds, arguments.seconds)?;
    }
    if let Some(path) = &arguments.svg {
        picture::draw(path, &figures, &machine)?;
    }
    Ok(())
}

impl Arguments {
    /// Not everything is measured, and less of it.
    fn is_short(&self) -> bool {
        self.seconds < 1.0
    }

    /// So many cold guests at once.
    fn cold(&self) -> u32 {
        if self.is_short() { 4_000 } else { 40_000 }
    }

    /// So many guests are asked for during a scan.
    fn guests(&self) -> u32 {
        if self.is_short() { 25 } else { 100 }
    }

    /// Lone questions are asked for so long. Of one address some hundreds, because they have a row of their own among
    /// the goals.
    fn lone(&self, addresses: u32) -> Duration {
        if addresses == 1 { self.duration() * 2 } else { Duration::ZERO }
    }

    fn wants(&self, responder: Responder) -> bool {
        // The program is held to ndppd's `static` rule, too: both are there where the kernel is asked for.
        let is_meant = |name: &String| {
            let is_beside = responder == Responder::NdppdStatic && name == "kernel";
            responder.name().contains(name.as_str()) || is_beside
        };
        self.only.is_empty() || self.only.iter().any(is_meant)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s| (0.1..=60.0).contains(s)).ok_or_else(|| "0.1 to 60 seconds".to_owned())
}
