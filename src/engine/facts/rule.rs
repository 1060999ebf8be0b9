//! What the kernel says of its rules (ip-rule(8)): which tables it looks into for a packet, and in which order.

use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::IfName;

/// A rule of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KernelRule {
    /// Lower comes first.
    pub priority: u32,
    /// Of packets for these addresses only; `::/0` is all.
    pub to: Ipv6Net,
    /// Of packets from these addresses only; `::/0` is all.
    pub from: Ipv6Net,
    /// Of packets that arrive on this interface only; `lo` is what the host itself sends.
    pub arrives_on: Option<IfName>,
    /// What else it asks of a packet.
    pub condition: Condition,
    /// The words of ip-rule(8) for that.
    pub words: String,
    /// True if it is for those packets that are not such (`not`).
    pub is_inverted: bool,
    /// What happens to the packets that it is for.
    pub action: RuleAction,
}

/// What a rule asks of a packet beside addresses and the interface that it arrives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// Nothing.
    None,
    /// A mark, a port, a protocol, a traffic class, an interface that it is to leave by: packets that arrive here do
    /// not have it, unless a packet filter or their sender sees to that.
    Unmet,
    /// An interface in a VRF, whose table is then looked into (`l3mdev`).
    Vrf,
    /// Something that the kernel alone can say.
    Unknown,
}

/// What happens to the packets that a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RuleAction {
    /// The table decides, where it has a route.
    Lookup {
        /// Its number.
        table: u32,
        /// Only a route to a prefix longer than that (`suppress_prefixlength`).
        longer_than: Option<u8>,
        /// Only a route by an interface that is not in this group (`suppress_ifgroup`).
        #[serde(default)]
        not_group: Option<u32>,
    },
    /// The next rule is the first one from this priority on.
    Goto(u32),
    /// They go nowhere: unreachable, blackhole, prohibit.
    Refuse,
    /// The next rule decides.
    Nothing,
}

impl KernelRule {
    /// `PRIORITY: from all lookup TABLE`
    pub fn lookup(priority: u32, table: u32) -> Self {
        Self {
            priority,
            to: Ipv6Net::default(),
            from: Ipv6Net::default(),
            arrives_on: None,
            condition: Condition::None,
            words: String::new(),
            is_inverted: false,
            action: RuleAction::Lookup { table, longer_than: None, not_group: None },
        }
    }

    /// What is sent elsewhere when it comes or goes: some of this.
    pub fn concerned(&self) -> Ipv6Net {
        if self.is_inverted { Ipv6Net::default() } else { self.to }
    }

    /// The table that it looks into. Of a rule for VRFs that depends on the interface.
    pub fn table(&self) -> Option<u32> {
        match self.action {
            RuleAction::Lookup { .. } if self.condition == Condition::Vrf => None,
            RuleAction::Lookup { table, .. } => Some(table),
            RuleAction::Goto(_) | RuleAction::Refuse | RuleAction::Nothing => None,
        }
    }
}

/// As `ip -6 rule` prints it.
impl fmt::Display for KernelRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |prefix: &Ipv6Net| prefix.prefix_len() == 0;
        write!(f, "{}:{}", self.priority, if self.is_inverted { " not" } else { "" })?;
        match all(&self.from) {
            true => f.write_str(" from all")?,
            false => write!(f, " from {}", self.from)?,
        }
        if !all(&self.to) {
            write!(f, " to {}", self.to)?;
        }
        if let Some(name) = &self.arrives_on {
            write!(f, " iif {name}")?;
        }
        if !self.words.is_empty() {
            write!(f, " {}", self.words)?;
        }
        match self.action {
            RuleAction::Lookup { table, longer_than, not_group } => {
                match self.condition {
                    Condition::Vrf => f.write_str(" lookup [l3mdev-table]")?,
                    _ => write!(f, " lookup {}", TableName(table))?,
                }
                longer_than.map_or(Ok(()), |length| write!(f, " suppress_prefixlength {length}"))?;
                not_group.map_or(Ok(()), |group| write!(f, " suppress_ifgroup {group}"))
            }
            RuleAction::Goto(priority) => write!(f, " goto {priority}"),
            RuleAction::Refuse => f.write_str(" unreachable"),
            RuleAction::Nothing => f.write_str(" nop"),
        }
    }
}

/// A table as ip(8) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableName(pub u32);

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            253 => f.write_str("default"),
            254 => f.write_str("main"),
            255 => f.write_str("local"),
            number => write!(f, "{number}"),
        }
    }
}
