//! Whatever happens in whatever order: no panic, no limit exceeded, no answer outside the ranges.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use lone64::engine::facts::{
    AddressState, Fact, IfIndex, LinkLayer, LinkState, Neighbor, NeighborState, RouteKind,
};
use lone64::engine::policy::{Announce, Answer, GatewaySource, Limits, OnStop, Policy, RangePolicy};
use lone64::engine::{Change, Input, Outcome, Output, Proof, State};
use lone64::wire::{DropReason, Mac, solicited_node};
use proptest::prelude::*;

use crate::host::{
    BRIDGE, Host, LO, UP, default_route, guest, guest_mac, host_address, link, live, millis, net,
    question_from, range, reply, route, usual_facts, with,
};

const LIMITS: Limits =
    Limits { targets: 12, pending: 5, probes_per_second: 7, announcements_per_second: 3, groups: 512 };

const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Input(Input),
    Pass(u64),
}

pub(crate) fn policy() -> Policy {
    with(|policy| {
        policy.limits = LIMITS;
        policy.ranges[0].prefix = net("2001:db8:1:2:c::/124");
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::e/127")];
        policy.ranges.push(range("2001:db8:1:2:c::10/125", "other0"));
        policy.ranges[1].answer = Answer::Always;
        policy.routes.on_stop = OnStop::Remove;
        policy.upstreams[0].announce = Announce::Dad;
        policy.upstreams[0].gateway_source = GatewaySource::Global;
    })
}

fn index() -> impl Strategy<Value = IfIndex> {
    prop::sample::select(vec![LO, UP, BRIDGE, IfIndex(4), IfIndex(9)])
}

/// Addresses in, between and just outside the ranges.
fn number() -> impl Strategy<Value = u16> {
    0u16..0x1c
}

fn mac() -> impl Strategy<Value = Mac> {
    prop_oneof![number().prop_map(guest_mac), Just(Mac([0xff; 6])), Just(Mac([0; 6]))]
}

fn a_link() -> impl Strategy<Value = Fact> {
    let name = prop::sample::select(vec!["lo", "up0", "lxcbr0", "other0"]);
    let state = prop::sample::select(vec![LinkState::Up, LinkState::NoCarrier, LinkState::Down]);
    let layer =
        prop_oneof![Just(LinkLayer::None), Just(LinkLayer::Loopback), mac().prop_map(LinkLayer::Ethernet)];
    (index(), name, state, layer, prop::option::weighted(0.1, index())).prop_map(
        |(index, name, state, layer, master)| {
            Fact::Link(lone64::engine::facts::Link { state, master, ..link(index, name, layer) })
        },
    )
}

fn an_address() -> impl Strategy<Value = Fact> {
    let state = prop::sample::select(vec![
        AddressState::Preferred,
        AddressState::Deprecated,
        AddressState::Tentative,
    ]);
    (index(), number(), state, any::<bool>()).prop_map(|(link, number, state, is_there)| {
        let address = guest(number);
        if is_there {
            Fact::Address(host_address(link, &format!("{address}/64"), state))
        } else {
            Fact::AddressGone { link, address }
        }
    })
}

fn a_route() -> impl Strategy<Value = Fact> {
    let prefix =
        prop::sample::select(vec!["2001:db8:1:2:c::/124", "2001:db8:1:2:c::10/125", "2001:db8:1:2:c::3/128"]);
    let kind = prop_oneof![
        index().prop_map(RouteKind::Unicast),
        index().prop_map(RouteKind::Local),
        Just(RouteKind::Unreachable),
        Just(RouteKind::Other),
    ];
    let route = (prefix, kind, prop::sample::select(vec![3, 64])).prop_map(|(prefix, kind, protocol)| {
        lone64::engine::facts::KernelRoute { protocol, ..route(prefix, kind) }
    });
    let route = prop_oneof![3 => route, 1 => index().prop_map(default_route)];
    (route, any::<bool>())
        .prop_map(|(r, is_there)| if is_there { Fact::Route(r) } else { Fact::RouteGone(r) })
}

fn a_neighbor() -> impl Strategy<Value = Fact> {
    use NeighborState::{Failed, Incomplete, Permanent, Reachable, Stale};
    let state = prop::sample::select(vec![Reachable, Permanent, Stale, Incomplete, Failed]);
    (index(), number(), prop::option::of(mac()), state).prop_map(|(link, number, mac, state)| {
        Fact::Neighbor(Neighbor { link, address: guest(number), mac, state })
    })
}

fn a_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        3 => a_link(),
        1 => index().prop_map(Fact::LinkGone),
        3 => an_address(),
        2 => a_route(),
        3 => a_neighbor(),
        2 => prop::sample::select(usual_facts()),
    ]
}

fn an_outcome() -> impl Strategy<Value = Input> {
    let outcome = prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::Exists),
        Just(Outcome::Failed("the kernel says no".to_owned())),
    ];
    let change = (a_route(), any::<bool>()).prop_map(|(fact, add)| match fact {
        Fact::Route(route) | Fact::RouteGone(route) if add => Change::Add(route),
        Fact::Route(route) | Fact::RouteGone(route) => Change::Remove(route),
        _ => unreachable!("a route"),
    });
    (change, outcome).prop_map(|(change, outcome)| Input::RouteChanged(change, outcome))
}

pub(crate) fn a_step() -> impl Strategy<Value = Step> {
    let asker =
        prop::sample::select(vec!["::", "fe80::1", "fe80::2", "2001:db8:1:2::1", "2001:db8:1:2:c::3"]);
    let question = (index(), asker, number(), mac()).prop_map(|(link, asker, target, mac)| {
        Input::Solicitation(link, question_from(asker.parse().unwrap(), mac, guest(target)))
    });
    let told = (index(), number(), mac())
        .prop_map(|(link, n, mac)| Input::Advertisement(link, reply(guest(n), mac)));
    prop_oneof![
        12 => question.prop_map(Step::Input),
        5 => told.prop_map(Step::Input),
        6 => prop::collection::vec(a_fact(), 0..4).prop_map(|facts| Step::Input(Input::Facts(facts))),
        1 => an_outcome().prop_map(Step::Input),
        1 => Just(Step::Input(Input::Timeout)),
        1 => index().prop_map(|link| Step::Input(Input::Discarded(link, DropReason::Checksum))),
        5 => prop_oneof![0u64..50, 500u64..1_500, 5_000u64..70_000].prop_map(Step::Pass),
    ]
}

/// Groups are listened to exactly for those who are answered for.
fn check_groups(host: &Host) {
    let joined: BTreeSet<_> = host.engine.listened().collect();
    let engine = &host.engine;
    let upstream_of = |address: &Ipv6Addr| {
        let is_in = |range: &&RangePolicy| range.prefix.contains(address);
        let range = engine.policy().ranges.iter().position(|range| is_in(&range))?;
        engine.bindings().ranges[range].upstream
    };
    // Whatever is routed to a link without Neighbor Discovery is answered for, so all may be joined.
    let layer = |link: &IfIndex| engine.links().get(*link).map(|link| link.layer);
    let is_routed = engine.bindings().ranges[0].downstreams.iter().any(|l| layer(l) == Some(LinkLayer::None));
    let (mut needed, mut allowed) = (BTreeSet::new(), BTreeSet::new());
    for address in (0..0x1c).map(guest) {
        let Some(upstream) = upstream_of(&address) else { continue };
        let membership = (upstream, solicited_node(address));
        match engine.target(address) {
            Some(State::Live(live)) if live.proof == Proof::Replied => _ = needed.insert(membership),
            Some(State::Live(_)) => _ = allowed.insert(membership),
            _ => {}
        }
        let is_always = net("2001:db8:1:2:c::10/125").contains(&address);
        if is_always || is_routed || engine.links().owners(address).any(|owner| owner != upstream) {
            allowed.insert(membership);
        }
    }
    assert!(needed.is_subset(&joined), "{needed:?} {joined:?}");
    assert!(joined.iter().all(|one| needed.contains(one) || allowed.contains(one)), "{allowed:?} {joined:?}");
}

/// Nothing that comes out may be wrong, whatever went in.
fn check(host: &mut Host, outputs: &[Output]) {
    let engine = &host.engine;
    assert!(engine.known_targets() <= LIMITS.targets);
    let known = (0..0x1c).filter_map(|number| engine.target(guest(number)));
    let probing = known.filter_map(|state| match state {
        State::Probing(probing) => Some(probing.askers.len()),
        _ => None,
    });
    let waiting: Vec<_> = probing.collect();
    assert!(waiting.len() <= LIMITS.pending && waiting.iter().all(|askers| *askers <= 8));
    for output in outputs {
        match output {
            Output::Advertise(_, answer) => {
                let target = answer.target;
                let ranges = ["2001:db8:1:2:c::/124", "2001:db8:1:2:c::10/125"];
                assert!(
                    ranges.iter().any(|range| net(range).contains(&target)),
                    "outside the ranges: {target}"
                );
                assert!(!net("2001:db8:1:2:c::e/127").contains(&target), "excluded: {target}");
                assert_eq!(answer.flags.solicited, !answer.destination.is_multicast());
                assert!(!answer.source.is_unspecified() && !answer.source.is_multicast());
                assert_eq!(answer.target_link_layer, Some(answer.source_mac));
            }
            // For announcements: the detection of duplicates, and gateways.
            Output::Solicit(_, asked) if asked.is_dad() => {
                assert!(net("2001:db8:1:2:c::/123").contains(&asked.target));
                assert_eq!(asked.source_link_layer, None);
            }
            Output::Solicit(_, asked) if asked.target == GATEWAY => {
                assert_eq!(asked.source_link_layer, Some(asked.source_mac));
                // The host asks from both of its addresses on that link, where a guest gets no answer.
                let is_hosts = net("fe80::5054:ff:fe00:0/112").contains(&asked.source);
                assert!(is_hosts || net("2001:db8:1:2::/64").contains(&asked.source), "{asked:?}");
            }
            Output::Solicit(_, probe) => {
                assert!(
                    net("2001:db8:1:2:c::/124").contains(&probe.target),
                    "never probed for: {}",
                    probe.target
                );
                assert!(!probe.source.is_unspecified());
            }
            Output::ChangeRoute(Change::Add(route) | Change::Remove(route)) => assert_eq!(route.protocol, 64),
            _ => {}
        }
    }
}

/// Found by the test below.
#[test]
fn what_the_host_gets_while_it_is_asked_for_is_not_answered() {
    let mut policy = policy();
    policy.ranges[0].proxy_downstream = true;
    policy.ranges[0].prefix = net("2001:db8:1:2:c::/125");
    let mut host = Host::new(policy);
    let target = guest(10);
    host.input(Input::Solicitation(BRIDGE, question_from("fe80::99".parse().unwrap(), guest_mac(1), target)));
    let tentative = host_address(BRIDGE, &format!("{target}/64"), AddressState::Tentative);
    host.facts(vec![Fact::Address(tentative)]);
    host.take();
    host.input(Input::Advertisement(UP, reply(target, guest_mac(10))));
    assert_eq!(host.answers(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_happens_makes_the_engine_panic_or_leave_its_limits(
        steps in prop::collection::vec(a_step(), 1..120), is_known in any::<bool>(),
    ) {
        let mut host = if is_known { Host::new(policy()) } else { Host::bare(policy()) };
        let (mut last_second, mut announced) = (Vec::new(), Vec::new());
        let mut joined = BTreeSet::new();
        if is_known {
            // What the second range joined at the start, before anybody looked.
            joined.extend((0x10..0x18).map(|number| (UP, solicited_node(guest(number)))));
        }
        for step in steps {
            match step {
                Step::Input(input) => host.input(input),
                Step::Pass(duration) => host.pass(millis(duration)),
            }
            let outputs = host.take_timed();
            let is_probe = |output: &Output| match output {
                Output::Solicit(_, asked) => !asked.is_dad() && asked.target != GATEWAY,
                _ => false,
            };
            let is_announcement = |output: &Output| match output {
                Output::Advertise(_, advertisement) => advertisement.flags.override_entry,
                _ => false,
            };
            let announcements = outputs.iter().filter(|(_, output)| is_announcement(output));
            announced.extend(announcements.map(|(at, _)| *at));
            let at_probes = outputs.iter().filter(|(_, output)| is_probe(output));
            last_second.extend(at_probes.map(|(at, _)| *at));
            let outputs: Vec<_> = outputs.into_iter().map(|(_, output)| output).collect();
            check(&mut host, &outputs);
            if is_known {
                check_groups(&host);
            }
        }
        // Three of each target, of which as many begin within a second as may.
        for (i, first) in announced.iter().enumerate() {
            let within = announced[i..].iter().filter(|at| at.since(*first).as_millis() < 1_000).count();
            prop_assert!(within <= 3 * 4, "{within} announcements within a second");
        }
        // A second's worth at once, and one more second's worth within the second.
        for (i, first) in last_second.iter().enumerate() {
            let within = last_second[i..].iter().filter(|at| at.since(*first).as_millis() < 1_000).count();
            prop_assert!(within <= 14, "{within} probes within a second");
        }
    }

    #[test]
    fn guests_that_are_answered_on_their_own_link_leave_no_limit_either(
        steps in prop::collection::vec(a_step(), 1..120), prefix in prop::sample::select(vec![125, 64]),
    ) {
        let mut policy = policy();
        policy.upstreams[0].announce = Announce::No;
        policy.ranges[0].proxy_downstream = true;
        policy.ranges[0].prefix = Ipv6Net::new(guest(0), prefix).unwrap().trunc();
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::6/127")];
        let mut host = Host::new(policy);
        for step in steps {
            let is_dad = matches!(&step, Step::Input(Input::Solicitation(_, asked)) if asked.is_dad());
            let upstreams: Vec<_> = host.engine.upstream_links().collect();
            match step {
                Step::Input(input) => host.input(input),
                Step::Pass(duration) => host.pass(millis(duration)),
            }
            let outputs = host.take();
            let engine = &host.engine;
            prop_assert!(engine.known_neighbors() <= LIMITS.pending && engine.known_targets() <= LIMITS.targets);
            for output in outputs {
                let Output::Advertise(link, answer) = output else { continue };
                // In one burst it may have answered, and then been an upstream no more.
                if engine.bindings().upstream(link).is_some() || upstreams.contains(&link) {
                    continue;
                }
                prop_assert!(!is_dad && answer.flags.solicited && !answer.destination.is_multicast());
                prop_assert!(!engine.links().has(link, answer.target), "{} is the kernel's", answer.target);
                prop_assert!(!net("2001:db8:1:2:c::6/127").contains(&answer.target) || engine.links().is_of_host(answer.target));
                if let Some(State::Live(live)) = engine.target(answer.target) {
                    prop_assert!(live.link != link, "{} is on the asker's own link", answer.target);
                }
                prop_assert_eq!(answer.target_link_layer, Some(answer.source_mac));
            }
        }
        // And what is known of neighbors ends by itself.
        host.pass(millis(200_000));
        prop_assert_eq!(host.engine.known_neighbors(), 0);
    }

    #[test]
    fn on_the_usual_host_no_address_of_the_upstream_is_ever_answered_for(
        steps in prop::collection::vec((number(), prop::option::of(any::<bool>())), 1..60),
    ) {
        let mut host = Host::new(with(|policy| policy.ranges[0].answer = Answer::Always));
        let mut of_upstream = BTreeSet::new();
        for (number, change) in steps {
            let address = guest(number);
            match change {
                Some(true) => {
                    of_upstream.insert(address);
                    host.facts(vec![Fact::Address(host_address(UP, &format!("{address}/64"), AddressState::Preferred))]);
                }
                Some(false) => {
                    of_upstream.remove(&address);
                    host.facts(vec![Fact::AddressGone { link: UP, address }]);
                }
                None => {
                    host.take();
                    let expected = !of_upstream.contains(&address);
                    prop_assert_eq!(host.answers_for(address), expected, "{}", address);
                }
            }
        }
    }

    #[test]
    fn the_same_inputs_at_the_same_times_have_the_same_outputs(steps in prop::collection::vec(a_step(), 1..60)) {
        let run = || {
            let mut host = Host::new(live());
            for step in steps.clone() {
                match step {
                    Step::Input(input) => host.input(input),
                    Step::Pass(duration) => host.pass(millis(duration)),
                }
            }
            host.take_timed()
        };
        prop_assert_eq!(run(), run());
    }
}
