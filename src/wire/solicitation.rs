//! The Neighbor Solicitation: RFC 4861 §4.3 (format), §7.1.1 (validation).

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::envelope::{Envelope, HEADERS, MESSAGE, Seal};
use super::options::{self, Options};
use super::{DropReason, Mac};

/// A Neighbor Solicitation, with the frame that it came in or is to leave in.
///
/// A value that `parse` returned satisfies RFC 4861 §7.1.1; `emit` writes whatever it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Solicitation {
    /// The frame's source.
    pub source_mac: Mac,
    /// The frame's destination.
    pub destination_mac: Mac,
    /// The asker, or `::` while it checks that nobody else has the address (DAD, RFC 4862 §5.4).
    pub source: Ipv6Addr,
    /// The solicited-node group of the target, or the target itself (a reachability probe).
    pub destination: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// The source link-layer address option, if there is one that fits Ethernet.
    pub source_link_layer: Option<Mac>,
}

impl Solicitation {
    /// ICMPv6 type.
    pub const TYPE: u8 = 135;

    /// The station that the answer goes to (RFC 4861 §7.2.4 with §7.2.3): the source link-layer address option,
    /// or else the source of the frame.
    pub fn asker_mac(&self) -> Mac {
        self.source_link_layer.unwrap_or(self.source_mac)
    }

    /// True for Duplicate Address Detection.
    pub fn is_dad(&self) -> bool {
        self.source.is_unspecified()
    }

    /// RFC 4861 §7.1.1, the part that concerns solicitations only.
    pub(super) fn parse(envelope: &Envelope<'_>) -> Result<Self, DropReason> {
        let options = Options::parse(envelope.options())?;
        let target = envelope.target()?;
        let source = envelope.source;
        if source.is_multicast() || source.is_loopback() || source.to_ipv4_mapped().is_some() {
            return Err(DropReason::SourceNotUnicast);
        }
        if source == target {
            return Err(DropReason::SourceIsTarget);
        }
        if source.is_unspecified() {
            // "If the IP source address is the unspecified address, the IP destination address is
            // a solicited-node multicast address."
            if !is_solicited_node(envelope.destination) {
                return Err(DropReason::DadDestination);
            }
            // "If the IP source address is the unspecified address, there is no source link-layer
            // address option in the message."
            if options.has_source_link_layer {
                return Err(DropReason::DadLinkLayerOption);
            }
        }
        Ok(Self {
            source_mac: envelope.source_mac,
            destination_mac: envelope.destination_mac,
            source,
            destination: envelope.destination,
            target,
            source_link_layer: options.source_link_layer,
        })
    }

    /// Writes the whole frame and returns its length, at most [`super::MAX_EMITTED`] bytes.
    ///
    /// # Panics
    /// If `buffer` is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let length = HEADERS + MESSAGE + self.source_link_layer.map_or(0, |_| options::UNIT);
        let frame = &mut buffer[..length];
        let message = &mut frame[HEADERS..];
        message[..8].copy_from_slice(&[Self::TYPE, 0, 0, 0, 0, 0, 0, 0]);
        message[8..MESSAGE].copy_from_slice(&self.target.octets());
        if let Some(mac) = self.source_link_layer {
            options::emit_link_layer(options::SOURCE_LINK_LAYER, mac, &mut message[MESSAGE..]);
        }
        let Self { source_mac, destination_mac, source, destination, .. } = *self;
        Seal { source_mac, destination_mac, source, destination }.close(frame);
        length
    }
}

/// The solicited-node multicast address (RFC 4291 §2.7.1): ff02::1:ff00:0/104 and the last 24 bits.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., g, h] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (g & 0xff), h)
}

/// The part of an address that its solicited-node group has (RFC 4291 §2.7.1): "the low-order 24 bits".
pub fn group_suffix(address: Ipv6Addr) -> u32 {
    (address.to_bits() & 0xff_ffff) as u32
}

pub(super) fn is_solicited_node(address: Ipv6Addr) -> bool {
    solicited_node(address) == address
}
