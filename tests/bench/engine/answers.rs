//! What an answer costs, and what a target takes.
//!
//! Measures parse, look_ahead, handle, poll_output and emit together, for questions after live targets, as the
//! table of targets fills up: without routes of ours, and with one in the kernel for each guest. The targets
//! are asked for in random order, so that the caches hold no more of the table than they would of a real
//! one; the frames are in the cache, as they are when the kernel has just copied them. The turns of the sizes
//! are interleaved, and the table has the medians.
//!
//! Questions come in batches, as the daemon reads them where there are many; `alone` is what one takes that comes
//! by itself, so that nothing is known ahead of it. The goal is about batches: who asks once in a while does not
//! notice a tenth of a microsecond.
//!
//! The ratio of the last row to the first is what the processor's caches make of it: nothing here
//! takes more steps for more targets. What it means for a whole answer, of which the core is a
//! twentieth, the flood bench tells. Memory is what the allocator was asked for, without its own overhead.

use std::hint::black_box;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use lone64::engine::policy::RangeRoutes;
use lone64::engine::{Engine, Input, Output};
use lone64::wire::{MAX_EMITTED, Mac, Message, Solicitation, solicited_node};

use crate::host::{NOW, Scene, UPSTREAM, UPSTREAM_MAC, obey, silent, target};
use crate::{memory, verdict};

pub(crate) fn print(is_quick: bool) {
    let (rounds, batches) = if is_quick { (3, 50) } else { (11, 10_000) };
    let sizes = if is_quick { QUICK_SIZES } else { SIZES };
    println!(
        "{:>8} {:>8} {:>14} {:>8} {:>12} {:>18}",
        "routes", "targets", "ns per answer", "alone", "allocations", "bytes per target"
    );
    for routes in [RangeRoutes::None, RangeRoutes::Guests] {
        let mut sizes = sizes.map(|count| Size::fill(count, routes));
        for _ in 0..rounds {
            for size in &mut sizes {
                size.measure(batches, Batch::Whole);
                size.measure(batches, Batch::OneByOne);
            }
        }
        for size in &sizes {
            println!(
                "{:>8} {:>8} {:>14.0} {:>8.0} {:>12.2} {:>18.0}",
                size.routes.to_string(),
                size.count,
                size.median(Batch::Whole),
                size.median(Batch::OneByOne),
                size.allocations as f64 / f64::from(2 * rounds * batches * BATCH),
                size.bytes_each(),
            );
        }
        let last = &sizes[sizes.len() - 1];
        let ratio = last.median(Batch::Whole) / sizes[0].median(Batch::Whole);
        println!("  the last over the first, at most {FLAT}: {ratio:.2}, {}", verdict(ratio <= FLAT));
        let bytes = last.bytes_each();
        println!("  at most {MOST_BYTES} bytes per target: {bytes:.0}, {}", verdict(bytes <= MOST_BYTES));
    }
}

/// How questions come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// All of a batch are read before the first is handled.
    Whole,
    /// Each comes by itself.
    OneByOne,
}

/// An engine with so many live targets.
struct Size {
    count: u32,
    routes: RangeRoutes,
    engine: Engine,
    /// What the targets take.
    bytes: usize,
    /// Calls to the allocator while answering.
    allocations: usize,
    /// Nanoseconds per answer, one for each round: in batches, and one by one.
    rounds: [Vec<f64>; 2],
    /// Of the generator that picks the targets.
    random: u64,
}

impl Size {
    fn fill(count: u32, routes: RangeRoutes) -> Self {
        let scene = Scene::Guests(count, routes);
        let mut engine = Engine::new(silent(scene.policy()), [1, 2]);
        engine.handle(Input::Facts(scene.facts()), NOW);
        engine.handle(Input::Synced, NOW);
        obey(&mut engine);
        let before = memory::bytes();
        for fact in scene.neighbors() {
            engine.handle(Input::Facts(vec![fact]), NOW);
            obey(&mut engine);
        }
        assert_eq!(engine.known_targets(), count as usize, "every guest is live");
        let bytes = memory::bytes().wrapping_sub(before);
        let (rounds, random) = (Default::default(), 0x9e37_79b9_7f4a_7c15);
        Self { count, routes, engine, bytes, allocations: 0, rounds, random }
    }

    fn measure(&mut self, batches: u32, batch: Batch) {
        let mut questions = vec![[0; MAX_EMITTED]; BATCH as usize];
        let mut inputs = Vec::with_capacity(BATCH as usize);
        let mut spent = Duration::ZERO;
        let allocated = memory::allocations();
        for _ in 0..batches {
            for frame in &mut questions {
                let number = self.pick();
                question(target(number)).emit(frame);
            }
            let start = Instant::now();
            match batch {
                Batch::Whole => self.answer(&questions, &mut inputs),
                Batch::OneByOne => questions.chunks(1).for_each(|one| self.answer(one, &mut inputs)),
            }
            spent += start.elapsed();
        }
        self.allocations += memory::allocations() - allocated;
        self.rounds[batch as usize].push(spent.as_secs_f64() * 1e9 / f64::from(batches * BATCH));
    }

    fn answer(&mut self, frames: &[[u8; MAX_EMITTED]], inputs: &mut Vec<Input>) {
        let mut answer = [0; MAX_EMITTED];
        inputs.extend(frames.iter().map(|frame| match Message::parse(black_box(frame), UPSTREAM_MAC) {
            Ok(Message::Solicitation(solicitation)) => Input::Solicitation(UPSTREAM, solicitation),
            _ => panic!("a good question"),
        }));
        self.engine.look_ahead(inputs);
        for input in inputs.drain(..) {
            self.engine.handle(input, NOW);
            let Some(Output::Advertise(_, advertisement)) = self.engine.poll_output() else {
                panic!("an answer for a live target");
            };
            black_box(advertisement.emit(&mut answer));
        }
    }

    /// xorshift64: good enough to defeat a prefetcher.
    fn pick(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % u64::from(self.count)) as u32
    }

    fn median(&self, batch: Batch) -> f64 {
        let mut sorted = self.rounds[batch as usize].clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn bytes_each(&self) -> f64 {
        self.bytes as f64 / f64::from(self.count)
    }
}

fn question(target: Ipv6Addr) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: ASKER_MAC,
        destination_mac: Mac::multicast(group),
        source: Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1),
        destination: group,
        target,
        source_link_layer: Some(ASKER_MAC),
    }
}

/// How many targets are live.
const SIZES: [u32; 3] = [1, 1_000, 65_536];
const QUICK_SIZES: [u32; 3] = [1, 100, 1_024];
/// As many questions as come in one batch.
const BATCH: u32 = 64;
/// How much more an answer may cost where many targets are live.
const FLAT: f64 = 1.3;
/// What a live target may take.
const MOST_BYTES: f64 = 120.0;
const ASKER_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
