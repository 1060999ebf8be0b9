//! The engine against arbitrary runs of inputs.
//!
//! Every four bytes are one step: what happens, to which target, and how much later. Held to: no
//! panic, every limit of the policy; that an answer belongs to one question that waits for it, and
//! announcements go to all, for targets inside the range that nobody excluded; and guests are answered
//! on their own link, but never their duplicate address detection. The oracle says when a question waits.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{
    Address, AddressState, Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, Neighbor, NeighborState,
    NextHop, RouteKind,
};
use lone64::engine::policy::{
    Announce, Answer, Downstream, Limits, Origin, Policy, RangePolicy, RangeRoutes, RoutePolicy, Source,
    Timers, UpstreamInterface, UpstreamPolicy,
};
use lone64::engine::{Change, Engine, Input, NeighborChange, Outcome, Output, Remembered, Time, Watch};
use lone64::wire::{
    Advertisement, Flags, Mac, MldQuery, MldRecord, MldRecordKind, MldReport, MldVersion, Solicitation,
    group_suffix, solicited_node,
};

use super::oracle::Oracle;

/// One input.
pub fn run(bytes: &[u8]) {
    let mut run = Run {
        engine: Engine::new(policy(RangeRoutes::Range), [1, 2]),
        oracle: Oracle::new(UPSTREAM, DOWNSTREAM),
        now: Time::ORIGIN,
        changes: VecDeque::new(),
        outcomes: Vec::new(),
    };
    let mut facts = link_facts(LinkState::Up).to_vec();
    facts.extend([own(UPSTREAM, 1), own(DOWNSTREAM, 2), Fact::Route(default_route())]);
    run.handle(Input::Watch(Watch::Questions));
    run.handle(Input::Facts(facts));
    run.handle(Input::Synced);
    for step in bytes.chunks_exact(4) {
        run.step([step[0], step[1], step[2], step[3]]);
    }
    run.handle(Input::Stop);
}

struct Run {
    engine: Engine,
    oracle: Oracle,
    now: Time,
    /// Changes of routes that were asked for, and not yet carried out. The kernel takes one after the other.
    changes: VecDeque<Change>,
    /// What became of everything else, which is carried out at once.
    outcomes: Vec<Input>,
}

impl Run {
    fn step(&mut self, [what, which, who, later]: [u8; 4]) {
        // From nothing to half a minute.
        self.now = self.now + Duration::from_micros(1 << (later % 25));
        let target = target(which);
        let state = [LinkState::Up, LinkState::NoCarrier, LinkState::Down][usize::from(who % 3)];
        let input = match what % 12 {
            _ if what >= RARE => rare([what - RARE, which, who]),
            0..=3 => Input::Solicitation(UPSTREAM, question(target, who)),
            4 if which == 255 => Input::Solicitation(DOWNSTREAM, question(GATEWAY, who)),
            4 => Input::Solicitation(DOWNSTREAM, question(target, who)),
            5 | 6 => Input::Advertisement(DOWNSTREAM, advertisement(target, who)),
            7 => Input::Advertisement(UPSTREAM, advertisement(target, who)),
            8 => Input::Facts(link_facts(state).into()),
            9 => Input::Facts(vec![own(DOWNSTREAM, which)]),
            10 => {
                Input::Facts(vec![Fact::LinkGone(if who.is_multiple_of(2) { UPSTREAM } else { DOWNSTREAM })])
            }
            _ => match self.changes.pop_front() {
                Some(change) => Input::RouteChanged(change, outcome(who)),
                None => Input::Timeout,
            },
        };
        self.handle(input);
        while let Some(input) = self.outcomes.pop() {
            self.handle(input);
        }
        // What is left over is done at once, a bounded number of times.
        for _ in 0..MOST_SLICES {
            if self.engine.next_timeout().is_none_or(|due| due > self.now) {
                return;
            }
            self.handle(Input::Timeout);
        }
        panic!("what is due is done, or due later");
    }

    fn handle(&mut self, input: Input) {
        self.oracle.before(&input, self.now);
        self.engine.handle(input, self.now);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Advertise(DOWNSTREAM, answer) => {
                    assert!(answer.flags.solicited && !answer.destination.is_multicast());
                    assert!(!excluded().contains(&answer.target));
                }
                Output::Advertise(link, said) => {
                    assert_eq!(link, UPSTREAM);
                    assert!(range().contains(&said.target) && !excluded().contains(&said.target));
                    // Only announcements override, and nobody has to ask for them.
                    if said.flags.override_entry {
                        assert!(said.destination.is_multicast() && !said.flags.solicited);
                        self.oracle.announcement(&said);
                    } else {
                        self.oracle.answer(&said);
                    }
                }
                Output::Solicit(UPSTREAM, asked) => {
                    let on_link: ipnet::Ipv6Net = "2001:db8::/64".parse().expect("a prefix");
                    assert!(asked.is_dad() || asked.target == GATEWAY || on_link.contains(&asked.target));
                    assert!(!excluded().contains(&asked.target));
                }
                Output::Solicit(_, probe) => assert!(range().contains(&probe.target)),
                Output::ChangeNeighbor(change) => {
                    // The gateway's entry is the kernel's business by default.
                    let NeighborChange::Forget(DOWNSTREAM, guest, _) = change else {
                        panic!("nobody asked for {change:?}");
                    };
                    assert!(range().contains(&guest) && !excluded().contains(&guest));
                    self.outcomes.push(Input::NeighborChanged(change, Outcome::Done));
                }
                Output::ChangeRoute(change) => {
                    self.oracle.change(&change);
                    self.changes.push_back(change);
                }
                Output::Event(event) => self.oracle.event(&event),
                Output::Listen(link, _) | Output::Unlisten(link) => {
                    self.outcomes.push(Input::EarChanged(link, Outcome::Done));
                }
                Output::Resync | Output::HearNewcomers(_) | Output::HearArrivals(_) => {}
                Output::Remember(all) => assert!(all.len() <= Remembered::MOST),
                Output::RememberClaims(_) => {}
                Output::Report(link, report) => {
                    let of_guests = [GATEWAY, HOST].map(solicited_node);
                    let mut groups = report.records.iter().map(|record| record.group);
                    assert!((1..=MldReport::MOST).contains(&report.records.len()));
                    assert!(link == UPSTREAM || link == DOWNSTREAM && groups.all(|g| of_guests.contains(&g)));
                }
                // A downstream that may be anything is not asked who listens.
                Output::Suppress(_)
                | Output::Guard(_)
                | Output::Export(_)
                | Output::ExportEnds
                | Output::ChangeAddress(_)
                | Output::Program(..)
                | Output::Mirror(..)
                | Output::MirrorRanges(..)
                | Output::AdvertiseRouter(..)
                | Output::Query(..) => {
                    unreachable!("not asked for")
                }
            }
        }
        self.oracle.after();
        assert!(self.engine.known_targets() <= TARGETS, "the number of targets is bounded");
        assert!(self.engine.known_neighbors() <= PENDING, "and so is that of neighbors");
    }
}

/// What happens less often.
fn rare([what, which, who]: [u8; 3]) -> Input {
    let target = target(which);
    let states =
        [NeighborState::Reachable, NeighborState::Stale, NeighborState::Failed, NeighborState::Permanent];
    match what % 8 {
        0 => Input::Facts(vec![Fact::Neighbor(Neighbor {
            link: DOWNSTREAM,
            address: target,
            mac: (!who.is_multiple_of(5)).then_some(Mac([2, 0, 0, 0, 2, who])),
            state: states[usize::from(who % 4)],
        })]),
        // A guest asks from an address that is answered for.
        1 => Input::Solicitation(DOWNSTREAM, Solicitation { source: target, ..question(GATEWAY, who | 1) }),
        2 => Input::Facts(vec![Fact::AddressGone { link: DOWNSTREAM, address: target }]),
        3 => {
            let routes = [RangeRoutes::Range, RangeRoutes::Guests, RangeRoutes::None];
            Input::Reload(Box::new(policy(routes[usize::from(who % 3)])))
        }
        4 => Input::Ask(target),
        7 => Input::Remembered(vec![remembered(who)]),
        6 => Input::Query(if who.is_multiple_of(3) { DOWNSTREAM } else { UPSTREAM }, query(target, who)),
        _ if who.is_multiple_of(4) => Input::Report(DOWNSTREAM, report(target, who)),
        _ if who % 4 == 1 => {
            let (bridge, port, suffix) = (DOWNSTREAM, IfIndex(9), group_suffix(target));
            let group = Fact::Group { bridge, port, suffix };
            let gone = Fact::GroupGone { bridge, port, suffix };
            Input::Facts(vec![if who & 8 == 0 { group } else { gone }])
        }
        _ => Input::Timeout,
    }
}

fn report(target: Ipv6Addr, who: u8) -> MldReport {
    let kinds = [MldRecordKind::Begin, MldRecordKind::IsListened, MldRecordKind::End];
    MldReport {
        source_mac: Mac([2, 0, 0, 0, 2, who]),
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 2, who.into()),
        version: MldVersion::V2,
        records: vec![MldRecord { kind: kinds[usize::from(who >> 2) % 3], group: solicited_node(target) }],
    }
}

fn remembered(who: u8) -> Remembered {
    let Solicitation { source_mac: mac, source: address, .. } = question(GATEWAY, who);
    let sources = [Source::Scope, Source::Target, Source::LinkLocal, Source::Global, Source::Address(HOST)];
    let source = sources[usize::from(who % 5)];
    Remembered { interface: "up0".parse().expect("a name"), mac, address, source }
}

fn query(target: Ipv6Addr, who: u8) -> MldQuery {
    MldQuery {
        source_mac: Mac([2, 0, 0, 0, 1, who]),
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, who.into()),
        version: if who.is_multiple_of(7) { MldVersion::V1 } else { MldVersion::V2 },
        group: (!who.is_multiple_of(2)).then(|| solicited_node(target)),
        max_response: Duration::from_millis(u64::from(who) << 6),
    }
}

fn policy(routes: RangeRoutes) -> Policy {
    Policy {
        upstreams: vec![UpstreamPolicy {
            announce: Announce::Dad,
            ..UpstreamPolicy::new(UpstreamInterface::Named("up0".parse().expect("a name")))
        }],
        ranges: vec![RangePolicy {
            prefix: range(),
            upstream: None,
            downstream: Downstream::Named("down0".parse().expect("a name")),
            answer: Answer::Live,
            routes,
            has_written_routes: false,
            backstop: true,
            gateway: None,
            exclude: vec![excluded()],
            proxy_downstream: true,
            guard: false,
            standby: false,
            origin: Origin::Config,
        }],
        suffixes: Vec::new(),
        routes: RoutePolicy::default(),
        timers: Timers::default(),
        limits: Limits { targets: TARGETS, pending: PENDING, probes_per_second: 5, ..Limits::default() },
        guests: Vec::new(),
        nft_sets: false,
    }
}

fn question(target: Ipv6Addr, who: u8) -> Solicitation {
    let is_dad = who.is_multiple_of(4);
    let mac = Mac([2, 0, 0, 0, 1, who]);
    let source =
        if is_dad { Ipv6Addr::UNSPECIFIED } else { Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, who.into()) };
    let group = solicited_node(target);
    Solicitation {
        source_mac: mac,
        destination_mac: Mac::multicast(group),
        source,
        destination: group,
        target,
        source_link_layer: (!is_dad).then_some(mac),
    }
}

fn advertisement(target: Ipv6Addr, who: u8) -> Advertisement {
    let mac = Mac([2, 0, 0, 0, 2, who]);
    Advertisement {
        source_mac: mac,
        destination_mac: Mac([2, 0, 0, 0, 0, 3]),
        source: target,
        destination: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3),
        target,
        flags: Flags { router: false, solicited: who.is_multiple_of(2), override_entry: true },
        target_link_layer: (!who.is_multiple_of(3)).then_some(mac),
    }
}

fn link_facts(downstream: LinkState) -> [Fact; 2] {
    [(UPSTREAM, "up0", LinkState::Up), (DOWNSTREAM, "down0", downstream)].map(|(index, name, state)| {
        let layer = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, index.0 as u8]));
        Fact::Link(Link {
            index,
            name: name.parse().expect("a name"),
            state,
            layer,
            master: None,
            lower: None,
            peer: None,
            is_bridge: false,
            leads_to_one: false,
            group: 0,
            vrf: None,
        })
    })
}

fn own(link: IfIndex, last: u8) -> Fact {
    let address = if link == UPSTREAM { HOST } else { target(last) };
    Fact::Address(Address { link, address, prefix_len: 64, state: AddressState::Preferred, protocol: 0 })
}

fn default_route() -> KernelRoute {
    KernelRoute {
        destination: "::/0".parse().expect("a prefix"),
        kind: RouteKind::Unicast(UPSTREAM),
        next_hop: NextHop::Via(GATEWAY),
        table: 254,
        protocol: 9,
        metric: 1024,
        source: None,
    }
}

fn outcome(who: u8) -> Outcome {
    match who % 3 {
        0 => Outcome::Done,
        1 => Outcome::Exists,
        _ => Outcome::Failed("no".to_owned()),
    }
}

/// Inside the range, but for the last few, which stand behind it.
fn target(which: u8) -> Ipv6Addr {
    let base = if which < 250 { 0xc } else { 0xd };
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, base, 0, 0, which.into())
}

fn range() -> ipnet::Ipv6Net {
    "2001:db8::c:0:0:0/112".parse().expect("a prefix")
}

fn excluded() -> ipnet::Ipv6Net {
    "2001:db8::c:0:0:f0/125".parse().expect("a prefix")
}

/// Fewer than there are addresses, so that the limit is met.
const TARGETS: usize = 16;
const PENDING: usize = 4;
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const UPSTREAM: IfIndex = IfIndex(2);
const DOWNSTREAM: IfIndex = IfIndex(3);
/// From here on, the first byte of a step means something rare.
const RARE: u8 = 240;
/// Into how many slices one timeout's work may be cut here.
const MOST_SLICES: usize = 64;
