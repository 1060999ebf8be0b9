//! rules.md "DAD (source `::`)".

use std::net::Ipv6Addr;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, mac, sender, target_of};
use crate::lab::{BRIDGE_MAC, C, D, GUEST, GUEST_MAC, Lab, PLAIN, ROUTER, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Solicitation, option, source_link_layer};

crate::cases![
    defends_live_and_always_targets,
    lets_a_router_take_an_address_that_no_guest_has,
    defends_nothing_against_dad_that_is_malformed,
    defends_nothing_against_the_host_s_own_dad,
    answers_no_guest_s_dad_on_the_downstream,
    lets_a_guest_s_dad_succeed_while_the_router_asks,
];

fn both_modes() -> Settings {
    Settings::default().range(C, "br0", "answer = \"live\"").range(D, "gv1", "answer = \"always\"")
}

fn defends_live_and_always_targets() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    for target in [GUEST, PLAIN] {
        let question = Solicitation::dad(mac(0x61), target);
        link.answered(&question);
        // A nonce (RFC 7527), which Linux sends along, changes nothing.
        link.answered(&question.with(|q| q.options = option(14, &[7; 6])));
    }
}

fn lets_a_router_take_an_address_that_no_guest_has() {
    let lab = Lab::veth();
    let _daemon =
        Daemon::start(&lab, both_modes().rest("[timers]\nretransmit = \"50ms\"\nabsent = \"100ms\"\n"));
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for last in [0xdead, 0xdeae] {
        link.unanswered(&Solicitation::dad(mac(0x61), c(last)));
        // It took the trouble to look.
        guest.receive_until("a probe", PATIENCE, |frame| (target_of(frame, 135)? == c(last)).then_some(()));
    }
    link.unanswered(&Solicitation::dad(mac(0x61), c(0xdeaf)));
}

fn defends_nothing_against_dad_that_is_malformed() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let right = Solicitation::dad(mac(0x61), PLAIN);
    for wrong in [
        right.clone().with(|q| q.options = source_link_layer(mac(0x61))),
        right.clone().with(|q| q.options = [option(14, &[7; 6]), source_link_layer(mac(0x61))].concat()),
        right.clone().with(|q| (q.destination, q.eth_dst) = (all_nodes, [0x33, 0x33, 0, 0, 0, 1])),
        right.clone().with(|q| (q.destination, q.eth_dst) = (PLAIN, UPSTREAM_MAC)),
    ] {
        link.answered(&right);
        link.unanswered(&wrong);
    }
}

fn defends_nothing_against_the_host_s_own_dad() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    // A switch that sends a frame back to where it came from: the sender is the upstream itself.
    link.answered(&Solicitation::dad(mac(0x61), PLAIN));
    link.unanswered(&Solicitation::dad(UPSTREAM_MAC, PLAIN));
    // And the frame on its way out.
    let mut upstream = Endpoint::open(&lab.host, "up0");
    upstream.send(&Solicitation::dad(UPSTREAM_MAC, PLAIN).frame());
    assert!(link.settle().is_empty());
}

fn answers_no_guest_s_dad_on_the_downstream() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"always\""));
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for target in [GUEST, c(0x6), c(0x7)] {
        link.answered(&Solicitation::dad(mac(0x61), target));
        guest.send(&Solicitation::dad(GUEST_MAC, target).frame());
        guest.send(&Solicitation::dad(mac(0x62), target).frame());
    }
    assert!(link.settle().is_empty(), "nor upstream");
    let answers: Vec<_> = guest.heard().into_iter().filter(|frame| is_defence(frame)).collect();
    assert!(answers.is_empty(), "{answers:02x?}");
}

fn lets_a_guest_s_dad_succeed_while_the_router_asks() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    let target = c(0x70);
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "1")]);
    lab.guest.ip(&format!("addr add {target}/112 dev eth0"));
    // Linux waits up to a second, sends its solicitation, and waits one second more.
    eventually("the guest's DAD is over", PATIENCE, || {
        link.send(&Solicitation::multicast(ROUTER, target));
        link.settle();
        let addresses = lab.guest.show("-o addr show dev eth0");
        let line = addresses.lines().find(|line| line.contains(&target.to_string()))?;
        assert!(!line.contains("dadfailed"), "{line}");
        (!line.contains("tentative")).then_some(())
    });
    let heard = guest.heard();
    assert!(heard.iter().any(|frame| target_of(frame, 135) == Some(target)), "DAD took place");
    assert!(!heard.iter().any(|frame| is_defence(frame)), "{heard:02x?}");
    link.send(&Solicitation::multicast(ROUTER, target));
    link.hear(&Solicitation::multicast(ROUTER, target), PATIENCE);
}

/// An advertisement that the host sent into the downstream.
fn is_defence(frame: &[u8]) -> bool {
    sender(frame) == BRIDGE_MAC && target_of(frame, ADVERTISEMENT).is_some()
}
