//! The host's packet filters, as `nft --json list ruleset` tells them.

use serde_json::Value;

/// What is known of the packet filters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall {
    /// The objects of nft's JSON schema (libnftables-json(5)), in order; `None` if they cannot be
    /// read, with the reason in `unread`.
    pub nftables: Option<Vec<Value>>,
    /// Why the rules cannot be read.
    pub unread: Option<String>,
    /// The tables of the legacy ip6tables that exist (`/proc/net/ip6_tables_names`).
    pub legacy_tables: Vec<String>,
    /// The rules of the legacy ip6tables, as its `-S`-like `ip6tables-legacy-save` prints them.
    pub legacy: Option<String>,
}
