//! Multicast Listener Reports: a host says to which groups it listens.

use core::net::Ipv6Addr;

use super::{
    ALL_ROUTERS, ALL_V2_ROUTERS, EXTENSION, HEADERS, IPV6, MldRecord, MldRecordKind, MldReport, MldVersion,
    Opened, RECORD, V1_LENGTH, address_at, close,
};
use crate::wire::{Checksum, DropReason, Mac, is_solicited_node};

impl MldReport {
    /// ICMPv6 type of the second version.
    pub const TYPE: u8 = 143;
    /// ICMPv6 type of a report of the first version.
    pub const V1_TYPE: u8 = 131;
    /// ICMPv6 type by which a host of the first version says that it does not listen any more.
    pub const V1_DONE: u8 = 132;
    /// As many records fit into a packet that every link takes: RFC 8200 §5, 1,280 octets.
    pub const MOST: usize = (1_280 - IPV6 - EXTENSION - 8) / RECORD;
    /// The longest frame, in bytes.
    pub const MAX_EMITTED: usize = HEADERS + EXTENSION + 8 + Self::MOST * RECORD;

    /// What a host says, as far as it is about solicited-node groups: other groups are left out. RFC 3590 §4 allows `::`
    /// as its source.
    pub(in crate::wire) fn parse(frame: &[u8], station: Mac, checksum: Checksum) -> Result<Self, DropReason> {
        let Opened { source_mac, source, message, .. } = Opened::open(frame, station, checksum)?;
        if !source.is_unicast_link_local() && !source.is_unspecified() {
            return Err(DropReason::SourceNotLinkLocal);
        }
        let (version, mut records) = match message.first() {
            Some(&Self::TYPE) => (MldVersion::V2, records_of(message)?),
            kind => {
                if message.len() < V1_LENGTH {
                    return Err(DropReason::MessageTruncated);
                }
                let is_end = kind == Some(&Self::V1_DONE);
                let kind = if is_end { MldRecordKind::End } else { MldRecordKind::IsListened };
                (MldVersion::V1, vec![MldRecord { kind, group: address_at(message, 8) }])
            }
        };
        records.retain(|record| is_solicited_node(record.group));
        Ok(Self { source_mac, source, version, records })
    }

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
                message[0] = if record.kind == MldRecordKind::End { Self::V1_DONE } else { Self::V1_TYPE };
                message[8..24].copy_from_slice(&record.group.octets());
            }
            (MldVersion::V1, None) => {}
            (MldVersion::V2, _) => {
                message[0] = Self::TYPE;
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
    /// RFC 3810 §5.2.12: what a record of this type says, with sources or without. Of one that blocks sources, or is of
    /// no known type, nothing: "Unrecognized Record Type values MUST be silently ignored".
    const fn of(number: u8, has_sources: bool) -> Option<Self> {
        match (number, has_sources) {
            (2, _) | (1, true) => Some(Self::IsListened),
            (1 | 3, false) => Some(Self::End),
            (4, _) | (3 | 5, true) => Some(Self::Begin),
            _ => None,
        }
    }

    /// RFC 3810 §5.2.12.
    const fn number(self) -> u8 {
        match self {
            Self::IsListened => 2,
            Self::End => 3,
            Self::Begin => 4,
        }
    }
}

/// RFC 3810 §5.2: the records of a report of the second version.
fn records_of(message: &[u8]) -> Result<Vec<MldRecord>, DropReason> {
    let (header, mut rest) = message.split_at_checked(8).ok_or(DropReason::MessageTruncated)?;
    let count = usize::from(u16::from_be_bytes([header[6], header[7]]));
    let mut records = Vec::with_capacity(count.min(rest.len() / RECORD));
    for _ in 0..count {
        let record = rest.get(..RECORD).ok_or(DropReason::MessageTruncated)?;
        let sources = u16::from_be_bytes([record[2], record[3]]);
        // RFC 3810 §5.2.6: the auxiliary data is counted in words of 32 bits.
        let length = RECORD + 16 * usize::from(sources) + 4 * usize::from(record[1]);
        rest = rest.get(length..).ok_or(DropReason::MessageTruncated)?;
        let kind = MldRecordKind::of(record[0], sources > 0);
        records.extend(kind.map(|kind| MldRecord { kind, group: address_at(record, 4) }));
    }
    Ok(records)
}
