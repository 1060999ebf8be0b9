//! The words of explanations: `explanations.txt` has what is said in each situation, for a reader to judge.

use std::net::Ipv6Addr;
use std::sync::Arc;

use lone64::engine::facts::{
    AddressState, Fact, IfIndex, KernelRoute, KernelRule, Link, LinkLayer, LinkState, NextHop, RouteKind,
    RuleAction,
};
use lone64::engine::guests::{Claim, Object};
use lone64::engine::policy::{
    Answer, Backend, Downstream, GuestAddresses, GuestPolicy, Policy, RangeRoutes, Source,
};
use lone64::engine::{Claiming, Expected, Holds, Input, Outcome};
use lone64::wire::{MldRecord, MldRecordKind, MldReport, MldVersion, solicited_node};

use crate::explain::situations;
use crate::host::{
    BRIDGE, Host, UP, address, always, dad, default_route, guest, guest_mac, has, host_address, link, live,
    millis, net, range, route, seconds, usual_facts, with,
};

const WG: IfIndex = IfIndex(7);

/// A situation, and who is asked for in it.
type Further = (&'static str, Host, Ipv6Addr);

fn foreign(prefix: &str, link: IfIndex, table: u32) -> KernelRoute {
    KernelRoute { protocol: 3, table, ..route(prefix, RouteKind::Unicast(link)) }
}

fn knowing(policy: Policy, facts: Vec<Fact>) -> Host {
    let mut host = Host::new(policy);
    host.facts(facts);
    host.take();
    host
}

fn tunnel(state: LinkState) -> Fact {
    Fact::Link(Link { state, ..link(WG, "wg0", LinkLayer::None) })
}

fn on_link() -> Fact {
    Fact::Route(KernelRoute { protocol: 2, ..route("2001:db8:1:2::/64", RouteKind::Unicast(UP)) })
}

/// The address itself, and what is around it.
fn addresses() -> Vec<Further> {
    let tentative = Fact::Address(host_address(UP, "2001:db8:1:2:c::9/64", AddressState::Tentative));
    let anycast = || has(BRIDGE, "2001:db8:1:2:c::1/112");
    let mut with_anycast = knowing(live(), vec![anycast()]);
    with_anycast.make_live(address("2001:db8:1:2:c::"), guest_mac(5));
    let elsewhere = address("2001:db8:1:3::5");
    let forwarded = Fact::Route(foreign("2001:db8:1:3::/64", BRIDGE, 254));
    let on_pair = has(BRIDGE, "2001:db8:1:2:c::6/127");
    vec![
        ("an address of the upstream that is being checked", knowing(live(), vec![tentative]), guest(9)),
        ("the anycast address of routers", knowing(live(), vec![anycast()]), address("2001:db8:1:2:c::")),
        ("which a guest has all the same", with_anycast, address("2001:db8:1:2:c::")),
        ("which all of the range counts as", knowing(always(), vec![anycast()]), address("2001:db8:1:2:c::")),
        ("the lower address of a link of two", knowing(live(), vec![on_pair]), guest(6)),
        ("a neighbor on the upstream", knowing(live(), vec![on_link()]), address("2001:db8:1:2::66")),
        ("on no link", knowing(live(), vec![on_link()]), elsewhere),
        ("on no link, and forwarded", knowing(live(), vec![on_link(), forwarded]), elsewhere),
        ("no range", Host::new(with(|policy| policy.ranges.clear())), guest(5)),
    ]
}

fn identity(delegate: &str) -> Policy {
    with(|policy| {
        policy.guests = vec![Arc::new(GuestPolicy {
            name: "web5".to_owned(),
            mac: Some(guest_mac(5)),
            interface: "lxcbr0".parse().ok(),
            addresses: GuestAddresses::Listed(vec![guest(5)]),
            delegate: vec![net(delegate)],
            pin: false,
            guard: None,
        })];
    })
}

fn claimed(mut host: Host, object: Object, seconds_more: Option<u64>) -> Host {
    let claim = Claim {
        object,
        interface: "lxcbr0".parse().ok(),
        mac: Some(guest_mac(5)),
        via: None,
        until: seconds_more.map(|more| host.now + seconds(more)),
    };
    host.input(Input::Claiming(Claiming::Claim(claim)));
    host.pass(seconds(2));
    host.take();
    host
}

/// Whose it is by the administrator's word.
fn words() -> Vec<Further> {
    let routed = "2001:db8:1:2:c::4000/116";
    let mut nowhere = identity(routed);
    let guest_of = Arc::make_mut(&mut nowhere.guests[0]);
    guest_of.interface = "tap9".parse().ok();
    let routed_to_it = claimed(Host::new(live()), Object::Prefix(net("2001:db8:1:2:c::8000/120")), None);
    let standby = || with(|policy| policy.ranges[0].standby = true);
    let named = claimed(Host::new(identity(routed)), Object::Guest("web5".to_owned()), Some(60));
    vec![
        ("a [[guest]]", Host::new(identity(routed)), guest(5)),
        ("what is routed to a [[guest]]", Host::new(identity(routed)), guest(0x4001)),
        ("a [[guest]] that is not here", Host::new(nowhere), guest(5)),
        ("a claimed guest", named, guest(5)),
        (
            "claimed for a minute",
            claimed(Host::new(live()), Object::Prefix(guest(9).into()), Some(60)),
            guest(9),
        ),
        ("claimed", claimed(Host::new(live()), Object::Prefix(guest(9).into()), None), guest(9)),
        ("inside a claimed prefix", routed_to_it, guest(0x8001)),
        ("a range that stands by", Host::new(standby()), guest(5)),
    ]
}

/// Where guests can be.
fn places() -> Vec<Further> {
    let behind =
        |name: &str| with(|policy| policy.ranges[0].downstream = Downstream::Named(name.parse().unwrap()));
    let several = |count: u32| {
        let mut host = Host::new(with(|policy| {
            policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
            policy.ranges[0].routes = RangeRoutes::Guests;
        }));
        for number in 0..count {
            let (index, layer) = (IfIndex(100 + number), LinkLayer::Ethernet(guest_mac(0xee)));
            let one = link(index, &format!("veth{number}"), layer);
            host.facts(vec![Fact::Link(one), has(index, "fe80::ee/64")]);
        }
        host.take();
        host
    };
    let mut listening = several(3);
    for index in [100, 102].map(IfIndex) {
        listening.input(Input::EarChanged(index, Outcome::Done));
        let group = solicited_node(guest(5));
        listening.input(Input::Report(
            index,
            MldReport {
                source_mac: guest_mac(5),
                source: address("fe80::99"),
                version: MldVersion::V2,
                records: vec![MldRecord { kind: MldRecordKind::Begin, group }],
            },
        ));
    }
    let kube = Fact::Link(Link {
        state: LinkState::Down,
        ..link(WG, "kube-ipvs0", LinkLayer::Ethernet(guest_mac(0xcc)))
    });
    let hop = |mut host: Host| {
        let via = NextHop::Via(address("fe80::5"));
        host.facts(vec![Fact::Route(KernelRoute {
            next_hop: via,
            ..foreign("2001:db8:1:2:c::7000/116", BRIDGE, 254)
        })]);
        host.take();
        host
    };
    let (mut probed, mut silent, mut there) =
        (hop(Host::new(live())), hop(Host::new(live())), hop(Host::new(live())));
    [&mut probed, &mut silent, &mut there].into_iter().for_each(|host| _ = host.ask(guest(0x7001)));
    silent.pass(seconds(4));
    there.advertise(address("fe80::5"), guest_mac(5));
    there.pass(millis(2_500));
    let program = with(|policy| policy.upstreams[0].backend = Backend::Tc);
    let mut mirrored = Host::new(program.clone());
    mirrored.make_live(guest(5), guest_mac(5));
    mirrored.pass(seconds(1));
    let of_range = Policy { ranges: always().ranges, ..program.clone() };
    vec![
        ("three interfaces", several(3), guest(5)),
        ("four interfaces", several(4), guest(5)),
        ("somebody listens to its group", listening, guest(5)),
        (
            "a tunnel that no program holds",
            knowing(behind("wg0"), vec![tunnel(LinkState::NoCarrier)]),
            guest(5),
        ),
        ("kube-proxy's interface", knowing(behind("kube-ipvs0"), vec![kube]), guest(5)),
        ("behind a router of guests", hop(Host::new(live())), guest(0x7001)),
        ("behind one that is being asked", probed, guest(0x7001)),
        ("behind one that is silent", silent, guest(0x7001)),
        ("behind one that is there", there, guest(0x7001)),
        ("a program in the kernel that knows it", mirrored, guest(5)),
        ("a program in the kernel for its range", Host::new(of_range), guest(5)),
        (
            "a program in the kernel that leaves it to us",
            knowing(program, vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]),
            guest(1),
        ),
    ]
}

/// Where packets for it go.
fn routes() -> Vec<Further> {
    const TABLE: u32 = 52;
    let peers = |facts: Vec<Fact>, policy| {
        let mut all = vec![Fact::Link(link(WG, "tailscale0", LinkLayer::None))];
        all.push(Fact::Route(foreign("2001:db8:1:2:c::/112", BRIDGE, 254)));
        all.extend(facts);
        knowing(policy, all)
    };
    let by_kernel = |answer| {
        with(|policy| {
            let range = &mut policy.ranges[0];
            (range.downstream, range.routes, range.answer) = (Downstream::Kernel, RangeRoutes::None, answer);
        })
    };
    let diverted = || {
        let to_peer = Fact::Route(foreign("2001:db8:1:2:c::7/128", WG, TABLE));
        vec![to_peer, Fact::Rule(KernelRule::lookup(5_270, TABLE))]
    };
    let in_table = |kind, policy: Policy| {
        let foreign = KernelRoute { protocol: 3, table: TABLE, ..route("2001:db8:1:2:c::7/128", kind) };
        knowing(policy, vec![Fact::Route(foreign), Fact::Rule(KernelRule::lookup(5_270, TABLE))])
    };
    let by_guests = || with(|policy| policy.ranges[0].routes = RangeRoutes::Guests);
    let refused = KernelRule {
        to: net("2001:db8:1:2:c::7/128"),
        action: RuleAction::Refuse,
        ..KernelRule::lookup(100, TABLE)
    };
    let back = |policy: Policy| {
        let mut policy = policy;
        policy.ranges[0].prefix = net("2001:db8:1:2::/64");
        knowing(policy, vec![on_link()])
    };
    let never = |policy: &mut Policy| policy.ranges[0].answer = Answer::Never;
    let mut only_routed = Host::new(with(|policy| {
        never(policy);
        policy.ranges[0].routes = RangeRoutes::Guests;
    }));
    only_routed.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    only_routed.pass(seconds(3));
    let mut without_upstream = Host::bare(with(never));
    without_upstream.facts(vec![usual_facts()[2].clone(), has(BRIDGE, "fe80::5054:ff:fe00:b0/64")]);
    without_upstream.input(Input::Synced);
    let unrouted = |answer| {
        with(|policy| {
            let range = &mut policy.ranges[0];
            (range.routes, range.answer, range.backstop) = (RangeRoutes::None, answer, false);
        })
    };
    let nowhere = Fact::RouteGone(default_route(UP));
    let mut scoped = always();
    scoped.upstreams[0].source = Source::Address(address("2001:db8:1:2::2"));
    vec![
        ("by a rule's table", peers(diverted(), by_kernel(Answer::Live)), guest(7)),
        ("a rule refuses it", peers(vec![Fact::Rule(refused)], always()), guest(7)),
        ("back out of the upstream", back(by_kernel(Answer::Always)), guest(7)),
        ("back, of a range with an interface", back(unrouted(Answer::Always)), guest(7)),
        ("no route of the range", Host::new(unrouted(Answer::Always)), guest(7)),
        ("a guest that is routed only", only_routed, guest(5)),
        ("one that may come there", Host::new(with(never)), guest(6)),
        ("no upstream, and none is needed", without_upstream, guest(5)),
        ("from an address that is written", Host::new(scoped), guest(5)),
        (
            "two ranges, and neither",
            Host::new(with(|policy| policy.ranges.push(range("2001:db8:1:2:d::/112", "lxcbr0")))),
            address("2001:db8:9::5"),
        ),
        ("no route at all", knowing(unrouted(Answer::Live), vec![nowhere]), guest(5)),
        ("translated before it goes back", Host::new(by_kernel(Answer::Always)), guest(7)),
        ("another range waits for its route", with_a_late_route(), guest(0x105)),
        ("a rule's table refuses it", in_table(RouteKind::Unreachable, always()), guest(7)),
        ("a rule's table refuses guests", in_table(RouteKind::Unreachable, by_guests()), guest(7)),
        ("by a rule's table out of the upstream", in_table(RouteKind::Unicast(UP), by_guests()), guest(7)),
        (
            "all of the range, and back by a rule's table",
            in_table(RouteKind::Unicast(UP), always()),
            guest(7),
        ),
    ]
}

/// The route of one range is in another program's way; that of the other is there.
fn with_a_late_route() -> Host {
    let mut host = Host::bare(with(|policy| {
        policy.ranges[0].answer = Answer::Always;
        policy.ranges.push(range("2001:db8:1:2:c::100/120", "lxcbr0"));
        policy.ranges[1].answer = Answer::Always;
    }));
    let other = KernelRoute { protocol: 4, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(UP)) };
    host.kernel.insert(other.clone());
    host.facts([usual_facts(), vec![Fact::Route(other)]].concat());
    host.input(Input::Synced);
    host.take();
    host
}

fn told(name: &str, host: &Host, target: Ipv6Addr) -> String {
    let explanation = host.engine.explain(target, host.now);
    let mut text = format!("# {name}: {target}\n");
    for step in explanation.steps {
        let holds = match step.holds {
            Holds::Yes => '+',
            Holds::No => '-',
            Holds::Open => '?',
        };
        text += &format!("{holds} {}: {}\n", step.subject.as_str(), step.value);
        text += &step.remedy.map_or_else(String::new, |remedy| format!("  > {remedy}\n"));
    }
    text + &match explanation.outcome {
        Expected::Answered => "= answered\n".to_owned(),
        Expected::Probed => "= asked for\n".to_owned(),
        Expected::Probing => "= being asked for\n".to_owned(),
        Expected::Dropped(reason) => format!("= dropped: {reason}\n"),
    }
}

#[test]
fn are_said_in_these_words() {
    let known = situations().map(|row| (row.name, row.host, row.target));
    let further = [addresses(), words(), places(), routes()].into_iter().flatten();
    let told: Vec<_> = known.chain(further).map(|(name, host, target)| told(name, &host, target)).collect();
    let wanted: Vec<_> = include_str!("explanations.txt").trim_end().split("\n\n").collect();
    for (told, wanted) in told.iter().map(|text| text.trim_end()).zip(&wanted) {
        assert_eq!(told, *wanted, "\n{told}\n\nis said, and explanations.txt has\n\n{wanted}\n");
    }
    let more = told.get(wanted.len()..).unwrap_or_default().join("\n");
    assert_eq!(told.len(), wanted.len(), "explanations.txt lacks\n\n{more}");
}
