//! The turns: one responder, started in a lab of its own and measured in one way.

use std::io;
use std::time::Duration;

use super::Arguments;
use super::asker::Asker;
use super::cold::Cold;
use super::cpu::Cpus;
use super::guests::{Guests, Manner};
use super::lab::Lab;
use super::noise::Noise;
use super::responder::{Responder, Running, target};
use super::scan::Scan;
use super::side;
use super::table::Row;

/// Who takes part in one turn; gone with it.
struct Turn {
    // In this order: the responder ends before the guests, and both before their namespaces.
    running: Running,
    asker: Asker,
    guests: Guests,
    _lab: Lab,
}

impl Turn {
    /// Starts the responder and waits until it answers for the first guest. The others come up when they are woken.
    fn begin(responder: Responder, addresses: u32, manner: Manner, cpus: Cpus) -> io::Result<Self> {
        let lab = Lab::build()?;
        let guests = Guests::start(&lab, cpus.asker, manner)?;
        guests.wake(1)?;
        let proxied: Vec<_> = (1..=addresses).map(target).collect();
        let running = Running::start(responder, &lab, &proxied, cpus.responder)?;
        let mut asker = Asker::open(&lab)?;
        if responder != Responder::Nobody {
            asker.ask_until_all_answer(&[target(1)], PATIENCE)?;
        }
        Ok(Self { running, asker, guests, _lab: lab })
    }
}

/// It is asked until it answers for every address, and flooded.
pub fn flood(row: &mut Row, arguments: &Arguments, cpus: Cpus) -> io::Result<()> {
    let mut turn = Turn::begin(row.responder, row.addresses, Manner::Reporting, cpus)?;
    let Turn { running, asker, guests, .. } = &mut turn;
    if row.responder.asks_guests() {
        guests.wake(row.addresses)?;
    }
    let targets: Vec<_> = (1..=row.addresses).map(target).collect();
    if row.responder.has_state() {
        asker.ask_until_all_answer(&targets, PATIENCE)?;
    }
    row.burst(asker.burst(&targets, BURST)?);

    let before = running.cpu_time()?;
    let flood = asker.flood(&targets, arguments.duration(), WINDOW)?;
    row.flood(&flood, running.cpu_time_since(before)?);

    let before = running.cpu_time()?;
    let lone = arguments.lone(row.addresses);
    let latencies = asker.latencies(&targets, lone, LOW_RATE)?;
    row.latencies(latencies, running.cpu_time_since(before)?);
    row.resident(running.resident()?);
    Ok(())
}

/// What an answer costs, of one that has no process.
pub fn side(row: &mut Row, arguments: &Arguments, cpus: Cpus) -> io::Result<()> {
    if row.responder.has_no_process() {
        row.side(side::cost(row.responder, row.addresses, arguments.duration(), cpus)?);
    }
    Ok(())
}

/// Guests that nobody has asked for before: first some at a low rate, then as many as there are as fast as answers come.
pub fn cold(cold: &mut Cold, arguments: &Arguments, cpus: Cpus) -> io::Result<()> {
    let mut turn = Turn::begin(cold.responder, 1, cold.manner, cpus)?;
    let (first, last) = (2 + COLD_ONE_BY_ONE, 1 + COLD_ONE_BY_ONE + arguments.cold());
    turn.guests.wake(last)?;
    let (few, many): (Vec<_>, Vec<_>) =
        ((2..first).map(target).collect(), (first..=last).map(target).collect());
    let duration = Duration::from_secs(1) * COLD_ONE_BY_ONE / LOW_RATE;
    cold.latencies.extend(turn.asker.latencies(&few, duration, LOW_RATE)?);
    cold.floods.push(turn.asker.once(&many, COLD_WINDOW)?);
    Ok(())
}

/// Packets of both kinds that are nobody's business.
pub fn noise(noises: &mut [Noise], arguments: &Arguments, cpus: Cpus) -> io::Result<()> {
    let Some(first) = noises.first() else { return Ok(()) };
    let mut turn = Turn::begin(first.responder, 1, Manner::Reporting, cpus)?;
    for noise in noises {
        noise.take(&mut turn.asker, arguments.duration() / 2, || turn.running.cpu_time())?;
    }
    Ok(())
}

/// A scan of dead targets inside the range, and guests that nobody has asked for before.
pub fn scan(scan: &mut Scan, arguments: &Arguments, cpus: Cpus) -> io::Result<()> {
    let mut turn = Turn::begin(scan.responder, 1, scan.manner, cpus)?;
    let guests: Vec<_> = (2..2 + arguments.guests()).map(target).collect();
    turn.guests.wake(1 + arguments.guests())?;
    scan.take(&mut turn.asker, &guests, arguments.duration())
}

/// As many questions wait for an answer at most: three batches of lone64's, and fewer than fit into
/// a receive buffer of the size that a socket has if nobody asks for another (208 KiB).
const WINDOW: usize = 192;
/// For cold guests, whose answers take longer: each question is probed for, so a few wait at a time.
const COLD_WINDOW: usize = 192;
/// Cold guests that are asked for one after the other.
const COLD_ONE_BY_ONE: u32 = 100;
/// Questions at once.
const BURST: usize = 1_000;
/// Questions per second while the latency is measured.
pub const LOW_RATE: u32 = 100;
/// How long a responder may take until it answers for every address.
const PATIENCE: Duration = Duration::from_secs(30);
