//! Either of the two messages, as they come out of a frame.

use super::envelope::Envelope;
use super::{Advertisement, DropReason, Mac, Solicitation};

/// A valid Neighbor Discovery message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks.
    Solicitation(Solicitation),
    /// Somebody tells.
    Advertisement(Advertisement),
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
        let envelope = Envelope::open(frame, station)?;
        match envelope.message[0] {
            Solicitation::TYPE => Solicitation::parse(&envelope).map(Self::Solicitation),
            Advertisement::TYPE => Advertisement::parse(&envelope).map(Self::Advertisement),
            _ => Err(DropReason::MessageType),
        }
    }
}
