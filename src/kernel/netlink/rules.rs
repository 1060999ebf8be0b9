//! From rtnetlink messages about rules (linux/fib_rules.h) to values.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use rtnetlink::packet_core::Nla;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage};

use crate::engine::facts::{Condition, KernelRule, RuleAction};

/// The rule in this message; none if it is of another family.
pub(super) fn rule(message: &RuleMessage) -> Option<KernelRule> {
    let header = &message.header;
    if header.family != AddressFamily::Inet6 {
        return None;
    }
    let mut rule = KernelRule {
        priority: 0,
        to: prefix(Ipv6Addr::UNSPECIFIED, header.dst_len)?,
        from: prefix(Ipv6Addr::UNSPECIFIED, header.src_len)?,
        arrives_on: None,
        condition: Condition::None,
        words: String::new(),
        is_inverted: header.flags.contains(RuleFlags::Invert),
        action: RuleAction::Nothing,
    };
    let (mut table, mut target) = (u32::from(header.table), 0);
    let (mut longer_than, mut not_group) = (None, None);
    let (mut mark, mut mask) = (0, u32::MAX);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Destination(IpAddr::V6(address)) => rule.to = prefix(*address, header.dst_len)?,
            RuleAttribute::Source(IpAddr::V6(address)) => rule.from = prefix(*address, header.src_len)?,
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Goto(priority) => target = *priority,
            RuleAttribute::FwMark(value) => mark = *value,
            RuleAttribute::FwMask(value) => mask = *value,
            // The kernel says -1 where there is none.
            RuleAttribute::SuppressPrefixLen(length) => longer_than = u8::try_from(*length).ok(),
            RuleAttribute::SuppressIfGroup(u32::MAX)
            | RuleAttribute::Protocol(_)
            | RuleAttribute::Realm(_) => {}
            RuleAttribute::SuppressIfGroup(group) => not_group = Some(*group),
            RuleAttribute::L3MDev(false) | RuleAttribute::TunId(0) => {}
            RuleAttribute::Iifname(name) => match name.parse() {
                Ok(name) => rule.arrives_on = Some(name),
                Err(_) => ask(&mut rule, Condition::Unmet, format!("iif {name}")),
            },
            RuleAttribute::Oifname(name) => ask(&mut rule, Condition::Unmet, format!("oif {name}")),
            RuleAttribute::TunId(id) => ask(&mut rule, Condition::Unmet, format!("tun_id {id}")),
            RuleAttribute::IpProtocol(protocol) => {
                ask(&mut rule, Condition::Unmet, format!("ipproto {}", i32::from(*protocol)));
            }
            RuleAttribute::SourcePortRange(ports) => {
                ask(&mut rule, Condition::Unmet, format!("sport {}-{}", ports.start, ports.end));
            }
            RuleAttribute::DestinationPortRange(ports) => {
                ask(&mut rule, Condition::Unmet, format!("dport {}-{}", ports.start, ports.end));
            }
            RuleAttribute::UidRange(users) => {
                ask(&mut rule, Condition::Unmet, format!("uidrange {}-{}", users.start, users.end));
            }
            RuleAttribute::L3MDev(true) => rule.condition = rule.condition.max(Condition::Vrf),
            other => match other.kind() {
                FRA_PAD | FRA_FLOWLABEL_MASK | FRA_SPORT_MASK | FRA_DPORT_MASK | FRA_DSCP_MASK => {}
                FRA_DSCP => ask(&mut rule, Condition::Unmet, format!("dscp {}", hex(other))),
                FRA_FLOWLABEL => ask(&mut rule, Condition::Unmet, format!("flowlabel {}", hex(other))),
                // Of a later kernel.
                kind => ask(&mut rule, Condition::Unknown, format!("attribute {kind} {}", hex(other))),
            },
        }
    }
    // What arrives has the mark 0.
    if mark != 0 {
        ask(&mut rule, Condition::Unmet, format!("fwmark {mark:#x}/{mask:#x}"));
    }
    if header.tos != 0 {
        ask(&mut rule, Condition::Unmet, format!("tos {:#x}", header.tos));
    }
    rule.action = match header.action {
        Action::ToTable => RuleAction::Lookup { table, longer_than, not_group },
        Action::Goto => RuleAction::Goto(target),
        Action::Unreachable | Action::Blackhole | Action::Prohibit => RuleAction::Refuse,
        _ => RuleAction::Nothing,
    };
    Some(rule)
}

/// The rule asks for this, too.
fn ask(rule: &mut KernelRule, condition: Condition, words: String) {
    rule.condition = rule.condition.max(condition);
    if !rule.words.is_empty() {
        rule.words.push(' ');
    }
    rule.words.push_str(&words);
}

fn prefix(address: Ipv6Addr, length: u8) -> Option<Ipv6Net> {
    Ipv6Net::new(address, length).ok()
}

/// The value as it came.
fn hex(attribute: &RuleAttribute) -> String {
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

// linux/fib_rules.h, as far as the crate does not have it. A mask comes with what it is for.
const FRA_PAD: u16 = 18;
const FRA_DSCP: u16 = 25;
const FRA_FLOWLABEL: u16 = 26;
const FRA_FLOWLABEL_MASK: u16 = 27;
const FRA_SPORT_MASK: u16 = 28;
const FRA_DPORT_MASK: u16 = 29;
const FRA_DSCP_MASK: u16 = 30;
