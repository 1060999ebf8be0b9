//! The one table of offsets and byte orders: of the frame, the context, the stack and the maps.
//!
//! What is on the wire is never turned round. A constant that it is compared with is made of the bytes that stand
//! there, in the order in which they stand, read as this machine reads them: `half`, `word`, `double`. What the
//! maps hold is in the order of this machine.
//!
//! | on the stack, from its end | holds |
//! |---|---|
//! | −144 to −137 | the hash of a question |
//! | −136 to −129 | the time |
//! | −124 to −105 | the key of the daemon's entry among the ranges |
//! | −100 to −97 | the number of a row of the targets, or of a question that is remembered, as a key |
//! | −94 to −9 | the frame, [`LONG`] bytes of it at most: so every field of it is where it may be read whole |
//! | −8 to −5 | nothing |
//! | −4 to −1 | the [`super::Verdict`], as the key of its counter |

use super::instruction::Size;

/// A field of the frame: which byte it begins with, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field(u8, pub(super) Size);

impl Field {
    /// Where it is on the stack.
    pub(super) const fn on_stack(self) -> i16 {
        FRAME + self.0 as i16
    }

    /// Where it is in the frame.
    pub(super) const fn in_frame(self) -> i16 {
        self.0 as i16
    }

    /// The field of this size so far behind the beginning of this one.
    pub(super) const fn part(self, offset: u8, size: Size) -> Self {
        Self(self.0 + offset, size)
    }
}

/// Where the frame begins on the stack: 14 bytes before a multiple of eight, for the sake of the IPv6 header.
pub(super) const FRAME: i16 = -94;
/// Where the key of a row is on the stack. It is written several times, so it is at no multiple of eight, where verifiers
/// before Linux 6.8 would take it for a spilled register.
pub(super) const ROW_KEY: i16 = -100;
/// Where the key of the daemon's entry is on the stack: its addresses are at multiples of eight.
pub(super) const DAEMON_KEY: i16 = -124;
/// Where the time is on the stack.
pub(super) const TIME: i16 = -136;
/// Where the hash of a question is on the stack.
pub(super) const QUESTION: i16 = -144;
/// Where the key of a counter is on the stack.
pub(super) const COUNTER: i16 = -4;

/// Bytes of a frame with a solicitation that has no option: 14 + 40 + 24.
pub(super) const SHORT: i32 = 78;
/// Bytes of a frame with a solicitation or an advertisement that has one link-layer address option: 8 more.
pub(super) const LONG: i32 = 86;

/// RFC 4443 §1: the next header before ICMPv6.
pub(super) const ICMPV6: u8 = 58;

// RFC 894 and IEEE 802.3: the Ethernet header.
pub(super) const DESTINATION_MAC: Field = Field(0, Size::Half);
pub(super) const SOURCE_MAC: Field = Field(6, Size::Word);
// RFC 8200 §3: the IPv6 header.
pub(super) const VERSION: Field = Field(14, Size::Byte);
/// Version, traffic class and flow label.
pub(super) const FIRST_WORD: Field = Field(14, Size::Word);
pub(super) const PAYLOAD_LENGTH: Field = Field(18, Size::Half);
pub(super) const NEXT_HEADER: Field = Field(20, Size::Byte);
pub(super) const HOP_LIMIT: Field = Field(21, Size::Byte);
pub(super) const SOURCE: Field = Field(22, Size::Double);
pub(super) const DESTINATION: Field = Field(38, Size::Double);
// RFC 4861 §4.3 and §4.4: the message.
pub(super) const TYPE: Field = Field(54, Size::Byte);
pub(super) const CODE: Field = Field(55, Size::Byte);
pub(super) const TYPE_AND_CODE: Field = Field(54, Size::Half);
pub(super) const CHECKSUM: Field = Field(56, Size::Half);
/// Reserved in a solicitation, R, S, O and reserved in an advertisement.
pub(super) const FLAGS: Field = Field(58, Size::Word);
pub(super) const TARGET: Field = Field(62, Size::Double);
// RFC 4861 §4.6.1: the one option.
pub(super) const OPTION: Field = Field(78, Size::Double);
pub(super) const OPTION_KIND: Field = Field(78, Size::Half);
pub(super) const OPTION_MAC: Field = Field(80, Size::Half);

/// The key of the trie is the length of a prefix and an address: the word before the target takes the length, once
/// nobody needs what is reserved there any more.
pub(super) const RANGE_KEY: Field = FLAGS;

/// What the checksum is over in the frame: both addresses, and the message with the room for its option.
pub(super) const SUMMED: (Field, i32) = (SOURCE, 64);

// linux/bpf.h, struct __sk_buff: words in the order of this machine, but for the protocol.
pub(super) const CONTEXT_LENGTH: i16 = 0;
pub(super) const CONTEXT_PROTOCOL: i16 = 16;
pub(super) const CONTEXT_VLAN_PRESENT: i16 = 20;
pub(super) const CONTEXT_IFINDEX: i16 = 40;
/// Where the frame begins and ends, as far as it lies in one piece: the verifier makes addresses of these.
pub(super) const CONTEXT_START: i16 = 76;
pub(super) const CONTEXT_END: i16 = 80;

// A row of the targets: an address, 64 bits, and twice 32. The value of a range is a row without an address.
pub(super) const ADDRESS: i16 = 0;
pub(super) const UNTIL: i16 = 16;
pub(super) const ASKED: i16 = 24;
pub(super) const HITS: i16 = 28;
// A question that is remembered: 64 bits each.
pub(super) const HASH: i16 = 0;
pub(super) const HASH_ASKED: i16 = 8;

/// Two bytes of a frame, as a load of them finds them.
pub(super) fn half(bytes: [u8; 2]) -> i32 {
    i32::from(u16::from_ne_bytes(bytes))
}

/// Four bytes of a frame, as a comparison of 32 bits finds them.
pub(super) fn word(bytes: [u8; 4]) -> i32 {
    i32::from_ne_bytes(bytes)
}

/// Eight bytes of a frame, as a load of them finds them.
pub(super) fn double(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verifier reads a stack only at multiples of what is read.
    #[test]
    fn every_field_is_aligned_on_the_stack() {
        let bytes = |size| match size {
            Size::Byte => 1,
            Size::Half => 2,
            Size::Word => 4,
            Size::Double => 8,
        };
        let fields = [
            DESTINATION_MAC,
            SOURCE_MAC,
            FIRST_WORD,
            PAYLOAD_LENGTH,
            SOURCE,
            DESTINATION,
            TYPE_AND_CODE,
            CHECKSUM,
            FLAGS,
            TARGET,
            OPTION,
            OPTION_MAC,
            RANGE_KEY,
        ];
        for field in fields {
            assert_eq!(field.on_stack() % bytes(field.1), 0, "{field:?}");
        }
        let end = FRAME + i16::try_from(LONG).expect("a small number");
        assert!(end <= COUNTER - 4 && ROW_KEY + 4 <= FRAME && ROW_KEY >= -512, "the frame and two keys fit");
        const {
            assert!(
                DAEMON_KEY + 20 <= ROW_KEY
                    && (DAEMON_KEY + 4) % 8 == 0
                    && TIME + 8 <= DAEMON_KEY
                    && QUESTION + 8 <= TIME
            )
        };
    }
}
