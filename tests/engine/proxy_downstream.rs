//! `proxy-downstream`: guests that take the whole /64 for their own link are answered on that link, for
//! whom, and for whom not. What is learned of the upstream's neighbors for it is in `neighbors`.

use std::net::Ipv6Addr;

use lone64::engine::facts::{AddressState, Fact, IfIndex, KernelRoute, LinkLayer, NextHop, RouteKind};
use lone64::engine::policy::{Answer, Downstream, Override, Policy, RangeRoutes};
use lone64::engine::{Ear, Event, Input, Output, Role};
use lone64::wire::{Advertisement, Flags, Mac, Solicitation, solicited_node};

use crate::host::reports::{begun, ended};
use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, UP, address, dad, default_route, guest, guest_mac, has, host_address, link,
    live, net, question_from, range, reply, route, usual_facts, with,
};

/// A second downstream.
pub const OTHER: IfIndex = IfIndex(4);
/// A layer-3 one.
const TUN: IfIndex = IfIndex(5);
pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The usual range, with the key.
pub fn proxying() -> Policy {
    with(|policy| policy.ranges[0].proxy_downstream = true)
}

/// Two ranges behind two downstreams, of which the first is proxied.
pub fn two_downstreams() -> Host {
    let mut policy = proxying();
    policy.ranges.push(range("2001:db8:1:2:d::/112", "other0"));
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    host.facts(vec![
        Fact::Link(link(OTHER, "other0", LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 0xb4])))),
        has(OTHER, "fe80::b4/64"),
    ]);
    host.input(Input::Synced);
    host.take();
    host
}

/// A guest of the second.
pub fn other(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, number)
}

/// The guest with the number 5 asks its own link for the target.
pub fn asked_by_guest(target: Ipv6Addr) -> Solicitation {
    question_from(guest(5), guest_mac(5), target)
}

/// What is advertised on the bridge in the instant of this question.
pub fn answers_to(host: &mut Host, question: Solicitation) -> Vec<Advertisement> {
    host.take();
    host.input(Input::Solicitation(BRIDGE, question));
    advertised(host)
}

/// What was advertised on the bridge.
pub fn advertised(host: &mut Host) -> Vec<Advertisement> {
    let on_bridge = |output| match output {
        Output::Advertise(link, advertisement) => {
            assert_eq!(link, BRIDGE);
            Some(advertisement)
        }
        _ => None,
    };
    host.take().into_iter().filter_map(on_bridge).collect()
}

/// Whether the guest gets an answer at once, and just one.
pub fn is_answered(host: &mut Host, target: Ipv6Addr) -> bool {
    let answers = answers_to(host, asked_by_guest(target));
    assert!(answers.len() <= 1, "{answers:?}");
    answers.first().is_some_and(|answer| answer.target == target)
}

fn via(gateway: &str) -> KernelRoute {
    KernelRoute { next_hop: NextHop::Via(address(gateway)), ..default_route(UP) }
}

#[test]
fn the_gateway_is_answered_for_with_the_downstreams_own_address_also_a_link_local_one() {
    let mut host = Host::new(proxying());
    for gateway in ["fe80::1", "2001:db8:1:2::1", "2001:db8:ffff::1"] {
        host.facts(vec![Fact::RouteGone(default_route(UP)), Fact::Route(via(gateway))]);
        let expected = Advertisement {
            source_mac: BRIDGE_MAC,
            destination_mac: guest_mac(5),
            source: address("fe80::5054:ff:fe00:b0"),
            destination: guest(5),
            target: address(gateway),
            flags: Flags { router: true, solicited: true, override_entry: false },
            target_link_layer: Some(BRIDGE_MAC),
        };
        assert_eq!(answers_to(&mut host, asked_by_guest(address(gateway))), [expected]);
        host.facts(vec![Fact::RouteGone(via(gateway))]);
        assert!(!is_answered(&mut host, address(gateway)), "{gateway} is no gateway any more");
    }
}

#[test]
fn a_reachability_probe_is_answered_as_well() {
    let mut host = Host::new(proxying());
    let probe = Solicitation {
        destination_mac: BRIDGE_MAC,
        destination: GATEWAY,
        source_link_layer: None,
        ..asked_by_guest(GATEWAY)
    };
    let answers = answers_to(&mut host, probe);
    assert_eq!((answers.len(), answers[0].flags.solicited), (1, true));
}

#[test]
fn without_the_key_nobody_is_answered_and_nobody_asked() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    for target in ["fe80::1", "2001:db8:1:2::2", "2001:db8:1:2::77"] {
        host.take();
        host.input(Input::Solicitation(BRIDGE, asked_by_guest(address(target))));
        let outputs = host.take();
        let is_silent = |output: &Output| !matches!(output, Output::Advertise(..) | Output::Solicit(..));
        assert!(outputs.iter().all(is_silent), "{outputs:?}");
    }
    assert_eq!((host.engine.known_neighbors(), host.engine.counters().downstream_answers), (0, 0));
}

#[test]
fn the_source_has_the_scope_of_the_asker_where_the_downstream_has_such_an_address() {
    let mut host = Host::new(proxying());
    let from = |asker: &str| question_from(address(asker), guest_mac(5), GATEWAY);
    let source = |host: &mut Host, asker| answers_to(host, from(asker))[0].source;
    assert_eq!(source(&mut host, "2001:db8:1:2:c::5"), address("fe80::5054:ff:fe00:b0"));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(source(&mut host, "2001:db8:1:2:c::5"), address("2001:db8:1:2:c::1"));
    assert_eq!(source(&mut host, "fe80::5"), address("fe80::5054:ff:fe00:b0"));
}

#[test]
fn an_upstream_that_always_overrides_does_so_here() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].proxy_downstream = true;
        policy.upstreams[0].override_flag = Override::Always;
    }));
    assert!(answers_to(&mut host, asked_by_guest(GATEWAY))[0].flags.override_entry);
}

#[test]
fn duplicate_address_detection_is_never_answered_whoever_has_the_address() {
    let mut host = two_downstreams();
    host.input(Input::Advertisement(OTHER, reply(other(6), guest_mac(6))));
    host.input(Input::Advertisement(BRIDGE, reply(guest(7), guest_mac(7))));
    let neighbor = address("2001:db8:1:2::77");
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor)));
    host.input(Input::Advertisement(UP, reply(neighbor, Mac([2, 0, 0, 0, 0, 0x77]))));
    assert!(is_answered(&mut host, neighbor) && is_answered(&mut host, other(6)), "asked for, they are");
    for taken in [guest(5), guest(7), other(6), neighbor, GATEWAY, address("2001:db8:1:2::2")] {
        assert_eq!(answers_to(&mut host, dad(guest_mac(5), taken)), [], "{taken}");
    }
}

#[test]
fn what_is_on_the_askers_own_link_answers_for_itself() {
    let mut host = Host::new(proxying());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112"), has(BRIDGE, "fe80::1/64")]);
    host.make_live(guest(6), guest_mac(6));
    // The host there, also with the gateway's link-local address; another guest, known and not; and any
    // link-local address besides.
    for target in [address("2001:db8:1:2:c::1"), GATEWAY, guest(6), guest(7), address("fe80::77")] {
        let outputs = {
            host.take();
            host.input(Input::Solicitation(BRIDGE, asked_by_guest(target)));
            host.take()
        };
        let is_about_it = |output: &Output| match output {
            Output::Advertise(..) => true,
            Output::Solicit(_, solicitation) => solicitation.target == target,
            _ => false,
        };
        assert!(!outputs.iter().any(is_about_it), "{target}: {outputs:?}");
    }
}

#[test]
fn the_hosts_other_addresses_are_answered_for_as_those_of_a_router() {
    let mut host = two_downstreams();
    host.facts(vec![
        has(OTHER, "2001:db8:1:2:d::1/112"),
        Fact::Address(host_address(OTHER, "2001:db8:1:2:d::2/112", AddressState::Tentative)),
        has(OTHER, "2001:db8:77::1/64"),
    ]);
    for own in ["2001:db8:1:2::2", "2001:db8:1:2:d::1"] {
        let answers = answers_to(&mut host, asked_by_guest(address(own)));
        assert_eq!((answers.len(), answers[0].flags.router), (1, true), "{own}");
    }
    // Not yet its own, and of another link than that which the guest takes for its.
    for silent in ["2001:db8:1:2:d::2", "2001:db8:77::1"] {
        assert!(!is_answered(&mut host, address(silent)), "{silent}");
    }
}

#[test]
fn a_guest_behind_another_downstream_is_answered_for_once_it_is_live() {
    let mut host = two_downstreams();
    assert!(!is_answered(&mut host, other(6)), "it is asked first");
    host.input(Input::Advertisement(OTHER, reply(other(6), guest_mac(6))));
    let answers = advertised(&mut host);
    assert_eq!((answers.len(), answers[0].target, answers[0].destination), (1, other(6), guest(5)));
    assert!(!answers[0].flags.router);
    assert!(is_answered(&mut host, other(6)), "and at once from then on");
    host.facts(vec![Fact::LinkGone(OTHER)]);
    assert!(!is_answered(&mut host, other(6)));
}

#[test]
fn a_dead_guest_behind_another_downstream_is_asked_three_times_and_not_answered_for() {
    let mut host = two_downstreams();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(other(6))));
    host.pass(std::time::Duration::from_secs(10));
    let outputs = host.take();
    let asked = outputs.iter().filter(|output| matches!(output, Output::Solicit(OTHER, _)));
    assert_eq!(asked.count(), 3);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Advertise(..) | Output::Solicit(UP, _))));
}

#[test]
fn a_guest_is_not_answered_before_its_route_is_in() {
    let mut policy = proxying();
    policy.ranges[0].downstream = Downstream::Matching(vec!["*r0".parse().unwrap()]);
    policy.ranges[0].routes = RangeRoutes::Guests;
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    let mac = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 0xb4]));
    host.facts(vec![Fact::Link(link(OTHER, "other0", mac)), has(OTHER, "fe80::b4/64")]);
    host.input(Input::Synced);
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(guest(6))));
    host.take();
    host.input(Input::Advertisement(OTHER, reply(guest(6), guest_mac(6))));
    let outputs = host.take();
    let position = |what: &dyn Fn(&Output) -> bool| outputs.iter().position(what).unwrap();
    let route = position(&|output| matches!(output, Output::ChangeRoute(_)));
    assert!(route < position(&|output| matches!(output, Output::Advertise(BRIDGE, _))), "{outputs:?}");
}

#[test]
fn ranges_that_are_answered_as_a_whole_are_so_here_but_for_their_own_guests() {
    let mut host = two_downstreams();
    let mut policy = host.engine.written().clone();
    policy.ranges[0].answer = Answer::Always;
    policy.ranges[1].answer = Answer::Always;
    host.input(Input::Reload(Box::new(policy)));
    assert!(is_answered(&mut host, other(6)) && !is_answered(&mut host, guest(6)));
    assert!(is_answered(&mut host, GATEWAY), "the key does not depend on `answer`");
}

#[test]
fn peers_behind_a_link_without_neighbor_discovery_are_there_while_they_are_routed_there() {
    let mut policy = proxying();
    policy.ranges.push(range("2001:db8:1:2:e::/112", "wg0"));
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    host.facts(vec![Fact::Link(link(TUN, "wg0", LinkLayer::None))]);
    host.input(Input::Synced);
    let peer = address("2001:db8:1:2:e::5");
    assert!(is_answered(&mut host, peer));
    host.facts(vec![Fact::LinkGone(TUN)]);
    assert!(!is_answered(&mut host, peer));
}

#[test]
fn a_downstream_without_a_link_layer_has_nobody_who_asks() {
    let mut policy = proxying();
    policy.ranges = vec![range("2001:db8:1:2:e::/112", "wg0")];
    policy.ranges[0].proxy_downstream = true;
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    host.facts(vec![Fact::Link(link(TUN, "wg0", LinkLayer::None)), has(TUN, "2001:db8:1:2:e::1/112")]);
    host.input(Input::Synced);
    let ears: Vec<_> = host.take().into_iter().filter(|o| matches!(o, Output::Listen(..))).collect();
    let router = [net("fe80::1/128")];
    assert!(
        matches!(&ears[..], [Output::Listen(UP, Ear { role: Role::Upstream { neighbors, .. }, .. })] if *neighbors == router)
    );
}

#[test]
fn a_range_that_follows_the_kernels_routes_is_proxied_wherever_they_lead() {
    let mut policy = proxying();
    policy.ranges[0].downstream = Downstream::Kernel;
    policy.ranges[0].routes = RangeRoutes::None;
    let mut host = Host::new(policy);
    assert!(!is_answered(&mut host, GATEWAY));
    let to = |link| KernelRoute { protocol: 2, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(link)) };
    host.facts(vec![Fact::Route(to(BRIDGE))]);
    assert!(is_answered(&mut host, GATEWAY));
    host.facts(vec![Fact::RouteGone(to(BRIDGE)), Fact::Route(to(UP))]);
    assert!(!is_answered(&mut host, GATEWAY));
}

#[test]
fn whoever_asks_is_known_to_live_and_served_as_before() {
    let mut host = Host::new(proxying());
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(GATEWAY)));
    assert!(host.is_live(guest(5)));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(6), guest(6))));
    assert!(host.is_live(guest(6)) && host.answers_for(guest(6)));
}

#[test]
fn a_guest_with_too_short_a_mask_is_no_fault_where_it_is_answered() {
    let neighbor = address("2001:db8:1:2::1");
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor)));
    assert_eq!(host.engine.wide_masks().count(), 1);
    host.input(Input::Reload(Box::new(proxying())));
    assert_eq!(host.engine.wide_masks().count(), 0);
    host.take();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor)));
    assert!(!host.events().iter().any(|event| matches!(event, Event::WideMask(..))));
    assert_eq!(host.engine.wide_masks().count(), 0);
}

#[test]
fn a_reload_begins_and_ends_it() {
    let mut host = Host::new(live());
    for _ in 0..2 {
        host.input(Input::Reload(Box::new(proxying())));
        assert!(is_answered(&mut host, GATEWAY));
        let waiting = address("2001:db8:1:2::77");
        host.input(Input::Solicitation(BRIDGE, asked_by_guest(waiting)));
        host.input(Input::Reload(Box::new(live())));
        assert!(!is_answered(&mut host, GATEWAY));
        host.input(Input::Advertisement(UP, reply(waiting, Mac([2, 0, 0, 0, 0, 0x77]))));
        assert_eq!(advertised(&mut host), [], "who still waited is not answered any more");
        host.pass(std::time::Duration::from_secs(100));
        assert_eq!(host.engine.known_neighbors(), 0);
    }
}

#[test]
fn the_upstream_hears_its_neighbors_advertisements_and_no_more_questions() {
    let mut host = Host::bare(proxying());
    host.facts(usual_facts());
    let role = |host: &mut Host| {
        let mut roles = host.take().into_iter().filter_map(|output| match output {
            Output::Listen(UP, ear) => Some(ear.role),
            _ => None,
        });
        roles.next_back()
    };
    let ranges = vec![net("2001:db8:1:2:c::/112")];
    let with = |neighbors| Some(Role::Upstream { ranges: ranges.clone(), neighbors });
    assert_eq!(role(&mut host), with(vec![net("2001:db8:1:2::/64"), net("fe80::1/128")]));
    host.input(Input::Synced);
    host.input(Input::Reload(Box::new(live())));
    assert_eq!(role(&mut host), with(vec![net("fe80::1/128")]));
}

#[test]
fn the_groups_of_the_gateway_and_the_host_are_joined_where_guests_ask_for_them() {
    let groups = |host: &mut Host, is_join: bool| {
        let outputs = host.take();
        let all = if is_join { begun(&outputs) } else { ended(&outputs) };
        all.into_iter().filter(|(link, _)| *link == BRIDGE).map(|(_, group)| group).collect::<Vec<_>>()
    };
    let both = [GATEWAY, address("2001:db8:1:2::2")].map(solicited_node);
    let mut host = Host::new(live());
    host.input(Input::Reload(Box::new(proxying())));
    let mut joined = groups(&mut host, true);
    joined.sort_unstable();
    assert_eq!(joined, both);
    // The kernel reports the group of an address of that link itself.
    host.facts(vec![has(BRIDGE, "fe80::1/64")]);
    assert!(groups(&mut host, false).is_empty(), "the kernel goes on with it");
    host.input(Input::Reload(Box::new(live())));
    assert_eq!(groups(&mut host, false), both[1..]);
    host.input(Input::Reload(Box::new(with(|policy| {
        policy.ranges[0].proxy_downstream = true;
        policy.upstreams[0].mld = lone64::engine::policy::Mld::No;
    }))));
    assert!(groups(&mut host, true).is_empty());
}

#[test]
fn answers_on_a_downstream_have_a_counter_of_their_own() {
    let mut host = Host::new(proxying());
    host.make_live(guest(6), guest_mac(6));
    host.ask(guest(6));
    let upstream = host.engine.counters().of(UP).answered;
    assert!(is_answered(&mut host, GATEWAY) && is_answered(&mut host, address("2001:db8:1:2::2")));
    assert_eq!(host.engine.counters().downstream_answers, 2);
    assert_eq!(host.engine.counters().of(UP).answered, upstream);
}
