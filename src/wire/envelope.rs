//! What Neighbor Discovery messages have in common: the Ethernet and IPv6 headers around them, and
//! the checks of RFC 4861 §7.1.1 and §7.1.2 that do not depend on the message.

use core::net::Ipv6Addr;

use pnet::packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::util::MacAddr;

use super::checksum::checksum;
use super::{Checksum, DropReason, Mac};

/// A Neighbor Discovery message whose envelope passed every check.
pub(super) struct Envelope<'a> {
    pub(super) source_mac: Mac,
    pub(super) destination_mac: Mac,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    /// The ICMPv6 message, from its type to the end of the IPv6 payload: at least 24 bytes.
    pub(super) message: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens a frame that arrived on the interface whose own address is `station`.
    pub(super) fn open(frame: &'a [u8], station: Mac, written: Checksum) -> Result<Self, DropReason> {
        let ethernet = EthernetPacket::new(frame).ok_or(DropReason::FrameTruncated)?;
        if ethernet.get_ethertype() != EtherTypes::Ipv6 {
            return Err(DropReason::NotIpv6);
        }
        let destination_mac = Mac(ethernet.get_destination().octets());
        if !destination_mac.is_group() && destination_mac != station {
            return Err(DropReason::OtherStation);
        }
        let source_mac = Mac(ethernet.get_source().octets());
        if source_mac == station {
            return Err(DropReason::OwnFrame);
        }
        if !source_mac.is_station() {
            return Err(DropReason::SourceStation);
        }

        let ipv6 = Ipv6Packet::new(&frame[ETHERNET..]).ok_or(DropReason::PacketTruncated)?;
        if ipv6.get_version() != 6 {
            return Err(DropReason::IpVersion);
        }
        // Anything behind the payload is padding of the frame, and not part of the message.
        let length = usize::from(ipv6.get_payload_length());
        let message = frame[ETHERNET + IPV6..].get(..length).filter(|payload| !payload.is_empty());
        let message = message.ok_or(DropReason::PayloadLength)?;
        match ipv6.get_next_header() {
            IpNextHeaderProtocols::Icmpv6 => {}
            // RFC 6980 §5: "Nodes MUST silently ignore the following Neighbor Discovery ...
            // messages if the packets carrying them include an IPv6 Fragmentation Header".
            IpNextHeaderProtocols::Ipv6Frag => return Err(DropReason::Fragmented),
            header if is_extension(header) => return Err(DropReason::ExtensionHeader),
            _ => return Err(DropReason::NotIcmpv6),
        }
        // RFC 4861 §7.1.1: "The IP Hop Limit field has a value of 255, i.e., the packet could not
        // possibly have been forwarded by a router."
        if ipv6.get_hop_limit() != HOP_LIMIT {
            return Err(DropReason::HopLimit);
        }

        // RFC 4861 §7.1.1: "ICMP length (derived from the IP length) is 24 or more octets."
        if message.len() < MESSAGE {
            return Err(DropReason::MessageTruncated);
        }
        let (source, destination) = (ipv6.get_source(), ipv6.get_destination());
        // RFC 4861 §7.1.1: "ICMP Checksum is valid." The sum over the message with its checksum
        // in place is zero exactly if it is; so nothing is left out of the sum here.
        if written == Checksum::Written && checksum(message, source, destination) != 0 {
            return Err(DropReason::Checksum);
        }
        // RFC 4861 §7.1.1: "ICMP Code is 0."
        if message[1] != 0 {
            return Err(DropReason::Code);
        }
        Ok(Self { source_mac, destination_mac, source, destination, message })
    }

    /// The target address: in a solicitation and in an advertisement at the same place.
    pub(super) fn target(&self) -> Result<Ipv6Addr, DropReason> {
        let octets: [u8; 16] = self.message[8..MESSAGE].try_into().expect("open() checked the length");
        let target = Ipv6Addr::from(octets);
        // RFC 4861 §7.1.1 and §7.1.2: "Target Address is not a multicast address."
        if target.is_multicast() {
            return Err(DropReason::TargetMulticast);
        }
        if target.is_unspecified() {
            return Err(DropReason::TargetUnspecified);
        }
        if target.is_loopback() {
            return Err(DropReason::TargetLoopback);
        }
        if target.to_ipv4_mapped().is_some() {
            return Err(DropReason::TargetV4Mapped);
        }
        Ok(target)
    }

    /// The bytes of the options.
    pub(super) fn options(&self) -> &'a [u8] {
        &self.message[MESSAGE..]
    }
}

/// The addresses around a message that is to be sent.
pub(super) struct Seal {
    pub(super) source_mac: Mac,
    pub(super) destination_mac: Mac,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
}

impl Seal {
    /// Puts headers and checksum around the message that follows [`HEADERS`] in `frame`. The frame is exactly as
    /// long as what is sent.
    pub(super) fn close(&self, frame: &mut [u8]) {
        let payload = frame.len() - HEADERS;
        let mut ethernet = MutableEthernetPacket::new(frame).expect("the frame holds its headers");
        ethernet.set_destination(mac_addr(self.destination_mac));
        ethernet.set_source(mac_addr(self.source_mac));
        ethernet.set_ethertype(EtherTypes::Ipv6);

        let mut ipv6 = MutableIpv6Packet::new(&mut frame[ETHERNET..]).expect("the frame holds its headers");
        ipv6.set_version(6);
        ipv6.set_traffic_class(0);
        ipv6.set_flow_label(0);
        ipv6.set_payload_length(u16::try_from(payload).expect("a message with one option is short"));
        ipv6.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ipv6.set_hop_limit(HOP_LIMIT);
        ipv6.set_source(self.source);
        ipv6.set_destination(self.destination);

        let message = &mut frame[HEADERS..];
        message[2..4].fill(0);
        let checksum = checksum(message, self.source, self.destination);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// An extension header that could stand before ICMPv6 (RFC 8200 §4, IANA "IPv6 Extension Header
/// Types"). Linux accepts solicitations behind some of them. They are not answered here, because no host
/// sends them, and attackers use them to evade middleboxes (RFC 7113).
fn is_extension(header: IpNextHeaderProtocol) -> bool {
    matches!(header.0, 0 | 43 | 50 | 51 | 60 | 135 | 139 | 140 | 253 | 254)
}

fn mac_addr(mac: Mac) -> MacAddr {
    MacAddr::from(mac.0)
}

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// Bytes of an IPv6 header.
pub(super) const IPV6: usize = 40;
/// Bytes before the ICMPv6 message.
pub(super) const HEADERS: usize = ETHERNET + IPV6;
/// Bytes of a solicitation or an advertisement without options.
pub(super) const MESSAGE: usize = 24;
/// RFC 4861 §4.3, §4.4: "Hop Limit: 255".
const HOP_LIMIT: u8 = 255;
