//! The Neighbor Advertisement: RFC 4861 §4.4 (format), §7.1.2 (validation).

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::envelope::{Envelope, HEADERS, MESSAGE, Seal};
use super::options::{self, Options};
use super::{DropReason, Mac};

/// A Neighbor Advertisement, with the frame that it came in or is to leave in.
///
/// A value from `parse` satisfies RFC 4861 §7.1.2. `emit` writes any value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Advertisement {
    /// The frame's source.
    pub source_mac: Mac,
    /// The frame's destination.
    pub destination_mac: Mac,
    /// The sender.
    pub source: Ipv6Addr,
    /// The asker, or ff02::1.
    pub destination: Ipv6Addr,
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// R, S and O.
    pub flags: Flags,
    /// The target link-layer address option, if there is one that fits Ethernet.
    pub target_link_layer: Option<Mac>,
}

/// The flags of an advertisement (RFC 4861 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Flags {
    /// R: the sender is a router.
    pub router: bool,
    /// S: sent in response to a solicitation from the destination address.
    pub solicited: bool,
    /// O: the receiver replaces the entry that it has.
    pub override_entry: bool,
}

impl Advertisement {
    /// ICMPv6 type.
    pub const TYPE: u8 = 136;

    /// The station that has the target, as far as the message says.
    pub fn owner_mac(&self) -> Mac {
        self.target_link_layer.unwrap_or(self.source_mac)
    }

    /// RFC 4861 §7.1.2, the part that concerns advertisements only.
    pub(super) fn parse(envelope: &Envelope<'_>) -> Result<Self, DropReason> {
        let options = Options::parse(envelope.options())?;
        let target = envelope.target()?;
        let flags = Flags::from_bits(envelope.message[4]);
        // "If the IP Destination Address is a multicast address the Solicited flag is zero."
        if flags.solicited && envelope.destination.is_multicast() {
            return Err(DropReason::SolicitedToGroup);
        }
        let source = envelope.source;
        if source.is_multicast() || source.is_unspecified() || source.is_loopback() {
            return Err(DropReason::SourceNotUnicast);
        }
        Ok(Self {
            source_mac: envelope.source_mac,
            destination_mac: envelope.destination_mac,
            source,
            destination: envelope.destination,
            target,
            flags,
            target_link_layer: options.target_link_layer,
        })
    }

    /// Writes the whole frame and returns its length, at most [`super::MAX_EMITTED`] bytes.
    ///
    /// # Panics
    /// If `buffer` is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let length = HEADERS + MESSAGE + self.target_link_layer.map_or(0, |_| options::UNIT);
        let frame = &mut buffer[..length];
        let message = &mut frame[HEADERS..];
        // RFC 4861 §4.4: Reserved "MUST be initialized to zero by the sender".
        message[..8].copy_from_slice(&[Self::TYPE, 0, 0, 0, self.flags.bits(), 0, 0, 0]);
        message[8..MESSAGE].copy_from_slice(&self.target.octets());
        if let Some(mac) = self.target_link_layer {
            options::emit_link_layer(options::TARGET_LINK_LAYER, mac, &mut message[MESSAGE..]);
        }
        let Self { source_mac, destination_mac, source, destination, .. } = *self;
        Seal { source_mac, destination_mac, source, destination }.close(frame);
        length
    }
}

impl Flags {
    fn from_bits(bits: u8) -> Self {
        Self {
            router: bits & ROUTER != 0,
            solicited: bits & SOLICITED != 0,
            override_entry: bits & OVERRIDE != 0,
        }
    }

    fn bits(self) -> u8 {
        let Self { router, solicited, override_entry } = self;
        u8::from(router) * ROUTER + u8::from(solicited) * SOLICITED + u8::from(override_entry) * OVERRIDE
    }
}

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
