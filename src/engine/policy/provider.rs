//! What the provider lets through: from which addresses answers and questions are sent.

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

/// The IPv6 source of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Source {
    /// As `Scope`, and for an asker that proves not to take that, another one that it takes.
    #[default]
    Auto,
    /// Link-local to a link-local asker, global to a global one.
    Scope,
    /// The target itself.
    Target,
    /// A link-local address of the upstream.
    LinkLocal,
    /// A global address of the upstream.
    Global,
    /// This address, which the upstream must have.
    Address(Ipv6Addr),
}

impl Source {
    /// As the configuration says it.
    pub fn written(self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Scope => "scope".to_owned(),
            Self::Target => "target".to_owned(),
            Self::LinkLocal => "link-local".to_owned(),
            Self::Global => "global".to_owned(),
            Self::Address(address) => address.to_string(),
        }
    }
}

/// Who keeps the gateway's neighbor entry fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum GatewaySource {
    /// The kernel; and we, while link-local questions are proved not to be answered, and others are.
    #[default]
    Auto,
    /// The kernel, which asks from its link-local address when it forwards.
    Kernel,
    /// We, from a global address, for providers that filter link-local Neighbor Discovery.
    Global,
}

impl GatewaySource {
    /// As the configuration says it.
    pub const fn written(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kernel => "kernel",
            Self::Global => "global",
        }
    }
}
