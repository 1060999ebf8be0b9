//! Networks that nobody serves: what automatic would serve, once the first range has turned it off.

use lone64::config;
use lone64::engine::facts::{Fact, IfIndex, KernelRoute, LinkLayer, NextHop, RouteKind};
use lone64::engine::policy::{
    Answer, Automatic, Downstream, LeftOut, Policy, RangePolicy, RangeRoutes, UpstreamInterface,
};
use lone64::engine::{Ended, Event, Input, Output, Unserved};
use lone64::wire::Mac;

use crate::host::{
    BRIDGE, Host, LO, UP, address, guest, guest_mac, has, link, live, question, range, route, upstream,
    usual_facts, with,
};

const DOCKER: IfIndex = IfIndex(7);
const TUNNEL: IfIndex = IfIndex(8);
const SECOND: IfIndex = IfIndex(9);

fn connected(prefix: &str, link: IfIndex) -> KernelRoute {
    KernelRoute { protocol: 2, metric: 256, ..route(prefix, RouteKind::Unicast(link)) }
}

fn of_docker() -> KernelRoute {
    connected("2001:db8:1:2:d::/80", DOCKER)
}

/// The usual host with the bridge of Docker, whose network nobody serves, and a tunnel.
fn facts() -> Vec<Fact> {
    let mut facts = usual_facts();
    facts.extend([
        Fact::Link(link(DOCKER, "docker0", LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 0xd])))),
        Fact::Link(link(TUNNEL, "wg0", LinkLayer::None)),
        has(DOCKER, "fe80::d/64"),
        Fact::Route(connected("2001:db8:1:2::/64", UP)),
        Fact::Route(connected("2001:db8:1:2:c::/112", BRIDGE)),
        Fact::Route(of_docker()),
    ]);
    facts
}

fn host(policy: Policy) -> Host {
    let mut host = Host::bare(policy);
    host.facts(facts());
    host.input(Input::Synced);
    host
}

/// Prefix and interface of each network that nobody serves.
fn unserved(host: &Host) -> Vec<(String, String)> {
    let networks = host.engine.unserved().iter();
    networks.map(|network| (network.prefix.to_string(), network.interface.to_string())).collect()
}

fn docker() -> Vec<(String, String)> {
    vec![("2001:db8:1:2:d::/80".to_owned(), "docker0".to_owned())]
}

/// What is told of them.
fn told(host: &mut Host) -> Vec<Event> {
    let mut events = host.events();
    events.retain(|event| {
        matches!(event, Event::Unserved(_) | Event::UnservedEnded(..) | Event::ManyUnserved(_))
    });
    events
}

fn only(host: &Host) -> Unserved {
    let [network] = host.engine.unserved() else { panic!("{:?}", host.engine.unserved()) };
    network.clone()
}

/// The policy that a file with these lines means, with nothing said unasked.
fn written(lines: &str) -> Policy {
    let mut policy =
        config::parse(lines, "f").unwrap_or_else(|problems| panic!("{problems}\n{lines}")).policy;
    policy.upstreams.iter_mut().for_each(|upstream| upstream.announce = lone64::engine::policy::Announce::No);
    policy
}

const C: &str = "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"lxcbr0\"\n";

#[test]
fn a_network_that_no_range_covers_is_told_once_and_is_no_problem() {
    let mut host = host(live());
    assert_eq!(unserved(&host), docker());
    assert!(
        matches!(&told(&mut host)[..], [Event::Unserved(network)] if network.prefix == of_docker().destination)
    );
    assert_eq!(host.engine.problems(), []);
    // Whatever else happens, it is not told again.
    host.facts(vec![has(DOCKER, "fe80::dd/64"), Fact::Route(connected("2001:db8:7::/64", TUNNEL))]);
    host.input(Input::Snapshot(facts()));
    assert_eq!(told(&mut host), []);
}

#[test]
fn the_sentence_names_the_network_and_both_remedies() {
    let sentence = only(&host(live())).to_string();
    assert_eq!(
        sentence,
        "no range serves 2001:db8:1:2:d::/80 on docker0: add a [[range]] with prefix = \"2001:db8:1:2:d::/80\" and \
         interface = \"docker0\", or automatic = true in [[upstream]] for all such networks; automatic = false \
         ignores them"
    );
}

#[test]
fn an_explanation_of_one_of_its_guests_has_the_same_remedy() {
    let host = host(live());
    let explanation = host.engine.explain(address("2001:db8:1:2:d::5"), host.now);
    let remedies: Vec<_> = explanation.steps.into_iter().filter_map(|step| step.remedy).collect();
    assert_eq!(remedies, [only(&host).remedy()]);
}

#[test]
fn one_that_comes_is_told_and_one_that_goes_is_told_to_be_gone() {
    let mut host = host(live());
    host.take();
    let other = connected("2001:db8:1:2:e::/80", TUNNEL);
    host.facts(vec![Fact::Route(other.clone())]);
    let told_of = |events: &[Event]| matches!(events, [Event::Unserved(network)] if network.prefix == other.destination);
    assert!(told_of(&told(&mut host)));
    host.facts(vec![Fact::RouteGone(other.clone())]);
    let events = told(&mut host);
    assert!(matches!(&events[..], [Event::UnservedEnded(_, Ended::Gone)]), "{events:?}");
    assert_eq!(unserved(&host), docker());
}

#[test]
fn the_range_that_is_named_serves_it() {
    let guest = address("2001:db8:1:2:d::5");
    let mut host = host(written(C)).with_guest(guest, guest_mac(5));
    assert!(!host.answers_for(guest));
    let lines = only(&host).lines();
    assert_eq!(lines, "[[range]]\nprefix = \"2001:db8:1:2:d::/80\"\ninterface = \"docker0\"\n");
    host.input(Input::Reload(Box::new(written(&format!("{C}{lines}")))));
    let events = told(&mut host);
    assert!(matches!(&events[..], [Event::UnservedEnded(_, Ended::Served)]), "{events:?}");
    assert_eq!(unserved(&host), []);
    host.solicit(question(guest));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn automatic_beside_written_ranges_serves_it_too() {
    let guests = [address("2001:db8:1:2:d::5"), guest(5)];
    let mut host =
        guests.into_iter().fold(host(written(C)), |host, guest| host.with_guest(guest, guest_mac(5)));
    host.take();
    host.input(Input::Reload(Box::new(written(&format!("{C}[[upstream]]\nautomatic = true\n")))));
    let events = told(&mut host);
    assert!(matches!(&events[..], [Event::UnservedEnded(_, Ended::Served)]), "{events:?}");
    for guest in guests {
        host.solicit(question(guest));
        assert_eq!(host.answers().len(), 1, "{guest}");
    }
}

#[test]
fn a_range_without_an_interface_is_named_where_a_route_is_in_the_place_of_ours() {
    let mut policy = written(C);
    policy.upstreams[0].left_out = LeftOut::Named;
    let mut host = Host::bare(policy);
    let mut facts = facts();
    // As `ip -6 route add` makes it.
    let there = KernelRoute { protocol: 3, metric: 1024, ..of_docker() };
    facts.retain(|fact| *fact != Fact::Route(of_docker()));
    facts.push(Fact::Route(there.clone()));
    host.facts(facts);
    host.input(Input::Synced);
    let lines = only(&host).lines();
    assert_eq!(lines, "[[range]]\nprefix = \"2001:db8:1:2:d::/80\"\n");
    host.kernel.insert(there);
    let guest = address("2001:db8:1:2:d::5");
    let mut host = host.with_guest(guest, guest_mac(5));
    host.input(Input::Reload(Box::new(written(&format!("{C}{lines}")))));
    assert!(!host.events().iter().any(|event| matches!(event, Event::RouteConflict(..))));
    host.solicit(question(guest));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn what_is_behind_a_router_is_named_with_a_range_that_follows_the_routes() {
    let via = KernelRoute {
        next_hop: NextHop::Via(address("fe80::5")),
        protocol: 3,
        metric: 1024,
        ..connected("2001:db8:1:2:f::/80", BRIDGE)
    };
    let mut host = host(written(C));
    host.facts(vec![Fact::RouteGone(of_docker()), Fact::Route(via)]);
    let lines = only(&host).lines();
    assert_eq!(lines, "[[range]]\nprefix = \"2001:db8:1:2:f::/80\"\n");
    host.guests.insert(address("fe80::5"), guest_mac(5));
    host.input(Input::Reload(Box::new(written(&format!("{C}{lines}")))));
    assert_eq!(unserved(&host), []);
    assert!(host.answers_for(address("2001:db8:1:2:f::7")));
}

#[test]
fn a_range_around_it_with_guests_elsewhere_does_not_serve_it() {
    let wide = |interface: &str| {
        format!("[[range]]\nprefix = \"2001:db8:1:2:8::/77\"\ninterface = \"{interface}\"\n")
    };
    let mut host = host(written(&wide("lxcbr0")));
    let network = only(&host);
    assert_eq!(network.around, Some(crate::host::net("2001:db8:1:2:8::/77")));
    let sentence = network.to_string();
    assert!(sentence.ends_with("; the range 2001:db8:1:2:8::/77 looks for its guests elsewhere; its `exclude` can leave 2001:db8:1:2:d::/80 out"), "{sentence}");
    assert!(!sentence.contains("automatic"), "automatic does not serve it: {sentence}");
    // Each of these is a remedy.
    let lines = network.lines();
    let excluding = "exclude = [\"2001:db8:1:2:d::/80\"]\n";
    for remedy in [lines.as_str(), excluding] {
        host.input(Input::Reload(Box::new(written(&format!("{}{remedy}", wide("lxcbr0"))))));
        assert_eq!(unserved(&host), [], "{remedy}");
        host.input(Input::Reload(Box::new(written(&wide("lxcbr0")))));
        assert_eq!(unserved(&host), docker());
    }
    host.input(Input::Reload(Box::new(written(&wide("docker0")))));
    let lxc = ("2001:db8:1:2:c::/112".to_owned(), "lxcbr0".to_owned());
    assert_eq!(unserved(&host), [lxc], "the other one, then");
}

#[test]
fn what_is_left_alone_on_purpose_is_not_told() {
    let never = |prefix: &str| RangePolicy {
        answer: Answer::Never,
        routes: RangeRoutes::None,
        downstream: Downstream::Kernel,
        ..range(prefix, "docker0")
    };
    let policies = [
        with(|policy| policy.upstreams[0].left_out = LeftOut::OnPurpose),
        with(|policy| policy.ranges.push(never("2001:db8:1:2:d::/80"))),
        with(|policy| policy.ranges.push(never("2001:db8:1:2::/64"))),
        with(|policy| {
            let ignore = vec!["docker*".parse().unwrap()];
            policy.upstreams[0].automatic = Some(Automatic { ignore });
        }),
        written(&format!("{C}[[upstream]]\nautomatic = false\n")),
    ];
    for policy in policies {
        let mut host = host(policy);
        assert_eq!(unserved(&host), []);
        assert_eq!(told(&mut host), []);
    }
}

#[test]
fn where_nobody_can_be_or_another_host_serves_is_not_named() {
    let mut host = host(live());
    let own = "2001:db8:1:2:e::1";
    host.facts(vec![
        has(TUNNEL, &format!("{own}/128")),
        Fact::Route(connected(&format!("{own}/128"), TUNNEL)),
        // A guest of another host, as FRR tells of it.
        Fact::Route(KernelRoute {
            next_hop: NextHop::Via(address("fe80::7")),
            protocol: 186,
            ..connected("2001:db8:1:2:e::7/128", TUNNEL)
        }),
    ]);
    assert_eq!(unserved(&host), docker());
    // Where no guests are it is one that automatic answered for.
    host.facts(vec![has(LO, "2001:db8:1:2:f::1/128")]);
    assert_eq!(unserved(&host)[1], ("2001:db8:1:2:f::1/128".to_owned(), "lo".to_owned()));
    let lines = host.engine.unserved()[1].lines();
    assert_eq!(lines, "[[range]]\nprefix = \"2001:db8:1:2:f::1/128\"\n", "no route of ours leads to it");
    // A single guest on the same link is one.
    host.facts(vec![Fact::Route(connected("2001:db8:1:2:e::8/128", TUNNEL))]);
    assert_eq!(unserved(&host).len(), 3);
}

#[test]
fn a_range_of_the_same_prefix_is_not_named_twice() {
    let elsewhere = range("2001:db8:1:2:d::/80", "lxcbr0");
    let host = host(with(|policy| policy.ranges.push(elsewhere)));
    assert_eq!(unserved(&host), []);
}

#[test]
fn only_what_automatic_would_serve_is_named() {
    let mut host = host(live());
    let kinds =
        [RouteKind::Local(LO), RouteKind::Unreachable, RouteKind::Unicast(LO), RouteKind::Unicast(UP)];
    let on = |kind| Fact::Route(KernelRoute { kind, ..connected("2001:db8:1:2:2::/112", LO) });
    host.facts(kinds.map(on).to_vec());
    host.facts(vec![
        Fact::Route(KernelRoute { table: 100, ..connected("2001:db8:1:2:1::/112", BRIDGE) }),
        Fact::Route(connected("2001:db8:7:7::/64", BRIDGE)),
        Fact::Route(connected("2001:db8:1:2::/64", BRIDGE)),
        // Ours.
        Fact::Route(route("2001:db8:1:2:4::/112", RouteKind::Unicast(BRIDGE))),
    ]);
    assert_eq!(unserved(&host), docker());
}

#[test]
fn the_order_in_which_the_kernel_tells_does_not_matter() {
    let mut facts = facts();
    for turn in 0..facts.len() {
        facts.rotate_left(1);
        let mut host = Host::bare(live());
        facts.iter().for_each(|fact| host.facts(vec![fact.clone()]));
        host.input(Input::Synced);
        assert_eq!(unserved(&host), docker(), "turn {turn}");
    }
}

#[test]
fn routes_that_did_not_matter_before_a_reload_are_asked_for_then() {
    let mut host = host(with(|policy| policy.upstreams[0].left_out = LeftOut::OnPurpose));
    host.take();
    host.input(Input::Reload(Box::new(live())));
    assert!(host.take().contains(&Output::Resync));
    host.input(Input::Snapshot(facts()));
    assert_eq!(unserved(&host), docker());
    // And back again, for which nothing has to be known.
    host.input(Input::Reload(Box::new(with(|policy| policy.upstreams[0].left_out = LeftOut::OnPurpose))));
    assert!(!host.take().contains(&Output::Resync));
    assert_eq!(unserved(&host), []);
}

#[test]
fn of_two_upstreams_the_one_that_has_it_on_its_link_is_named() {
    let policy = with(|policy| {
        policy.upstreams =
            ["up0", "up1"].map(|name| upstream(UpstreamInterface::Named(name.parse().unwrap()))).into();
        policy.ranges[0].upstream = Some("up0".parse().unwrap());
    });
    let mut host = host(policy);
    host.facts(vec![
        Fact::Link(link(SECOND, "up1", LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 9])))),
        has(SECOND, "2001:db8:9::2/128"),
        // Its address does not say what is on its link, and so a range has to name it.
        Fact::Route(connected("2001:db8:9::/64", SECOND)),
        Fact::Route(connected("2001:db8:9:0:d::/80", DOCKER)),
    ]);
    let [first, second] = host.engine.unserved() else { panic!("{:?}", host.engine.unserved()) };
    assert_eq!(first.lines().lines().count(), 3);
    assert_eq!(second.lines().lines().last(), Some("upstream = \"up1\""));
    assert!(
        first.instead().starts_with("automatic = true in the [[upstream]] of up0 "),
        "{}",
        first.instead()
    );
}

#[test]
fn one_that_is_on_the_links_of_two_upstreams_is_named_once() {
    let policy = with(|policy| {
        policy.upstreams =
            ["up0", "up1"].map(|name| upstream(UpstreamInterface::Named(name.parse().unwrap()))).into();
        policy.ranges[0].upstream = Some("up0".parse().unwrap());
    });
    let mut host = host(policy);
    host.facts(vec![
        Fact::Link(link(SECOND, "up1", LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 9])))),
        has(SECOND, "2001:db8:1:2::9/64"),
    ]);
    assert_eq!((unserved(&host), host.engine.count_unserved()), (docker(), 1));
}

#[test]
fn thousands_of_them_are_found_in_slices_and_told_in_a_few_lines() {
    let mut host = host(live());
    host.take();
    let networks: Vec<_> = (0..3_000_u32)
        .map(|n| Fact::Route(connected(&format!("2001:db8:1:2:e:{:x}::/96", n), DOCKER)))
        .collect();
    host.engine.handle(Input::Facts(networks), host.now);
    let mut slices = 0;
    let mut events = 0;
    while host.engine.is_behind() {
        while let Some(output) = host.engine.poll_output() {
            events += usize::from(matches!(output, Output::Event(_)));
        }
        host.engine.handle(Input::Timeout, host.now);
        slices += 1;
    }
    while let Some(output) = host.engine.poll_output() {
        events += usize::from(matches!(output, Output::Event(_)));
    }
    assert!(slices > 10, "{slices}");
    assert!(events < 64, "{events}");
    assert_eq!(host.engine.count_unserved(), 3_001);
    assert!(host.engine.unserved().len() < 1_000);
}

#[test]
fn of_a_single_guest_the_interface_is_named_too() {
    let mut host = host(live());
    host.facts(vec![Fact::RouteGone(of_docker()), Fact::Route(connected("2001:db8:1:2:d::7/128", DOCKER))]);
    assert!(only(&host).to_string().contains("interface = \"docker0\","), "{}", only(&host));
}
