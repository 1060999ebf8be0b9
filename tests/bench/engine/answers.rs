//! What an answer costs, and what a target takes.
//!
//! Measures parse, handle, poll_output and emit together, for questions after live targets, as the
//! table of targets fills up: without routes of ours, and with one in the kernel for each guest. The targets
//! are asked for in random order, so that the caches hold no more of the table than they would of a real
//! one; the frames are in the cache, as they are when the kernel has just copied them. The turns of the sizes
//! are interleaved, and the table has the medians.
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
        "{:>8} {:>8} {:>14} {:>12} {:>18}",
        "routes", "targets", "ns per answer", "allocations", "bytes per target"
    );
    for routes in [RangeRoutes::None, RangeRoutes::Guests] {
        let mut sizes = sizes.map(|count| Size::fill(count, routes));
        for _ in 0..rounds {
            for size in &mut sizes {
                size.measure(batches);
            }
        }
        for size in &sizes {
            println!(
                "{:>8} {:>8} {:>14.0} {:>12.2} {:>18.0}",
                size.routes.to_string(),
                size.count,
                size.median(),
                size.allocations as f64 / f64::from(rounds * batches * BATCH),
                size.bytes_each(),
            );
        }
        let last = &sizes[sizes.len() - 1];
        let ratio = last.median() / sizes[0].median();
        println!("  the last over the first, at most {FLAT}: {ratio:.2}, {}", verdict(ratio <= FLAT));
        let bytes = last.bytes_each();
        println!("  at most {MOST_BYTES} bytes per target: {bytes:.0}, {}", verdict(bytes <= MOST_BYTES));
    }
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
    /// Nanoseconds per answer, one for each round.
    rounds: Vec<f64>,
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
        let (rounds, random) = (Vec::new(), 0x9e37_79b9_7f4a_7c15);
        Self { count, routes, engine, bytes, allocations: 0, rounds, random }
    }

    fn measure(&mut self, batches: u32) {
        let mut questions = vec![[0; MAX_EMITTED]; BATCH as usize];
        let mut answer = [0; MAX_EMITTED];
        let mut spent = Duration::ZERO;
        let allocated = memory::allocations();
        for _ in 0..batches {
            for frame in &mut questions {
                let number = self.pick();
                question(target(number)).emit(frame);
            }
            let start = Instant::now();
            for frame in &questions {
                self.answer(frame, &mut answer);
            }
            spent += start.elapsed();
        }
        self.allocations += memory::allocations() - allocated;
        self.rounds.push(spent.as_secs_f64() * 1e9 / f64::from(batches * BATCH));
    }

    fn answer(&mut self, frame: &[u8], buffer: &mut [u8]) {
        let Ok(Message::Solicitation(solicitation)) = Message::parse(black_box(frame), UPSTREAM_MAC) else {
            panic!("a good question");
        };
        self.engine.handle(Input::Solicitation(UPSTREAM, solicitation), NOW);
        let Some(Output::Advertise(_, advertisement)) = self.engine.poll_output() else {
            panic!("an answer for a live target");
        };
        black_box(advertisement.emit(buffer));
    }

    /// xorshift64: good enough to defeat a prefetcher.
    fn pick(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % u64::from(self.count)) as u32
    }

    fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
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
