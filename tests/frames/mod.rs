//! Frames by hand, byte by byte, without the wire room: so that what it parses was not written by it.
//!
//! Every test crate takes of it what it needs.

#![allow(dead_code)]

pub mod refused;

use std::net::Ipv6Addr;

use lone64::wire::{Advertisement, DropReason, MAX_EMITTED, Mac, Message, Solicitation};

/// The interface that the frames arrive on.
pub const STATION: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
/// Whoever sends them.
pub const SENDER: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x99]);
/// The group of [`Frame::solicitation`]'s target, on Ethernet.
pub const GROUP: Mac = Mac([0x33, 0x33, 0xff, 0, 0, 5]);

/// A frame in its parts. Where a length or a checksum is `None` the right one is written.
#[derive(Debug, Clone)]
pub struct Frame {
    pub destination_mac: Mac,
    pub source_mac: Mac,
    pub ethertype: u16,
    pub version: u8,
    pub traffic_class: u8,
    pub flow_label: u32,
    pub payload_length: Option<u16>,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    /// Between the IPv6 header and ICMPv6.
    pub extension: Vec<u8>,
    pub kind: u8,
    pub code: u8,
    pub checksum: Option<u16>,
    pub reserved: [u8; 4],
    pub target: Ipv6Addr,
    pub options: Vec<u8>,
    /// Behind the IPv6 payload.
    pub padding: Vec<u8>,
}

impl Frame {
    /// A router asks for 2001:db8:1:2:c::5 as routers do.
    pub fn solicitation() -> Self {
        Self {
            destination_mac: GROUP,
            source_mac: SENDER,
            ethertype: 0x86dd,
            version: 6,
            traffic_class: 0,
            flow_label: 0,
            payload_length: None,
            next_header: 58,
            hop_limit: 255,
            source: address("fe80::99"),
            destination: address("ff02::1:ff00:5"),
            extension: Vec::new(),
            kind: 135,
            code: 0,
            checksum: None,
            reserved: [0; 4],
            target: address("2001:db8:1:2:c::5"),
            options: link_layer(1, SENDER),
            padding: Vec::new(),
        }
    }

    /// The same target is checked for duplicates.
    pub fn dad() -> Self {
        Self { source: Ipv6Addr::UNSPECIFIED, options: Vec::new(), ..Self::solicitation() }
    }

    /// The target answers this station.
    pub fn advertisement() -> Self {
        Self {
            destination_mac: STATION,
            source: address("2001:db8:1:2:c::5"),
            destination: address("fe80::1"),
            kind: 136,
            reserved: [0x60, 0, 0, 0],
            options: link_layer(2, SENDER),
            ..Self::solicitation()
        }
    }

    /// The bytes of the whole frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(self.reserved);
        message.extend(self.target.octets());
        message.extend(&self.options);
        let sum = self.checksum.unwrap_or_else(|| checksum(self.source, self.destination, &message));
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.around(&message)
    }

    /// The bytes of a frame with these bytes in the place of the ICMPv6 message.
    pub fn around(&self, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(self.extension.len() + message.len()).unwrap();
        let first = u32::from(self.version) << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut bytes = [self.destination_mac.0, self.source_mac.0].concat();
        bytes.extend(self.ethertype.to_be_bytes());
        bytes.extend(first.to_be_bytes());
        bytes.extend(self.payload_length.unwrap_or(length).to_be_bytes());
        bytes.extend([self.next_header, self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.extension);
        bytes.extend(message);
        bytes.extend(&self.padding);
        bytes
    }

    /// What the wire room makes of it.
    pub fn parse(&self) -> Result<Message, DropReason> {
        Message::parse(&self.bytes(), STATION)
    }

    /// What the wire room makes of a solicitation that is valid.
    pub fn parsed(&self) -> Solicitation {
        match self.parse() {
            Ok(Message::Solicitation(solicitation)) => solicitation,
            other => panic!("not a valid solicitation: {other:?}"),
        }
    }

    /// What the wire room makes of an advertisement that is valid.
    pub fn parsed_advertisement(&self) -> Advertisement {
        match self.parse() {
            Ok(Message::Advertisement(advertisement)) => advertisement,
            other => panic!("not a valid advertisement: {other:?}"),
        }
    }
}

/// The ICMPv6 checksum (RFC 4443 §2.3) of a message whose own is zero.
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    !sum(source, destination, message)
}

/// The one's complement sum over pseudo-header and message: all ones if the checksum is valid.
pub fn sum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let pseudo = [&source.octets()[..], &destination.octets(), &length, &[0, 0, 0, 58], message].concat();
    pseudo.chunks(2).fold(0, |sum: u16, pair| {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let (sum, carried) = sum.overflowing_add(word);
        sum + u16::from(carried)
    })
}

/// A link-layer address option of this type.
pub fn link_layer(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac.0].concat()
}

/// The bytes that a solicitation leaves as.
pub fn emit(solicitation: &Solicitation) -> Vec<u8> {
    let mut buffer = [0; MAX_EMITTED];
    let length = solicitation.emit(&mut buffer);
    buffer[..length].to_vec()
}

/// The bytes that an advertisement leaves as.
pub fn emit_advertisement(advertisement: &Advertisement) -> Vec<u8> {
    let mut buffer = [0; MAX_EMITTED];
    let length = advertisement.emit(&mut buffer);
    buffer[..length].to_vec()
}

pub fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}
