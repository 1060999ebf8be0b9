//! RFC 4861 §4.3, Neighbor Solicitation Message Format: of the probes that we send.

use lone64::engine::facts::Fact;
use lone64::wire::{Mac, Solicitation, solicited_node};

use crate::frames::{self, Frame};
use crate::host::{BRIDGE, BRIDGE_MAC, Host, address, guest, guest_mac, live, seconds};

/// The first probe for a target of which nothing is known.
fn multicast_probe() -> Solicitation {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(seconds(1));
    host.probes()[0]
}

/// The probe that confirms a target which is known.
fn unicast_probe() -> Solicitation {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(60));
    host.probes()[0]
}

// "Source Address: Either an address assigned to the interface from which this message is sent or
// (if Duplicate Address Detection is in progress [ADDRCONF]) the unspecified address."

#[test]
fn a_probe_comes_from_an_address_of_the_downstream_it_is_sent_on() {
    for probe in [multicast_probe(), unicast_probe()] {
        assert_eq!(probe.source, address("fe80::5054:ff:fe00:b0"));
        assert_eq!(probe.source_mac, BRIDGE_MAC);
    }
}

// "Destination Address: Either the solicited-node multicast address corresponding to the target
// address, or the target address."

#[test]
fn a_probe_for_an_unknown_target_goes_to_its_solicited_node_group() {
    let probe = multicast_probe();
    assert_eq!(probe.destination, solicited_node(guest(5)));
    assert_eq!(probe.destination_mac, Mac([0x33, 0x33, 0xff, 0, 0, 5]));
}

#[test]
fn a_probe_for_a_known_target_goes_to_the_target() {
    let probe = unicast_probe();
    assert_eq!((probe.destination, probe.destination_mac), (guest(5), guest_mac(5)));
}

// "Hop Limit: 255", "Type: 135", "Code: 0", "Checksum: The ICMP checksum."

#[test]
fn a_probe_has_hop_limit_255_type_135_code_0_and_a_right_checksum() {
    for probe in [multicast_probe(), unicast_probe()] {
        let frame = frames::emit(&probe);
        assert_eq!((frame[21], frame[54], frame[55]), (255, 135, 0));
        assert_eq!(frames::sum(probe.source, probe.destination, &frame[54..]), 0xffff);
    }
}

// "Reserved: This field is unused. It MUST be initialized to zero by the sender [...]"

#[test]
fn the_reserved_field_of_a_probe_is_zero() {
    for probe in [multicast_probe(), unicast_probe()] {
        assert_eq!(frames::emit(&probe)[58..62], [0; 4]);
    }
}

// "[...] and MUST be ignored by the receiver."

#[test]
fn the_reserved_field_of_a_solicitation_is_ignored() {
    let plain = Frame::solicitation();
    for reserved in [[0xff; 4], [0, 0, 0, 1], [0x80, 0, 0, 0]] {
        assert_eq!(Frame { reserved, ..plain.clone() }.parsed(), plain.parsed());
    }
}

// "Target Address: The IP address of the target of the solicitation. It MUST NOT be a multicast
// address."

#[test]
fn a_probe_asks_for_the_target_that_was_asked_for() {
    assert_eq!(multicast_probe().target, guest(5));
    assert_eq!(unicast_probe().target, guest(5));
}

// Justification: a probe's target is that of a solicitation which passed §7.1.1, and multicast ones
// do not: see `a_multicast_target_is_discarded` there.

// "Source link-layer address: The link-layer address for the sender. MUST NOT be included when the
// source IP address is the unspecified address."

// Justification: a probe never comes from the unspecified address, as the next test shows. Of those
// that others send with it: `dad_with_a_source_link_layer_option_is_discarded` in §7.1.1.

#[test]
fn without_an_address_on_the_downstream_nothing_is_sent_there() {
    let mut host = Host::new(live());
    let gone = Fact::AddressGone { link: BRIDGE, address: address("fe80::5054:ff:fe00:b0") };
    host.facts(vec![gone]);
    host.ask(guest(5));
    host.pass(seconds(10));
    assert_eq!(host.probes(), []);
}

// "Otherwise, on link layers that have addresses this option MUST be included in multicast
// solicitations and SHOULD be included in unicast solicitations."

#[test]
fn every_probe_says_the_downstreams_own_link_layer_address() {
    for probe in [multicast_probe(), unicast_probe()] {
        assert_eq!(probe.source_link_layer, Some(BRIDGE_MAC));
        assert_eq!(frames::emit(&probe)[78..], [1, 1, 0x52, 0x54, 0, 0, 0, 0xb0]);
    }
}

// "Future versions of this protocol may define new option types. Receivers MUST silently ignore any
// options they do not recognize and continue processing the message."

#[test]
fn unknown_options_of_a_solicitation_are_ignored() {
    let plain = Frame::solicitation();
    for kind in [0, 14, 24, 38, 138, 253, 255] {
        let mut options = vec![kind, 2];
        options.extend([0xaa; 14]);
        options.extend(&plain.options);
        assert_eq!(Frame { options, ..plain.clone() }.parsed(), plain.parsed(), "option {kind}");
    }
}
