//! RFC 4861 §7.2.1, Interface Initialization, and §7.2.2, Sending Neighbor Solicitations: the probes.

use lone64::engine::Time;
use lone64::engine::facts::Fact;
use lone64::wire::{DropReason, Solicitation};

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, ROUTER_MAC, address, guest, guest_mac, has, live, millis, net, probes,
    question, question_from, seconds, with,
};

/// When the probes came out, since `from`.
fn probe_times(host: &mut Host, from: Time) -> Vec<u128> {
    let outputs = host.take_timed();
    let is_probe = |output| !probes(std::slice::from_ref(output)).is_empty();
    outputs.iter().filter(|(_, o)| is_probe(o)).map(|(at, _)| at.since(from).as_millis()).collect()
}

// §7.2.1

// "When a multicast-capable interface becomes enabled, the node MUST join the all-nodes multicast
// address on that interface, as well as the solicited-node multicast address corresponding to each
// of the IP addresses assigned to the interface."
// "The set of addresses assigned to an interface may change over time. [...] In such cases the node
// MUST join and leave the solicited-node multicast address corresponding to the new and old
// addresses, respectively."
// "[...] a node MUST NOT leave the solicited-node multicast group until all assigned addresses
// corresponding to that multicast address have been removed."

// Justification: the kernel does all of it for the addresses of the host, and guests do for theirs.
// The proxy's own groups are §7.2.8.

// §7.2.2

// "The solicitation is sent to the solicited-node multicast address corresponding to the target
// address."

#[test]
fn a_target_of_which_nothing_is_known_is_asked_for_in_its_group() {
    let mut host = Host::new(live());
    let probes = probes(&host.ask(guest(0xabcd)));
    assert_eq!(probes.iter().map(|p| p.destination).collect::<Vec<_>>(), [address("ff02::1:ff00:abcd")]);
}

// "If the source address of the packet prompting the solicitation is the same as one of the
// addresses assigned to the outgoing interface, that address SHOULD be placed in the IP Source
// Address of the outgoing solicitation. Otherwise, any one of the addresses assigned to the
// interface should be used."

// Justification: no packet prompts a probe but a solicitation, whose source is on the upstream's
// link. So any address of the downstream is used: the link-local one, if there is one.

#[test]
fn a_probe_has_the_link_local_address_of_the_downstream_or_else_another_of_its_addresses() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(probes(&host.ask(guest(5)))[0].source, address("fe80::5054:ff:fe00:b0"));
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: address("fe80::5054:ff:fe00:b0") }]);
    assert_eq!(probes(&host.ask(guest(6)))[0].source, address("2001:db8:1:2:c::1"));
}

// "If the solicitation is being sent to a solicited-node multicast address, the sender MUST include
// its link-layer address (if it has one) as a Source Link-Layer Address option. Otherwise, the sender
// SHOULD include its link-layer address (if it has one) as a Source Link-Layer Address option."

#[test]
fn every_probe_carries_the_source_link_layer_option() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(70));
    let probes = host.probes();
    assert!(probes.iter().any(|probe| probe.destination.is_multicast()));
    assert!(probes.iter().any(|probe| !probe.destination.is_multicast()));
    assert!(probes.iter().all(|probe| probe.source_link_layer == Some(BRIDGE_MAC)));
}

// "While waiting for address resolution to complete, the sender MUST, for each neighbor, retain a
// small queue of packets waiting for address resolution to complete. The queue MUST hold at least
// one packet, and MAY contain more."

// Justification: there are no packets here, they wait in the kernel. What waits are the askers.

#[test]
fn those_who_ask_while_a_target_is_probed_wait_and_are_answered_when_it_replies() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.solicit(question_from(address("2001:db8:1:2::1"), ROUTER_MAC, guest(5)));
    assert_eq!(host.answers(), []);
    host.advertise(guest(5), guest_mac(5));
    let answered: Vec<_> = host.answers().iter().map(|answer| answer.destination).collect();
    assert_eq!(answered, [address("fe80::1"), address("2001:db8:1:2::1")]);
}

// "However, the number of queued packets per neighbor SHOULD be limited to some small value."

#[test]
fn no_more_than_eight_askers_wait_for_one_target() {
    let mut host = Host::new(live());
    for asker in 1..=20 {
        host.solicit(question_from(address(&format!("fe80::{asker:x}")), ROUTER_MAC, guest(5)));
    }
    assert_eq!(host.dropped(DropReason::AskersFull), 12);
    host.take();
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 8);
}

// "When a queue overflows, the new arrival SHOULD replace the oldest entry."

// Justification: the other way round, the new arrival is dropped. An asker costs a stranger one
// frame, and the oldest is the router that asked before the stranger came; and a dropped one asks
// again a second later, as an asker whose entry was replaced would have to.

#[test]
fn when_too_many_wait_the_oldest_askers_keep_their_place() {
    let mut host = Host::new(live());
    for asker in 1..=20 {
        host.solicit(question_from(address(&format!("fe80::{asker:x}")), ROUTER_MAC, guest(5)));
    }
    host.take();
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers()[0].destination, address("fe80::1"));
}

// "While awaiting a response, the sender SHOULD retransmit Neighbor Solicitation messages
// approximately every RetransTimer milliseconds, even in the absence of additional traffic to the
// neighbor."

#[test]
fn probes_are_repeated_every_retransmit_without_another_question() {
    let mut host = Host::new(live());
    let start = host.now;
    host.solicit(question(guest(5)));
    host.pass(seconds(30));
    assert_eq!(probe_times(&mut host, start), [0, 1_000, 2_000]);
}

#[test]
fn retransmit_is_what_it_is_configured_to_be() {
    let mut host = Host::new(with(|policy| policy.timers.retransmit = millis(250)));
    let start = host.now;
    host.solicit(question(guest(5)));
    host.pass(seconds(30));
    assert_eq!(probe_times(&mut host, start), [0, 250, 500]);
}

// "Retransmissions MUST be rate-limited to at most one solicitation per neighbor every RetransTimer
// milliseconds."

#[test]
fn however_often_a_target_is_asked_for_its_probes_are_a_retransmit_apart() {
    let mut host = Host::new(live());
    let start = host.now;
    for _ in 0..2_000 {
        host.solicit(question(guest(5)));
        host.pass(millis(7));
    }
    let times = probe_times(&mut host, start);
    assert!(times.len() > 3, "it is looked for again, each time it is asked for after a failure");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
}

#[test]
fn nor_are_the_probes_that_confirm_a_live_target_closer_together() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let start = host.now;
    host.pass(seconds(31));
    for _ in 0..400 {
        host.solicit(question(guest(5)));
        host.pass(millis(7));
    }
    let times = probe_times(&mut host, start);
    assert_eq!(times.len(), 3);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
}

// "If no Neighbor Advertisement is received after MAX_MULTICAST_SOLICIT solicitations, address
// resolution has failed."

#[test]
fn after_three_probes_without_a_reply_a_target_is_absent() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(millis(2_999));
    assert!(!host.is_absent(guest(5)));
    host.pass(millis(1));
    assert!(host.is_absent(guest(5)));
}

// "The sender MUST return ICMP destination unreachable indications with code 3 (Address Unreachable)
// for each packet queued awaiting address resolution."

// Justification: no packets are queued here. For those that come in nevertheless, the kernel, which
// forwards them, has its own address resolution and sends the indications.

#[test]
fn whoever_waited_in_vain_hears_nothing() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(seconds(10));
    let outputs = host.take();
    assert_eq!(outputs.len(), probes(&outputs).len(), "nothing but probes: {outputs:?}");
    assert_eq!(host.dropped(DropReason::Absent), 1);
}

// The rate is one "per neighbor", and two neighbors may share a group:

#[test]
fn targets_of_the_same_group_are_probed_each_on_its_own() {
    let mut host = Host::new(with(|policy| policy.ranges[0].prefix = net("2001:db8:1:2:c::/80")));
    let targets = [address("2001:db8:1:2:c::5"), address("2001:db8:1:2:c:1:0:5")];
    let probed: Vec<Solicitation> = targets.iter().flat_map(|target| probes(&host.ask(*target))).collect();
    assert_eq!(probed[0].destination, probed[1].destination);
    assert_eq!(probed.iter().map(|probe| probe.target).collect::<Vec<_>>(), targets);
}
