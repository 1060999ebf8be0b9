//! Bits of a packet as rules look at them without knowing what they are: `@nh,192,128`, `@th,0,8` (nft(8), raw payload
//! expression).

use std::fmt;

use serde_json::Value as Json;

use super::evaluate::{Body, Packet};

/// Where counting begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The Ethernet header.
    Link,
    /// The IPv6 header.
    Network,
    /// What is behind it.
    Transport,
}

/// Some bits of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Where counting begins.
    pub base: Base,
    /// In bits.
    pub offset: usize,
    /// In bits.
    pub length: usize,
}

impl Bits {
    /// Of nft's JSON: `{"base": "th", "offset": 0, "len": 8}`.
    pub fn parse(payload: &Json) -> Option<Self> {
        let base = match payload["base"].as_str()? {
            "ll" => Base::Link,
            "nh" => Base::Network,
            "th" => Base::Transport,
            _ => return None,
        };
        let number = |key: &str| usize::try_from(payload[key].as_u64()?).ok();
        Some(Self { base, offset: number("offset")?, length: number("len")? })
    }

    /// What these bits are in a packet; `None` if that is not known, or depends.
    pub fn of(&self, packet: &Packet<'_>) -> Option<u128> {
        let bytes = match self.base {
            Base::Link => return None,
            Base::Network => network(packet),
            Base::Transport => transport(packet.body),
        };
        if self.length == 0 || self.length > 128 {
            return None;
        }
        (self.offset..self.offset.checked_add(self.length)?).try_fold(0, |value: u128, bit| {
            let byte = (*bytes.get(bit / 8)?)?;
            Some(value << 1 | u128::from(byte >> (7 - bit % 8) & 1))
        })
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = match self.base {
            Base::Link => "ll",
            Base::Network => "nh",
            Base::Transport => "th",
        };
        write!(f, "@{base},{},{}", self.offset, self.length)
    }
}

/// A number as nft's JSON has it: a text where it is too long for one.
pub fn number(value: &Json) -> Option<u128> {
    match value {
        Json::Number(number) => number.as_u64().map(u128::from),
        Json::String(text) => u128::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

/// RFC 8200 §3. Traffic class, flow label and length depend.
fn network(packet: &Packet<'_>) -> Vec<Option<u8>> {
    let mut bytes = vec![None; 6];
    bytes.push(Some(match packet.body {
        Body::Icmp(_) => 58,
        Body::Tcp(_) => 6,
        Body::Udp(_) => 17,
    }));
    // RFC 4861 §7.1.1: "The IP Hop Limit field has a value of 255".
    bytes.push(packet.is_discovery().then_some(255));
    let addresses = [packet.source, packet.destination];
    bytes.extend(addresses.iter().flat_map(|address| address.octets()).map(Some));
    bytes
}

/// As far as it is the same in all: an ICMPv6 type and its code, or the destination port.
fn transport(body: Body) -> Vec<Option<u8>> {
    match body {
        Body::Icmp(kind) => vec![Some(kind), Some(0)],
        Body::Tcp(port) | Body::Udp(port) => {
            let [high, low] = port.to_be_bytes();
            vec![None, None, Some(high), Some(low)]
        }
    }
}
