//! A host on a virtual clock: the engine, a kernel that takes its routes, and guests that reply. `up0` is the
//! upstream, with the router behind it; `lxcbr0` is the downstream of the range 2001:db8:1:2:c::/112. Every test
//! crate takes of it what it needs.

#![allow(dead_code)]

pub mod linux_router;
mod messages;
mod policies;
pub mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use lone64::engine::facts::{
    Address, AddressState, Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, NextHop, RouteKind,
};
use lone64::engine::policy::Policy;
use lone64::engine::{Change, Engine, Event, Input, Outcome, Output, State, Time};
use lone64::wire::{Advertisement, DropReason, Mac, Solicitation};

pub use messages::*;
pub use policies::*;

pub const LO: IfIndex = IfIndex(1);
pub const UP: IfIndex = IfIndex(2);
pub const BRIDGE: IfIndex = IfIndex(3);
pub const UP_MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x01]);
pub const BRIDGE_MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 0xb0]);
pub const ROUTER_MAC: Mac = Mac([0, 0, 0x5e, 0, 0x53, 1]);

/// The engine and everything around it.
pub struct Host {
    pub engine: Engine,
    pub now: Time,
    /// Guests that reply to probes.
    pub guests: BTreeMap<Ipv6Addr, Mac>,
    /// The routes in the kernel.
    pub kernel: BTreeSet<KernelRoute>,
    outputs: Vec<(Time, Output)>,
}

impl Host {
    /// The usual host under this policy, with everything known and all routes installed.
    pub fn new(policy: Policy) -> Self {
        let mut host = Self::bare(policy);
        host.facts(usual_facts());
        host.input(Input::Synced);
        host.take();
        host
    }

    /// A host of which nothing is known yet.
    pub fn bare(policy: Policy) -> Self {
        let engine = Engine::new(policy, [17, 4]);
        let (now, guests, kernel) = (Time::at(Duration::from_secs(1_000)), BTreeMap::new(), BTreeSet::new());
        Self { engine, now, guests, kernel, outputs: Vec::new() }
    }

    /// The usual host with this guest behind its downstream.
    pub fn with_guest(mut self, address: Ipv6Addr, mac: Mac) -> Self {
        self.guests.insert(address, mac);
        self
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        self.drain();
        // What takes long is done in slices.
        while self.engine.is_behind() {
            self.engine.handle(Input::Timeout, self.now);
            self.drain();
        }
    }

    pub fn facts(&mut self, facts: Vec<Fact>) {
        // The kernel drops the routes of an interface that goes, or is switched off.
        let gone = |link| {
            facts.iter().any(|fact| match fact {
                Fact::LinkGone(index) => *index == link,
                Fact::Link(known) => known.index == link && known.state == LinkState::Down,
                _ => false,
            })
        };
        self.kernel.retain(|route| !route.link().is_some_and(gone));
        self.input(Input::Facts(facts));
    }

    /// A solicitation arrives on the upstream.
    pub fn solicit(&mut self, solicitation: Solicitation) {
        self.input(Input::Solicitation(UP, solicitation));
    }

    /// The router asks for the target, and this is what follows at once; what came before is forgotten.
    pub fn ask(&mut self, target: Ipv6Addr) -> Vec<Output> {
        self.take();
        self.solicit(question(target));
        self.take()
    }

    /// Somebody asks, and this is the one answer that follows at once; what came before is forgotten. A check for
    /// duplicates may be answered half a second later, when nobody else on the link has spoken up.
    pub fn answer_to(&mut self, solicitation: Solicitation) -> Option<Advertisement> {
        self.take();
        self.solicit(solicitation);
        if solicitation.is_dad() {
            self.pass(Duration::from_millis(600));
        }
        let answers = self.answers();
        assert!(answers.len() <= 1, "one question, one answer: {answers:?}");
        answers.first().copied()
    }

    /// Whether the router gets an answer for the target, at once.
    pub fn answers_for(&mut self, target: Ipv6Addr) -> bool {
        self.answer_to(question(target)).is_some()
    }

    /// How often frames on the upstream got no answer for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.engine.counters().of(UP).dropped(reason)
    }

    /// Time goes by, and the timeouts that fall into it come at their moments.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.engine.next_timeout().filter(|due| *due <= end) {
            assert!(due >= self.now, "a timeout in the past would turn the daemon's loop into a busy one");
            self.now = due;
            self.input(Input::Timeout);
            let next = self.engine.next_timeout();
            assert!(next.is_none_or(|next| next > due), "what was due has been done");
        }
        self.now = end;
    }

    /// What came out since the last look, in order.
    pub fn take(&mut self) -> Vec<Output> {
        self.take_timed().into_iter().map(|(_, output)| output).collect()
    }

    /// The same, with the moments.
    pub fn take_timed(&mut self) -> Vec<(Time, Output)> {
        std::mem::take(&mut self.outputs)
    }

    /// The answers that came out; everything else is forgotten.
    pub fn answers(&mut self) -> Vec<Advertisement> {
        advertisements(&self.take())
    }

    /// The probes that came out; everything else is forgotten.
    pub fn probes(&mut self) -> Vec<Solicitation> {
        probes(&self.take())
    }

    /// The events that came out; everything else is forgotten.
    pub fn events(&mut self) -> Vec<Event> {
        events(&self.take())
    }

    /// The guest replies to a probe or advertises itself on the downstream.
    pub fn advertise(&mut self, address: Ipv6Addr, mac: Mac) {
        self.input(Input::Advertisement(BRIDGE, reply(address, mac)));
    }

    /// Asks, lets the guest reply, and forgets what came out.
    pub fn make_live(&mut self, address: Ipv6Addr, mac: Mac) {
        self.ask(address);
        self.advertise(address, mac);
        self.take();
        assert!(self.is_live(address));
    }

    pub fn is_live(&self, address: Ipv6Addr) -> bool {
        matches!(self.engine.target(address), Some(State::Live(_)))
    }

    pub fn is_absent(&self, address: Ipv6Addr) -> bool {
        matches!(self.engine.target(address), Some(State::Absent))
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.outputs.push((self.now, output.clone()));
            match output {
                // Guests hear nothing of what is sent on the upstream.
                Output::Solicit(link, probe) if link != UP => {
                    if let Some(mac) = self.guests.get(&probe.target).copied() {
                        let reply = reply(probe.target, mac);
                        self.engine.handle(Input::Advertisement(link, reply), self.now);
                    }
                }
                Output::ChangeRoute(change) => self.change_route(change),
                Output::Program(link, _) => {
                    self.engine.handle(Input::ProgramChanged(link, Outcome::Done), self.now);
                }
                Output::Mirror(link, guests) => {
                    let guests = guests.into_iter().map(|(guest, _)| guest).collect();
                    self.engine.handle(Input::MirrorChanged(link, guests, Outcome::Done), self.now);
                }
                _ => {}
            }
        }
    }

    /// The kernel takes routes exclusively, and tells of it.
    fn change_route(&mut self, change: Change) {
        let (outcome, fact) = match &change {
            Change::Add(route) => {
                let key = |r: &KernelRoute| (r.destination, r.table, r.metric);
                if self.kernel.iter().any(|known| key(known) == key(route)) {
                    (Outcome::Exists, None)
                } else {
                    self.kernel.insert(route.clone());
                    (Outcome::Done, Some(Fact::Route(route.clone())))
                }
            }
            Change::Remove(route) => {
                let was_there = self.kernel.remove(route);
                (Outcome::Done, was_there.then(|| Fact::RouteGone(route.clone())))
            }
        };
        self.engine.handle(Input::RouteChanged(change, outcome), self.now);
        if let Some(fact) = fact {
            self.engine.handle(Input::Facts(vec![fact]), self.now);
        }
    }
}

/// What the kernel of the usual host says at the start.
pub fn usual_facts() -> Vec<Fact> {
    vec![
        Fact::Link(link(LO, "lo", LinkLayer::Loopback)),
        Fact::Link(link(UP, "up0", LinkLayer::Ethernet(UP_MAC))),
        Fact::Link(link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(BRIDGE_MAC))),
        has(UP, "fe80::5054:ff:fe00:1/64"),
        has(UP, "2001:db8:1:2::2/64"),
        has(BRIDGE, "fe80::5054:ff:fe00:b0/64"),
        Fact::Route(default_route(UP)),
    ]
}

pub fn link(index: IfIndex, name: &str, layer: LinkLayer) -> Link {
    let (name, state) = (name.parse().unwrap(), LinkState::Up);
    Link {
        index,
        name,
        state,
        layer,
        master: None,
        lower: None,
        peer: None,
        is_bridge: false,
        leads_to_one: false,
        group: 0,
        vrf: None,
    }
}

/// The downstream of the usual host, in this state.
pub fn bridge(state: LinkState) -> Fact {
    Fact::Link(Link { state, ..link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(BRIDGE_MAC)) })
}

/// The host has the address, and can use it.
pub fn has(link: IfIndex, text: &str) -> Fact {
    Fact::Address(host_address(link, text, AddressState::Preferred))
}

pub fn host_address(link: IfIndex, text: &str, state: AddressState) -> Address {
    let (address, prefix_len) = text.split_once('/').unwrap();
    let (address, prefix_len) = (address.parse().unwrap(), prefix_len.parse().unwrap());
    Address { link, address, prefix_len, state, protocol: 0 }
}

pub fn default_route(link: IfIndex) -> KernelRoute {
    let next_hop = NextHop::Via(address("fe80::1"));
    KernelRoute { next_hop, protocol: 9, ..route("::/0", RouteKind::Unicast(link)) }
}

/// A route of ours in the main table.
pub fn route(destination: &str, kind: RouteKind) -> KernelRoute {
    let (next_hop, table, protocol, metric) = (NextHop::OnLink, 254, 64, 1024);
    KernelRoute { destination: net(destination), kind, next_hop, table, protocol, metric, source: None }
}

pub fn advertisements(outputs: &[Output]) -> Vec<Advertisement> {
    let answer = |output: &Output| match output {
        Output::Advertise(_, advertisement) => Some(*advertisement),
        _ => None,
    };
    outputs.iter().filter_map(answer).collect()
}

pub fn probes(outputs: &[Output]) -> Vec<Solicitation> {
    let probe = |output: &Output| match output {
        Output::Solicit(_, solicitation) => Some(*solicitation),
        _ => None,
    };
    outputs.iter().filter_map(probe).collect()
}

pub fn events(outputs: &[Output]) -> Vec<Event> {
    let event = |output: &Output| match output {
        Output::Event(event) => Some(event.clone()),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

/// An address of the range, by its last 16 bits.
pub fn guest(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, number)
}

/// The link-layer address of that guest.
pub fn guest_mac(number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    Mac([2, 0, 0, 0, high, low])
}

pub fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub fn net(text: &str) -> Ipv6Net {
    text.parse().unwrap()
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
