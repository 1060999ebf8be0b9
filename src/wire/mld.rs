//! Multicast Listener Discovery: queries and reports (RFC 3810, and RFC 2710 where a station uses that).
//!
//! A switch that snoops passes a solicitation on only to ports that reported its group (RFC 4541 §3).

mod query;
mod report;

use core::net::Ipv6Addr;
use core::time::Duration;

use pnet::packet::ip::IpNextHeaderProtocols;
use serde::{Deserialize, Serialize};

use super::checksum::checksum;
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
    /// The answer has to come within this time, at a random moment.
    pub max_response: Duration,
}

/// A report of what is listened to on a link, as one frame: ours to switches, or a guest's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MldReport {
    /// The listener's station.
    pub source_mac: Mac,
    /// Its link-local address on the link, or `::` while there is none (RFC 3590).
    pub source: Ipv6Addr,
    /// The version of the link's querier.
    pub version: MldVersion,
    /// One for each group. A report that is sent has at most [`MldReport::MOST`], and one in the first version.
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

/// The type of the message, if the frame may be one of this protocol: ICMPv6 behind a hop-by-hop header. No message of
/// Neighbor Discovery has that header.
pub(super) fn type_in(frame: &[u8]) -> Option<u8> {
    let is_ipv6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
    let says = |at: usize, byte: u8| frame.get(at) == Some(&byte);
    let is_behind =
        is_ipv6 && says(ETHERNET + 6, HOP_BY_HOP) && says(HEADERS, IpNextHeaderProtocols::Icmpv6.0);
    frame.get(HEADERS + EXTENSION).copied().filter(|_| is_behind)
}

/// A message whose headers passed every check that queries and reports have in common, and those of RFC 4286 as well.
pub(super) struct Opened<'a> {
    pub(super) source_mac: Mac,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) message: &'a [u8],
}

impl<'a> Opened<'a> {
    /// RFC 3810 §5.1.14, §5.2.13 and §6.2: the hop limit is 1, and there is a Router Alert option. "If any of these
    /// checks fail, the packet is dropped."
    pub(super) fn open(frame: &'a [u8], station: Mac, written: Checksum) -> Result<Self, DropReason> {
        let (destination_mac, source_mac) = (mac_at(frame, 0), mac_at(frame, 6));
        if !destination_mac.is_group() && destination_mac != station {
            return Err(DropReason::OtherStation);
        }
        if source_mac == station {
            return Err(DropReason::OwnFrame);
        }
        if !source_mac.is_station() {
            return Err(DropReason::SourceStation);
        }
        let (header, payload) =
            frame[ETHERNET..].split_at_checked(IPV6).ok_or(DropReason::PacketTruncated)?;
        if header[0] >> 4 != 6 {
            return Err(DropReason::IpVersion);
        }
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let payload = payload.get(..length).ok_or(DropReason::PayloadLength)?;
        let (extension, message) = payload.split_at_checked(EXTENSION).ok_or(DropReason::MessageTruncated)?;
        // One unit of eight bytes is all that hosts and queriers send.
        if extension[1] != 0 || !has_router_alert(&extension[2..]) {
            return Err(DropReason::ExtensionHeader);
        }
        if header[7] != HOP_LIMIT {
            return Err(DropReason::HopLimit);
        }
        let (source, destination) = (address_at(header, 8), address_at(header, 24));
        if written == Checksum::Written && checksum(message, source, destination) != 0 {
            return Err(DropReason::Checksum);
        }
        Ok(Self { source_mac, source, destination, message })
    }
}

/// Whether an option of a hop-by-hop header, six bytes long, is the Router Alert (RFC 2711 §2.1).
fn has_router_alert(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            // Pad1 has no length.
            (0, rest) => rest,
            (5, [2, ..]) => return true,
            (_, [length, rest @ ..]) => rest.get(usize::from(*length)..).unwrap_or_default(),
            (_, []) => return false,
        };
    }
    false
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
    let message = &mut frame[HEADERS + EXTENSION..];
    message[2..4].fill(0);
    let sum = checksum(message, source, destination);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn mac_at(frame: &[u8], at: usize) -> Mac {
    Mac(frame[at..at + 6].try_into().expect("six bytes"))
}

fn address_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
    octets.into()
}

/// RFC 3810 §5.2.14: "ff02::16, the IPv6 multicast address for All MLDv2-capable routers".
const ALL_V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The next header before a hop-by-hop options header.
const HOP_BY_HOP: u8 = 0;
/// RFC 3810 §5: "All MLDv2 messages [...] are sent with [...] an IPv6 Hop Limit of 1".
const HOP_LIMIT: u8 = 1;
/// Bytes of a hop-by-hop header with a Router Alert.
const EXTENSION: usize = 8;
/// Bytes of a query, a report and a done of the first version.
const V1_LENGTH: usize = 24;
/// Bytes of a query of the second version without sources.
const V2_LENGTH: usize = 28;
/// Bytes of a record without sources.
const RECORD: usize = 20;

#[cfg(test)]
#[path = "mld_tests.rs"]
mod tests;
