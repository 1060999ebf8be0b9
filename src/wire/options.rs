//! The options of a Neighbor Discovery message (RFC 4861 §4.6), walked by hand.
//!
//! By hand, and in `usize`: option lengths come from strangers, and a walk that trusts them is the
//! classic way to crash a responder.

use super::{DropReason, Mac};

/// The link-layer address options that were found, as far as they fit Ethernet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// Whether there was a source link-layer address option, of any length.
    pub(super) has_source_link_layer: bool,
    /// The first usable source link-layer address.
    pub(super) source_link_layer: Option<Mac>,
    /// The first usable target link-layer address.
    pub(super) target_link_layer: Option<Mac>,
}

impl Options {
    /// Walks all options, so that a bad one is found at any place.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, DropReason> {
        let mut found = Self::default();
        while let [kind, length, ..] = *bytes {
            // RFC 4861 §7.1.1: "All included options have a length that is greater than zero."
            if length == 0 {
                return Err(DropReason::OptionLengthZero);
            }
            let Some((option, rest)) = bytes.split_at_checked(usize::from(length) * UNIT) else {
                return Err(DropReason::OptionTruncated);
            };
            match kind {
                SOURCE_LINK_LAYER => {
                    found.has_source_link_layer = true;
                    found.source_link_layer = found.source_link_layer.or_else(|| ethernet(option));
                }
                TARGET_LINK_LAYER => {
                    found.target_link_layer = found.target_link_layer.or_else(|| ethernet(option));
                }
                // RFC 4861 §4.6: "Receivers MUST silently ignore any options they do not
                // recognize and continue processing the message."
                _ => {}
            }
            bytes = rest;
        }
        // A single byte at the end is an option that was cut within its header.
        if bytes.is_empty() { Ok(found) } else { Err(DropReason::OptionTruncated) }
    }
}

/// Writes a link-layer address option (RFC 4861 §4.6.1) for Ethernet.
pub(super) fn emit_link_layer(kind: u8, mac: Mac, buffer: &mut [u8]) {
    buffer[0] = kind;
    buffer[1] = 1;
    buffer[2..UNIT].copy_from_slice(&mac.0);
}

/// RFC 2464 §6: on Ethernet the option has length 1 and holds 48 bits. Anything else belongs to
/// another kind of link and is passed over, as is an address that no station can have.
fn ethernet(option: &[u8]) -> Option<Mac> {
    let address: [u8; 6] = option.get(2..)?.try_into().ok()?;
    Some(Mac(address)).filter(|mac| mac.is_station())
}

/// Option lengths count units of 8 bytes.
pub(super) const UNIT: usize = 8;
/// RFC 4861 §4.6.1.
pub(super) const SOURCE_LINK_LAYER: u8 = 1;
/// RFC 4861 §4.6.1.
pub(super) const TARGET_LINK_LAYER: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 8] = [1, 1, 0x52, 0x54, 0, 0, 0, 7];

    #[test]
    fn finds_the_address_wherever_it_stands() {
        let mut bytes = vec![14, 1, 1, 2, 3, 4, 5, 6, 200, 2];
        bytes.extend([0; 14]);
        bytes.extend(MAC);
        let options = Options::parse(&bytes).expect("valid options");
        assert_eq!(options.source_link_layer, Some(Mac([0x52, 0x54, 0, 0, 0, 7])));
    }

    #[test]
    fn refuses_a_length_of_zero_behind_good_options() {
        let mut bytes = MAC.to_vec();
        bytes.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Options::parse(&bytes), Err(DropReason::OptionLengthZero));
    }

    #[test]
    fn refuses_an_option_beyond_the_message() {
        assert_eq!(Options::parse(&[1, 32, 0, 0, 0, 0, 0, 0]), Err(DropReason::OptionTruncated));
        assert_eq!(Options::parse(&[1]), Err(DropReason::OptionTruncated));
    }

    #[test]
    fn passes_over_addresses_of_other_links_and_groups() {
        let mut bytes = vec![1, 2];
        bytes.extend([0; 14]);
        bytes.extend([1, 1, 0x33, 0x33, 0, 0, 0, 1]);
        let options = Options::parse(&bytes).expect("valid options");
        assert!(options.has_source_link_layer);
        assert_eq!(options.source_link_layer, None);
    }
}
