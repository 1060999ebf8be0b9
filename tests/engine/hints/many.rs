//! Many interfaces are listened to, and asked, in turns; and those that may come are heard.

use super::*;

#[test]
fn hundreds_of_interfaces_are_listened_to_at_once() {
    let veths = with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
    });
    let mut host = Host::bare(veths);
    host.facts(usual_facts());
    host.facts((0..1_500).map(|number| veth_link(number, LinkState::Up)).collect());
    host.input(Input::Synced);
    let heard = host.take().into_iter().filter(|output| matches!(output, Output::Listen(..))).count();
    assert_eq!(heard, 1_501, "and the upstream");
}

#[test]
fn interfaces_that_may_come_are_heard_also_where_nothing_else_is_to_be_asked_for() {
    let mut host = Host::new(live());
    let automatic = with(|policy| {
        policy.upstreams[0].automatic = Some(lone64::engine::policy::Automatic::default());
    });
    host.input(Input::Reload(Box::new(automatic)));
    assert_eq!(hears_newcomers(&host.take()), Some(true));
}

#[test]
fn no_more_than_64_interfaces_are_asked_in_one_turn() {
    let mut host = host_with_veths(200, |_| {});
    assert_eq!(asked(&host.ask(guest(5)), guest(5)).len(), 64);
    host.pass(millis(500));
    assert_eq!(asked(&host.take(), guest(5)).len(), 136);
}
