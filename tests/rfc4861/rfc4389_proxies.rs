//! RFC 4389, Neighbor Discovery Proxies: its other half, towards the guests (`proxy-downstream`).
//!
//! It describes a bridge of links that share one prefix, and passes every message on from one to the
//! other. We forward between links as a router, and answer. So its sections are not quoted here but
//! named, each with what we do for it.

use lone64::engine::policy::Override;
use lone64::engine::{Input, Output};
use lone64::wire::{Advertisement, Mac, Solicitation};

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, UP, UP_MAC, address, dad, guest, guest_mac, question, question_from, reply,
    seconds, with,
};

const NEIGHBOR: &str = "2001:db8:1:2::77";
const NEIGHBOR_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

fn proxying() -> Host {
    Host::new(with(|policy| policy.ranges[0].proxy_downstream = true))
}

fn ask(host: &mut Host, target: &str) -> Vec<Output> {
    host.take();
    host.input(Input::Solicitation(BRIDGE, question_from(guest(5), guest_mac(5), address(target))));
    host.take()
}

fn on_bridge(outputs: &[Output]) -> Vec<Advertisement> {
    let answer = |output: &Output| match output {
        Output::Advertise(BRIDGE, advertisement) => Some(*advertisement),
        _ => None,
    };
    outputs.iter().filter_map(answer).collect()
}

// §4.1.3.1, Neighbor Solicitations: the proxy does not answer by itself but passes the solicitation on to
// the other link, and the advertisement when it comes, so that it never speaks for who is not there.

#[test]
fn a_guests_question_for_a_neighbor_is_passed_on_and_so_is_the_answer() {
    let mut host = proxying();
    let outputs = ask(&mut host, NEIGHBOR);
    assert_eq!(on_bridge(&outputs), []);
    let passed_on: Vec<&Solicitation> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Solicit(UP, solicitation) => Some(solicitation),
            _ => None,
        })
        .collect();
    // §4.1.2: with the link-layer address of the interface that it leaves by.
    assert_eq!((passed_on.len(), passed_on[0].target), (1, address(NEIGHBOR)));
    assert_eq!((passed_on[0].source_mac, passed_on[0].source_link_layer), (UP_MAC, Some(UP_MAC)));
    host.input(Input::Advertisement(UP, reply(address(NEIGHBOR), NEIGHBOR_MAC)));
    let answers = on_bridge(&host.take());
    assert_eq!((answers.len(), answers[0].destination), (1, guest(5)));
    assert_eq!((answers[0].source_mac, answers[0].target_link_layer), (BRIDGE_MAC, Some(BRIDGE_MAC)));
}

#[test]
fn nobody_is_answered_for_who_is_not_there() {
    let mut host = proxying();
    ask(&mut host, NEIGHBOR);
    host.pass(seconds(10));
    assert_eq!(on_bridge(&host.take()), []);
}

// Justification: an answer from what is known already is against that section. It is what keeps a scan
// from being passed on, and guests that move are followed all the same: what is known is confirmed when it
// is asked for, and whoever speaks up on the other side is believed once the old place is silent.

// Duplicate Address Detection would be passed on as well, and an owner on the other link defend its
// address. Justification: here the guest's own link decides, as without a proxy. Were it answered in the
// wrong moment, the guest would lose the address that we are here for.

#[test]
fn a_guests_check_for_duplicates_is_neither_answered_nor_passed_on() {
    let mut host = proxying();
    for taken in [NEIGHBOR, "fe80::1", "2001:db8:1:2::2", "2001:db8:1:2:c::5"] {
        host.take();
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), address(taken))));
        let outputs = host.take();
        let is_sent = |output: &Output| matches!(output, Output::Advertise(..) | Output::Solicit(..));
        assert!(!outputs.iter().any(is_sent), "{taken}: {outputs:?}");
    }
}

// §4.1.3.2, Neighbor Advertisements, and RFC 4861 §7.2.8: the Override flag of a proxy's is zero, so that
// the owner, if it comes to that link, is believed. The Router flag is the owner's (RFC 4861 §7.2.4).

#[test]
fn an_answer_does_not_override_and_calls_a_router_what_is_one() {
    for flag in [Override::Takeover, Override::Never] {
        let mut host = Host::new(with(|policy| {
            policy.ranges[0].proxy_downstream = true;
            policy.upstreams[0].override_flag = flag;
        }));
        for (target, is_router) in [("fe80::1", true), ("2001:db8:1:2::2", true)] {
            let outputs = ask(&mut host, target);
            let flags = on_bridge(&outputs)[0].flags;
            assert_eq!((flags.router, flags.override_entry), (is_router, false), "{target}");
        }
        ask(&mut host, NEIGHBOR);
        host.input(Input::Advertisement(UP, reply(address(NEIGHBOR), NEIGHBOR_MAC)));
        let flags = on_bridge(&host.take())[0].flags;
        assert_eq!((flags.router, flags.override_entry), (false, false));
    }
}

// RFC 4861 §7.2.8 has a proxy join the solicited-node groups of whom it answers for. Justification: that
// is done for the gateway and the host's own addresses (tests/engine/proxy_downstream.rs); which neighbors
// guests will ask for nobody knows before, and the packet socket's filter is open for all groups.

// §4.1.3.3 and §4.1.3.4, Router Advertisements and Redirects. Justification: these are the kernel's and
// its administrator's (radvd, say); guests need none of the provider's router's, because their packets
// reach it through us.

// §4.1: what comes in on one link is not answered for there on account of the same link.

#[test]
fn a_guest_is_not_answered_for_on_its_own_link_and_a_neighbor_not_on_its() {
    let mut host = proxying();
    host.make_live(guest(6), guest_mac(6));
    assert_eq!(on_bridge(&ask(&mut host, "2001:db8:1:2:c::6")), []);
    ask(&mut host, NEIGHBOR);
    host.input(Input::Advertisement(UP, reply(address(NEIGHBOR), NEIGHBOR_MAC)));
    assert_eq!(host.answer_to(question(address(NEIGHBOR))), None);
}
