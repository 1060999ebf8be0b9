//! Chains and rules of every packet filter.

use std::fmt;

use ipnet::Ipv6Net;

use super::value::{Field, Match, Sense, Value};

/// Every chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// Base chains and those that they jump to, in the order of the listings.
    pub chains: Vec<Chain>,
}

/// A list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The table that it is in.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// Where packets enter it; none if only other chains lead here.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which packets it is for.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// The program that keeps it.
    pub keeper: Keeper,
}

/// Which packets a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv6.
    Ip6,
    /// Frames that pass a bridge.
    Bridge,
    /// Frames of one interface.
    Netdev,
}

/// The program that a rule has to be changed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// `nft`.
    Nft,
    /// `ip6tables-nft`.
    Iptables,
    /// `ip6tables-legacy`.
    Legacy,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The place on their way.
    pub hook: Hook,
    /// The lower one is asked first.
    pub priority: i64,
    /// What becomes of packets that no rule has decided on.
    pub policy: Policy,
    /// The interface that an `ingress` or `egress` hook is on; empty for the others.
    pub devices: Vec<String>,
}

/// A place on the way of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Received on one interface, before all else.
    Ingress,
    /// Received, before routing.
    Prerouting,
    /// For the host itself.
    Input,
    /// From one interface to another.
    Forward,
    /// From the host itself.
    Output,
    /// After routing.
    Postrouting,
    /// Sent on one interface, after all else.
    Egress,
}

/// What becomes of packets that no rule has decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They pass.
    Accept,
    /// They do not.
    Drop,
}

/// Conditions and what they lead to, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How it is written; empty where the listing does not say.
    pub text: String,
    /// nft's number for it.
    pub handle: Option<u64>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// One part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The rule ends here for packets that do not match.
    Match(Match),
    /// It may end here; the text says what for.
    Unknown(String),
    /// What happens to the packets that came this far.
    Verdict(Verdict),
    /// The verdict depends on a property of the packet.
    Map(Field, Vec<(Value, Verdict)>),
}

/// What a rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this hook's chain.
    Accept,
    /// It is thrown away.
    Drop,
    /// It is thrown away, and its sender is told.
    Reject,
    /// A program decides, and without it the packet is lost.
    Queue,
    /// Back to where the chain was called from.
    Return,
    /// Another chain, and back.
    Jump(String),
    /// Another chain, and not back.
    Goto(String),
    /// It keeps its addresses, and passes: no later rule translates it (`snat to ip6 saddr`).
    Keep,
    /// It gets another address, and passes.
    Translate(String),
}

impl Ruleset {
    /// The base chains of a hook that see packets of one of these families, first the one that is
    /// asked first.
    pub fn at(&self, hook: Hook, families: &[Family]) -> Vec<(&Chain, &Base)> {
        let mut chains: Vec<_> = self
            .chains
            .iter()
            .filter(|chain| families.contains(&chain.table.family))
            .filter_map(|chain| Some((chain, chain.base.as_ref()?)))
            .filter(|(_, base)| base.hook == hook)
            .collect();
        chains.sort_by_key(|(_, base)| base.priority);
        chains
    }

    /// A chain of a table.
    pub fn chain(&self, table: &Table, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.table == *table && chain.name == name)
    }

    /// The chains of a table.
    pub fn of_table(&self, table: &Table) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(move |chain| chain.table == *table)
    }
}

impl Ruleset {
    /// Whether a rule gives packets for addresses of this prefix another destination.
    pub fn redirects(&self, prefix: &Ipv6Net) -> bool {
        let is_inside = |value: &Value| match value {
            Value::Net(net) => net.contains(prefix) && net.prefix_len() > 3 || prefix.contains(net),
            Value::Between(first, last) => prefix.contains(first) || prefix.contains(last),
            _ => false,
        };
        let names_it = |step: &Step| match step {
            Step::Match(Match { field: Field::Destination, sense: Sense::Among, values }) => {
                values.iter().any(is_inside)
            }
            _ => false,
        };
        let redirects = |step: &Step| match step {
            Step::Verdict(Verdict::Translate(how)) => {
                matches!(how.to_ascii_lowercase().as_str(), "dnat" | "redirect" | "netmap")
            }
            _ => false,
        };
        let mut rules = self.chains.iter().flat_map(|chain| &chain.rules);
        rules.any(|rule| rule.steps.iter().any(redirects) && rule.steps.iter().any(names_it))
    }
}

impl Hook {
    /// Its name in nft, or in iptables (in capitals).
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "ingress" => Self::Ingress,
            "prerouting" => Self::Prerouting,
            "input" => Self::Input,
            "forward" => Self::Forward,
            "output" => Self::Output,
            "postrouting" => Self::Postrouting,
            "egress" => Self::Egress,
            _ => return None,
        })
    }
}

impl Family {
    /// Its name in nft.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip6 => "ip6",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }
}

impl Keeper {
    /// The program.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Iptables => "ip6tables-nft",
            Self::Legacy => "ip6tables-legacy",
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { family, name, keeper } = &self.table;
        match keeper {
            Keeper::Nft => write!(f, "chain {} of nft's table {} {name}", self.name, family.as_str()),
            _ => write!(f, "chain {} of {}'s table {name}", self.name, keeper.as_str()),
        }
    }
}
