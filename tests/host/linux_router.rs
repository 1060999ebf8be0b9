//! The provider's router as Linux is one (net/core/neighbour.c): an entry is doubted a while after it was used, checked by
//! three unicast questions, given up, and asked for by three multicast ones as soon as there is a packet for it.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{Fact, Neighbor, NeighborState};
use lone64::engine::{Event, Input, Output, Time};
use lone64::wire::{Advertisement, Flags, Solicitation};

use super::{Host, ROUTER_MAC, UP, UP_MAC, millis, question_from};

/// The times of a neighbor table.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// `delay_first_probe_time`.
    pub delay: Duration,
    /// How long a confirmed entry is good: between half and one and a half times `base_reachable_time`.
    pub reachable: Duration,
    /// How long a frame is on its way to the host, or waits there, at most.
    pub late: Duration,
}

/// What a router lets in.
pub type Filter<T> = Box<dyn Fn(&T) -> bool>;

/// The router, and the link to it.
pub struct LinuxRouter {
    times: Times,
    random: u64,
    entries: BTreeMap<Ipv6Addr, Entry>,
    /// Which advertisements it hears.
    pub takes: Filter<Advertisement>,
    /// Which questions it hears.
    pub hears: Filter<Solicitation>,
    /// Of a hundred frames so many are lost, either way.
    pub lost: u64,
    /// An advertisement that it has not asked for makes an entry (`accept_untracked_na`, RFC 9131).
    pub is_trusting: bool,
    /// Frames on their way to the host.
    on_the_way: VecDeque<(Time, Input)>,
    /// Whatever the host has told.
    pub events: Vec<(Time, Event)>,
    /// Frames that the host has sent on the upstream.
    pub frames: Vec<(Time, Output)>,
    /// The packets that did not get to the guest, and those that did, by their moments.
    pub packets: Vec<(Time, Ipv6Addr, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    state: State,
    timer: Option<Time>,
    /// Questions since the state began.
    asked: u8,
    confirmed: Time,
    used: Time,
    /// Packets that wait for it.
    queued: usize,
}

impl Entry {
    /// One of which nothing is known.
    fn new(now: Time) -> Self {
        Self { state: State::Failed, timer: None, asked: 0, confirmed: now, used: now, queued: 0 }
    }
}

impl LinuxRouter {
    /// One that lets everything in. `phase` decides what is left to chance.
    pub fn new(times: Times, phase: u64) -> Self {
        Self {
            times,
            random: phase,
            entries: BTreeMap::new(),
            takes: Box::new(|_| true),
            hears: Box::new(|_| true),
            lost: 0,
            is_trusting: false,
            on_the_way: VecDeque::new(),
            events: Vec::new(),
            frames: Vec::new(),
            packets: Vec::new(),
        }
    }

    /// The host knows it as the gateway of its default route.
    pub fn introduce(&self, host: &mut Host) {
        let (address, mac) = (GATEWAY, Some(ROUTER_MAC));
        let neighbor = Neighbor { link: UP, address, mac, state: NeighborState::Reachable };
        host.input(Input::Facts(vec![Fact::Neighbor(neighbor)]));
    }

    /// Time goes by while packets for these targets come, so far apart.
    pub fn pass(&mut self, host: &mut Host, duration: Duration, targets: &[Ipv6Addr], apart: Duration) {
        let end = host.now + duration;
        let mut next_packets = host.now;
        loop {
            let timer = self.entries.values().filter_map(|entry| entry.timer).min();
            let arrival = self.on_the_way.iter().map(|(at, _)| *at).min();
            let packets = (!targets.is_empty()).then_some(next_packets);
            let dues = [timer, arrival, packets, host.engine.next_timeout()];
            let Some(due) = dues.into_iter().flatten().min().filter(|due| *due <= end) else {
                return host.pass(end.since(host.now));
            };
            host.pass(due.since(host.now));
            self.look(host);
            if packets.is_some_and(|at| at <= due) {
                next_packets = due + apart;
                targets.iter().for_each(|target| self.forward(*target, host.now));
            }
            let ripe: Vec<_> = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.timer.is_some_and(|at| at <= due))
                .map(|(target, _)| *target)
                .collect();
            ripe.into_iter().for_each(|target| self.timer(target, host.now));
            while let Some(place) = self.on_the_way.iter().position(|(at, _)| *at <= host.now) {
                let (_, input) = self.on_the_way.remove(place).unwrap();
                host.input(input);
                self.look(host);
            }
        }
    }

    /// A packet for the target.
    fn forward(&mut self, target: Ipv6Addr, now: Time) {
        let entry = self.entries.entry(target).or_insert(Entry::new(now));
        entry.used = now;
        match entry.state {
            State::Reachable | State::Delay | State::Probe => self.packets.push((now, target, true)),
            State::Stale => {
                (entry.state, entry.timer) = (State::Delay, Some(now + self.times.delay));
                self.packets.push((now, target, true));
            }
            State::Incomplete => entry.queued += 1,
            State::Failed => {
                (entry.state, entry.asked, entry.queued) = (State::Incomplete, 1, 1);
                entry.timer = Some(now + RETRANS_TIMER);
                self.ask(target, true, now);
            }
        }
    }

    fn timer(&mut self, target: Ipv6Addr, now: Time) {
        let Times { delay, reachable, .. } = self.times;
        let Some(entry) = self.entries.get_mut(&target) else { return };
        entry.timer = None;
        match entry.state {
            State::Reachable if now.since(entry.confirmed) < reachable => {
                entry.timer = Some(entry.confirmed + reachable);
            }
            State::Reachable if now.since(entry.used) <= delay => {
                (entry.state, entry.timer) = (State::Delay, Some(now + delay));
            }
            State::Reachable => entry.state = State::Stale,
            State::Delay => (entry.state, entry.asked) = (State::Probe, 0),
            State::Incomplete | State::Probe | State::Stale | State::Failed => {}
        }
        if !matches!(entry.state, State::Incomplete | State::Probe) {
            return;
        }
        if entry.asked >= 3 {
            let lost = std::mem::take(&mut entry.queued);
            (entry.state, entry.timer) = (State::Failed, None);
            self.packets.extend((0..lost).map(|_| (now, target, false)));
            return;
        }
        entry.asked += 1;
        entry.timer = Some(now + RETRANS_TIMER);
        let is_multicast = entry.state == State::Incomplete;
        self.ask(target, is_multicast, now);
    }

    fn ask(&mut self, target: Ipv6Addr, is_multicast: bool, now: Time) {
        let asked = question_from(GATEWAY, ROUTER_MAC, target);
        let asked = match is_multicast {
            true => asked,
            false => Solicitation { destination: target, destination_mac: UP_MAC, ..asked },
        };
        self.send(Input::Solicitation(UP, asked), now);
    }

    fn send(&mut self, input: Input, now: Time) {
        if self.loses() {
            return;
        }
        let late = self.chance(self.times.late);
        self.on_the_way.push_back((now + late, input));
    }

    /// Takes in what the host has sent.
    fn look(&mut self, host: &mut Host) {
        for (at, output) in host.take_timed() {
            match &output {
                Output::Advertise(UP, said) if (self.takes)(said) && !self.loses() => self.hear(said, at),
                Output::Solicit(UP, asked) if (self.hears)(asked) && !self.loses() => {
                    self.hear_question(asked, at);
                }
                Output::Event(event) => {
                    self.events.push((at, event.clone()));
                    continue;
                }
                _ => {}
            }
            if matches!(output, Output::Advertise(UP, _) | Output::Solicit(UP, _)) {
                self.frames.push((at, output));
            }
        }
    }

    fn hear(&mut self, said: &Advertisement, now: Time) {
        let reachable = self.times.reachable;
        if self.is_trusting && !said.flags.solicited {
            self.entries.entry(said.target).or_insert(Entry { state: State::Stale, ..Entry::new(now) });
        }
        let Some(entry) = self.entries.get_mut(&said.target) else { return };
        if entry.state == State::Failed {
            return;
        }
        let is_new = entry.state == State::Incomplete;
        if said.flags.solicited {
            (entry.state, entry.confirmed, entry.timer) = (State::Reachable, now, Some(now + reachable));
        } else if is_new {
            (entry.state, entry.timer) = (State::Stale, None);
        }
        self.deliver(said.target, now);
    }

    /// A question for the router makes an entry for who asks, and changes none that is good.
    fn hear_question(&mut self, asked: &Solicitation, now: Time) {
        if asked.target != GATEWAY || asked.source.is_unspecified() || asked.source_link_layer.is_none() {
            return;
        }
        let entry = self.entries.entry(asked.source).or_insert(Entry::new(now));
        if matches!(entry.state, State::Incomplete | State::Failed) {
            (entry.state, entry.timer) = (State::Stale, None);
            self.deliver(asked.source, now);
        }
        // Its answer is a packet to who asks.
        let packets = self.packets.len();
        self.forward(asked.source, now);
        self.packets.truncate(packets);
        self.send(Input::Advertisement(UP, answer_to(asked.source)), now);
    }

    fn deliver(&mut self, target: Ipv6Addr, now: Time) {
        let Some(entry) = self.entries.get_mut(&target) else { return };
        for _ in 0..std::mem::take(&mut entry.queued) {
            self.forward(target, now);
        }
    }

    fn loses(&mut self) -> bool {
        self.lost > 0 && self.chance(millis(100)) < millis(self.lost)
    }

    /// Something below this, otherwise at each call.
    pub fn chance(&mut self, below: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        match u64::try_from(below.as_millis()).unwrap() {
            0 => Duration::ZERO,
            below => millis(mixed % below),
        }
    }
}

/// What the gateway answers to a question from this address.
pub fn answer_to(destination: Ipv6Addr) -> Advertisement {
    Advertisement {
        source_mac: ROUTER_MAC,
        destination_mac: UP_MAC,
        source: GATEWAY,
        destination,
        target: GATEWAY,
        flags: Flags { router: true, solicited: true, override_entry: true },
        target_link_layer: Some(ROUTER_MAC),
    }
}

pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const RETRANS_TIMER: Duration = Duration::from_secs(1);
