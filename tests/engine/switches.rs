//! What switches are told beside the groups: a multicast router, and nothing that is not so.

use lone64::engine::facts::{Fact, Link, LinkLayer, LinkState};
use lone64::engine::policy::{Answer, Mld, Policy};
use lone64::engine::{Event, Input, Output};
use lone64::wire::MulticastRouter;

use crate::host::{BRIDGE, Host, UP, UP_MAC, guest, guest_mac, link, live, net, seconds, with};

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

#[test]
fn no_limit_of_groups_is_complained_of_where_everything_arrives() {
    let complaints = |mld| {
        let mut host = Host::new(with(|policy| {
            policy.upstreams[0].mld = mld;
            policy.limits.groups = 1;
        }));
        (5..8).for_each(|number| host.make_live(guest(number), guest_mac(number)));
        let mut wide = host.engine.written().clone();
        wide.ranges[0].prefix = net("2001:db8:1:2:c::/112");
        wide.ranges[0].answer = Answer::Always;
        host.input(Input::Reload(Box::new(wide)));
        host.pass(seconds(1));
        let is_complaint = |output: &Output| {
            matches!(output, Output::Event(Event::GroupsFull(..) | Event::TooWideToJoin(_)))
        };
        host.take().iter().filter(|output| is_complaint(output)).count()
    };
    assert_eq!((complaints(Mld::Reports) > 0, complaints(Mld::Router)), (true, 0));
}
