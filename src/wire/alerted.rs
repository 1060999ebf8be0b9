//! Messages behind a hop-by-hop header with a Router Alert (RFC 2711): what switches, multicast routers and listeners
//! say to each other. No message of Neighbor Discovery stands there.

use core::net::Ipv6Addr;

use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::util::ipv6_checksum;

use super::envelope::{ETHERNET, HEADERS, IPV6};
use super::{Checksum, DropReason, Mac};

/// Such a message, and whom it came from.
pub(super) struct Alerted<'a> {
    pub(super) source_mac: Mac,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    /// The ICMPv6 message.
    pub(super) message: &'a [u8],
}

impl<'a> Alerted<'a> {
    /// Whether the frame may be such a message of this ICMPv6 type.
    pub(super) fn is_in(frame: &[u8], kind: u8) -> bool {
        let says = |at: usize, byte: u8| frame.get(at) == Some(&byte);
        frame.get(12..14) == Some(&[0x86, 0xdd])
            && says(ETHERNET + 6, HOP_BY_HOP)
            && says(HEADERS, IpNextHeaderProtocols::Icmpv6.0)
            && says(HEADERS + EXTENSION, kind)
    }

    /// Opens a frame of which [`Self::is_in`] is true. The source, the length and the checksum of the message are still
    /// to be checked.
    pub(super) fn open(frame: &'a [u8], station: Mac) -> Result<Self, DropReason> {
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
        // One unit of eight bytes is all that a sender of such messages needs.
        if extension[1] != 0 || !has_router_alert(&extension[2..]) {
            return Err(DropReason::ExtensionHeader);
        }
        if header[7] != HOP_LIMIT {
            return Err(DropReason::HopLimit);
        }
        Ok(Self { source_mac, source: address_at(header, 8), destination: address_at(header, 24), message })
    }

    /// The checksum, where the sender has computed it.
    pub(super) fn check_sum(&self, checksum: Checksum) -> Result<(), DropReason> {
        let Self { source, destination, message, .. } = self;
        let icmpv6 = IpNextHeaderProtocols::Icmpv6;
        let sum = || ipv6_checksum(message, usize::MAX, &[], source, destination, icmpv6);
        if checksum == Checksum::Written && sum() != 0 { Err(DropReason::Checksum) } else { Ok(()) }
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

fn mac_at(frame: &[u8], at: usize) -> Mac {
    Mac(frame[at..at + 6].try_into().expect("six bytes"))
}

pub(super) fn address_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
    octets.into()
}

/// The next header before a hop-by-hop options header.
pub(super) const HOP_BY_HOP: u8 = 0;
/// RFC 3810 §5: "All MLDv2 messages [...] are sent with [...] an IPv6 Hop Limit of 1"; and so are those of RFC 4286.
pub(super) const HOP_LIMIT: u8 = 1;
/// Bytes of a hop-by-hop header with a Router Alert.
pub(super) const EXTENSION: usize = 8;
