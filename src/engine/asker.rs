//! An asker: where a question came from, and where its answer goes.

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::facts::IfIndex;
use crate::wire::{DropReason, Mac, Solicitation};

/// A station that asked for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The interface on which the question came.
    pub link: IfIndex,
    /// The link-layer address to answer to.
    pub mac: Mac,
    /// The address to answer to, or `::` for Duplicate Address Detection.
    pub address: Ipv6Addr,
}

impl Asker {
    /// The sender of this solicitation.
    pub fn of(link: IfIndex, solicitation: &Solicitation) -> Self {
        Self { link, mac: solicitation.asker_mac(), address: solicitation.source }
    }
}

/// One more waits; once, however often it asks.
pub fn join(askers: &mut Vec<Asker>, asker: Asker) -> Result<(), DropReason> {
    if !askers.contains(&asker) {
        if askers.len() >= MAX_ASKERS {
            return Err(DropReason::AskersFull);
        }
        askers.push(asker);
    }
    Ok(())
}

/// As many askers wait for one target. A link has one or two routers; the rest would only cost memory.
pub const MAX_ASKERS: usize = 8;
