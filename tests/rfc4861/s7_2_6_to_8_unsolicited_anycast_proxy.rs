//! RFC 4861 §7.2.6, Sending Unsolicited Neighbor Advertisements; §7.2.7, Anycast Neighbor
//! Advertisements; §7.2.8, Proxy Neighbor Advertisements.

use lone64::engine::facts::{Fact, LinkLayer};
use lone64::engine::policy::{Override, Policy, Source};
use lone64::engine::{Input, Output, Time};
use lone64::wire::{Advertisement, Flags, Mac, Solicitation, solicited_node};

use crate::host::reports::begun;
use crate::host::{
    Host, ROUTER_MAC, UP, UP_MAC, address, always, announcing, dad, guest, guest_mac, link, live, millis,
    question, reply, seconds, with,
};

// §7.2.6

// "In such cases, a node MAY send up to MAX_NEIGHBOR_ADVERTISEMENT unsolicited Neighbor Advertisement
// messages to the all-nodes multicast address. These advertisements MUST be separated by at least
// RetransTimer seconds."

#[test]
fn a_target_that_is_proved_live_is_advertised_three_times_a_retransmission_time_apart() {
    let mut host = announced_guest(announcing());
    let start = host.now;
    host.pass(seconds(600));
    let sent: Vec<_> = unsolicited(host.take_timed()).into_iter().map(|(at, _)| at.since(start)).collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= seconds(1)), "{sent:?}");
}

#[test]
fn they_go_to_all_nodes_with_the_targets_link_layer_option() {
    for (_, advertisement) in sent(announcing()) {
        let expected = Advertisement {
            source_mac: UP_MAC,
            destination_mac: Mac([0x33, 0x33, 0, 0, 0, 1]),
            source: address("fe80::5054:ff:fe00:1"),
            destination: address("ff02::1"),
            target: guest(5),
            flags: Flags { router: false, solicited: false, override_entry: true },
            target_link_layer: Some(UP_MAC),
        };
        assert_eq!(advertisement, expected);
    }
}

#[test]
fn their_source_is_the_policys() {
    for (source, expected) in [
        (Source::Scope, "fe80::5054:ff:fe00:1"),
        (Source::LinkLocal, "fe80::5054:ff:fe00:1"),
        (Source::Global, "2001:db8:1:2::2"),
        (Source::Target, "2001:db8:1:2:c::5"),
        (Source::Address(address("2001:db8:1:2::2")), "2001:db8:1:2::2"),
    ] {
        let mut policy = announcing();
        policy.upstreams[0].source = source;
        for (_, advertisement) in sent(policy) {
            assert_eq!(advertisement.source, address(expected), "{source:?}");
        }
    }
}

// "In some cases, a node may be able to determine that its link-layer address has changed (e.g.,
// hot-swap of an interface card) and may wish to inform its neighbors of the new link-layer address
// quickly."

#[test]
fn a_new_link_layer_address_of_the_upstream_is_advertised_and_is_in_the_next_answer() {
    let mut host = announced_guest(announcing());
    host.pass(seconds(10));
    host.take();
    let mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    host.pass(seconds(10));
    let sent = unsolicited(host.take_timed());
    assert_eq!(sent.len(), 3);
    for (_, advertisement) in sent {
        assert_eq!((advertisement.source_mac, advertisement.target_link_layer), (mac, Some(mac)));
    }
    let answer = host.answer_to(question(guest(5))).unwrap();
    assert_eq!((answer.source_mac, answer.target_link_layer), (mac, Some(mac)));
}

// "The Solicited flag MUST be set to zero, in order to avoid confusing the Neighbor Unreachability
// Detection algorithm. If the node is a router, it MUST set the Router flag to one; otherwise, it
// MUST set it to zero. The Override flag MAY be set to either zero or one."

#[test]
fn the_flags_are_not_solicited_and_as_configured() {
    for router in [true, false] {
        for (flag, override_entry) in
            [(Override::Takeover, true), (Override::Always, true), (Override::Never, false)]
        {
            let mut policy = announcing();
            (policy.upstreams[0].router, policy.upstreams[0].override_flag) = (router, flag);
            for (_, advertisement) in sent(policy) {
                let expected = Flags { router, solicited: false, override_entry };
                assert_eq!(advertisement.flags, expected, "{flag:?}");
            }
        }
    }
}

// "A node that has multiple IP addresses assigned to an interface MAY multicast a separate Neighbor
// Advertisement for each address. In such a case, the node SHOULD introduce a small delay between the
// sending of each advertisement to reduce the probability of the advertisements being lost due to
// congestion."

#[test]
fn many_targets_are_advertised_a_small_delay_apart() {
    let mut host = Host::new(announcing());
    for number in 1..=50 {
        host.ask(guest(number));
        host.advertise(guest(number), guest_mac(number));
    }
    host.take();
    host.pass(millis(1_999));
    let sent = unsolicited(host.take_timed());
    assert_eq!(sent.len(), 50);
    assert!(sent.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= millis(10)), "{sent:?}");
}

// "A proxy MAY multicast Neighbor Advertisements when its link-layer address changes or when it is
// configured (by system management or other mechanisms) to proxy for an address. If there are
// multiple nodes that are providing proxy services for the same set of addresses, the proxies should
// provide a mechanism that prevents multiple proxies from multicasting advertisements for any one
// address, in order to reduce the risk of excessive multicast traffic."

#[test]
fn of_two_who_advertise_a_target_the_one_who_hears_the_other_is_silent() {
    let mut host = announced_guest(announcing());
    host.pass(millis(1_500));
    assert_eq!(unsolicited(host.take_timed()).len(), 1);
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    host.pass(seconds(20));
    assert_eq!(unsolicited(host.take_timed()), []);
}

// "Also, a node belonging to an anycast address MAY multicast unsolicited Neighbor Advertisements for
// the anycast address when the node's link-layer address changes."

// Justification: anycast addresses cannot be told from others here, see §7.2.7.

// "Note that because unsolicited Neighbor Advertisements do not reliably update caches in all nodes
// (the advertisements might not be received by all nodes), they should only be viewed as a performance
// optimization to quickly update the caches in most neighbors."

// §7.2.5 and §7.2.3: an unsolicited advertisement makes no entry, a solicitation does: "the recipient
// SHOULD create or update the Neighbor Cache entry for the IP Source Address of the solicitation."

#[test]
fn the_gateway_is_solicited_once_from_the_targets_address_and_so_makes_an_entry() {
    let mut host = announced_guest(announcing());
    let gateway = address("fe80::1");
    host.pass(millis(1_500));
    let mut asked: Vec<_> = host.probes().into_iter().filter(|probe| probe.target == gateway).collect();
    // A gateway that does not answer is asked again.
    host.input(Input::Advertisement(
        UP,
        Advertisement { destination: guest(5), ..reply(gateway, ROUTER_MAC) },
    ));
    host.pass(seconds(10));
    asked.extend(host.probes().into_iter().filter(|probe| probe.target == gateway));
    let expected = Solicitation {
        source_mac: UP_MAC,
        destination_mac: Mac::multicast(solicited_node(gateway)),
        source: guest(5),
        destination: solicited_node(gateway),
        target: gateway,
        source_link_layer: Some(UP_MAC),
    };
    assert_eq!(asked, [expected]);
}

/// A host under this policy whose guest has just been proved.
fn announced_guest(policy: Policy) -> Host {
    let mut host = Host::new(policy);
    host.make_live(guest(5), guest_mac(5));
    host
}

/// What is advertised unasked for a guest that has just been proved.
fn sent(policy: Policy) -> Vec<(Time, Advertisement)> {
    let mut host = announced_guest(policy);
    host.pass(seconds(10));
    let sent = unsolicited(host.take_timed());
    assert_eq!(sent.len(), 3);
    sent
}

fn unsolicited(outputs: Vec<(Time, Output)>) -> Vec<(Time, Advertisement)> {
    let advertisement = |(at, output)| match output {
        Output::Advertise(UP, advertisement) => Some((at, advertisement)),
        _ => None,
    };
    outputs.into_iter().filter_map(advertisement).collect()
}

// §7.2.7

// "Nodes that have an anycast address assigned to an interface treat them exactly the same as if they
// were unicast addresses with two exceptions. First, Neighbor Advertisements sent in response to a
// Neighbor Solicitation SHOULD be delayed by a random time between 0 and MAX_ANYCAST_DELAY_TIME to
// reduce the probability of network congestion. Second, the Override flag in Neighbor Advertisements
// SHOULD be set to 0, so that when multiple advertisements are received, the first received
// advertisement is used rather than the most recently received advertisement."

// Justification: anycast addresses cannot be told from unicast ones by whoever stands in for their
// owner. The second exception holds for all answers (§7.2.8); the first would delay all of them, for
// a congestion that one responder does not cause.

// §7.2.8

// "Under limited circumstances, a router MAY proxy for one or more other nodes, that is, through
// Neighbor Advertisements indicate that it is willing to accept packets not explicitly addressed to
// itself."

#[test]
fn a_proxy_says_its_own_link_layer_address_for_the_guests_address() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let Advertisement { target, target_link_layer, .. } = host.answer_to(question(guest(5))).unwrap();
    assert_eq!((target, target_link_layer), (guest(5), Some(UP_MAC)));
}

// "A proxy MUST join the solicited-node multicast address(es) that correspond to the IP address(es)
// assigned to the node for which it is proxying. This SHOULD be done using a multicast listener
// discovery protocol such as [MLD] or [MLDv2]."

#[test]
fn the_group_of_a_target_is_joined_on_the_upstream_on_which_it_is_answered_for() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    let outputs = host.ask(guest(5));
    assert!(begun(&outputs).contains(&(UP, solicited_node(guest(5)))), "{outputs:?}");
}

// Justification, for ranges of which every address is answered for and which are wider than a /120:
// switches have no room for a group for each. The packet socket opens the interface's filter for all
// groups, so that nothing is missed on a link that delivers it.

// "All solicited proxy Neighbor Advertisement messages MUST have the Override flag set to zero. This
// ensures that if the node itself is present on the link, its Neighbor Advertisement (with the
// Override flag set to one) will take precedence of any advertisement received from a proxy."

#[test]
fn solicited_proxy_advertisements_have_the_override_flag_zero() {
    for flag in [Override::Takeover, Override::Never] {
        let mut host = Host::new(with(|policy| policy.upstreams[0].override_flag = flag));
        host.make_live(guest(5), guest_mac(5));
        for question in [question(guest(5)), dad(ROUTER_MAC, guest(5))] {
            assert!(!host.answer_to(question).unwrap().flags.override_entry, "{flag:?}");
        }
    }
}

// Justification: `override = "always"` is against this MUST. It is never the default; whoever
// writes it has a router that keeps a stale entry for longer than a guest may be unreachable.

// "A proxy MAY send unsolicited advertisements with the Override flag set to one as specified in
// Section 7.2.6, but doing so may cause the proxy advertisement to override a valid entry created by
// the node itself."

#[test]
fn an_owner_that_speaks_up_is_not_overridden_again() {
    let mut host = announced_guest(announcing());
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    let mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    host.pass(seconds(1));
    // It is asked whether it still has the address, and it has.
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    host.pass(seconds(20));
    assert_eq!(unsolicited(host.take_timed()), []);
}

// "Finally, when sending a proxy advertisement in response to a Neighbor Solicitation, the sender
// should delay its response by a random time between 0 and MAX_ANYCAST_DELAY_TIME seconds to avoid
// collisions due to multiple responses sent by several proxies. However, in some cases (e.g., Mobile
// IPv6) where only one proxy is present, such delay is not necessary."

// Justification: only one proxy is present, the host that the /64 was given to; so there is no delay.

#[test]
fn a_proxys_answer_leaves_in_the_instant_of_the_question() {
    let mut host = Host::new(always());
    assert!(host.answers_for(guest(5)));
    assert_eq!(host.engine.next_timeout(), None, "nothing is left for later");
}
