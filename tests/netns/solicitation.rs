//! Solicitations that can be wrong in every field.

use std::net::Ipv6Addr;

use crate::frame::{ADVERTISEMENT, ICMP, Mac, SOLICITATION, checksum, group_mac, solicited_node};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The link-layer address that it asks from and listens on.
    pub(crate) mac: Mac,
    /// Its address; `::` for DAD.
    pub(crate) address: Ipv6Addr,
}

/// What stands in the checksum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Right,
    Zero,
    Wrong,
}

/// A solicitation, right in every field until a test changes one.
#[derive(Clone, Debug)]
pub(crate) struct Solicitation {
    pub(crate) eth_dst: Mac,
    pub(crate) eth_src: Mac,
    /// An 802.1Q tag control field before the ethertype.
    pub(crate) tag: Option<u16>,
    pub(crate) ethertype: u16,
    pub(crate) version: u8,
    pub(crate) traffic_class: u8,
    pub(crate) flow_label: u32,
    /// What the header claims; `None`: the truth.
    pub(crate) payload_length: Option<u16>,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    /// Between the IPv6 header and the ICMPv6 message.
    pub(crate) extension: Vec<u8>,
    pub(crate) icmp_type: u8,
    pub(crate) code: u8,
    pub(crate) checksum: Checksum,
    pub(crate) reserved: u32,
    pub(crate) target: Ipv6Addr,
    pub(crate) options: Vec<u8>,
    /// The ICMPv6 message ends after so many bytes; what it loses becomes padding.
    pub(crate) icmp_length: Option<usize>,
    /// Behind the IPv6 payload.
    pub(crate) padding: Vec<u8>,
}

impl Solicitation {
    /// To the target's solicited-node group, with a source link-layer option: how routers resolve.
    pub(crate) fn multicast(asker: Asker, target: Ipv6Addr) -> Self {
        let group = solicited_node(target);
        Self {
            eth_dst: group_mac(group),
            eth_src: asker.mac,
            tag: None,
            ethertype: 0x86dd,
            version: 6,
            traffic_class: 0,
            flow_label: 0,
            payload_length: None,
            next_header: 58,
            hop_limit: 255,
            source: asker.address,
            destination: group,
            extension: Vec::new(),
            icmp_type: SOLICITATION,
            code: 0,
            checksum: Checksum::Right,
            reserved: 0,
            target,
            options: source_link_layer(asker.mac),
            icmp_length: None,
            padding: Vec::new(),
        }
    }

    /// To the target itself, at the MAC that the asker has for it: how routers probe reachability.
    pub(crate) fn unicast(asker: Asker, target: Ipv6Addr, at: Mac) -> Self {
        Self { eth_dst: at, destination: target, ..Self::multicast(asker, target) }
    }

    /// Duplicate address detection (RFC 4862 §5.4.2).
    pub(crate) fn dad(from: Mac, target: Ipv6Addr) -> Self {
        let nobody = Asker { mac: from, address: Ipv6Addr::UNSPECIFIED };
        Self { options: Vec::new(), ..Self::multicast(nobody, target) }
    }

    /// What the owner of an address sends to all nodes when somebody checks it (RFC 4862 §5.4.4): with the override
    /// flag, or without, as a proxy does.
    pub(crate) fn defence(owner: Asker, target: Ipv6Addr, overrides: bool) -> Self {
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        Self {
            icmp_type: ADVERTISEMENT,
            reserved: if overrides { 0x2000_0000 } else { 0 },
            options: option(2, &owner.mac),
            destination: all_nodes,
            eth_dst: [0x33, 0x33, 0, 0, 0, 1],
            ..Self::multicast(owner, target)
        }
    }

    /// The same with one thing changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Where an answer has to arrive: at the link-layer option if there is one, else at the sender.
    pub(crate) fn answer_to(&self) -> (Mac, Ipv6Addr) {
        if self.source.is_unspecified() {
            return ([0x33, 0x33, 0, 0, 0, 1], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        }
        let mut rest = &self.options[..];
        while let [kind, length, ..] = *rest {
            if kind == 1 && length == 1 && rest.len() >= 8 {
                return (rest[2..8].try_into().expect("6 bytes"), self.source);
            }
            rest = rest.get(usize::from(length).max(1) * 8..).unwrap_or(&[]);
        }
        (self.eth_src, self.source)
    }

    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut message = vec![self.icmp_type, self.code, 0, 0];
        message.extend(self.reserved.to_be_bytes());
        message.extend(self.target.octets());
        message.extend(&self.options);
        let lost = message.split_off(self.icmp_length.unwrap_or(message.len()).min(message.len()));
        let right = checksum(self.source, self.destination, &message);
        let sum = match self.checksum {
            Checksum::Right => right,
            Checksum::Zero => 0,
            Checksum::Wrong => right ^ 0x0100,
        };
        message[2..4].copy_from_slice(&sum.to_be_bytes());

        let mut frame = Vec::with_capacity(ICMP + message.len());
        frame.extend(self.eth_dst);
        frame.extend(self.eth_src);
        if let Some(tag) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(self.ethertype.to_be_bytes());
        let first =
            u32::from(self.version) << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        frame.extend(first.to_be_bytes());
        let truth = (self.extension.len() + message.len()) as u16;
        frame.extend(self.payload_length.unwrap_or(truth).to_be_bytes());
        frame.extend([self.next_header, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(&self.extension);
        frame.extend(message);
        frame.extend(lost);
        frame.extend(&self.padding);
        frame
    }
}

/// A source link-layer address option (RFC 4861 §4.6.1).
pub(crate) fn source_link_layer(mac: Mac) -> Vec<u8> {
    option(1, &mac)
}

/// An option, its length rounded up to eight bytes.
pub(crate) fn option(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 2).div_ceil(8);
    let mut bytes = vec![0; length * 8];
    bytes[0] = kind;
    bytes[1] = length as u8;
    bytes[2..2 + body.len()].copy_from_slice(body);
    bytes
}
