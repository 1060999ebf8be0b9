//! What is much work is done in slices: questions are answered in between, and nothing is forgotten.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, KernelRoute};
use lone64::engine::policy::{Answer, Mld, OnStop, Policy, RangePolicy, RangeRoutes};
use lone64::engine::{Change, Input, Outcome, Output};
use lone64::wire::solicited_node;

use crate::host::*;

const GUESTS: u16 = 2_000;
/// Far fewer than there are routes, and more than a slice has.
const MANY: usize = 600;

fn with_routes() -> Policy {
    with(|policy| policy.ranges[0].routes = RangeRoutes::Guests)
}

fn with_metric(metric: u32) -> Policy {
    let mut policy = with_routes();
    policy.routes.metric = metric;
    policy
}

fn full_host() -> Host {
    let mut host = Host::new(with_routes());
    for number in 0..GUESTS {
        host.advertise(guest(number), guest_mac(number));
    }
    host.take();
    assert_eq!(routes_of_guests(&host).count(), usize::from(GUESTS));
    host
}

fn routes_of_guests(host: &Host) -> impl Iterator<Item = &KernelRoute> {
    host.kernel.iter().filter(|route| route.destination.prefix_len() == 128)
}

/// Hands the input in and does what comes out, in the kernel too. How many outputs there were; the rest of the
/// work is left.
fn one_call(host: &mut Host, input: Input) -> usize {
    host.engine.handle(input, host.now);
    let outputs: Vec<_> = std::iter::from_fn(|| host.engine.poll_output()).collect();
    for output in &outputs {
        let Output::ChangeRoute(change) = output else { continue };
        let fact = match change {
            Change::Add(route) => {
                host.kernel.insert(route.clone());
                Fact::Route(route.clone())
            }
            Change::Remove(route) => {
                host.kernel.remove(route);
                Fact::RouteGone(route.clone())
            }
        };
        host.engine.handle(Input::RouteChanged(change.clone(), Outcome::Done), host.now);
        host.engine.handle(Input::Facts(vec![fact]), host.now);
    }
    outputs.len()
}

fn answer_now(host: &mut Host, target: Ipv6Addr) -> bool {
    host.engine.handle(Input::Solicitation(UP, question(target)), host.now);
    let mut is_answered = false;
    while let Some(output) = host.engine.poll_output() {
        is_answered |= matches!(&output, Output::Advertise(UP, answer) if answer.target == target);
    }
    is_answered
}

#[test]
fn the_end_gives_back_many_routes_in_slices_and_all_of_them() {
    let mut host = full_host();
    let first = one_call(&mut host, Input::Stop);
    assert!((1..MANY).contains(&first), "{first} outputs at once");
    assert!(host.engine.is_behind());
    while host.engine.is_behind() {
        let next = one_call(&mut host, Input::Timeout);
        assert!(next < 2 * MANY, "{next} outputs at once");
    }
    assert!(host.kernel.is_empty(), "{:?}", host.kernel);
}

#[test]
fn another_metric_for_many_routes_is_taken_in_slices_with_answers_in_between() {
    let mut host = full_host();
    let first = one_call(&mut host, Input::Reload(Box::new(with_metric(2_000))));
    assert!(first < MANY, "{first} outputs at once");
    assert!(host.engine.is_behind());
    assert!(answer_now(&mut host, guest(7)), "a live guest is answered for between the slices");
    host.pass(seconds(1));
    assert!(!host.engine.is_behind());
    assert_eq!(routes_of_guests(&host).filter(|route| route.metric == 2_000).count(), usize::from(GUESTS));
    assert_eq!(routes_of_guests(&host).count(), usize::from(GUESTS), "none is left as it was");
}

#[test]
fn a_guest_that_ends_while_its_route_is_being_handed_over_has_none_afterwards() {
    let mut host = full_host();
    one_call(&mut host, Input::Reload(Box::new(with_metric(2_000))));
    assert!(host.engine.is_behind());
    host.engine.handle(Input::Facts(vec![Fact::LinkGone(BRIDGE)]), host.now);
    host.kernel.retain(|route| route.link() != Some(BRIDGE));
    host.pass(seconds(1));
    assert_eq!(routes_of_guests(&host).count(), 0);
}

#[test]
fn an_end_in_the_middle_of_a_reload_gives_everything_back_as_well() {
    let mut host = full_host();
    one_call(&mut host, Input::Reload(Box::new(with_metric(2_000))));
    assert!(host.engine.is_behind());
    host.input(Input::Stop);
    assert!(host.kernel.is_empty(), "{:?}", host.kernel);
}

#[test]
fn a_reload_that_only_keeps_routes_at_the_end_leaves_them_alone() {
    let mut host = full_host();
    let mut policy = with_routes();
    policy.routes.on_stop = OnStop::Keep;
    host.input(Input::Reload(Box::new(policy)));
    assert!(!host.take().iter().any(|output| matches!(output, Output::ChangeRoute(_))));
    host.input(Input::Stop);
    assert_eq!(routes_of_guests(&host).count(), usize::from(GUESTS));
}

#[test]
fn another_way_to_serve_them_reaches_each_of_hundreds_of_ranges() {
    let targets: Vec<_> = (1..=300).map(guest).collect();
    let policy = |mld| {
        let one = |target: &Ipv6Addr| RangePolicy {
            answer: Answer::Always,
            ..range(&format!("{target}/128"), "lxcbr0")
        };
        with(|policy| {
            policy.ranges = targets.iter().map(one).collect();
            policy.upstreams[0].mld = mld;
        })
    };
    let mut host = Host::new(policy(Mld::No));
    assert_eq!(host.engine.listened().count(), 0);
    host.input(Input::Reload(Box::new(policy(Mld::Reports))));
    let joined: BTreeSet<_> = host.engine.listened().map(|(_, group)| group).collect();
    assert_eq!(joined, targets.iter().map(|target| solicited_node(*target)).collect());
}
