//! What switches are told beside the groups: a multicast router, and nothing that is not so.

use lone64::engine::facts::{Fact, Link, LinkLayer, LinkState, Neighbor, NeighborState};
use lone64::engine::policy::{Answer, Mld, Policy};
use lone64::engine::{Event, Input, Note, Output};
use lone64::wire::{MldQuery, MldVersion, MulticastRouter, MulticastRouterSolicitation};

use crate::host::{
    BRIDGE, Host, UP, UP_MAC, guest, guest_mac, has, link, live, millis, net, question, seconds, with,
};

fn up(state: LinkState) -> Fact {
    Fact::Link(Link { state, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) })
}

fn routed() -> Policy {
    with(|policy| policy.upstreams[0].mld = Mld::Router)
}

fn told(outputs: &[Output]) -> Vec<(u32, bool)> {
    let router = |output: &Output| match output {
        Output::AdvertiseRouter(link, MulticastRouter { interval, .. }) => Some((link.0, interval.is_some())),
        _ => None,
    };
    outputs.iter().filter_map(router).collect()
}

#[test]
fn a_multicast_router_is_advertised_three_times_and_then_every_twenty_seconds() {
    let mut host = Host::bare(routed());
    host.facts(crate::host::usual_facts());
    host.input(Input::Synced);
    let first = host.take();
    assert_eq!(told(&first), [(UP.0, true)]);
    assert!(first.iter().any(|output| matches!(
        output,
        Output::AdvertiseRouter(UP, router) if router.source_mac == UP_MAC && router.source.is_unicast_link_local()
    )));
    host.pass(seconds(4));
    assert_eq!(told(&host.take()).len(), 2, "a switch may miss one");
    host.pass(seconds(200));
    assert_eq!(told(&host.take()).len(), 10);
    host.input(Input::Stop);
    assert_eq!(told(&host.take()), [(UP.0, false); 2]);
    host.pass(seconds(60));
    assert_eq!(told(&host.take()), []);
}

#[test]
fn it_begins_and_ends_with_a_reload_and_waits_while_the_link_is_down() {
    let mut host = Host::new(live());
    host.take();
    host.input(Input::Reload(Box::new(routed())));
    assert_eq!(told(&host.take()), [(UP.0, true)]);
    host.facts(vec![up(LinkState::Down)]);
    host.pass(seconds(60));
    assert_eq!(told(&host.take()), [], "nothing leaves by a link that is down");
    host.facts(vec![up(LinkState::Up)]);
    assert_eq!(told(&host.take()), [(UP.0, true)]);
    host.input(Input::Reload(Box::new(live())));
    assert_eq!(told(&host.take()), [(UP.0, false)]);
    host.input(Input::Reload(Box::new(routed())));
    host.facts(vec![Fact::LinkGone(UP)]);
    host.take();
    host.pass(seconds(60));
    assert_eq!(told(&host.take()), []);
}

#[test]
fn guests_own_links_are_told_too_where_guests_are_answered_there() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams[0].mld = Mld::Router;
        policy.ranges[0].proxy_downstream = true;
    }));
    host.pass(seconds(1));
    host.take();
    host.pass(seconds(40));
    let links: std::collections::BTreeSet<_> = told(&host.take()).into_iter().map(|(link, _)| link).collect();
    assert_eq!(links, [UP.0, BRIDGE.0].into());
}

/// What `status` says of groups, and how often that was told, and that it is over.
fn groups_told(host: &mut Host, outputs: &[Output]) -> (Vec<Note>, usize, usize) {
    let told = outputs.iter().filter(|output| matches!(output, Output::Event(Event::Note(_)))).count();
    let over = outputs.iter().filter(|output| matches!(output, Output::Event(Event::NoteOver(_)))).count();
    (host.engine.notes().to_vec(), told, over)
}

/// As the kernel's table has it.
fn found(number: u16) -> Fact {
    let (address, mac) = (guest(number), Some(guest_mac(number)));
    Fact::Neighbor(Neighbor { link: BRIDGE, address, mac, state: NeighborState::Reachable })
}

#[test]
fn that_groups_have_no_room_is_told_once_and_as_long_as_it_is_so() {
    let limited = |groups| with(|policy| policy.limits.groups = groups);
    let full = |groups| Note::GroupsFull("up0".parse().unwrap(), groups);
    let mut host = Host::new(limited(2));
    host.take();
    host.facts((5..7).map(found).collect());
    let outputs = host.take();
    assert_eq!(groups_told(&mut host, &outputs), (vec![], 0, 0));
    host.facts((7..10).map(found).collect());
    let outputs = host.take();
    assert_eq!(groups_told(&mut host, &outputs), (vec![full(2)], 1, 0));
    host.input(Input::Reload(Box::new(limited(4))));
    let outputs = host.take();
    assert_eq!(groups_told(&mut host, &outputs), (vec![full(4)], 1, 1), "the number is another");
    host.input(Input::Reload(Box::new(limited(5))));
    let outputs = host.take();
    assert_eq!(groups_told(&mut host, &outputs), (vec![], 0, 1));
    host.input(Input::Reload(Box::new(limited(2))));
    host.take();
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    host.pass(seconds(1));
    let outputs = host.take();
    assert_eq!(groups_told(&mut host, &outputs), (vec![], 0, 1));
}

#[test]
fn a_range_that_is_too_wide_is_a_problem_until_it_is_not_or_a_router_is_advertised() {
    let prefix = net("2001:db8:1:2:c::/117");
    let wide = |mld, groups| {
        with(|policy| {
            policy.upstreams[0].mld = mld;
            policy.limits.groups = groups;
            policy.ranges[0].prefix = prefix;
            policy.ranges[0].answer = Answer::Always;
        })
    };
    let mut host = Host::new(wide(Mld::Reports, 1_024));
    assert_eq!(host.engine.notes(), [Note::TooWideForGroups(prefix, 1_024)]);
    for (mld, groups, is_told) in [
        (Mld::Router, 1_024, false),
        (Mld::Reports, 2_000, true),
        (Mld::Reports, 2_048, false),
        (Mld::Reports, 100, true),
        (Mld::No, 100, false),
    ] {
        host.input(Input::Reload(Box::new(wide(mld, groups))));
        host.pass(seconds(1));
        let told: Vec<_> = is_told.then_some(Note::TooWideForGroups(prefix, groups)).into_iter().collect();
        assert_eq!(host.engine.notes(), told, "{mld:?} {groups}");
    }
}

#[test]
fn guests_own_links_have_a_limit_of_groups_too() {
    let mut host = Host::new(with(|policy| {
        policy.limits.groups = 1;
        policy.ranges[0].proxy_downstream = true;
    }));
    host.facts(vec![crate::host::has(UP, "2001:db8:1:2::77/64")]);
    host.pass(seconds(1));
    assert!(host.engine.notes().contains(&Note::GroupsFull("lxcbr0".parse().unwrap(), 1)));
}

#[test]
fn a_switch_that_asks_is_answered_within_two_seconds_and_a_flood_once_a_second_at_most() {
    let asked = Input::RouterSolicitation(
        UP,
        MulticastRouterSolicitation { source_mac: guest_mac(9), source: "fe80::9".parse().unwrap() },
    );
    let mut host = Host::new(routed());
    host.pass(seconds(7));
    host.take();
    host.input(asked.clone());
    assert_eq!(told(&host.take()), [], "the answer waits for a random time");
    host.pass(seconds(2));
    assert_eq!(told(&host.take()), [(UP.0, true)]);
    host.pass(seconds(17));
    assert_eq!(told(&host.take()), [], "the next one is due 20 s after the answer");
    host.pass(seconds(5));
    assert_eq!(told(&host.take()).len(), 1);
    for _ in 0..20_000 {
        host.input(asked.clone());
        host.pass(millis(1));
    }
    let answers = told(&host.take()).len();
    assert!((10..=20).contains(&answers), "{answers} in 20 s");
    // Where none is advertised nobody is answered.
    let mut host = Host::new(live());
    host.input(asked);
    host.pass(seconds(5));
    assert_eq!(told(&host.take()), []);
}

fn query() -> Input {
    let (source_mac, source) = (guest_mac(9), "fe80::9".parse().unwrap());
    let (version, group, max_response) = (MldVersion::V2, None, seconds(10));
    Input::Query(UP, MldQuery { source_mac, source, version, group, max_response })
}

#[test]
fn that_only_what_is_reported_is_asked_for_is_told_after_long_where_there_is_a_querier() {
    let one_sided = Note::OneSided("up0".parse().unwrap());
    for (mld, has_querier, asks_for_others, is_told) in [
        (Mld::Reports, true, false, true),
        (Mld::No, true, false, false),
        (Mld::Router, true, false, false),
        (Mld::Reports, false, false, false),
        (Mld::Reports, true, true, false),
    ] {
        let mut host = Host::new(with(|policy| policy.upstreams[0].mld = mld));
        host.guests.insert(guest(5), guest_mac(5));
        for round in 0..40 {
            if has_querier && round % 4 == 0 {
                host.input(query());
            }
            host.ask(guest(5));
            if asks_for_others && round == 20 {
                host.ask(guest(6));
            }
            host.pass(seconds(30));
        }
        let case = (mld, has_querier, asks_for_others);
        assert_eq!(host.engine.notes().contains(&one_sided), is_told, "{case:?}");
        // Without a querier switches keep nothing back.
        host.pass(seconds(300));
        assert!(!host.engine.notes().contains(&one_sided), "{case:?}");
    }
}

#[test]
fn a_question_for_a_group_that_was_reported_until_now_does_not_prove_that_all_come() {
    let mut host = Host::new(live());
    host.facts(vec![found(5)]);
    assert_eq!(host.engine.count_groups(UP), (1, 0));
    for _ in 0..100 {
        host.input(query());
        if host.is_live(guest(5)) {
            host.pass(seconds(30));
        }
    }
    assert_eq!(host.engine.count_groups(UP), (0, 0));
    let is_proved = |host: &mut Host, number| {
        host.solicit(question(guest(number)));
        host.engine.querier(UP).map(|(_, is_proved)| is_proved)
    };
    assert_eq!(is_proved(&mut host, 5), Some(false), "switches may still pass it on");
    assert_eq!(is_proved(&mut host, 6), Some(true));
}

#[test]
fn a_router_is_advertised_anew_from_another_address_and_not_because_something_else_has_changed() {
    let mut host = Host::new(routed());
    host.pass(seconds(7));
    host.take();
    host.facts(vec![has(BRIDGE, "2001:db8:9:9::1/64")]);
    assert_eq!(told(&host.take()), []);
    let mac = guest_mac(0xfe);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    let outputs = host.take();
    assert_eq!(told(&outputs), [(UP.0, true)]);
    let is_from = |output: &Output| matches!(output, Output::AdvertiseRouter(_, it) if it.source_mac == mac);
    assert!(outputs.iter().any(is_from), "{outputs:?}");
}

#[test]
fn routers_do_not_advertise_in_step_because_their_pauses_differ() {
    let mut host = Host::new(routed());
    host.pass(seconds(7));
    host.take();
    host.pass(seconds(200));
    let sent = host.take_timed().into_iter().filter(|(_, out)| matches!(out, Output::AdvertiseRouter(..)));
    let times: Vec<_> = sent.map(|(at, _)| at).collect();
    let pauses: std::collections::BTreeSet<_> = times.windows(2).map(|two| two[1].since(two[0])).collect();
    assert!(pauses.len() > 3, "{pauses:?}");
}

#[test]
fn what_begins_and_what_is_over_at_the_same_moment_are_both_told() {
    let query = MldQuery {
        source_mac: guest_mac(9),
        source: "fe80::9".parse().unwrap(),
        version: MldVersion::V2,
        group: None,
        max_response: seconds(10),
    };
    let mut host = Host::new(with(|policy| policy.limits.groups = 1));
    host.guests.insert(guest(5), guest_mac(5));
    for _ in 0..12 {
        host.input(Input::Query(UP, query));
        for _ in 0..4 {
            host.ask(guest(5));
            host.pass(seconds(30));
        }
    }
    let name = "up0".parse().unwrap();
    assert_eq!(host.engine.notes(), [Note::OneSided(name)]);
    host.take();
    // The querier is silent, and a guest comes before anything that is due since then.
    host.now = host.now + seconds(300);
    host.facts(vec![found(6)]);
    let told = host.events();
    assert!(told.contains(&Event::NoteOver(Note::OneSided(name))), "{told:?}");
    assert!(told.contains(&Event::Note(Note::GroupsFull(name, 1))), "{told:?}");
}
