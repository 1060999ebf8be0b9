//! Multicast Listener Discovery: queries in, reports out (RFC 3810, and RFC 2710 where the querier speaks that).
//!
//! A switch that snoops passes a solicitation on to those ports alone from which its group was reported (RFC 4541 §3).

use core::net::Ipv6Addr;
use core::time::Duration;

use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::util::ipv6_checksum;
use serde::{Deserialize, Serialize};

use super::alerted::{Alerted, EXTENSION, HOP_BY_HOP, HOP_LIMIT, address_at};
use super::envelope::{ETHERNET, HEADERS, IPV6};
use super::{Checksum, DropReason, Mac};

/// Which version of the protocol the querier of a link speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MldVersion {
    /// RFC 2710: a report for each group.
    V1,
    /// RFC 3810: one report for many groups.
    V2,
}

/// A Multicast Listener Query (RFC 3810 §5.1, RFC 2710 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MldQuery {
    /// The querier's station.
    pub source_mac: Mac,
    /// Its link-local address.
    pub source: Ipv6Addr,
    /// Which version it speaks.
    pub version: MldVersion,
    /// The group that is asked for; none: all.
    pub group: Option<Ipv6Addr>,
    /// The answer is to come within this time, at random.
    pub max_response: Duration,
}

/// A report of what is listened to on a link, as one frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MldReport {
    /// Our station.
    pub source_mac: Mac,
    /// Our link-local address on the link, or `::` while there is none (RFC 3590).
    pub source: Ipv6Addr,
    /// As the querier speaks.
    pub version: MldVersion,
    /// At most [`MldReport::MOST`]; of the first version one.
    pub records: Vec<MldRecord>,
}

/// What a report says of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MldRecord {
    /// What is said.
    pub kind: MldRecordKind,
    /// Of this group.
    pub group: Ipv6Addr,
}

/// The kinds of records that a listener of groups from all sources sends (RFC 3810 §5.2.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MldRecordKind {
    /// MODE_IS_EXCLUDE: the group is listened to, in answer to a query.
    IsListened,
    /// CHANGE_TO_EXCLUDE_MODE: the group is listened to from now on.
    Begin,
    /// CHANGE_TO_INCLUDE_MODE: it is not any more.
    End,
}

impl MldQuery {
    /// ICMPv6 type.
    pub const TYPE: u8 = 130;

    /// Whether the frame may be one.
    pub(super) fn is_in(frame: &[u8]) -> bool {
        Alerted::is_in(frame, Self::TYPE)
    }

    /// RFC 3810 §6.2: the source is link-local, the hop limit is 1, and there is a Router Alert option. "If any of these
    /// checks fail, the packet is dropped."
    pub(super) fn parse(frame: &[u8], station: Mac, checksum: Checksum) -> Result<Self, DropReason> {
        let alerted = Alerted::open(frame, station)?;
        let Alerted { source_mac, source, message, .. } = alerted;
        if !source.is_unicast_link_local() {
            return Err(DropReason::SourceNotLinkLocal);
        }
        // RFC 3810 §8.1: 24 bytes are a query of version 1, 28 and more one of version 2, and others are ignored.
        let version = match message.len() {
            V1_LENGTH => MldVersion::V1,
            V2_LENGTH.. => MldVersion::V2,
            _ => return Err(DropReason::MessageTruncated),
        };
        alerted.check_sum(checksum)?;
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

    /// Writes the whole frame of a query and returns its length; for tests, and for a querier of our own.
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

impl MldReport {
    /// As many records fit into a packet that every link takes: RFC 8200 §5, 1,280 octets.
    pub const MOST: usize = (1_280 - IPV6 - EXTENSION - 8) / RECORD;
    /// The longest frame, in bytes.
    pub const MAX_EMITTED: usize = HEADERS + EXTENSION + 8 + Self::MOST * RECORD;

    /// Writes the whole frame and returns its length.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`Self::MAX_EMITTED`], or there are more records than fit.
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let (length, destination) = match self.version {
            MldVersion::V1 => (V1_LENGTH, self.v1_destination()),
            MldVersion::V2 => (8 + self.records.len() * RECORD, ALL_V2_ROUTERS),
        };
        let frame = &mut buffer[..HEADERS + EXTENSION + length];
        let message = &mut frame[HEADERS + EXTENSION..];
        message.fill(0);
        match (self.version, self.records.first()) {
            (MldVersion::V1, Some(record)) => {
                message[0] = if record.kind == MldRecordKind::End { V1_DONE } else { V1_REPORT };
                message[8..24].copy_from_slice(&record.group.octets());
            }
            (MldVersion::V1, None) => {}
            (MldVersion::V2, _) => {
                message[0] = V2_REPORT;
                let count = u16::try_from(self.records.len()).expect("as many as fit into a packet");
                message[6..8].copy_from_slice(&count.to_be_bytes());
                for (record, at) in self.records.iter().zip(message[8..].chunks_exact_mut(RECORD)) {
                    // No sources, and no auxiliary data.
                    at[0] = record.kind.number();
                    at[4..].copy_from_slice(&record.group.octets());
                }
            }
        }
        close(frame, (self.source_mac, Mac::multicast(destination)), (self.source, destination));
        frame.len()
    }

    /// RFC 2710 §4: a report goes to the group itself, and that it has ended to all routers.
    fn v1_destination(&self) -> Ipv6Addr {
        match self.records.first() {
            Some(record) if record.kind != MldRecordKind::End => record.group,
            _ => ALL_ROUTERS,
        }
    }
}

impl MldRecordKind {
    /// RFC 3810 §5.2.12.
    const fn number(self) -> u8 {
        match self {
            Self::IsListened => 2,
            Self::End => 3,
            Self::Begin => 4,
        }
    }
}

/// RFC 3810 §5.1.3: milliseconds, or a mantissa and an exponent of them.
fn max_response(version: MldVersion, code: u16) -> Duration {
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

/// Puts the headers and the checksum around the message that stands behind them in `frame`.
pub(super) fn close(frame: &mut [u8], (from, to): (Mac, Mac), (source, destination): (Ipv6Addr, Ipv6Addr)) {
    let payload = u16::try_from(frame.len() - HEADERS).expect("what fits into a packet");
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    let header = &mut frame[ETHERNET..HEADERS];
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&payload.to_be_bytes());
    header[6..8].copy_from_slice(&[HOP_BY_HOP, HOP_LIMIT]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..].copy_from_slice(&destination.octets());
    // RFC 2711 §2.1, the value 0: "Datagram contains a Multicast Listener Discovery message"; then PadN.
    let icmpv6 = IpNextHeaderProtocols::Icmpv6;
    frame[HEADERS..HEADERS + EXTENSION].copy_from_slice(&[icmpv6.0, 0, 5, 2, 0, 0, 1, 0]);
    let message = &frame[HEADERS + EXTENSION..];
    let sum = ipv6_checksum(message, 1, &[], &source, &destination, icmpv6);
    frame[HEADERS + EXTENSION + 2..][..2].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 3810 §5.2.14: "ff02::16, the IPv6 multicast address for All MLDv2-capable routers".
const ALL_V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Bytes of a query, a report and a done of the first version.
const V1_LENGTH: usize = 24;
/// Bytes of a query of the second version without sources.
const V2_LENGTH: usize = 28;
/// Bytes of a record without sources.
const RECORD: usize = 20;
const V1_REPORT: u8 = 131;
const V1_DONE: u8 = 132;
const V2_REPORT: u8 = 143;

#[cfg(test)]
#[path = "mld_tests.rs"]
mod tests;
