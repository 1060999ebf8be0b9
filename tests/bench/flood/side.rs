//! What an answer costs where no process gives it: all of that is done on the asker's CPU, in the middle of its system
//! call, because virtual Ethernet delivers on the sender's CPU. So the cost of asking is measured alone, and taken away.
//!
//! Nobody hears the answers: they are dropped where they arrive, before any socket. What is left is the way of a question
//! from the ingress of the host to the answer at the ingress of the asker. That of asking alone ends at the ingress of the
//! host, where each question is dropped. Both are measured in the same lab, that of asking before and after the other.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};
use std::{fs, io};

use lone64::kernel::bpf::{BpfError, LoadedProgram, Maps, TcxLink};
use lone64::kernel::netns::Namespace;
use lone64::kernel::packet::BATCH;
use lone64::wire::program::{Assembler, Instruction, Operation, Register, Width};

use super::asker::Asker;
use super::cpu::{self, Cpus};
use super::guests::{Guests, Manner};
use super::lab::{ASKING, Lab, UPSTREAM, index};
use super::numbers::median;
use super::responder::{Responder, Running, target};

/// The CPU time that one answer costs.
pub fn cost(responder: Responder, addresses: u32, duration: Duration, cpus: Cpus) -> io::Result<Duration> {
    let lab = Lab::build()?;
    // They keep the downstream up, and the asker's thread on its CPU.
    let _guests = Guests::start(&lab, cpus.asker, Manner::Reporting)?;
    let targets: Vec<_> = (1..=addresses).map(target).collect();
    let mut asker = Asker::open(&lab)?;
    let asking = |asker: &mut Asker| -> io::Result<f64> {
        let _drop = drop_all(&lab.host, UPSTREAM).map_err(io::Error::other)?;
        ask(asker, &targets, duration / 2)
    };
    let before = asking(&mut asker)?;
    let running = Running::start(responder, &lab, &targets, cpus.responder)?;
    asker.ask_until_all_answer(&targets[..1], PATIENCE)?;
    let unheard = drop_all(&lab.asker, ASKING).map_err(io::Error::other)?;
    let sent = answers(&lab)?;
    let before_all = asker.asked();
    let all = ask(&mut asker, &targets, duration)?;
    let (asked, answered) = (asker.asked() - before_all, answers(&lab)? - sent);
    if answered < asked / 100 * 99 {
        return Err(io::Error::other(format!("{answered} answers to {asked} questions")));
    }
    drop((running, unheard));
    let after = asking(&mut asker)?;
    Ok(Duration::from_secs_f64((all - (before + after) / 2.0).max(0.0)))
}

/// Asks for the targets in turn, and hears nothing. The CPU time for each question, in seconds: the median of many slices,
/// because what else happens on the machine takes a part of some.
fn ask(asker: &mut Asker, targets: &[Ipv6Addr], duration: Duration) -> io::Result<f64> {
    let mut turn = targets.iter().copied().cycle();
    let mut slices = Vec::new();
    let start = Instant::now();
    while start.elapsed() < duration {
        let (at_first, before) = (asker.asked(), cpu::time_of_this_thread()?);
        for _ in 0..BATCHES_IN_SLICE {
            asker.ask(turn.by_ref().take(BATCH))?;
        }
        let spent = cpu::time_of_this_thread()?.saturating_sub(before);
        slices.push(spent.as_secs_f64() / (asker.asked() - at_first) as f64);
    }
    median(slices.into_iter()).ok_or_else(|| io::Error::other("no time to ask"))
}

/// Drops whatever arrives at an interface, until the link is dropped.
fn drop_all(namespace: &Namespace, interface: &str) -> Result<TcxLink, BpfError> {
    let mut program = Assembler::default();
    // TC_ACT_SHOT.
    program.push(Instruction::Compute(Width::Bits64, Operation::Move, Register::R0, 2.into()));
    program.push(Instruction::Exit);
    let program = LoadedProgram::load(&program.assemble()?, &Maps::create(1, 1)?)?;
    namespace.run(|| TcxLink::attach(&program, index(interface)))
}

/// How many packets have left the upstream.
fn answers(lab: &Lab) -> io::Result<u64> {
    let table = lab.host.run(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(UPSTREAM)?.strip_prefix(':'));
    // Eight numbers of what was received, then bytes and packets that were sent.
    let sent = line.and_then(|line| line.split_whitespace().nth(9)?.parse().ok());
    sent.ok_or_else(|| io::Error::other("the upstream is not counted"))
}

/// How long a responder may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Some milliseconds.
const BATCHES_IN_SLICE: usize = 64;
