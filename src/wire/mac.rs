//! A 48-bit Ethernet address.

use core::net::Ipv6Addr;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An Ethernet (IEEE 802) address; printed as `52:54:00:12:34:56`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// Text that is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an Ethernet address; write six hexadecimal bytes, such as 52:54:00:12:34:56")]
pub struct ParseMacError(String);

impl Mac {
    /// Where an IPv6 multicast packet goes on Ethernet (RFC 2464 §7): 33:33 and its last four bytes.
    pub fn multicast(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// The interface identifier that is made of it, a modified EUI-64. RFC 4291 appendix A: "insert two octets, with
    /// hexadecimal values of 0xFF and 0xFE"; §2.5.1: formed by "inverting the "u" bit".
    pub fn interface_id(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f])
    }

    /// True for multicast and broadcast: an address that cannot be one station's own.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// True for an address that one station can have: not a group, not all zero.
    pub fn is_station(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }
}

/// As text, so that a recorded trace can be read.
impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = parts
                .next()
                .filter(|part| (1..=2).contains(&part.len()))
                .filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(|| ParseMacError(text.to_owned()))?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(ParseMacError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_the_same_address() {
        let mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!(format!("{mac:?}"), "52:54:00:12:34:56");
    }

    #[test]
    fn refuses_text_that_is_not_six_bytes() {
        for text in ["", "1:2:3:4:5", "1:2:3:4:5:6:7", "g2:54:00:12:34:56", "+2:54:00:12:34:56"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn maps_groups_as_rfc_2464_says() {
        let group = "ff02::1:ff12:3456".parse().expect("an address");
        assert_eq!(Mac::multicast(group), Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
        assert!(Mac::multicast(group).is_group());
    }
}
