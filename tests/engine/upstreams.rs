//! Upstreams: found, named, lost and changed; two of them.

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, LinkLayer};
use lone64::engine::policy::{Answer, GatewaySource, Policy, Source, UpstreamInterface, UpstreamPolicy};
use lone64::engine::{Ear, Event, Input, Outcome, Output, Problem, Role};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, Host, UP, UP_MAC, address, advertisements, always, default_route, guest, guest_mac, has, link,
    live, net, question, range, upstream, usual_facts, with,
};

const UP1: IfIndex = IfIndex(5);
const UP1_MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x11]);

fn named(name: &str) -> UpstreamInterface {
    UpstreamInterface::Named(name.parse().unwrap())
}

/// `up0` in 2001:db8:1:2::/64 and `up1` in 2001:db8:9:9::/64, each with a range of its own.
fn two_upstreams() -> Policy {
    with(|policy| {
        policy.upstreams = vec![upstream(named("up0")), upstream(named("up1"))];
        policy.ranges.push(range("2001:db8:9:9:c::/112", "lxcbr0"));
        policy.ranges.iter_mut().for_each(|range| range.answer = Answer::Always);
    })
}

fn second_upstream() -> Vec<Fact> {
    vec![
        Fact::Link(link(UP1, "up1", LinkLayer::Ethernet(UP1_MAC))),
        has(UP1, "fe80::11/64"),
        has(UP1, "2001:db8:9:9::2/64"),
    ]
}

#[test]
fn ranges_on_two_upstreams_never_cross() {
    let mut host = Host::new(two_upstreams());
    host.facts(second_upstream());
    host.take();
    let other = "2001:db8:9:9:c::5".parse().unwrap();
    for (link, mine, others) in [(UP, guest(5), other), (UP1, other, guest(5))] {
        host.input(Input::Solicitation(link, question(others)));
        assert_eq!(host.take(), [], "{others} on {link}");
        assert_eq!(host.engine.counters().of(link).dropped(DropReason::NoRange), 1);
        host.input(Input::Solicitation(link, question(mine)));
        assert!(matches!(host.take()[..], [Output::Advertise(on, _)] if on == link));
    }
}

#[test]
fn each_answers_with_its_own_addresses() {
    let mut host = Host::new(two_upstreams());
    host.facts(second_upstream());
    host.take();
    host.input(Input::Solicitation(UP1, question("2001:db8:9:9:c::5".parse().unwrap())));
    let answer = host.answers()[0];
    assert_eq!((answer.source_mac, answer.source.to_string()), (UP1_MAC, "fe80::11".to_owned()));
}

#[test]
fn of_two_upstreams_neither_of_which_covers_the_range_none_answers_and_it_is_a_problem() {
    let mut host = Host::new(two_upstreams());
    host.facts(second_upstream());
    host.facts(vec![Fact::AddressGone { link: UP1, address: "2001:db8:9:9::2".parse().unwrap() }]);
    let problem = Problem::NoUpstreamForRange(net("2001:db8:9:9:c::/112"));
    assert!(host.events().contains(&Event::Problem(problem)));
    host.input(Input::Solicitation(UP1, question("2001:db8:9:9:c::5".parse().unwrap())));
    assert_eq!(host.answers(), []);
}

#[test]
fn a_range_that_names_its_upstream_is_answered_there_and_only_there() {
    let mut policy = two_upstreams();
    policy.ranges[0].upstream = Some("up1".parse().unwrap());
    let mut host = Host::new(policy);
    host.facts(second_upstream());
    host.take();
    host.input(Input::Solicitation(UP, question(guest(5))));
    assert_eq!(host.answers(), []);
    host.input(Input::Solicitation(UP1, question(guest(5))));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn the_only_upstream_answers_for_a_range_that_its_prefix_does_not_cover() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].prefix = net("2001:db8:77::/112");
        policy.ranges[0].answer = Answer::Always;
    }));
    assert!(host.answers_for("2001:db8:77::5".parse().unwrap()));
}

#[test]
fn a_new_link_layer_address_is_in_the_next_answer_and_listened_for() {
    let mut host = Host::new(always());
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0x77]);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    let ear = Ear {
        mac,
        role: Role::Upstream {
            ranges: vec![net("2001:db8:1:2:c::/112")],
            neighbors: vec![net("fe80::1/128")],
        },
    };
    assert_eq!(host.take(), [Output::Listen(UP, ear)]);
    let answer = host.answer_to(question(guest(5))).unwrap();
    assert_eq!((answer.source_mac, answer.target_link_layer), (mac, Some(mac)));
}

#[test]
fn the_upstream_of_the_default_route_is_kept_while_the_route_is_gone() {
    let mut host = Host::new(always());
    host.facts(vec![Fact::RouteGone(default_route(UP))]);
    // Its router is not heard any more, everything else is.
    let role = Role::Upstream { ranges: vec![net("2001:db8:1:2:c::/112")], neighbors: Vec::new() };
    assert_eq!(host.take(), [Output::Listen(UP, Ear { mac: UP_MAC, role })]);
    assert!(host.answers_for(guest(5)));
}

#[test]
fn when_the_default_route_moves_the_upstream_moves_along() {
    let mut host = Host::new(always());
    host.facts(second_upstream());
    host.facts(vec![Fact::RouteGone(default_route(UP)), Fact::Route(default_route(UP1))]);
    let outputs = host.take();
    assert!(outputs.contains(&Output::Unlisten(UP)));
    host.input(Input::Solicitation(UP1, question(guest(5))));
    assert_eq!(host.answers().len(), 1);
    host.input(Input::Solicitation(UP, question(guest(5))));
    assert_eq!(host.answers(), []);
}

#[test]
fn without_a_default_route_from_the_start_there_is_a_problem_until_there_is_one() {
    let mut host = Host::bare(always());
    let (routes, others): (Vec<_>, Vec<_>) =
        usual_facts().into_iter().partition(|fact| matches!(fact, Fact::Route(_)));
    host.facts(others);
    host.input(Input::Synced);
    assert!(host.events().contains(&Event::Problem(Problem::NoDefaultRoute)));
    assert!(!host.answers_for(guest(5)));
    host.facts(routes);
    assert!(host.events().contains(&Event::Solved(Problem::NoDefaultRoute)));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn an_upstream_without_an_address_to_answer_from_is_a_problem_until_it_has_one() {
    let mut host = Host::new(with(|policy| policy.upstreams = vec![upstream(named("up1"))]));
    let (name, facts) = ("up1".parse().unwrap(), second_upstream());
    host.facts(facts[..1].to_vec());
    assert_eq!(host.engine.problems(), [Problem::UpstreamWithoutAddress(name)]);
    assert!(host.events().contains(&Event::Problem(Problem::UpstreamWithoutAddress(name))));
    host.facts(facts[1..].to_vec());
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn an_upstream_that_the_kernel_lets_nobody_hear_is_a_problem_until_it_does() {
    let mut host = Host::new(always());
    let said = "Cannot allocate memory".to_owned();
    host.input(Input::EarChanged(UP, Outcome::Failed(said.clone())));
    let problem = Problem::UpstreamNotHeard("up0".parse().unwrap(), said.clone());
    assert!(host.events().contains(&Event::Problem(problem.clone())));
    // The same again is no news.
    host.input(Input::EarChanged(UP, Outcome::Failed(said)));
    assert!(!host.events().contains(&Event::Problem(problem.clone())));
    assert_eq!(host.engine.problems(), std::slice::from_ref(&problem));
    host.input(Input::EarChanged(UP, Outcome::Done));
    assert!(host.events().contains(&Event::Solved(problem)));
    // A downstream is one among others.
    host.input(Input::EarChanged(BRIDGE, Outcome::Failed("Too many open files".to_owned())));
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn a_named_upstream_may_be_missing_at_the_start_and_appear() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(named("up1"))];
        policy.ranges[0].answer = Answer::Always;
    }));
    assert_eq!(host.engine.problems(), [Problem::UpstreamMissing("up1".parse().unwrap())]);
    host.facts(second_upstream());
    host.take();
    host.input(Input::Solicitation(UP1, question(guest(5))));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn an_upstream_that_was_recreated_answers_again() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(named("up1"))];
        policy.ranges[0].answer = Answer::Always;
    }));
    host.facts(second_upstream());
    host.facts(vec![Fact::LinkGone(UP1)]);
    assert!(host.take().contains(&Output::Unlisten(UP1)));
    let again = IfIndex(50);
    host.facts(vec![Fact::Link(link(again, "up1", LinkLayer::Ethernet(UP1_MAC))), has(again, "fe80::11/64")]);
    host.take();
    host.input(Input::Solicitation(again, question(guest(5))));
    assert!(matches!(host.take()[..], [Output::Advertise(on, _)] if on == again));
}

#[test]
fn a_port_of_a_bridge_is_no_upstream_and_its_master_is_named() {
    let mut host = Host::new(with(|policy| policy.upstreams = vec![upstream(named("up0"))]));
    let mut port = link(UP, "up0", LinkLayer::Ethernet(crate::host::UP_MAC));
    port.master = Some(BRIDGE);
    host.facts(vec![Fact::Link(port)]);
    let problem = Problem::UpstreamIsPort("up0".parse().unwrap(), "lxcbr0".parse().unwrap());
    assert_eq!(host.engine.problems()[0], problem);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn a_downstream_that_is_the_upstream_serves_nobody() {
    let mut host = Host::new(with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:c::/112", "up0")];
        policy.ranges[0].answer = Answer::Always;
    }));
    let problem = Problem::DownstreamIsUpstream(net("2001:db8:1:2:c::/112"), "up0".parse().unwrap());
    assert_eq!(host.engine.problems(), [problem]);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn questions_that_arrive_on_another_interface_are_not_answered() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    for link in [BRIDGE, IfIndex(99)] {
        host.input(Input::Solicitation(link, question(guest(5))));
        assert_eq!(host.answers(), []);
        assert_eq!(host.engine.counters().of(link).dropped(DropReason::NotUpstream), 1);
    }
}

#[test]
fn one_that_no_range_is_served_on_is_no_problem() {
    let problems = |on: Option<&str>| {
        let mut host = Host::bare(with(|policy| {
            let named = |name: &str| upstream(UpstreamInterface::Named(name.parse().unwrap()));
            policy.upstreams = vec![named("up0"), named("eth9")];
            policy.ranges[0].upstream = on.map(|name| name.parse().unwrap());
        }));
        host.facts(usual_facts());
        host.input(Input::Synced);
        host.engine.problems().iter().filter(|problem| problem.to_string().contains("eth9")).count()
    };
    assert_eq!((problems(Some("up0")), problems(Some("eth9")) > 0), (0, true));
}

/// Where two sections mean the same interface.
#[test]
fn one_that_is_named_follows_its_own_policy_also_where_the_default_route_leaves_by_it() {
    let mut policy = live();
    let sources = [Source::Global, Source::LinkLocal];
    let interfaces = [UpstreamInterface::DefaultRoute, named("up0")];
    policy.upstreams = std::iter::zip(interfaces, sources)
        .map(|(interface, source)| UpstreamPolicy { source, ..upstream(interface) })
        .collect();
    let mut host = Host::new(policy).with_guest(guest(5), guest_mac(5));
    let answers = host.ask(guest(5));
    let sources: Vec<_> = advertisements(&answers).iter().map(|answer| answer.source).collect();
    assert_eq!(sources, [address("fe80::5054:ff:fe00:1")]);
}

#[test]
fn a_default_route_by_a_tunnel_besides_is_no_problem() {
    let mut host = Host::new(live());
    let tunnel = IfIndex(9);
    host.facts(vec![
        Fact::Link(link(tunnel, "wg0", LinkLayer::None)),
        Fact::Route(KernelRoute { metric: 2_000, ..default_route(tunnel) }),
    ]);
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn that_there_is_no_default_route_is_told_where_anything_is_done_on_its_upstream() {
    let problems = |change: &dyn Fn(&mut Policy)| {
        let mut host = Host::bare(with(|policy| {
            policy.suffixes = std::mem::take(&mut policy.ranges);
            change(policy);
        }));
        let mut facts = usual_facts();
        facts.pop();
        host.facts(facts);
        host.input(Input::Synced);
        host.engine.problems().contains(&Problem::NoDefaultRoute)
    };
    assert!(problems(&|_| {}), "a suffix has its prefix from there");
    assert!(!problems(&|policy| policy.suffixes.clear()), "nothing is done");
    assert!(problems(&|policy| {
        policy.suffixes.clear();
        policy.upstreams[0].gateway_source = GatewaySource::Global;
    }));
}
