//! A guest with an identity: known by its name, or by its MAC.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::engine::facts::IfName;
use crate::wire::Mac;

/// A guest of which the administrator says that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPolicy {
    /// For people and for `claim`; no two guests have the same.
    pub name: String,
    /// Its link-layer address; `None` only where the interface is known.
    pub mac: Option<Mac>,
    /// The downstream that it is on; `None`: the one on which its MAC is heard.
    pub interface: Option<IfName>,
    /// Which addresses it has.
    pub addresses: GuestAddresses,
    /// Prefixes that are routed to it. None is inside another, and no guest's address is in one.
    pub delegate: Vec<Ipv6Net>,
    /// Whether its addresses have permanent neighbor entries. Only where the MAC is known.
    #[serde(default)]
    pub pin: bool,
    /// Whether it is held to its own addresses; `None`: as its range says.
    #[serde(default)]
    pub guard: Option<bool>,
}

/// Which addresses a guest has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestAddresses {
    /// These; none where it has delegated prefixes alone.
    Listed(Vec<Ipv6Addr>),
    /// The one that its MAC computes to, in each range that is a /64.
    Eui64,
}

impl GuestAddresses {
    /// Those that are written.
    pub fn listed(&self) -> &[Ipv6Addr] {
        match self {
            Self::Listed(addresses) => addresses,
            Self::Eui64 => &[],
        }
    }
}

/// Guests as if nobody shared them.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::GuestPolicy;

    pub fn serialize<S: Serializer>(guests: &[Arc<GuestPolicy>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(guests.iter().map(|guest| &**guest))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<GuestPolicy>>, D::Error> {
        let guests = Vec::<GuestPolicy>::deserialize(deserializer)?;
        Ok(guests.into_iter().map(Arc::new).collect())
    }
}

impl Policy {
    /// The same without guests, of which there may be thousands.
    pub fn without_guests(&self) -> Self {
        let Self { upstreams, ranges, suffixes, routes, timers, limits, nft_sets, guests: _ } = self;
        let (upstreams, ranges, suffixes) = (upstreams.clone(), ranges.clone(), suffixes.clone());
        let (routes, timers, limits, nft_sets) = (*routes, *timers, *limits, *nft_sets);
        Self { upstreams, ranges, suffixes, routes, timers, limits, nft_sets, guests: Vec::new() }
    }
}

/// The address that a MAC computes to in a /64; `None` in any other prefix. RFC 4862 §5.5.3 d: "If the sum of the prefix
/// length and interface identifier length does not equal 128 bits, the Prefix Information option MUST be ignored", and
/// an interface identifier made of a MAC has 64 bits (RFC 2464 §4).
pub fn eui64(prefix: Ipv6Net, mac: Mac) -> Option<Ipv6Addr> {
    let upper = prefix.network().to_bits();
    (prefix.prefix_len() == 64).then(|| Ipv6Addr::from_bits(upper | u128::from(mac.interface_id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_addresses_in_a_64_only() {
        let mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let address = |prefix: &str| eui64(prefix.parse().expect("a prefix"), mac).map(|a| a.to_string());
        assert_eq!(address("2001:db8:1::/64").as_deref(), Some("2001:db8:1:0:5054:ff:fe12:3456"));
        assert_eq!(address("fe80::/64").as_deref(), Some("fe80::5054:ff:fe12:3456"));
        assert_eq!((address("2001:db8:1::/63"), address("2001:db8:1::/112")), (None, None));
    }
}
