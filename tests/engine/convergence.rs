//! Whatever happened, and whatever of it was lost, failed or came late: in the end the kernel has
//! exactly the routes and gateways' addresses that are wanted, and exactly the interfaces are listened to
//! that matter.
//!
//! What is wanted is what an engine asks for that knows nothing of the past: one that is started on
//! the host as it is in the end.

mod kernel;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lone64::engine::facts::{
    Address, AddressState, Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, NextHop, RouteKind,
};
use lone64::engine::policy::{
    Automatic, Downstream, Origin, Policy, RangePolicy, RangeRoutes, UpstreamInterface,
};
use lone64::engine::{
    AddressChange, AddressOutcome, Change, Ear, Engine, Input, Obstacle, Outcome, Output, Time,
};
use lone64::wire::Mac;
use proptest::prelude::*;

use crate::host::{address, link, live, net, range, seconds};
use kernel::Kernel;

/// The engine, and everything that is on its way between it and the kernel.
struct World {
    kernel: Kernel,
    engine: Engine,
    now: Time,
    policy: Policy,
    facts: VecDeque<Fact>,
    changes: VecDeque<Asked>,
    ears: BTreeMap<IfIndex, Ear>,
    must_read_anew: bool,
}

/// A change that the kernel was asked for.
#[derive(Debug, Clone)]
enum Asked {
    Route(Change),
    Address(AddressChange),
}

#[derive(Debug, Clone)]
enum Step {
    Link(u32, LinkState),
    LinkGone(u32),
    Address(u32, &'static str, bool),
    Route(KernelRoute, bool),
    /// `ip -6 route replace`.
    Replace(KernelRoute),
    /// `net.ipv6.route.skip_notify_on_dev_down`: of the routes that go with a link, nothing is told.
    SkipNotify(bool),
    /// The kernel carries out so many of the changes that it was asked for, or refuses them.
    Carry(usize, bool),
    /// So many messages arrive as one.
    Hear(usize),
    /// The messages on their way are lost.
    Lose,
    ReadAnew,
    Reload(usize),
}

impl World {
    fn new(kernel: Kernel, policy: Policy) -> Self {
        let mut world = Self {
            engine: Engine::new(policy.clone(), [3, 4]),
            now: Time::at(seconds(1)),
            policy,
            facts: VecDeque::new(),
            changes: VecDeque::new(),
            ears: BTreeMap::new(),
            must_read_anew: false,
            kernel,
        };
        let dump = world.kernel.dump();
        world.input(Input::Facts(dump));
        world.input(Input::Synced);
        world
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        self.drain();
        while self.engine.is_behind() {
            self.engine.handle(Input::Timeout, self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::ChangeRoute(change) => self.changes.push_back(Asked::Route(change)),
                Output::ChangeAddress(change) => self.changes.push_back(Asked::Address(change)),
                Output::Listen(link, ear) => _ = self.ears.insert(link, ear),
                Output::Unlisten(link) => _ = self.ears.remove(&link),
                Output::Resync => self.must_read_anew = true,
                _ => {}
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Link(number, state) => {
                let mac = Mac([2, 0, 0, 0, 0, number as u8]);
                let new =
                    Link { state, ..link(IfIndex(number), NAMES[number as usize], LinkLayer::Ethernet(mac)) };
                self.kernel.links.insert(new.index, new.clone());
                if state == LinkState::Up {
                    let untold = std::mem::take(&mut self.kernel.untold);
                    let (now, later): (BTreeSet<_>, _) = untold.into_iter().partition(|at| at.0 == new.index);
                    self.kernel.untold = later;
                    let told = now.iter().filter_map(|at| self.kernel.addresses.get(at));
                    self.facts.extend(told.copied().map(Fact::Address));
                }
                // The kernel tells of the link first, and of what goes with it afterwards.
                self.facts.push_back(Fact::Link(new.clone()));
                if state == LinkState::Down {
                    self.kernel.routes_go_down(new.index, &mut self.facts);
                    self.kernel.remove_link_locals(new.index, &mut self.facts);
                }
            }
            Step::LinkGone(number) => {
                let link = IfIndex(number);
                self.kernel.links.remove(&link);
                self.kernel.addresses.retain(|(on, _), _| *on != link);
                // Not always with a word for each route.
                self.kernel.remove_routes(|route| route.link() == Some(link), &mut VecDeque::new());
                self.facts.push_back(Fact::LinkGone(link));
            }
            Step::Address(number, text, is_there) => self.address(IfIndex(number), net(text), is_there),
            Step::Route(route, true) => {
                if self.kernel.add(&route) == Outcome::Done {
                    self.facts.push_back(Fact::Route(route));
                }
            }
            Step::Route(route, false) => {
                self.kernel.remove_routes(|known| *known == route, &mut self.facts);
            }
            Step::Replace(route) => self.kernel.replace(route, &mut self.facts),
            Step::SkipNotify(skips) => self.kernel.skips_notify = skips,
            Step::Carry(count, is_refused) => {
                for _ in 0..count {
                    self.carry_one(is_refused);
                }
            }
            Step::Hear(count) => {
                let heard: Vec<_> = self.facts.drain(..count.min(self.facts.len())).collect();
                self.input(Input::Facts(heard));
            }
            Step::Lose => {
                self.must_read_anew |= !self.facts.is_empty();
                self.facts.clear();
            }
            Step::ReadAnew if self.must_read_anew => {
                self.must_read_anew = false;
                self.facts.clear();
                let dump = self.kernel.dump();
                self.input(Input::Snapshot(dump));
            }
            Step::ReadAnew => {}
            Step::Reload(number) => {
                self.policy = policies()[number].clone();
                self.input(Input::Reload(Box::new(self.policy.clone())));
            }
        }
    }

    fn address(&mut self, link: IfIndex, net: ipnet::Ipv6Net, is_there: bool) {
        let (address, prefix_len, state) = (net.addr(), net.prefix_len(), AddressState::Preferred);
        let key = (link, address);
        if is_there && self.kernel.links.contains_key(&link) {
            let new = Address { link, address, prefix_len, state, protocol: 0 };
            self.kernel.addresses.insert(key, new);
            self.facts.push_back(Fact::Address(new));
        } else if self.kernel.addresses.remove(&key).is_some() {
            self.facts.push_back(Fact::AddressGone { link, address });
        }
    }

    fn carry_one(&mut self, is_refused: bool) {
        let change = match self.changes.pop_front() {
            None => return,
            Some(Asked::Route(change)) => change,
            Some(Asked::Address(change)) => {
                let refusal =
                    || AddressOutcome::Refused(Obstacle::Other("Cannot allocate memory".to_owned()));
                let outcome = match is_refused {
                    true => refusal(),
                    false => self.kernel.change_address(&change, &mut self.facts),
                };
                return self.input(Input::AddressChanged(change, outcome));
            }
        };
        let outcome = match &change {
            _ if is_refused => Outcome::Failed("Cannot allocate memory".to_owned()),
            Change::Add(route) => {
                let outcome = self.kernel.add(route);
                if outcome == Outcome::Done {
                    self.facts.push_back(Fact::Route(route.clone()));
                }
                outcome
            }
            Change::Remove(route) => {
                self.kernel.remove_routes(|known| known == route, &mut self.facts);
                Outcome::Done
            }
        };
        self.input(Input::RouteChanged(change, outcome));
    }

    /// Nothing more happens, and everything that is on its way arrives.
    fn come_to_rest(&mut self) {
        for round in 0..100 {
            self.step(Step::ReadAnew);
            if round == 1 {
                // What the kernel refused is tried again when a link changes.
                self.step(Step::Link(2, LinkState::Up));
                self.step(Step::Link(3, LinkState::Up));
            }
            if round > 1 && self.facts.is_empty() && self.changes.is_empty() {
                return;
            }
            self.step(Step::Hear(usize::MAX));
            self.step(Step::Carry(self.changes.len(), false));
        }
        panic!("no rest: {:?}", self.changes);
    }

    /// Ours under whatever number they ever had.
    fn ours(&self) -> (Vec<KernelRoute>, Vec<Address>) {
        let routes = self.kernel.routes.iter().filter(|route| OURS.contains(&route.protocol));
        let addresses = self.kernel.addresses.values().filter(|address| OURS.contains(&address.protocol));
        (routes.cloned().collect(), addresses.copied().collect())
    }
}

fn policies() -> Vec<Policy> {
    let plain = Policy {
        upstreams: vec![lone64::engine::policy::UpstreamPolicy::new(UpstreamInterface::Named(
            "up0".parse().unwrap(),
        ))],
        ..live()
    };
    let gateway = Some(address("fe80::1"));
    let c = RangePolicy { gateway, ..range("2001:db8:1:2:c::/112", "br0") };
    let written = Policy { ranges: vec![c.clone()], ..plain.clone() };
    let two = Policy {
        ranges: vec![
            RangePolicy { gateway, ..range("2001:db8:1:2:d::/112", "br1") },
            RangePolicy { backstop: false, gateway: None, ..c.clone() },
        ],
        ..plain.clone()
    };
    let by_kernel = RangePolicy { downstream: Downstream::Kernel, routes: RangeRoutes::None, ..c.clone() };
    let kernel = Policy { ranges: vec![by_kernel], ..plain.clone() };
    let suffix = RangePolicy { origin: Origin::Suffix, gateway, ..range("::c:0:0:0/112", "br0") };
    let suffix = Policy { ranges: vec![], suffixes: vec![suffix], ..plain.clone() };
    let mut automatic = Policy { ranges: vec![], ..plain.clone() };
    automatic.upstreams[0].automatic = Some(Automatic::default());
    let mut ignoring = Policy { suffixes: suffix.suffixes.clone(), ..automatic.clone() };
    ignoring.upstreams[0].automatic = Some(Automatic { ignore: vec!["br1".parse().unwrap()] });
    let mut other_protocol = written.clone();
    other_protocol.routes.protocol = 65;
    let mut other_metric = suffix.clone();
    other_metric.routes.metric = 77;
    let mut by_default_route = automatic.clone();
    by_default_route.routes.table = 100;
    vec![
        plain,
        written,
        two,
        kernel,
        suffix,
        automatic,
        ignoring,
        other_protocol,
        other_metric,
        by_default_route,
    ]
}

fn first() -> Kernel {
    let mut kernel = Kernel::default();
    for number in 1..=3 {
        let mac = Mac([2, 0, 0, 0, 0, number as u8]);
        kernel
            .links
            .insert(IfIndex(number), link(IfIndex(number), NAMES[number as usize], LinkLayer::Ethernet(mac)));
    }
    let up = Address {
        link: IfIndex(1),
        address: address("2001:db8:1:2::2"),
        prefix_len: 64,
        state: AddressState::Preferred,
        protocol: 0,
    };
    kernel.addresses.insert((up.link, up.address), up);
    kernel
}

fn a_route() -> impl Strategy<Value = KernelRoute> {
    let prefix = prop::sample::select(vec![
        "2001:db8:1:2:c::/112",
        "2001:db8:1:2:d::/112",
        "2001:db8:1:2:c::/120",
        "2001:db8:1:2::/64",
        "2001:db8:9:9::/64",
        "2001:db8:9:9:c::/112",
        "2001:db8:9:9:c::7/128",
    ]);
    let kind = prop_oneof![
        5 => (1u32..=3).prop_map(|link| RouteKind::Unicast(IfIndex(link))),
        1 => Just(RouteKind::Unreachable),
    ];
    let metric = prop::sample::select(vec![77, 256, 1024, (1 << 24) - 1]);
    let via = prop::bool::weighted(0.2);
    (prefix, kind, metric, via, prop::sample::select(vec![2u8, 3])).prop_map(
        |(prefix, kind, metric, via, protocol)| {
            let next_hop = if via && kind != RouteKind::Unreachable {
                NextHop::Via(address("fe80::9"))
            } else {
                NextHop::OnLink
            };
            KernelRoute {
                destination: net(prefix),
                kind,
                next_hop,
                table: 254,
                protocol,
                metric,
                source: None,
            }
        },
    )
}

fn a_step() -> impl Strategy<Value = Step> {
    let number = 1u32..=3;
    let state =
        prop::sample::select(vec![LinkState::Up, LinkState::Up, LinkState::NoCarrier, LinkState::Down]);
    let addresses = prop::sample::select(vec![
        "2001:db8:1:2::2/64",
        "2001:db8:9:9::2/64",
        "2001:db8:9:9::3/128",
        "2001:db8:1:2:c::1/112",
        "fe80::1/64",
    ]);
    prop_oneof![
        3 => (number.clone(), state).prop_map(|(link, state)| Step::Link(link, state)),
        1 => number.clone().prop_map(Step::LinkGone),
        3 => (number, addresses, any::<bool>()).prop_map(|(link, text, there)| Step::Address(link, text, there)),
        6 => (a_route(), any::<bool>()).prop_map(|(route, there)| Step::Route(route, there)),
        3 => a_route().prop_map(Step::Replace),
        2 => any::<bool>().prop_map(Step::SkipNotify),
        6 => (1usize..4, prop::bool::weighted(0.2)).prop_map(|(count, refused)| Step::Carry(count, refused)),
        6 => (1usize..6).prop_map(Step::Hear),
        1 => Just(Step::Lose),
        1 => Just(Step::ReadAnew),
        2 => (0..policies().len()).prop_map(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_happened_the_end_is_what_is_wanted(
        start in 0..policies().len(), steps in prop::collection::vec(a_step(), 1..60),
    ) {
        let mut world = World::new(first(), policies()[start].clone());
        for step in steps {
            world.step(step);
        }
        world.come_to_rest();

        let mut kernel = world.kernel.clone();
        kernel.routes.retain(|route| !OURS.contains(&route.protocol));
        kernel.addresses.retain(|_, address| !OURS.contains(&address.protocol));
        let mut fresh = World::new(kernel, world.policy.clone());
        fresh.come_to_rest();
        prop_assert_eq!(world.ours(), fresh.ours());
        prop_assert_eq!(&world.ears, &fresh.ears);
        prop_assert_eq!(&world.engine.policy().ranges, &fresh.engine.policy().ranges);
        prop_assert_eq!(world.engine.problems(), fresh.engine.problems());
    }
}

const NAMES: [&str; 4] = ["lo", "up0", "br0", "br1"];
/// The protocol numbers that ever were ours.
const OURS: [u8; 2] = [64, 65];
