//! The networks that nobody serves, and that nothing is served, as `status --json` and `check --json` print it.

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Idle, Unserved};

/// A network that the kernel routes inside an on-link prefix, and that nobody serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its addresses.
    pub prefix: Ipv6Net,
    /// Where the kernel routes it.
    pub interface: String,
    /// On which upstream its guests are asked for.
    pub upstream: String,
    /// The lines of the configuration that serve it.
    pub lines: String,
    /// What else there is to be done, as a sentence.
    pub instead: String,
}

impl From<&Unserved> for Network {
    fn from(network: &Unserved) -> Self {
        Self {
            prefix: network.prefix,
            interface: network.interface.to_string(),
            upstream: network.upstream.to_string(),
            lines: network.lines(),
            instead: network.instead(),
        }
    }
}

/// The first of them, in the order of their addresses.
pub fn networks(engine: &Engine) -> Vec<Network> {
    engine.unserved().iter().map(Network::from).collect()
}

/// That nothing is served at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {
    /// As a sentence, with what helps.
    pub message: String,
    /// The lines of the configuration that serve, where the host has an interface for guests.
    pub lines: Option<String>,
}

impl From<Idle> for Nothing {
    fn from(idle: Idle) -> Self {
        Self { message: idle.to_string(), lines: idle.lines() }
    }
}
