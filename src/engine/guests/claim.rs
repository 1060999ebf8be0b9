//! What is claimed: an address, a prefix or a guest is here from now on.

use core::net::Ipv6Addr;
use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::engine::facts::IfName;
use crate::engine::time::Time;
use crate::wire::Mac;

/// An address, a prefix or a guest is here from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What is here.
    pub object: Object,
    /// The downstream that it is on; `None`: the guest's, the one on which the MAC was heard, or the only one of the range.
    pub interface: Option<IfName>,
    /// Its link-layer address, where that is known.
    pub mac: Option<Mac>,
    /// What packets for it are routed through, instead of straight to it.
    pub via: Option<Ipv6Addr>,
    /// When it ends; `None`: when it is released.
    pub until: Option<Time>,
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A prefix; one address is a /128.
    Prefix(Ipv6Net),
    /// The guest of this name, with all that it has.
    Guest(String),
}

/// Why something is not claimed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It was released.
    Released,
    /// Its time is over.
    Over,
}

impl Object {
    /// The address, where it is a single one.
    pub fn address(&self) -> Option<Ipv6Addr> {
        match self {
            Self::Prefix(prefix) => (prefix.prefix_len() == 128).then(|| prefix.addr()),
            Self::Guest(_) => None,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.address()) {
            (_, Some(address)) => address.fmt(f),
            (Self::Prefix(prefix), None) => prefix.fmt(f),
            (Self::Guest(name), None) => f.pad(name),
        }
    }
}

impl Ended {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "it was released",
            Self::Over => "its time is over",
        }
    }
}
