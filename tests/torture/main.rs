//! Torture: churn on the real kernel with injected faults, for as long as it is told to.
//!
//!     cargo test --test torture                                        twenty seconds, as in tests/run
//!     cargo test --test torture -- --minutes 30 --seed 7               half an hour; a seed plays the same faults again
//!
//!     cargo test --test torture -- --minutes 30 --backend tc           with the program in the kernel
//!
//! The variable LONE64_OTHER names another build of lone64, a release build for example.
//!
//! A host between a router and a village of up to 48 guests, of which few stay as they are. Faults are injected in
//! rounds; after each round everything that was broken is put right, and then what must hold is looked at (`rest`); what
//! must never happen is looked for all the time (`watch`). The report says what was injected, and every violation with
//! its round. The wall clock is one for the whole machine, so lone64 is shown another one by libfaketime; the
//! report says where that is not installed.
//!
//! * `world`: the namespaces, and the guests
//! * `daemon`: lone64, as a process that is killed, stopped and started again
//! * `claims`: what is claimed and released on its socket
//! * `faults`: what is done to them
//! * `watch`: every advertisement that the host sends is judged
//! * `rest`: what holds when nothing is broken

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the verdict")]
#![allow(clippy::disallowed_methods, reason = "this is no pure room")]

mod chance;
mod claims;
mod daemon;
mod faults;
mod rest;
mod watch;
mod world;

#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/advertisement.rs"]
mod advertisement;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/endpoint.rs"]
mod endpoint;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/frame.rs"]
mod frame;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/lab.rs"]
mod lab;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/solicitation.rs"]
mod solicitation;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use chance::Chance;
use world::World;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((time, seed, backend)) = parse(&arguments) else {
        eprintln!("torture: usage: [--minutes N | --seconds N] [--seed N] [--backend packet|tc]");
        return ExitCode::from(2);
    };
    // Mounts of its own too: a small file system beside the sockets can be filled.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
        println!("torture: ignored: only root can do this here ({error})");
        return ExitCode::SUCCESS;
    }
    println!("torture: {} s, --seed {seed} --backend {backend}", time.as_secs());
    let start = Instant::now();
    let mut world = World::new(backend);
    let mut chance = Chance::new(seed);
    let mut injected: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut rounds = 0;
    while start.elapsed() < time {
        rounds += 1;
        world.findings.round(rounds);
        for _ in 0..chance.between(5, 25) {
            let name = faults::inject(&mut world, &mut chance);
            *injected.entry(name).or_default() += 1;
            std::thread::sleep(Duration::from_millis(chance.between(0, 200)));
        }
        faults::put_right(&mut world);
        rest::look(&mut world, &mut chance);
    }
    rest::end(&mut world);
    println!("torture: {rounds} rounds in {} s", start.elapsed().as_secs());
    for (name, count) in &injected {
        println!("{count:>7}  {name}");
    }
    if !world.daemon.has_clock() {
        println!("torture: the clock was not set: libfaketime is not installed");
    }
    let measured = &world.measured;
    println!(
        "torture: {} questions for guests at rest answered, the slowest after {} ms, or {} ms where another station has just \
         claimed or checked the address; {} advertisements judged; at most {} KiB and {} descriptors; aborted {} times without memory",
        measured.answered,
        measured.slowest.as_millis(),
        measured.slowest_disputed.as_millis(),
        world.findings.judged(),
        measured.memory,
        measured.descriptors,
        measured.aborted
    );
    let violations = world.findings.all();
    println!("torture: {} violations", violations.len());
    for violation in &violations {
        println!("  {violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long, with which seed, and with which backend.
fn parse(arguments: &[String]) -> Option<(Duration, u64, &'static str)> {
    let (mut time, mut seed, mut backend) = (Duration::from_secs(20), 64, "packet");
    let mut words = arguments.iter().map(String::as_str).filter(|word| *word != "--nocapture");
    while let Some(word) = words.next() {
        let value = words.next()?;
        if word == "--backend" {
            backend = ["packet", "tc"].into_iter().find(|name| *name == value)?;
            continue;
        }
        let number: u64 = value.parse().ok()?;
        match word {
            "--minutes" => time = Duration::from_secs(60 * number),
            "--seconds" => time = Duration::from_secs(number),
            "--seed" => seed = number,
            _ => return None,
        }
    }
    Some((time, seed, backend))
}
