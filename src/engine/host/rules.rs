//! The kernel's rules: which tables it looks into for a packet that arrives, and in which order.

use ipnet::Ipv6Net;

use super::routes::{LOCAL, MAIN};
use crate::engine::facts::{Condition, IfName, KernelRule, RuleAction};

/// Every rule, in the order in which the kernel follows them.
#[derive(Debug)]
pub struct Rules {
    /// By priority; of the same one, that which was added first.
    all: Vec<KernelRule>,
    /// The tables that they look into, in ascending order.
    tables: Vec<u32>,
    /// The tables of VRFs, which one rule names all at once.
    vrfs: Vec<u32>,
    /// Whether the main table decides for every packet that the table `local` does not take.
    are_plain: bool,
    /// The prefixes that they make a difference for, in the order of their addresses, each once.
    destinations: Vec<Ipv6Net>,
}

/// Where a packet comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// The interface.
    pub on: &'a IfName,
    /// The table of the VRF that it is in.
    pub vrf: Option<u32>,
}

/// What one rule says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Yes,
    No,
    /// The kernel alone knows.
    Unknown,
}

impl Rules {
    /// Learns of a rule. False if it was known.
    pub fn insert(&mut self, rule: KernelRule) -> bool {
        if self.all.contains(&rule) {
            return false;
        }
        let at = self.all.partition_point(|known| known.priority <= rule.priority);
        self.all.insert(at, rule);
        self.look_through();
        true
    }

    /// Forgets a rule. False if it was not known.
    pub fn remove(&mut self, rule: &KernelRule) -> bool {
        let Some(at) = self.all.iter().position(|known| known == rule) else { return false };
        self.all.remove(at);
        self.look_through();
        true
    }

    /// The tables of all VRFs are these.
    pub fn know_vrfs(&mut self, tables: impl Iterator<Item = u32>) {
        self.vrfs = tables.collect();
        self.look_through();
    }

    /// Every rule, in the order in which the kernel follows them.
    pub fn iter(&self) -> impl Iterator<Item = &KernelRule> {
        self.all.iter()
    }

    /// Whether any rule looks into the table.
    pub fn read(&self, table: u32) -> bool {
        self.tables.binary_search(&table).is_ok()
    }

    /// Whether the main table decides for every packet that the table `local` does not take.
    pub fn are_plain(&self) -> bool {
        self.are_plain
    }

    /// As many tables are looked into for a packet, at most.
    pub fn lookups(&self) -> usize {
        if self.are_plain { 1 } else { self.all.len() }
    }

    /// The prefixes inside this one that rules make a difference for, in the order of their addresses.
    pub fn destinations_inside(&self, prefix: Ipv6Net) -> impl Iterator<Item = Ipv6Net> {
        self.destinations.iter().copied().filter(move |inner| *inner != prefix && prefix.contains(inner))
    }

    /// The rule from this position on that is the next to decide for packets to all of `to` that arrive on this
    /// interface; the position behind it. It is not sure where one was left out of which the kernel alone knows.
    pub fn next_for(
        &self,
        to: &Ipv6Net,
        from: Option<Arrival<'_>>,
        next: &mut usize,
        is_sure: &mut bool,
    ) -> Option<&KernelRule> {
        while let Some(rule) = self.all.get(*next) {
            *next += 1;
            let says = says(rule, to, from);
            *is_sure &= says != Says::Unknown;
            match rule.action {
                _ if says != Says::Yes => {}
                RuleAction::Nothing => {}
                // To a rule that is not there nothing jumps. The kernel takes only one that comes later, so this ends.
                RuleAction::Goto(priority) => {
                    let target = self.all[*next..].iter().position(|known| known.priority == priority);
                    *next += target.unwrap_or(0);
                }
                // What the host itself has is known otherwise.
                RuleAction::Lookup { table: LOCAL, .. } => {}
                RuleAction::Lookup { .. } | RuleAction::Refuse => return Some(rule),
            }
        }
        None
    }

    fn look_through(&mut self) {
        self.tables = self.all.iter().filter_map(KernelRule::table).collect();
        if self.all.iter().any(|rule| rule.condition == Condition::Vrf) {
            self.tables.extend(&self.vrfs);
        }
        self.tables.sort_unstable();
        self.tables.dedup();
        self.destinations = self.all.iter().map(|rule| rule.to).filter(|to| to.prefix_len() > 0).collect();
        self.destinations.sort_unstable_by_key(|to| (to.network(), to.prefix_len()));
        self.destinations.dedup();
        let mut others = self.all.iter().filter(|rule| rule.table() != Some(LOCAL));
        self.are_plain = others.next().is_some_and(|first| *first == main()) && others.next().is_none();
    }
}

/// Those that the kernel makes of its own accord.
impl Default for Rules {
    fn default() -> Self {
        let mut rules = Self {
            all: Vec::new(),
            tables: Vec::new(),
            vrfs: Vec::new(),
            are_plain: true,
            destinations: Vec::new(),
        };
        rules.insert(KernelRule::lookup(0, LOCAL));
        rules.insert(main());
        rules
    }
}

/// Whether the rule is for packets to all of `to` that arrive on this interface, from wherever (net/ipv6/fib6_rules.c,
/// fib6_rule_match). Nothing is known of the sender, so a rule for some senders is left out: so does the kernel when it
/// is asked without one.
fn says(rule: &KernelRule, to: &Ipv6Net, from: Option<Arrival<'_>>) -> Says {
    let is_meant = rule.to.contains(to)
        && rule.from.prefix_len() == 0
        && rule.arrives_on.as_ref().is_none_or(|name| from.is_some_and(|from| from.on == name));
    let condition = match rule.condition {
        // Which table that would be the kernel alone knows.
        Condition::Vrf if rule.is_inverted => Condition::Unknown,
        // net/l3mdev/l3mdev.c, l3mdev_fib_rule_match.
        Condition::Vrf if from.is_some_and(|from| from.vrf.is_some()) => Condition::None,
        Condition::Vrf => Condition::Unmet,
        other => other,
    };
    match (is_meant, condition) {
        (true, Condition::Unknown) => Says::Unknown,
        (true, Condition::None) if !rule.is_inverted => Says::Yes,
        (true, Condition::None) => Says::No,
        (true, Condition::Unmet | Condition::Vrf) | (false, _) if rule.is_inverted => Says::Yes,
        (true, Condition::Unmet | Condition::Vrf) | (false, _) => Says::No,
    }
}

/// `32766: from all lookup main`
fn main() -> KernelRule {
    KernelRule::lookup(32_766, MAIN)
}
