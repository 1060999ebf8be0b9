//! `gateway-source = "auto"`: whether the gateway answers link-local questions is found out by itself.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, Neighbor, NeighborState};
use lone64::engine::policy::GatewaySource;
use lone64::engine::{Event, Input, NeighborChange, Output};
use lone64::wire::{Advertisement, Flags};

use crate::host::{Host, ROUTER_MAC, UP, UP_MAC, address, live, millis, seconds, with};

const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn global() -> Ipv6Addr {
    address("2001:db8:1:2::2")
}

fn entry(state: NeighborState) -> Input {
    Input::Facts(vec![Fact::Neighbor(Neighbor { link: UP, address: GATEWAY, mac: None, state })])
}

/// What the gateway answers to a question from this address.
fn answer_to(destination: Ipv6Addr) -> Advertisement {
    Advertisement {
        source_mac: ROUTER_MAC,
        destination_mac: UP_MAC,
        source: GATEWAY,
        destination,
        target: GATEWAY,
        flags: Flags { router: true, solicited: true, override_entry: true },
        target_link_layer: Some(ROUTER_MAC),
    }
}

/// What a while came to: the questions by their sources, the changes, the events.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    asked: Vec<Ipv6Addr>,
    changes: Vec<NeighborChange>,
    told: Vec<Event>,
}

/// So many seconds, in which the gateway answers questions from such sources, and the kernel's entry fails every three
/// seconds while nobody keeps it.
fn pass(host: &mut Host, so_many: u64, answers: impl Fn(Ipv6Addr) -> bool) -> Seen {
    let mut seen = Seen::default();
    for half in 0..2 * so_many {
        let is_kept = host.engine.has_filtered_gateway(UP);
        if half % 6 == 0 && !is_kept && !answers(address("fe80::5054:ff:fe00:1")) {
            host.input(entry(NeighborState::Failed));
        }
        host.pass(millis(500));
        for output in host.take() {
            match output {
                Output::Solicit(UP, question) if question.target == GATEWAY => {
                    seen.asked.push(question.source);
                    if answers(question.source) {
                        host.input(Input::Advertisement(UP, answer_to(question.source)));
                    }
                }
                Output::ChangeNeighbor(change) => {
                    seen.changes.push(change);
                    host.input(entry(NeighborState::Reachable));
                }
                Output::Event(event @ (Event::GatewayFiltered(..) | Event::GatewayAnswers(..))) => {
                    seen.told.push(event);
                }
                _ => {}
            }
        }
    }
    seen
}

#[test]
fn one_that_answers_global_addresses_alone_is_kept_until_it_answers_both() {
    let mut host = Host::new(live());
    let seen = pass(&mut host, 30, |source| source == global());
    assert_eq!(seen.told, [Event::GatewayFiltered(UP, GATEWAY)]);
    assert_eq!(seen.changes.len(), 1, "{:?}", seen.changes);
    assert!(seen.asked.len() > 5 && host.engine.has_filtered_gateway(UP));
    let seen = pass(&mut host, 700, |_| true);
    assert_eq!(seen.told, [Event::GatewayAnswers(UP, GATEWAY)]);
    assert_eq!(
        seen.changes,
        [NeighborChange::Remove(UP, GATEWAY)],
        "what the kernel has from us is given back"
    );
    assert_eq!(pass(&mut host, 600, |_| true), Seen::default());
}

#[test]
fn one_that_works_or_is_down_is_not_kept() {
    let mut host = Host::new(live());
    host.input(entry(NeighborState::Failed));
    host.pass(seconds(500));
    host.input(entry(NeighborState::Failed));
    let seen = pass(&mut host, 60, |_| true);
    assert_eq!((seen.asked.len(), seen.told), (2, vec![]), "one look at it");
    let mut host = Host::new(live());
    let seen = pass(&mut host, 3_600, |_| false);
    assert_eq!((seen.changes, seen.told), (vec![], vec![]));
    assert!((8..=80).contains(&seen.asked.len()), "{}", seen.asked.len());
}

#[test]
fn nothing_is_asked_or_kept_after_the_end() {
    let mut host = Host::new(live());
    pass(&mut host, 30, |source| source == global());
    host.input(Input::Stop);
    let changes = host.take().into_iter().filter(|output| matches!(output, Output::ChangeNeighbor(_)));
    let expected = Output::ChangeNeighbor(NeighborChange::Remove(UP, GATEWAY));
    assert_eq!(changes.collect::<Vec<_>>(), [expected]);
    host.pass(seconds(3_600));
    assert_eq!(host.probes(), []);
}

#[test]
fn one_that_is_written_to_be_the_kernels_is_left_to_it() {
    let mut host = Host::new(with(|policy| policy.upstreams[0].gateway_source = GatewaySource::Kernel));
    assert_eq!(pass(&mut host, 600, |source| source == global()), Seen::default());
}
