//! Any of the messages, as they come out of a frame.

use super::envelope::Envelope;
use super::{
    Advertisement, DropReason, Mac, MldQuery, MldReport, MulticastRouterSolicitation, Solicitation, mld,
};

/// A valid message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A station asks for an address.
    Solicitation(Solicitation),
    /// A station says that it has an address.
    Advertisement(Advertisement),
    /// A multicast router, or a switch, asks who listens.
    Query(MldQuery),
    /// A host says to which solicited-node groups it listens.
    Report(MldReport),
    /// A switch asks for multicast routers.
    RouterSolicitation(MulticastRouterSolicitation),
}

/// Whether the sender of a frame has computed the ICMPv6 checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// It has: the sum is checked.
    #[default]
    Written,
    /// It has not. The sender is on this machine and left the sum to an interface, and the frame has not reached
    /// one, so the field means nothing. The kernel takes such frames (`CHECKSUM_PARTIAL`).
    Pending,
}

impl Message {
    /// Parses a whole Ethernet frame that arrived on the interface whose own address is `station`.
    ///
    /// Every check of RFC 4861 §7.1.1 or §7.1.2 is made, each with its own [`DropReason`]; it
    /// never panics.
    ///
    /// ```
    /// use lone64::wire::{DropReason, Mac, Message};
    ///
    /// let station = Mac([0x52, 0x54, 0, 0, 0, 1]);
    /// assert_eq!(Message::parse(&[0; 10], station), Err(DropReason::FrameTruncated));
    /// ```
    pub fn parse(frame: &[u8], station: Mac) -> Result<Self, DropReason> {
        Self::parse_with(Checksum::Written, frame, station)
    }

    /// The same for a frame whose checksum may not be computed yet. Then only that check is left out.
    pub fn parse_with(checksum: Checksum, frame: &[u8], station: Mac) -> Result<Self, DropReason> {
        match mld::type_in(frame) {
            Some(MldQuery::TYPE) => return MldQuery::parse(frame, station, checksum).map(Self::Query),
            Some(MldReport::TYPE | MldReport::V1_TYPE | MldReport::V1_DONE) => {
                return MldReport::parse(frame, station, checksum).map(Self::Report);
            }
            Some(MulticastRouterSolicitation::TYPE) => {
                let asked = MulticastRouterSolicitation::parse(frame, station, checksum);
                return asked.map(Self::RouterSolicitation);
            }
            _ => {}
        }
        let envelope = Envelope::open(frame, station, checksum)?;
        match envelope.message[0] {
            Solicitation::TYPE => Solicitation::parse(&envelope).map(Self::Solicitation),
            Advertisement::TYPE => Advertisement::parse(&envelope).map(Self::Advertisement),
            _ => Err(DropReason::MessageType),
        }
    }
}
