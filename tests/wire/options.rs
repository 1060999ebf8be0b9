//! Options of every kind and length (RFC 4861 §4.6): what is passed over, and what is not.

use lone64::wire::{DropReason, Mac};
use proptest::prelude::*;

use super::frames::{Frame, SENDER, link_layer};

/// One option, with whatever stands in it.
fn option() -> impl Strategy<Value = Vec<u8>> {
    // The two kinds that matter, in the one length that fits Ethernet, would hardly come by chance.
    let kind_and_length = prop_oneof![(any::<u8>(), 1u8..=31), (1u8..=2, 1u8..=2)];
    kind_and_length.prop_flat_map(|(kind, length)| {
        prop::collection::vec(any::<u8>(), usize::from(length) * 8 - 2)
            .prop_map(move |body| [vec![kind, length], body].concat())
    })
}

/// Whole options, together at most 1,500 bytes.
fn options() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(option(), 0..24).prop_map(|mut options| {
        let mut room = 1_500;
        options.retain(|option| {
            let fits = option.len() <= room;
            room -= if fits { option.len() } else { 0 };
            fits
        });
        options
    })
}

/// The first link-layer address of this kind that one station can have.
fn first_usable(options: &[Vec<u8>], kind: u8) -> Option<Mac> {
    options
        .iter()
        .filter(|option| option[0] == kind && option.len() == 8)
        .map(|option| Mac(option[2..8].try_into().unwrap()))
        .find(|mac| mac.0 != [0; 6] && mac.0[0] & 1 == 0)
}

proptest! {
    #[test]
    fn whole_options_of_any_kind_never_keep_a_solicitation_out(options in options()) {
        let frame = Frame { options: options.concat(), ..Frame::solicitation() };
        let solicitation = frame.parsed();
        prop_assert_eq!(solicitation.target, frame.target);
        prop_assert_eq!(solicitation.source_link_layer, first_usable(&options, 1));
    }

    #[test]
    fn whole_options_of_any_kind_never_keep_an_advertisement_out(options in options()) {
        let frame = Frame { options: options.concat(), ..Frame::advertisement() };
        let advertisement = frame.parsed_advertisement();
        prop_assert_eq!(advertisement.target_link_layer, first_usable(&options, 2));
    }

    #[test]
    fn dad_with_a_source_link_layer_option_of_whatever_length_is_refused(options in options()) {
        let has_one = options.iter().any(|option| option[0] == 1);
        let frame = Frame { options: options.concat(), ..Frame::dad() };
        let expected = if has_one { Err(DropReason::DadLinkLayerOption) } else { Ok(()) };
        prop_assert_eq!(frame.parse().map(|_| ()), expected);
    }

    #[test]
    fn an_option_of_length_zero_is_found_wherever_it_stands(options in options(), at: prop::sample::Index) {
        let mut options = options;
        options.insert(at.index(options.len() + 1), vec![9, 0, 0, 0, 0, 0, 0, 0]);
        let frame = Frame { options: options.concat(), ..Frame::solicitation() };
        prop_assert_eq!(frame.parse(), Err(DropReason::OptionLengthZero));
    }

    #[test]
    fn a_last_option_that_is_cut_is_refused(options in options(), last in option(), cut: prop::sample::Index) {
        let mut bytes = options.concat();
        bytes.extend(&last[..1 + cut.index(last.len() - 1)]);
        let frame = Frame { options: bytes, ..Frame::solicitation() };
        prop_assert_eq!(frame.parse(), Err(DropReason::OptionTruncated));
    }
}

#[test]
fn an_address_that_no_station_can_have_is_passed_over_for_the_next_one() {
    for unusable in [Mac([0; 6]), Mac([0xff; 6]), Mac([0x33, 0x33, 0, 0, 0, 1])] {
        let options = [link_layer(1, unusable), link_layer(1, SENDER)].concat();
        let solicitation = Frame { options, ..Frame::solicitation() }.parsed();
        assert_eq!(solicitation.source_link_layer, Some(SENDER), "{unusable}");
        let frame = Frame { options: link_layer(1, unusable), ..Frame::solicitation() };
        assert_eq!(frame.parsed().asker_mac(), SENDER, "{unusable}");
    }
}

#[test]
fn every_kind_of_option_is_passed_over() {
    for kind in (0..=255).filter(|kind| *kind != 1) {
        let options = [link_layer(kind, Mac([2, 0, 0, 0, 0, 7])), link_layer(1, SENDER)].concat();
        let solicitation = Frame { options, ..Frame::solicitation() }.parsed();
        assert_eq!(solicitation.source_link_layer, Some(SENDER), "kind {kind}");
    }
}

#[test]
fn an_option_as_long_as_options_can_be_is_passed_over() {
    let mut options = vec![0; 255 * 8];
    options[..2].copy_from_slice(&[253, 255]);
    options.extend(link_layer(1, SENDER));
    let solicitation = Frame { options, ..Frame::solicitation() }.parsed();
    assert_eq!(solicitation.source_link_layer, Some(SENDER));
}

#[test]
fn dad_with_a_nonce_is_taken() {
    // RFC 3971 §5.3.2, as RFC 7527 uses it.
    let frame = Frame { options: vec![14, 1, 1, 2, 3, 4, 5, 6], ..Frame::dad() };
    assert!(frame.parsed().is_dad());
}

#[test]
fn without_a_source_link_layer_option_the_asker_is_whoever_sent_the_frame() {
    let frame = Frame { options: Vec::new(), ..Frame::solicitation() };
    assert_eq!(frame.parsed().asker_mac(), SENDER);
}

#[test]
fn with_a_source_link_layer_option_the_asker_is_the_station_it_names() {
    let other = Mac([2, 0, 0, 0, 0, 7]);
    let frame = Frame { options: link_layer(1, other), ..Frame::solicitation() };
    assert_eq!(frame.parsed().asker_mac(), other);
}
