//! What is kept in the kernel, and what is said of it: counted, put back, and forgotten with what it was for.

use lone64::engine::facts::{AddressState, Fact, IfIndex, KernelRoute, Link, LinkLayer, RouteKind};
use lone64::engine::policy::{Automatic, Downstream, GuestAddresses, GuestPolicy, Policy, RangeRoutes};
use lone64::engine::{Change, Event, Input, Loss, Outcome, Output, Problem, RouteState};

use crate::host::{
    BRIDGE, Host, UP, address, guest, guest_mac, has, host_address, link, live, route, seconds, usual_facts,
    with,
};

fn by_guest() -> Policy {
    with(|policy| policy.ranges[0].routes = RangeRoutes::Guests)
}

fn of_guest(number: u16, link: IfIndex) -> KernelRoute {
    route(&format!("{}/128", guest(number)), RouteKind::Unicast(link))
}

fn route_changes(outputs: &[Output]) -> Vec<Change> {
    let change = |output: &Output| match output {
        Output::ChangeRoute(change) => Some(change.clone()),
        _ => None,
    };
    outputs.iter().filter_map(change).collect()
}

#[test]
fn routes_are_counted_as_they_are_told_also_where_another_programs_is_enough() {
    let mut host = Host::new(by_guest());
    let of_engine = KernelRoute { protocol: 3, ..of_guest(5, BRIDGE) };
    let in_the_way = KernelRoute { protocol: 3, ..of_guest(6, UP) };
    for foreign in [of_engine, in_the_way] {
        host.kernel.insert(foreign.clone());
        host.facts(vec![Fact::Route(foreign)]);
    }
    (5..8).for_each(|number| host.make_live(guest(number), guest_mac(number)));
    let told = |state| host.engine.routes().filter(|(_, known)| *known == state).count();
    let states = [RouteState::Installed, RouteState::Conflict, RouteState::Pending, RouteState::Refused];
    assert_eq!(states.map(told), [2, 1, 0, 0]);
    assert_eq!(states.map(|state| host.engine.count_routes(state)), [2, 1, 0, 0]);
}

#[test]
fn a_guests_route_is_in_as_soon_as_what_was_in_its_way_is_gone_and_not_tried_before() {
    let mut host = Host::new(by_guest());
    let in_the_way = KernelRoute { protocol: 3, ..of_guest(6, UP) };
    host.kernel.insert(in_the_way.clone());
    host.facts(vec![Fact::Route(in_the_way.clone())]);
    host.make_live(guest(6), guest_mac(6));
    let beside = KernelRoute { metric: 7, ..in_the_way.clone() };
    host.facts(vec![Fact::Route(beside)]);
    assert_eq!(route_changes(&host.take()), [], "it is there still");
    host.kernel.remove(&in_the_way);
    host.facts(vec![Fact::RouteGone(in_the_way)]);
    assert!(host.kernel.contains(&of_guest(6, BRIDGE)));
}

#[test]
fn one_that_is_heard_while_all_is_given_back_gets_no_route() {
    let mut host = Host::new(by_guest());
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Stop);
    assert!(host.kernel.is_empty());
    host.advertise(guest(6), guest_mac(6));
    assert!(host.kernel.is_empty(), "{:?}", host.kernel);
}

#[test]
fn routes_that_went_with_their_interface_are_not_removed_once_more() {
    let mut host = Host::new(by_guest());
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    assert_eq!(route_changes(&host.take()), []);
}

fn is_told(host: &Host, text: &str) -> bool {
    host.engine.problems().iter().any(|problem| problem.to_string().contains(text))
}

#[test]
fn sets_that_nobody_wants_are_no_problem_and_all_is_told_of_them_once() {
    let mut host = Host::new(live());
    host.input(Input::ExportChanged(Outcome::Failed("there is no nft".to_owned())));
    assert!(!is_told(&host, "there is no nft"));
    let wanted = || with(|policy| policy.nft_sets = true);
    host.make_live(guest(5), guest_mac(5));
    let exports = |host: &mut Host, policy: Policy| {
        host.take();
        host.input(Input::Reload(Box::new(policy)));
        host.take().into_iter().filter(|output| matches!(output, Output::Export(_))).count()
    };
    assert_eq!(exports(&mut host, wanted()), 1);
    let other = with(|policy| (policy.nft_sets, policy.limits.pending) = (true, 7));
    assert_eq!(exports(&mut host, other), 0, "it is known");
}

#[test]
fn an_upstream_that_goes_while_it_is_refused_is_no_problem_when_it_is_there_again() {
    let mut host = Host::new(live());
    let refused = || Outcome::Failed("Operation not permitted".to_owned());
    host.input(Input::EarChanged(UP, refused()));
    assert!(host.engine.problems().iter().any(|problem| matches!(problem, Problem::UpstreamNotHeard(..))));
    host.facts(vec![Fact::LinkGone(UP)]);
    host.input(Input::EarChanged(UP, refused()));
    host.facts(usual_facts());
    assert!(!is_told(&host, "not permitted"), "{:?}", host.engine.problems());
}

#[test]
fn a_guest_is_told_to_be_guarded_once_it_is_and_not_while_that_is_refused() {
    let of = |number: u16, guard| GuestPolicy {
        name: format!("web{number}"),
        mac: Some(guest_mac(number)),
        interface: "lxcbr0".parse().ok(),
        addresses: GuestAddresses::Listed(vec![guest(number)]),
        delegate: Vec::new(),
        pin: false,
        guard: Some(guard),
    };
    let mut host = Host::bare(with(|policy| {
        policy.guests = [of(5, true), of(6, false)].map(std::sync::Arc::new).to_vec();
    }));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let keys = host.take().into_iter().find_map(|output| match output {
        Output::Guard(guards) => Some(guards.into_iter().map(|(key, _)| key).collect::<Vec<_>>()),
        _ => None,
    });
    let keys = keys.unwrap();
    let guarded = |host: &Host| {
        let all = host.engine.identified().iter().map(|seen| seen.id);
        all.map(|id| host.engine.keeps_guard(id)).collect::<Vec<_>>()
    };
    host.input(Input::GuardChanged(keys.clone(), Outcome::Done));
    assert_eq!(guarded(&host), [true, false]);
    host.input(Input::GuardChanged(keys.clone(), Outcome::Failed("there is no nft".to_owned())));
    assert_eq!(guarded(&host), [false, false]);
    host.pass(seconds(2));
    host.input(Input::GuardChanged(keys, Outcome::Done));
    assert_eq!(guarded(&host), [true, false]);
}

#[test]
fn a_snapshot_of_all_that_there_is_changes_nothing_however_long_it_is() {
    let mut host = Host::new(by_guest());
    (1..=400).for_each(|number| host.make_live(guest(number), guest_mac(number)));
    let told = |host: &Host| {
        let routes = host.kernel.iter().cloned().map(Fact::Route);
        usual_facts().into_iter().chain(routes).collect::<Vec<_>>()
    };
    host.input(Input::Snapshot(told(&host)));
    assert_eq!(route_changes(&host.take()), []);
    // One of them has gone without a word.
    host.kernel.remove(&of_guest(7, BRIDGE));
    host.input(Input::Snapshot(told(&host)));
    assert_eq!(route_changes(&host.take()), [Change::Add(of_guest(7, BRIDGE))]);
}

#[test]
fn all_is_read_again_where_the_last_address_goes_from_an_interface_with_routes() {
    let dummy = IfIndex(12);
    let layer = LinkLayer::Ethernet(guest_mac(12));
    let mut host = Host::new(live());
    host.facts(vec![Fact::Link(link(dummy, "dummy0", layer)), has(dummy, "fe80::12/64")]);
    let goes = |host: &mut Host, link, text: &str| {
        host.take();
        host.facts(vec![Fact::AddressGone { link, address: address(text) }]);
        host.take().contains(&Output::Resync)
    };
    assert!(!goes(&mut host, dummy, "fe80::12"));
    assert!(goes(&mut host, BRIDGE, "fe80::5054:ff:fe00:b0"));
}

#[test]
fn only_guests_are_asked_to_which_groups_they_listen() {
    let tap = IfIndex(12);
    let layer = LinkLayer::Ethernet(guest_mac(12));
    let leads_to_one = Link { leads_to_one: true, ..link(tap, "tap12", layer) };
    let mut host = Host::new(live());
    host.facts(vec![Fact::Link(leads_to_one), has(tap, "fe80::12/64")]);
    host.input(Input::EarChanged(tap, Outcome::Done));
    assert!(!host.take().iter().any(|output| matches!(output, Output::Query(..))));
}

#[test]
fn while_all_is_given_back_another_policy_reads_nothing_anew() {
    let mut host = Host::new(live());
    host.input(Input::Stop);
    host.take();
    host.input(Input::Reload(Box::new(with(|policy| {
        policy.upstreams[0].automatic = Some(Automatic::default())
    }))));
    assert_eq!(host.take(), []);
}

#[test]
fn a_range_that_is_written_and_then_not_is_not_told_as_one_that_followed_the_host() {
    let mut host = Host::new(live());
    host.input(Input::Reload(Box::new(Policy { ranges: Vec::new(), ..live() })));
    let told = host.events();
    assert!(!told.iter().any(|event| matches!(event, Event::Withdrawn(_))), "{told:?}");
}

#[test]
fn a_guest_of_a_range_that_follows_routes_is_gone_where_its_route_leads_elsewhere() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Kernel;
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    let other = IfIndex(12);
    let layer = LinkLayer::Ethernet(guest_mac(12));
    let to = |link| KernelRoute { protocol: 3, ..of_guest(5, link) };
    host.facts(vec![
        Fact::Link(link(other, "br1", layer)),
        has(other, "fe80::12/64"),
        Fact::Route(to(BRIDGE)),
    ]);
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::RouteReplaced(to(other))]);
    let gone = Event::Gone(guest(5), BRIDGE, Loss::Downstream);
    assert!(host.events().contains(&gone));
}

#[test]
fn a_tentative_address_is_no_source_for_one_in_its_prefix() {
    let mut host = Host::new(live());
    let text = "2001:db8:7::2/64";
    host.facts(vec![Fact::Address(host_address(UP, text, AddressState::Tentative))]);
    let near = |host: &Host| host.engine.links().in_prefix_of(UP, address("2001:db8:7::1"));
    assert_eq!(near(&host), None);
    host.facts(vec![has(UP, text)]);
    assert_eq!(near(&host), Some(address("2001:db8:7::2")));
    assert_eq!(host.engine.links().in_prefix_of(UP, address("fe80::1")), None);
}

#[test]
fn that_a_guests_route_is_there_and_that_it_is_gone_is_told() {
    let mut host = Host::new(by_guest());
    host.ask(guest(5));
    host.advertise(guest(5), guest_mac(5));
    assert!(host.events().contains(&Event::RouteInstalled(of_guest(5, BRIDGE))));
    host.pass(seconds(600));
    assert!(host.events().contains(&Event::RouteRemoved(of_guest(5, BRIDGE))));
}

#[test]
fn a_guests_route_that_took_the_place_of_another_comes_back_when_it_is_deleted() {
    let mut host = Host::new(by_guest());
    let foreign = KernelRoute { protocol: 3, ..of_guest(5, UP) };
    host.kernel.insert(foreign.clone());
    host.facts(vec![Fact::Route(foreign.clone())]);
    host.make_live(guest(5), guest_mac(5));
    assert_eq!(host.engine.count_routes(RouteState::Conflict), 1);
    host.kernel.remove(&foreign);
    host.kernel.insert(of_guest(5, BRIDGE));
    host.facts(vec![Fact::RouteReplaced(of_guest(5, BRIDGE))]);
    assert_eq!(host.engine.count_routes(RouteState::Installed), 1);
    let foreign = host.engine.foreign_way(&guest(5).into(), Some(UP));
    assert_eq!(
        foreign.map(|route| route.destination.prefix_len()),
        Some(0),
        "only the default route is left"
    );
    host.kernel.clear();
    host.facts(vec![Fact::RouteGone(of_guest(5, BRIDGE))]);
    assert!(host.kernel.contains(&of_guest(5, BRIDGE)));
}
