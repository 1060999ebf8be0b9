//! Multicast Listener Queries: a multicast router, or a switch, asks who listens.

use core::net::Ipv6Addr;
use core::time::Duration;

use super::{
    ALL_NODES, EXTENSION, HEADERS, MldQuery, MldVersion, Opened, V1_LENGTH, V2_LENGTH, address_at, close,
};
use crate::wire::{Checksum, DropReason, Mac};

impl MldQuery {
    /// ICMPv6 type.
    pub const TYPE: u8 = 130;

    /// RFC 3810 §6.2: the source is link-local, the hop limit is 1, and there is a Router Alert option. "If any of these
    /// checks fail, the packet is dropped."
    pub(in crate::wire) fn parse(frame: &[u8], station: Mac, checksum: Checksum) -> Result<Self, DropReason> {
        let Opened { source_mac, source, message, .. } = Opened::open(frame, station, checksum)?;
        if !source.is_unicast_link_local() {
            return Err(DropReason::SourceNotLinkLocal);
        }
        // RFC 3810 §8.1: 24 bytes are a query of version 1, 28 and more one of version 2, and others are ignored.
        let version = match message.len() {
            V1_LENGTH => MldVersion::V1,
            V2_LENGTH.. => MldVersion::V2,
            _ => return Err(DropReason::MessageTruncated),
        };
        let code = u16::from_be_bytes([message[4], message[5]]);
        let group = address_at(message, 8);
        if !group.is_unspecified() && !group.is_multicast() {
            return Err(DropReason::MessageType);
        }
        Ok(Self {
            source_mac,
            source,
            version,
            group: Some(group).filter(|group| !group.is_unspecified()),
            max_response: max_response(version, code),
        })
    }

    /// The longest frame, in bytes.
    pub const MAX_EMITTED: usize = HEADERS + EXTENSION + V2_LENGTH;

    /// Writes the whole frame and returns its length.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`Self::MAX_EMITTED`].
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let destination = self.group.unwrap_or(ALL_NODES);
        let length = if self.version == MldVersion::V1 { V1_LENGTH } else { V2_LENGTH };
        let frame = &mut buffer[..HEADERS + EXTENSION + length];
        let message = &mut frame[HEADERS + EXTENSION..];
        message.fill(0);
        message[0] = Self::TYPE;
        message[4..6].copy_from_slice(&code(self.version, self.max_response).to_be_bytes());
        message[8..24].copy_from_slice(&self.group.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
        if let Some(rest) = message.get_mut(24..28) {
            // Robustness 2, a query every 125 s.
            rest.copy_from_slice(&[2, 125, 0, 0]);
        }
        close(frame, (self.source_mac, Mac::multicast(destination)), (self.source, destination));
        frame.len()
    }
}

/// RFC 3810 §5.1.3: milliseconds, or a mantissa and an exponent of them.
pub(super) fn max_response(version: MldVersion, code: u16) -> Duration {
    let milliseconds = match (version, code) {
        (MldVersion::V2, 0x8000..) => (u64::from(code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3),
        _ => u64::from(code),
    };
    Duration::from_millis(milliseconds)
}

/// The other way round; what is too long for a code becomes the longest.
fn code(version: MldVersion, max_response: Duration) -> u16 {
    let milliseconds = max_response.as_millis();
    let exponent = (0..8).find(|exponent| milliseconds >> (exponent + 3) < 0x2000).unwrap_or(7);
    let mantissa = (milliseconds >> (exponent + 3)).min(0x1fff) & 0xfff;
    let long = 0x8000 | exponent << 12 | u16::try_from(mantissa).unwrap_or(0xfff);
    let most = if version == MldVersion::V1 { u16::MAX } else { 0x7fff };
    match u16::try_from(milliseconds) {
        Ok(short) if short <= most => short,
        _ if version == MldVersion::V1 => most,
        _ => long,
    }
}
