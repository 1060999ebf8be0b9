//! The host's packet filters: what their listings say, and what becomes of a packet in them.
//!
//! A pure room. `nftables` and `iptables` read the listings into one model of chains and rules
//! (`rules`), and `evaluate` follows a packet through it. Whatever is not understood may match.

mod devices;
mod evaluate;
mod exception;
mod iptables;
mod nftables;
mod raw;
mod rules;
mod value;

pub use evaluate::{Body, Fate, Objection, Packet, Reverse, State};
pub use exception::{Exception, RELOAD};
pub use raw::{Base as RawBase, Bits};
pub use rules::{Base, Chain, Family, Hook, Keeper, Policy, Rule, Ruleset, Step, Table, Verdict};
pub use value::{Field, Match, Sense, Value};

use serde_json::Value as Json;

/// What is known of the packet filters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall {
    /// Every chain that could be read.
    pub rules: Ruleset,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

/// Rules that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// Of nftables, with what `nft` or the system said.
    Nftables(String),
    /// Of the legacy ip6tables, which has these tables.
    Legacy(Vec<String>, String),
}

/// What the programs print.
#[derive(Debug, Default)]
pub struct Listings {
    /// The objects of `nft --json list ruleset` (libnftables-json(5)).
    pub nftables: Vec<Json>,
    /// `nft list chains`: the interfaces of chains, which older JSON leaves out.
    pub chains: Option<String>,
    /// `ip6tables-nft-save`: the rules that nft's JSON shows without their details.
    pub iptables: Option<String>,
    /// `ip6tables-legacy-save`.
    pub legacy: Option<String>,
}

impl Listings {
    /// Whether there are tables of iptables-nft, whose details only its own listing has.
    pub fn has_iptables(&self) -> bool {
        nftables::outlines(&self.nftables).iter().any(|chain| chain.table.keeper == Keeper::Iptables)
    }

    /// Whether there are chains on interfaces that the JSON does not name.
    pub fn lacks_devices(&self) -> bool {
        nftables::outlines(&self.nftables).iter().any(devices::is_missing)
    }

    /// All of them as one. Our own table is left out: it is meant to drop.
    pub fn parse(&self) -> Ruleset {
        let mut chains = nftables::chains(&self.nftables);
        if let Some(text) = &self.chains {
            devices::complete(&mut chains, text);
        }
        let told = self.iptables.as_deref().map(|text| iptables::chains(text, Keeper::Iptables));
        let told = told.unwrap_or_default();
        chains.retain(|chain| !told.iter().any(|other| other.table == chain.table));
        // It only looks like a table of iptables, or there is no iptables to change it with.
        for chain in chains.iter_mut().filter(|chain| chain.table.keeper == Keeper::Iptables) {
            chain.table.keeper = Keeper::Nft;
        }
        chains.extend(told);
        if let Some(text) = &self.legacy {
            chains.extend(iptables::chains(text, Keeper::Legacy));
        }
        chains.retain(|chain| chain.table.name != OURS);
        Ruleset { chains }
    }
}

/// The table that `suppress-kernel` makes.
const OURS: &str = "lone64";
