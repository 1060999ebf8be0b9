//! The pure core alone: bytes of a question in, bytes of an answer out, without a kernel.
//!
//! ```text
//! cargo bench --bench engine                some seconds
//! cargo bench --bench engine -- --quick     a short round
//! ```
//!
//! Measures parse, handle, poll_output and emit together, for questions after live targets, as the
//! table of targets fills up. The targets are asked for in random order, so that the caches hold no
//! more of the table than they would of a real one; the frames are in the cache, as they are when the
//! kernel has just copied them. The turns of the sizes are interleaved, and the table has the medians.
//!
//! The ratio of the last row to the first is what the processor's caches make of it: nothing here
//! takes more steps for more targets. What it means for a whole answer, of which the core is a
//! twentieth, the flood bench tells. Memory is what the allocator was asked for, without its own overhead.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lone64::engine::facts::{
    Address, AddressState, Fact, IfIndex, Link, LinkLayer, LinkState, Neighbor, NeighborState,
};
use lone64::engine::policy::{
    Announce, Answer, Downstream, Limits, Origin, Policy, RangePolicy, RangeRoutes, RoutePolicy, Timers,
    UpstreamInterface, UpstreamPolicy,
};
use lone64::engine::{Engine, Input, Output, Time};
use lone64::wire::{MAX_EMITTED, Mac, Message, Solicitation, solicited_node};

fn main() {
    // Without --bench it is a test that runs it (cargo test --benches).
    let is_quick = std::env::args().any(|argument| argument == "--quick")
        || !std::env::args().any(|argument| argument == "--bench");
    let (rounds, batches) = if is_quick { (3, 500) } else { (11, 10_000) };

    let mut sizes: Vec<_> = SIZES.into_iter().map(Size::fill).collect();
    for _ in 0..rounds {
        for size in &mut sizes {
            size.measure(batches);
        }
    }
    println!("{:>8} {:>14} {:>12} {:>18}", "targets", "ns per answer", "allocations", "bytes per target");
    for size in &sizes {
        println!(
            "{:>8} {:>14.0} {:>12.2} {:>18.0}",
            size.count,
            size.median(),
            size.allocations as f64 / f64::from(rounds * batches * BATCH),
            size.bytes as f64 / f64::from(size.count),
        );
    }
    let ratio = sizes[sizes.len() - 1].median() / sizes[0].median();
    println!("the last over the first, in the core alone: {ratio:.2}");
}

/// An engine with so many live targets.
struct Size {
    count: u32,
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
    fn fill(count: u32) -> Self {
        let mut engine = Engine::new(policy(), [1, 2]);
        let facts = [link(UPSTREAM, "up0"), link(DOWNSTREAM, "down0"), own_address()];
        engine.handle(Input::Facts(facts.into()), NOW);
        engine.handle(Input::Synced, NOW);
        while engine.poll_output().is_some() {}
        let before = BYTES.load(Ordering::Relaxed);
        for number in 0..count {
            engine.handle(Input::Facts(vec![found(target(number))]), NOW);
            while engine.poll_output().is_some() {}
        }
        assert_eq!(engine.known_targets(), count as usize, "every guest is live");
        let bytes = BYTES.load(Ordering::Relaxed).wrapping_sub(before);
        Self { count, engine, bytes, allocations: 0, rounds: Vec::new(), random: 0x9e37_79b9_7f4a_7c15 }
    }

    fn measure(&mut self, batches: u32) {
        let mut questions = vec![[0; MAX_EMITTED]; BATCH as usize];
        let mut answer = [0; MAX_EMITTED];
        let mut spent = Duration::ZERO;
        let allocated = ALLOCATIONS.load(Ordering::Relaxed);
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
        self.allocations += ALLOCATIONS.load(Ordering::Relaxed) - allocated;
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
}

fn policy() -> Policy {
    let name = |text: &str| text.parse().expect("a name");
    Policy {
        // Announcing follows a change, not a question.
        upstreams: vec![UpstreamPolicy {
            announce: Announce::No,
            ..UpstreamPolicy::new(UpstreamInterface::Named(name("up0")))
        }],
        ranges: vec![RangePolicy {
            prefix: "2001:db8:1:2:c::/96".parse().expect("a prefix"),
            upstream: None,
            downstream: Downstream::Named(name("down0")),
            answer: Answer::Live,
            routes: RangeRoutes::None,
            backstop: false,
            gateway: None,
            exclude: Vec::new(),
            proxy_downstream: false,
            origin: Origin::Config,
        }],
        suffixes: Vec::new(),
        routes: RoutePolicy::default(),
        timers: Timers::default(),
        limits: Limits::default(),
    }
}

fn link(index: IfIndex, name: &str) -> Fact {
    let layer = LinkLayer::Ethernet(if index == UPSTREAM { UPSTREAM_MAC } else { DOWNSTREAM_MAC });
    let name = name.parse().expect("a name");
    Fact::Link(Link { index, name, state: LinkState::Up, layer, master: None })
}

fn own_address() -> Fact {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 2);
    Fact::Address(Address {
        link: UPSTREAM,
        address,
        prefix_len: 64,
        state: AddressState::Preferred,
        protocol: 0,
    })
}

fn target(number: u32) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, (number >> 16) as u16, number as u16)
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

/// The kernel has found the guest: what proves it live without a word of its own.
fn found(address: Ipv6Addr) -> Fact {
    let (mac, state) = (Some(GUEST_MAC), NeighborState::Reachable);
    Fact::Neighbor(Neighbor { link: DOWNSTREAM, address, mac, state })
}

/// The system's allocator, with a count of what is asked of it.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// How many targets are live.
const SIZES: [u32; 3] = [1, 1_000, 65_536];
/// As many questions as come in one batch.
const BATCH: u32 = 64;
/// Everything happens at once: knowledge never grows old here.
const NOW: Time = Time::ORIGIN;
const UPSTREAM: IfIndex = IfIndex(2);
const DOWNSTREAM: IfIndex = IfIndex(3);
const ASKER_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const UPSTREAM_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const DOWNSTREAM_MAC: Mac = Mac([2, 0, 0, 0, 0, 3]);
const GUEST_MAC: Mac = Mac([2, 0, 0, 0, 0, 5]);
