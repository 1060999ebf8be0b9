//! RFC 4861 §7.2.6, Sending Unsolicited Neighbor Advertisements; §7.2.7, Anycast Neighbor
//! Advertisements; §7.2.8, Proxy Neighbor Advertisements.

use lone64::engine::Output;
use lone64::engine::facts::{Fact, LinkLayer};
use lone64::engine::policy::Override;
use lone64::wire::{Advertisement, Mac, solicited_node};

use crate::host::{
    Host, ROUTER_MAC, UP, UP_MAC, always, dad, guest, guest_mac, link, live, question, seconds, with,
};

// §7.2.6

// "In such cases, a node MAY send up to MAX_NEIGHBOR_ADVERTISEMENT unsolicited Neighbor Advertisement
// messages to the all-nodes multicast address. These advertisements MUST be separated by at least
// RetransTimer seconds."
// "The Solicited flag MUST be set to zero, in order to avoid confusing the Neighbor Unreachability
// Detection algorithm. If the node is a router, it MUST set the Router flag to one; otherwise, it
// MUST set it to zero. The Override flag MAY be set to either zero or one."
// "A node that has multiple IP addresses assigned to an interface MAY multicast a separate Neighbor
// Advertisement for each address. In such a case, the node SHOULD introduce a small delay between the
// sending of each advertisement to reduce the probability of the advertisements being lost due to
// congestion."
// "A proxy MAY multicast Neighbor Advertisements when its link-layer address changes or when it is
// configured (by system management or other mechanisms) to proxy for an address. If there are
// multiple nodes that are providing proxy services for the same set of addresses, the proxies should
// provide a mechanism that prevents multiple proxies from multicasting advertisements for any one
// address, in order to reduce the risk of excessive multicast traffic."

// Justification: all of it hangs on a MAY, and nothing is announced yet. The tests hold it to that:
// when announcing comes, they fail, and the sentences above want tests of their own.

#[test]
fn a_target_that_proves_live_is_not_announced() {
    let mut host = Host::new(live());
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(600));
    assert_eq!(host.answers(), []);
}

#[test]
fn a_new_link_layer_address_of_the_upstream_is_not_announced_and_is_in_the_next_answer() {
    let mut host = Host::new(always());
    let mac = Mac([0x52, 0x54, 0, 0, 0, 2]);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    assert_eq!(host.answers(), []);
    let answer = host.answer_to(question(guest(5))).unwrap();
    assert_eq!((answer.source_mac, answer.target_link_layer), (mac, Some(mac)));
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
    assert!(outputs.contains(&Output::Join(UP, solicited_node(guest(5)))), "{outputs:?}");
}

// Justification, for ranges of which every address is answered for and which are wider than a /120:
// the kernel has no room for a group for each. The packet socket opens the interface's filter for all
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

// Justification: none are sent, see §7.2.6.

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
