//! The names of interfaces.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that an interface can have: 1 to 15 bytes, no `/`, no `:`, no white space.
///
/// A value of 16 bytes, so that thousands of ranges are compared and copied without a look elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    /// The name, and zeros behind it: so names are in the order of their bytes.
    bytes: [u8; Self::LONGEST],
    length: u8,
}

/// Text that no interface can be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the name of an interface: a name has 1 to 15 bytes, without '/', ':' and white space")]
pub struct ParseIfNameError(String);

impl IfName {
    /// Bytes; the kernel's IFNAMSIZ without the zero at the end.
    pub const LONGEST: usize = 15;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("it was made from text")
    }

    /// True for the loopback interface, behind which the host itself owns the range.
    pub fn is_loopback(&self) -> bool {
        self.as_str() == "lo"
    }

    /// Whether it is down on purpose: kube-proxy keeps the addresses of services on `kube-ipvs0`, which the kernel then
    /// takes for its own, and never switches it on.
    pub fn holds_addresses_only(&self) -> bool {
        self.as_str() == "kube-ipvs0"
    }
}

impl FromStr for IfName {
    type Err = ParseIfNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::LONGEST).contains(&text.len())
            && text != "."
            && text != ".."
            && !text.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if !fits {
            return Err(ParseIfNameError(text.to_owned()));
        }
        let mut bytes = [0; Self::LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: text.len() as u8 })
    }
}

/// As text, so that a recorded trace can be read.
impl Serialize for IfName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IfName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_name_that_the_kernel_takes() {
        for name in ["e", "eth0.100@x", "vethABCDEFGH123", "br-0a1b2c3d4e5f", "lo"] {
            assert_eq!(name.parse::<IfName>().map(|n| n.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn refuses_names_that_the_kernel_refuses() {
        for name in ["", ".", "..", "a b", "a/b", "eth0:1", "sixteen-bytes-16"] {
            assert!(name.parse::<IfName>().is_err(), "{name:?}");
        }
    }
}
