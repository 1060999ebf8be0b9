//! The hosts that are measured, and what the kernel says of them.
//!
//! `up0` is the upstream, with the default route; `up1` could be one. Behind them is one downstream with many
//! guests, or many downstreams with one guest each.

use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{
    Address, AddressState, Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, Neighbor, NeighborState,
    NextHop, RouteKind,
};
use lone64::engine::policy::{
    Announce, Answer, Automatic, Downstream, Limits, Origin, Policy, RangePolicy, RangeRoutes, RoutePolicy,
    Timers, UpstreamInterface, UpstreamPolicy,
};
use lone64::engine::{AddressOutcome, Engine, Input, Outcome, Output, Time};
use lone64::wire::Mac;

/// What is behind the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// So many guests behind one downstream, with routes like this.
    Guests(u32, RangeRoutes),
    /// So many networks that are served by themselves, with a guest each.
    Networks(u32),
    /// So many links that match one pattern, with a guest each.
    Links(u32),
}

impl Scene {
    /// How many links are behind the upstream.
    pub(crate) fn links(self) -> u32 {
        match self {
            Self::Guests(..) => 1,
            Self::Networks(count) | Self::Links(count) => count,
        }
    }

    fn guests(self) -> u32 {
        match self {
            Self::Guests(count, _) | Self::Networks(count) | Self::Links(count) => count,
        }
    }

    pub(crate) fn policy(self) -> Policy {
        let name = |text: &str| text.parse().expect("a name");
        let mut range = RangePolicy {
            prefix: "2001:db8:1:2:c::/96".parse().expect("a prefix"),
            upstream: None,
            downstream: Downstream::Named(name("even0")),
            answer: Answer::Live,
            routes: RangeRoutes::None,
            has_written_routes: false,
            backstop: false,
            gateway: None,
            exclude: Vec::new(),
            proxy_downstream: false,
            guard: false,
            standby: false,
            origin: Origin::Config,
        };
        let mut upstream = UpstreamPolicy::new(UpstreamInterface::DefaultRoute);
        let ranges = match self {
            Self::Guests(_, routes) => {
                range.routes = routes;
                vec![range]
            }
            Self::Links(_) => {
                let pattern = |text: &str| text.parse().expect("a pattern");
                range.downstream = Downstream::Matching(vec![pattern("even*"), pattern("odd*")]);
                range.routes = RangeRoutes::Guests;
                vec![range]
            }
            Self::Networks(_) => {
                upstream.automatic = Some(Automatic::default());
                Vec::new()
            }
        };
        Policy {
            upstreams: vec![upstream],
            ranges,
            suffixes: Vec::new(),
            routes: RoutePolicy::default(),
            timers: Timers::default(),
            limits: Limits::default(),
            guests: Vec::new(),
            nft_sets: false,
        }
    }

    /// The same policy, but for half of what is served.
    pub(crate) fn half(self) -> Policy {
        let mut policy = self.policy();
        let odd = || "odd*".parse().expect("a pattern");
        match self {
            Self::Guests(count, _) => {
                let first = Ipv6Addr::from(u128::from(target(0)) + u128::from(count / 2));
                let length = 128 - (count / 2).trailing_zeros() as u8;
                policy.ranges[0].exclude = vec![ipnet::Ipv6Net::new(first, length).expect("a length")];
            }
            Self::Links(_) => {
                policy.ranges[0].downstream = Downstream::Matching(vec!["even*".parse().expect("a pattern")]);
            }
            Self::Networks(_) => policy.upstreams[0].automatic = Some(Automatic { ignore: vec![odd()] }),
        }
        policy
    }

    /// Where a guest is.
    pub(crate) fn guest(self, number: u32) -> (IfIndex, Ipv6Addr) {
        match self {
            Self::Guests(..) => (downstream(0), target(number)),
            Self::Links(_) => (downstream(number), target(number)),
            Self::Networks(_) => (downstream(number), Ipv6Addr::from(u128::from(network(number).addr()) + 5)),
        }
    }

    /// What the kernel says of a downstream.
    pub(crate) fn downstream(self, number: u32) -> Vec<Fact> {
        let index = downstream(number);
        let mut facts = vec![Fact::Link(downstream_link(number)), address(index, "fe80::1")];
        if let Self::Networks(_) = self {
            facts.push(Fact::Route(connected(number)));
        }
        facts
    }

    /// What the kernel says of this host at the start, guests included.
    pub(crate) fn facts(self) -> Vec<Fact> {
        let mut facts = upstream_facts();
        facts.extend((0..self.links()).flat_map(|number| self.downstream(number)));
        facts
    }

    pub(crate) fn neighbors(self) -> impl Iterator<Item = Fact> {
        (0..self.guests()).map(move |number| self.found(number))
    }

    /// The kernel has found the guest: what proves it live without a word of its own.
    pub(crate) fn found(self, number: u32) -> Fact {
        let (link, address) = self.guest(number);
        let (mac, state) = (Some(guest_mac(number)), NeighborState::Reachable);
        Fact::Neighbor(Neighbor { link, address, mac, state })
    }

    /// An engine that knows this host with all its guests, and whose kernel has done all that it asked for.
    pub(crate) fn engine(self, policy: Policy) -> Engine {
        let mut engine = Engine::new(policy, [1, 2]);
        engine.handle(Input::Facts(self.facts()), NOW);
        engine.handle(Input::Synced, NOW);
        finish(&mut engine);
        for fact in self.neighbors() {
            engine.handle(Input::Facts(vec![fact]), NOW);
            finish(&mut engine);
        }
        assert_eq!(engine.known_targets(), self.guests() as usize, "every guest is live");
        engine
    }
}

/// The engine goes on with what it has left over, until nothing is; and the kernel obeys.
pub(crate) fn finish(engine: &mut Engine) {
    obey(engine);
    while engine.is_behind() {
        engine.handle(Input::Timeout, NOW);
        obey(engine);
    }
}

/// The kernel does all that it is asked for, and says so.
pub(crate) fn obey(engine: &mut Engine) {
    while let Some(output) = engine.poll_output() {
        let outcome = match output {
            Output::ChangeRoute(change) => Input::RouteChanged(change, Outcome::Done),
            Output::ChangeAddress(change) => Input::AddressChanged(change, AddressOutcome::Done),
            Output::ChangeNeighbor(change) => Input::NeighborChanged(change, Outcome::Done),
            Output::Listen(link, _) | Output::Unlisten(link) => Input::EarChanged(link, Outcome::Done),
            Output::Suppress(_) => Input::SuppressionChanged(Outcome::Done),
            _ => continue,
        };
        engine.handle(outcome, NOW);
    }
}

/// One that says nothing unasked: announcing follows a change, not a question.
pub(crate) fn silent(mut policy: Policy) -> Policy {
    policy.upstreams[0].announce = Announce::No;
    policy
}

pub(crate) fn upstream_facts() -> Vec<Fact> {
    vec![
        Fact::Link(ethernet(UPSTREAM, "up0", UPSTREAM_MAC)),
        Fact::Link(ethernet(OTHER, "up1", Mac([2, 0, 0, 0, 0, 4]))),
        address(UPSTREAM, "2001:db8:1:2::2"),
        address(OTHER, "2001:db8:1:2::4"),
        Fact::Route(default_route(UPSTREAM)),
    ]
}

pub(crate) fn ethernet(index: IfIndex, name: &str, mac: Mac) -> Link {
    let name = name.parse().expect("a name");
    Link {
        index,
        name,
        state: LinkState::Up,
        layer: LinkLayer::Ethernet(mac),
        master: None,
        lower: None,
        peer: None,
        is_bridge: false,
        leads_to_one: false,
        group: 0,
        vrf: None,
    }
}

pub(crate) fn downstream(number: u32) -> IfIndex {
    IfIndex(100 + number)
}

pub(crate) fn downstream_link(number: u32) -> Link {
    let parity = if number.is_multiple_of(2) { "even" } else { "odd" };
    ethernet(downstream(number), &format!("{parity}{number}"), guest_mac(0x80_0000 + number))
}

/// The network of a downstream.
pub(crate) fn network(number: u32) -> ipnet::Ipv6Net {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0x1000 + number as u16, 0, 0, 0);
    ipnet::Ipv6Net::new(address, 80).expect("a length")
}

pub(crate) fn connected(number: u32) -> KernelRoute {
    let kind = RouteKind::Unicast(downstream(number));
    let destination = network(number);
    KernelRoute {
        destination,
        kind,
        next_hop: NextHop::OnLink,
        table: 254,
        protocol: 2,
        metric: 256,
        source: None,
    }
}

pub(crate) fn default_route(link: IfIndex) -> KernelRoute {
    KernelRoute {
        destination: "::/0".parse().expect("a prefix"),
        kind: RouteKind::Unicast(link),
        next_hop: NextHop::Via("fe80::1".parse().expect("an address")),
        table: 254,
        protocol: 3,
        metric: 1024,
        source: None,
    }
}

fn address(link: IfIndex, text: &str) -> Fact {
    let address = text.parse().expect("an address");
    Fact::Address(Address { link, address, prefix_len: 64, state: AddressState::Preferred, protocol: 0 })
}

pub(crate) fn target(number: u32) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, (number >> 16) as u16, number as u16)
}

pub(crate) fn guest_mac(number: u32) -> Mac {
    let [_, high, middle, low] = number.to_be_bytes();
    Mac([2, 0, 5, high, middle, low])
}

/// When everything was learnt.
pub(crate) const NOW: Time = Time::ORIGIN;
/// All keepalives are due.
pub(crate) const LATER: Duration = Duration::from_secs(61);
pub(crate) const UPSTREAM: IfIndex = IfIndex(2);
pub(crate) const OTHER: IfIndex = IfIndex(3);
pub(crate) const UPSTREAM_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
