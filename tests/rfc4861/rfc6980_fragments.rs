//! RFC 6980 §5: no fragments in Neighbor Discovery. It updates RFC 4861.

use lone64::wire::DropReason;

use crate::frames::{self, Frame};

/// A fragment header (RFC 8200 §4.5) before ICMPv6.
fn fragment(offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    vec![58, 0, high, low, 0xde, 0xad, 0xbe, 0xef]
}

// "Nodes MUST NOT employ IPv6 fragmentation for sending any of the following Neighbor Discovery and
// SEcure Neighbor Discovery messages: o Neighbor Solicitation o Neighbor Advertisement [...]"

#[test]
fn what_is_sent_has_no_fragment_header_and_fits_every_link() {
    let solicitation = frames::emit(&Frame::solicitation().parsed());
    let advertisement = frames::emit_advertisement(&Frame::advertisement().parsed_advertisement());
    for frame in [solicitation, advertisement] {
        assert_eq!(frame[20], 58, "ICMPv6 follows the IPv6 header");
        assert!(frame.len() - 14 <= 1_280, "the minimum MTU (RFC 8200 §5)");
    }
}

// "Nodes MUST silently ignore the following Neighbor Discovery and SEcure Neighbor Discovery messages
// if the packets carrying them include an IPv6 Fragmentation Header: o Neighbor Solicitation o
// Neighbor Advertisement [...]"

#[test]
fn a_solicitation_or_advertisement_in_fragments_is_ignored() {
    for good in [Frame::solicitation(), Frame::dad(), Frame::advertisement()] {
        for (offset, more) in [(0, true), (3, false), (3, true)] {
            let frame = Frame { next_header: 44, extension: fragment(offset, more), ..good.clone() };
            assert_eq!(frame.parse(), Err(DropReason::Fragmented), "offset {offset}, more {more}");
        }
    }
}

#[test]
fn so_is_one_in_an_atomic_fragment() {
    for good in [Frame::solicitation(), Frame::dad(), Frame::advertisement()] {
        let frame = Frame { next_header: 44, extension: fragment(0, false), ..good };
        assert_eq!(frame.parse(), Err(DropReason::Fragmented));
    }
}

// Justification: a fragment header may stand behind other extension headers. With any extension
// header before ICMPv6 a message is ignored, so there is nothing to look for behind them.

#[test]
fn so_is_one_with_a_fragment_header_behind_another_extension_header() {
    let extension = [vec![44, 0, 1, 4, 0, 0, 0, 0], fragment(0, true)].concat();
    let frame = Frame { next_header: 0, extension, ..Frame::solicitation() };
    assert_eq!(frame.parse(), Err(DropReason::ExtensionHeader));
}
