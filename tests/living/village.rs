//! A village: one range over many downstreams, and guests that reply on the one where they live.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, RouteKind};
use lone64::engine::policy::{Downstream, Limits, Policy, RangeRoutes};
use lone64::engine::{Change, Engine, Event, Input, Outcome, Output, State, Time};
use lone64::wire::{Advertisement, Mac, Solicitation};

use crate::host::{self, UP, has, link, question, reply, route, usual_facts};

/// The engine, its kernel, and the guests by where they live.
pub struct Village {
    pub engine: Engine,
    pub now: Time,
    pub guests: BTreeMap<(IfIndex, Ipv6Addr), Mac>,
    /// The kernel's routes: one for each destination and metric.
    pub kernel: BTreeMap<(Ipv6Net, u32), KernelRoute>,
    pub answers: Vec<(Time, Advertisement)>,
    pub probes: Vec<(Time, IfIndex, Solicitation)>,
    pub events: Vec<Event>,
    /// Every change of routes, in order.
    pub changes: Vec<Change>,
}

impl Village {
    /// So many downstreams `veth0`, `veth1`…, and a /128 for each live target.
    pub fn new(downstreams: u32, limits: Limits) -> Self {
        let mut village = Self::unsynced(downstreams, limits);
        village.input(Input::Synced);
        village
    }

    /// The same, before the first reconciliation.
    pub fn unsynced(downstreams: u32, limits: Limits) -> Self {
        let mut village = Self {
            engine: Engine::new(policy(limits), [3, 5]),
            now: Time::at(Duration::from_secs(100)),
            guests: BTreeMap::new(),
            kernel: BTreeMap::new(),
            answers: Vec::new(),
            probes: Vec::new(),
            events: Vec::new(),
            changes: Vec::new(),
        };
        let mut facts = usual_facts();
        for number in 0..downstreams {
            facts.push(Fact::Link(veth_link(number, LinkState::Up)));
            facts.push(has(veth(number), &format!("fe80::1:{number:x}/64")));
        }
        village.input(Input::Facts(facts));
        village
    }

    pub fn input(&mut self, input: Input) {
        self.drop_routes_of_lost_links(&input);
        self.engine.handle(input, self.now);
        while let Some(output) = self.engine.poll_output() {
            self.carry_out(output);
        }
    }

    pub fn settle(&mut self, guest: Ipv6Addr, number: u32) {
        self.guests.insert((veth(number), guest), mac_on(number));
    }

    pub fn leave(&mut self, guest: Ipv6Addr, number: u32) {
        self.guests.remove(&(veth(number), guest));
    }

    /// The router asks; the number of answers that this led to at once.
    pub fn ask(&mut self, target: Ipv6Addr) -> usize {
        let before = self.answers.len();
        self.input(Input::Solicitation(UP, question(target)));
        self.answers.len() - before
    }

    /// Says on a downstream that the address is there.
    pub fn announce(&mut self, address: Ipv6Addr, number: u32) {
        self.input(Input::Advertisement(veth(number), reply(address, mac_on(number))));
    }

    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.engine.next_timeout().filter(|due| *due <= end) {
            assert!(due >= self.now, "time runs forward");
            self.now = due;
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    /// Where the target is live.
    pub fn place_of(&self, target: Ipv6Addr) -> Option<IfIndex> {
        match self.engine.target(target)? {
            State::Live(live) => Some(live.link),
            _ => None,
        }
    }

    /// Where the kernel would send a packet to the target by a route of its own.
    pub fn route_of(&self, target: Ipv6Addr) -> Vec<IfIndex> {
        let own = self.kernel.get(&(target.into(), METRIC));
        own.and_then(KernelRoute::unicast_link).into_iter().collect()
    }

    /// Leaves a route there, as a process that was killed does.
    pub fn leave_route(&mut self, route: KernelRoute) {
        self.kernel.insert((route.destination, route.metric), route);
    }

    /// The kernel takes the routes of an interface along when that goes.
    fn drop_routes_of_lost_links(&mut self, input: &Input) {
        let Input::Facts(facts) = input else { return };
        for fact in facts {
            if let Fact::LinkGone(link) = fact {
                self.kernel.retain(|_, route| route.link() != Some(*link));
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Advertise(_, advertisement) => self.answers.push((self.now, advertisement)),
            Output::Solicit(link, probe) => {
                self.probes.push((self.now, link, probe));
                if let Some(mac) = self.guests.get(&(link, probe.target)).copied() {
                    self.engine.handle(Input::Advertisement(link, reply(probe.target, mac)), self.now);
                }
            }
            Output::ChangeRoute(change) => {
                self.changes.push(change.clone());
                let outcome = self.change_route(&change);
                self.engine.handle(Input::RouteChanged(change, outcome), self.now);
            }
            Output::Event(event) => self.events.push(event),
            Output::ChangeNeighbor(_) | Output::Listen(..) | Output::Unlisten(_) | Output::Resync => {}
            Output::HearNewcomers(_)
            | Output::HearArrivals(_)
            | Output::Report(..)
            | Output::Query(..)
            | Output::AdvertiseRouter(..) => {}
            Output::Program(..) | Output::Mirror(..) | Output::MirrorRanges(..) => {}
            Output::Suppress(_) | Output::Guard(_) | Output::ChangeAddress(_) => {}
            Output::Export(_) | Output::ExportEnds => {}
            Output::Remember(_) | Output::RememberClaims(_) => {}
        }
    }

    fn change_route(&mut self, change: &Change) -> Outcome {
        let (Change::Add(route) | Change::Remove(route)) = change;
        let key = (route.destination, route.metric);
        match change {
            Change::Add(_) if self.kernel.contains_key(&key) => return Outcome::Exists,
            Change::Add(_) => self.kernel.insert(key, route.clone()),
            Change::Remove(_) if self.kernel.get(&key) == Some(route) => self.kernel.remove(&key),
            Change::Remove(_) => None,
        };
        Outcome::Done
    }
}

pub fn veth(number: u32) -> IfIndex {
    IfIndex(10 + number)
}

pub fn veth_link(number: u32, state: LinkState) -> Link {
    let [_, _, high, low] = number.to_be_bytes();
    let layer = LinkLayer::Ethernet(Mac([0x52, 0x54, 1, 0, high, low]));
    Link { state, ..link(veth(number), &format!("veth{number}"), layer) }
}

/// The link-layer address of whoever lives on that downstream.
pub fn mac_on(number: u32) -> Mac {
    let [_, _, high, low] = number.to_be_bytes();
    Mac([2, 0, 1, 0, high, low])
}

pub fn guest_route(target: Ipv6Addr, number: u32) -> KernelRoute {
    route(&format!("{target}/128"), RouteKind::Unicast(veth(number)))
}

fn policy(limits: Limits) -> Policy {
    host::with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.limits = limits;
    })
}

/// Of our routes, by default.
const METRIC: u32 = 1024;
