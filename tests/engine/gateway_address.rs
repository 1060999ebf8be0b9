//! The guests' gateway: kept on every downstream of its range, for as long as that is one, and never
//! taken from anybody else.

mod home;
mod reloads;

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, RouteKind};
use lone64::engine::policy::{Downstream, OnStop, RangePolicy, RangeRoutes};
use lone64::engine::{AddressChange, AddressOutcome, Event, Input, Obstacle, Output, Problem};
use lone64::wire::Mac;

use crate::host::{BRIDGE, Host, LO, UP, address, link, route, seconds, usual_facts};
use home::{Home, VETHS, changed, fact, gateway, on_bridge, routed, veth_link};

const OURS: u8 = 64;

#[test]
fn is_put_on_every_downstream_and_taken_away_at_the_end() {
    let mut home = Home::new(routed());
    assert_eq!(home.there(), [(VETHS[0], OURS), (VETHS[1], OURS)]);
    assert!(home.events.contains(&Event::GatewayAdded(VETHS[0], gateway())));
    assert_eq!(home.changed(), 2, "each once");
    home.stop();
    assert_eq!(home.there(), []);
    assert!(home.events.contains(&Event::GatewayRemoved(VETHS[1], gateway())));
}

#[test]
fn nothing_is_changed_before_everything_is_known() {
    let mut host = Host::bare(routed());
    host.facts(vec![Fact::Link(veth_link(VETHS[0], LinkState::Up))]);
    assert!(!host.take().iter().any(|output| matches!(output, Output::ChangeAddress(_))));
}

#[test]
fn stays_at_the_end_if_the_policy_says_so() {
    let mut home = Home::new(changed(|policy| policy.routes.on_stop = OnStop::Keep));
    home.stop();
    assert_eq!(home.there().len(), 2);
}

#[test]
fn comes_and_goes_with_the_interface_and_its_name() {
    let mut home = Home::new(routed());
    let new = IfIndex(12);
    home.facts(vec![Fact::Link(veth_link(new, LinkState::Down))]);
    assert!(!home.there().contains(&(new, OURS)), "what is down loses it when it comes up");
    home.facts(vec![Fact::Link(veth_link(new, LinkState::NoCarrier))]);
    assert!(home.there().contains(&(new, OURS)));

    let renamed = link(new, "other", LinkLayer::Ethernet(Mac([2, 0, 0, 0, 1, 12])));
    home.facts(vec![Fact::Link(renamed)]);
    assert!(!home.there().contains(&(new, OURS)));
    home.facts(vec![Fact::Link(veth_link(new, LinkState::Up))]);
    assert!(home.there().contains(&(new, OURS)));

    home.kernel.remove(&(new, gateway()));
    home.changed();
    home.facts(vec![Fact::LinkGone(new)]);
    assert_eq!(home.changed(), 0, "it has gone with the interface");
}

#[test]
fn is_put_back_when_somebody_removes_it_or_the_interface_was_down() {
    let mut home = Home::new(routed());
    home.somebody_removes(VETHS[0]);
    assert!(home.there().contains(&(VETHS[0], OURS)));
    home.kernel.remove(&(VETHS[1], gateway()));
    let gone = Fact::AddressGone { link: VETHS[1], address: gateway() };
    home.facts(vec![Fact::Link(veth_link(VETHS[1], LinkState::Down)), gone]);
    assert!(!home.there().contains(&(VETHS[1], OURS)));
    home.facts(vec![Fact::Link(veth_link(VETHS[1], LinkState::Up))]);
    assert!(home.there().contains(&(VETHS[1], OURS)));
}

#[test]
fn is_put_nowhere_that_guests_do_not_ask_for_it() {
    let mut home = Home::new(routed());
    let tunnel = link(IfIndex(12), "vethtun", LinkLayer::None);
    let port = Link { master: Some(BRIDGE), ..veth_link(IfIndex(13), LinkState::Up) };
    home.facts(vec![Fact::Link(tunnel), Fact::Link(port)]);
    assert_eq!(home.there(), [(VETHS[0], OURS), (VETHS[1], OURS)]);
    // One that leaves its bridge is a downstream like any other, and one that is put into one is not.
    home.facts(vec![Fact::Link(veth_link(IfIndex(13), LinkState::Up))]);
    assert!(home.there().contains(&(IfIndex(13), OURS)));
    let port = Link { master: Some(BRIDGE), ..veth_link(VETHS[0], LinkState::Up) };
    home.facts(vec![Fact::Link(port)]);
    assert!(!home.there().contains(&(VETHS[0], OURS)));
}

#[test]
fn never_is_on_the_upstream_or_lo_also_where_the_kernel_s_routes_decide() {
    let by_kernel = RangePolicy { downstream: Downstream::Kernel, routes: RangeRoutes::None, ..on_bridge() };
    let mut home = Home::new(changed(|policy| policy.ranges[0] = by_kernel));
    assert_eq!(home.there(), []);
    let foreign = |destination, link| {
        let protocol = 4;
        let route = route(destination, RouteKind::Unicast(link));
        Fact::Route(KernelRoute { protocol, ..route })
    };
    home.facts(vec![
        foreign("2001:db8:1:2:c::5/128", VETHS[0]),
        foreign("2001:db8:1:2:c::6/128", UP),
        foreign("2001:db8:1:2:c::7/128", LO),
    ]);
    assert_eq!(home.there(), [(VETHS[0], OURS)]);
    let Fact::Route(route) = foreign("2001:db8:1:2:c::5/128", VETHS[0]) else { unreachable!() };
    home.facts(vec![Fact::RouteGone(route)]);
    assert_eq!(home.there(), []);
}

#[test]
fn an_equal_one_of_somebody_else_serves_and_stays_his() {
    let mut home = Home::found(routed(), &[(VETHS[0], 0)]);
    assert_eq!(home.there(), [(VETHS[0], 0), (VETHS[1], OURS)]);
    // He takes it away, and puts it back in the place of ours.
    home.somebody_removes(VETHS[0]);
    assert_eq!(home.there(), [(VETHS[0], OURS), (VETHS[1], OURS)]);
    home.somebody_puts(VETHS[0], 0);
    assert!(home.host.engine.problems().is_empty());
    home.stop();
    assert_eq!(home.there(), [(VETHS[0], 0)]);
}

#[test]
fn one_that_was_put_there_while_ours_was_under_way_is_left_alone() {
    let mut home = Home::new(routed());
    let new = IfIndex(12);
    home.kernel.insert((new, gateway()), 3);
    home.facts(vec![Fact::Link(veth_link(new, LinkState::Up))]);
    home.facts(vec![fact(new, 3)]);
    assert!(home.there().contains(&(new, 3)));
    home.stop();
    assert_eq!(home.there(), [(new, 3)]);
}

#[test]
fn those_of_a_killed_predecessor_are_adopted_and_what_is_too_much_of_them_goes() {
    let mut home = Home::found(routed(), &[(VETHS[0], OURS), (BRIDGE, OURS)]);
    assert_eq!(home.there(), [(VETHS[0], OURS), (VETHS[1], OURS)]);
    assert_eq!(home.changed(), 2, "one removed, one added, one adopted");
    home.stop();
    assert_eq!(home.there(), []);
}

#[test]
fn a_kernel_that_keeps_no_numbers_loses_what_this_engine_has_put_there_and_nothing_else() {
    let mut home = Home::before_5_18(routed(), &[VETHS[0]]);
    home.somebody_removes(VETHS[1]);
    assert_eq!(home.there(), [(VETHS[0], 0), (VETHS[1], 0)]);
    home.changed();
    home.facts(vec![Fact::Link(veth_link(VETHS[1], LinkState::Up))]);
    assert_eq!(home.changed(), 0, "it is known to be there");
    home.stop();
    assert_eq!(home.there(), [(VETHS[0], 0)]);
}

#[test]
fn follows_a_reload() {
    let mut home = Home::new(routed());
    let other = address("fe80::64");
    home.input(Input::Reload(Box::new(changed(|policy| policy.ranges[0].gateway = Some(other)))));
    assert_eq!(home.kernel.keys().copied().collect::<Vec<_>>(), VETHS.map(|veth| (veth, other)));
    // Two ranges on one downstream: each has its own.
    let both = changed(|policy| {
        policy.ranges.push(RangePolicy {
            prefix: crate::host::net("2001:db8:1:2:d::/112"),
            gateway: Some(other),
            ..policy.ranges[0].clone()
        });
    });
    home.input(Input::Reload(Box::new(both)));
    assert_eq!(home.kernel.len(), 4);
    home.input(Input::Reload(Box::new(changed(|policy| policy.ranges[0].gateway = None))));
    assert_eq!(home.there(), []);
}

#[test]
fn another_number_marks_them_anew() {
    let mut home = Home::found(routed(), &[(VETHS[0], 0)]);
    home.input(Input::Reload(Box::new(changed(|policy| policy.routes.protocol = 65))));
    assert_eq!(home.there(), [(VETHS[0], 0), (VETHS[1], 65)]);
    home.stop();
    assert_eq!(home.there(), [(VETHS[0], 0)]);
}

#[test]
fn what_the_kernel_refuses_is_told_once_and_tried_again_when_the_interface_changes() {
    let mut home = Home::new(changed(|policy| policy.ranges[0].gateway = None));
    home.refuses = Some(Obstacle::SwitchedOff);
    home.input(Input::Reload(Box::new(routed())));
    let names = ["veth10", "veth11"].map(|name| name.parse().unwrap());
    let problems = names.map(|name| Problem::GatewayRefused(name, gateway(), Obstacle::SwitchedOff));
    assert_eq!(home.host.engine.problems(), problems);
    assert!(problems[0].to_string().contains("sysctl -w net/ipv6/conf/veth10/disable_ipv6=0"));
    assert_eq!(home.changed(), 2);
    // Nothing has changed there.
    home.facts(vec![Fact::Link(veth_link(IfIndex(12), LinkState::Down))]);
    assert_eq!(home.changed(), 0);
    home.facts(vec![Fact::Link(veth_link(VETHS[0], LinkState::Up))]);
    assert_eq!(home.changed(), 1);
    let told = home.events.iter().filter(|event| matches!(event, Event::Problem(_))).count();
    assert_eq!(told, 2, "{:?}", home.events);

    home.refuses = None;
    home.facts(vec![Fact::Link(veth_link(VETHS[0], LinkState::Up))]);
    assert_eq!(home.there(), [(VETHS[0], OURS)]);
    assert!(home.events.contains(&Event::Solved(problems[0].clone())));
    // That IPv6 is on again is not always told.
    home.host.pass(seconds(30));
    home.carry_out();
    assert_eq!(home.there(), [(VETHS[0], OURS), (VETHS[1], OURS)]);
    assert!(home.host.engine.problems().is_empty());
}

#[test]
fn an_interface_that_goes_meanwhile_is_no_problem() {
    let mut home = Home::new(routed());
    home.refuses = Some(Obstacle::NoDevice);
    home.facts(vec![Fact::Link(veth_link(IfIndex(12), LinkState::Up))]);
    assert!(home.host.engine.problems().is_empty());
    home.facts(vec![Fact::LinkGone(IfIndex(12))]);
    home.changed();
    home.host.pass(seconds(60));
    home.carry_out();
    assert_eq!(home.changed(), 0);
}

#[test]
fn after_lost_messages_what_there_is_decides() {
    let mut home = Home::new(routed());
    let mut facts = usual_facts();
    facts.extend(VETHS.map(|veth| Fact::Link(veth_link(veth, LinkState::Up))));
    // Of the first nothing was told when it went.
    facts.push(fact(VETHS[1], OURS));
    home.kernel.remove(&(VETHS[0], gateway()));
    home.input(Input::Snapshot(facts));
    assert_eq!(home.there(), [(VETHS[0], OURS), (VETHS[1], OURS)]);
}

#[test]
fn word_of_a_removal_that_overtakes_the_answer_is_not_lost() {
    let mut home = Home::new(routed());
    let new = IfIndex(12);
    // Added, told, removed by somebody, told: and only then the answer.
    home.host.facts(vec![Fact::Link(veth_link(new, LinkState::Up))]);
    let asked = home.host.take().into_iter().find_map(address_change);
    home.host.facts(vec![fact(new, OURS), Fact::AddressGone { link: new, address: gateway() }]);
    home.input(Input::AddressChanged(asked.unwrap(), AddressOutcome::Done));
    assert!(home.there().contains(&(new, OURS)));
}

#[test]
fn one_that_was_never_told_is_put_back_and_removed_like_any_other() {
    // Without a carrier Linux tells of no address that is added without DAD.
    let mut home = Home::new(routed());
    let new = IfIndex(12);
    let ours = |home: &mut Home| home.host.take().into_iter().find_map(address_change);
    home.host.facts(vec![Fact::Link(veth_link(new, LinkState::NoCarrier))]);
    for _ in 0..2 {
        let Some(change @ AddressChange::Add(_)) = ours(&mut home) else { panic!("it is not put there") };
        home.host.input(Input::AddressChanged(change, AddressOutcome::Done));
        home.host.facts(vec![Fact::AddressGone { link: new, address: gateway() }]);
    }
    let change = ours(&mut home).unwrap();
    home.host.input(Input::AddressChanged(change, AddressOutcome::Done));
    home.host.input(Input::Stop);
    let removed = home.host.take().into_iter().any(|output| match output {
        Output::ChangeAddress(AddressChange::Remove(ours)) => ours.link == new,
        _ => false,
    });
    assert!(removed);
}

#[test]
fn what_is_still_on_its_way_in_at_the_end_is_taken_out_again() {
    let mut home = Home::new(routed());
    let new = IfIndex(12);
    home.host.facts(vec![Fact::Link(veth_link(new, LinkState::Up))]);
    home.host.input(Input::Stop);
    home.carry_out();
    assert_eq!(home.there(), []);
}

/// Found by chance: in truth the interface was made anew before the address was put there.
#[test]
fn one_that_was_put_on_an_interface_made_anew_is_known_by_the_number_that_it_bore() {
    let mut home = Home::new(changed(|policy| policy.ranges[0].gateway = None));
    let veth = VETHS[0];
    home.host.input(Input::Reload(Box::new(routed())));
    let asked: Vec<_> = home.host.take().into_iter().filter_map(address_change).collect();
    for change in asked {
        home.host.input(Input::AddressChanged(change, AddressOutcome::Done));
    }
    home.host.input(Input::Reload(Box::new(changed(|policy| policy.routes.protocol = 65))));
    // Word of somebody's on the interface before it.
    home.host.facts(vec![fact(veth, 0)]);
    home.host.facts(vec![Fact::LinkGone(veth)]);
    home.host.facts(vec![Fact::Link(veth_link(veth, LinkState::Up))]);
    let again = home.host.take().into_iter().find_map(address_change).expect("it is not known to be there");
    home.host.facts(vec![fact(veth, OURS)]);
    home.host.input(Input::AddressChanged(again, AddressOutcome::Exists));
    let changes: Vec<_> = home.host.take().into_iter().filter_map(address_change).collect();
    assert!(matches!(changes[..], [AddressChange::Remove(ours)] if ours.link == veth), "{changes:?}");
}

fn address_change(output: Output) -> Option<AddressChange> {
    match output {
        Output::ChangeAddress(change) => Some(change),
        _ => None,
    }
}

#[test]
fn an_interface_that_goes_takes_along_what_is_known_of_it_and_nothing_of_another() {
    let mut home = Home::new(changed(|policy| policy.ranges[0].gateway = None));
    home.refuses = Some(Obstacle::SwitchedOff);
    home.input(Input::Reload(Box::new(routed())));
    let problem =
        |name: &str| Problem::GatewayRefused(name.parse().unwrap(), gateway(), Obstacle::SwitchedOff);
    home.facts(vec![Fact::LinkGone(VETHS[1])]);
    assert_eq!(home.host.engine.problems(), [problem("veth10")]);
    assert!(!home.events.contains(&Event::Solved(problem("veth10"))));

    // A kernel that keeps no numbers: only this engine knows which addresses it has put there.
    let mut home = Home::before_5_18(routed(), &[]);
    home.kernel.remove(&(VETHS[1], gateway()));
    home.facts(vec![Fact::LinkGone(VETHS[1])]);
    home.stop();
    assert_eq!(home.there(), []);
}

#[test]
fn one_that_was_never_told_is_put_there_once_and_again_on_an_interface_with_the_same_number() {
    let mut home = Home::new(routed());
    let new = IfIndex(12);
    let ours = |home: &mut Home| home.host.take().into_iter().find_map(address_change);
    let comes = |home: &mut Home| home.host.facts(vec![Fact::Link(veth_link(new, LinkState::NoCarrier))]);
    comes(&mut home);
    let change = ours(&mut home).unwrap();
    home.host.input(Input::AddressChanged(change, AddressOutcome::Done));
    home.host.facts(vec![Fact::LinkGone(VETHS[1])]);
    comes(&mut home);
    assert_eq!(ours(&mut home), None, "the other interface has nothing to do with it");
    home.host.facts(vec![Fact::LinkGone(new)]);
    comes(&mut home);
    assert_eq!(ours(&mut home), Some(change), "it went with its interface");
}

#[test]
fn under_a_kernel_without_numbers_one_that_was_put_there_meanwhile_is_left_alone_too() {
    let mut home = Home::before_5_18(routed(), &[]);
    let new = IfIndex(12);
    home.kernel.insert((new, gateway()), 0);
    home.facts(vec![Fact::Link(veth_link(new, LinkState::Up))]);
    home.facts(vec![fact(new, 0)]);
    home.stop();
    assert_eq!(home.there(), [(new, 0)]);
}

#[test]
fn one_that_was_not_told_yet_is_taken_out_at_the_end_also_where_others_bear_numbers() {
    is_taken_out_at_the_end(Home::new(routed()), None);
}

/// On an interface that is new. Word of it comes before the answer, or not at all.
fn is_taken_out_at_the_end(mut home: Home, word: Option<fn(IfIndex) -> Fact>) {
    let new = IfIndex(12);
    home.host.facts(vec![Fact::Link(veth_link(new, LinkState::Up))]);
    let change = home.host.take().into_iter().find_map(address_change).expect("it is asked for");
    home.host.facts(word.map(|word| word(new)).into_iter().collect());
    home.host.input(Input::AddressChanged(change, AddressOutcome::Done));
    home.host.input(Input::Stop);
    let changes: Vec<_> = home.host.take().into_iter().filter_map(address_change).collect();
    let AddressChange::Add(ours) = change else { panic!("{change:?}") };
    assert!(changes.contains(&AddressChange::Remove(ours)), "{changes:?}");
}

/// Word of it comes on another way than the answer, and may be there first.
#[test]
fn one_of_which_word_comes_before_the_answer_is_taken_out_under_a_kernel_without_numbers_too() {
    is_taken_out_at_the_end(Home::before_5_18(routed(), &[]), Some(|new| fact(new, 0)));
}

#[test]
fn under_a_kernel_without_numbers_one_that_takes_the_place_of_ours_stays_at_the_end() {
    let mut home = Home::before_5_18(routed(), &[]);
    let gone = Fact::AddressGone { link: VETHS[0], address: gateway() };
    home.facts(vec![gone, fact(VETHS[0], 0)]);
    home.stop();
    assert_eq!(home.there(), [(VETHS[0], 0)]);
}
