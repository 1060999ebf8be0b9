//! Live guests, by the kernel's own lookups: what is for them leads to them, and what they send leads out by their
//! upstream. And whether they reply to somebody who is not on their link.

use core::net::Ipv6Addr;

use super::lines;
use super::path::FAR_AWAY;
use crate::doctor::{Check, Finding, Group, Guest, Host, MAIN, Remedy, Replies};
use crate::engine::facts::{Condition, IfIndex, KernelRule, NextHop, TableName};
use crate::engine::policy::{Origin, RangePolicy, RangeRoutes};
use crate::kernel::netlink::WayTo;

/// The check of the ways.
pub static WAYS: Check = Check {
    name: "guests-ways",
    group: Group::Ranges,
    asks: "the kernel leads packets to each live guest, and those of guests out by their upstream",
    examine: ways,
};

/// The check of replies.
pub static REPLIES: Check = Check {
    name: "guests-replies",
    group: Group::Ranges,
    asks: "live guests reply past their own link: they have a gateway",
    examine: replies,
};

fn ways(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (range, _) in host.ranges() {
        let guests: Vec<&Guest> = host.guests_of(range).collect();
        // A route of ours is there only while a daemon runs; before that, `lookups` judges.
        let is_kept = range.routes != RangeRoutes::None && host.daemon.is_none();
        let astray: Vec<_> =
            guests.iter().copied().filter(|guest| !is_kept && is_astray(host, guest)).collect();
        findings.extend(led_elsewhere(host, range, &astray));
        let leaving: Vec<_> = guests.iter().copied().filter(|guest| !guest.is_led_out()).collect();
        findings.extend(sent_elsewhere(host, range, &leaving));
    }
    findings
}

/// Where guests are behind several routers, each way to one of them will do.
fn is_astray(host: &Host, guest: &Guest) -> bool {
    match guest.inward {
        WayTo::Link { link, next_hop, .. } => {
            let is_upstream = host.bindings().upstream(link).is_some();
            link != guest.link && (is_upstream || guest.is_neighbor || next_hop == NextHop::OnLink)
        }
        WayTo::Nowhere => true,
        WayTo::Host | WayTo::HostPrefix => guest.is_neighbor,
    }
}

fn led_elsewhere(host: &Host, range: &RangePolicy, guests: &[&Guest]) -> Option<Finding> {
    let first = guests.first()?;
    let (link, upstream) = (host.name(first.link), host.name(first.upstream));
    let sentence = format!(
        "packets for {} of {} do not reach {}: the kernel sends them {}, and {} behind {link}",
        named(guests),
        range.prefix,
        if guests.len() == 1 { "it" } else { "them" },
        whither(host, first.inward, first.upstream),
        if guests.len() == 1 { "it is" } else { "they are" },
    );
    let finding = Finding::fault(sentence).seen(format!(
        "ip -6 route get {} from {FAR_AWAY} iif {upstream}: {}",
        first.address,
        shown(host, first.inward)
    ));
    Some(remedied(host, finding, first.inward, &format!("iif {upstream} to {}", range.prefix)))
}

fn sent_elsewhere(host: &Host, range: &RangePolicy, guests: &[&Guest]) -> Option<Finding> {
    let first = guests.first()?;
    let (link, upstream) = (host.name(first.link), host.name(first.upstream));
    let sentence = format!(
        "what {} of {} send{} does not leave by {upstream}, but {}: a packet to {} gets no reply there",
        named(guests),
        range.prefix,
        if guests.len() == 1 { "s" } else { "" },
        whither(host, first.outward, first.link),
        if guests.len() == 1 { "it" } else { "them" },
    );
    let seen = format!(
        "ip -6 route get {FAR_AWAY} from {} iif {link}: {}",
        first.address,
        shown(host, first.outward)
    );
    // Replies may bear a mark that sends them where they have to go.
    let is_certain =
        !host.engine.rules().any(|rule| rule.condition != Condition::None && rule.table().is_some());
    let is_other_upstream =
        matches!(first.outward, WayTo::Link { link, .. } if host.bindings().upstream(link).is_some());
    let finding = match is_certain && !is_other_upstream {
        true => Finding::fault(sentence),
        false => Finding::warning(sentence),
    };
    Some(remedied(host, finding.seen(seen), first.outward, &format!("from {}", range.prefix)))
}

fn remedied(host: &Host, finding: Finding, way: WayTo, whose: &str) -> Finding {
    let table = match way {
        WayTo::Link { table, .. } => Some(table),
        _ => None,
    };
    let rule = table.and_then(|table| rule_of(host, table));
    let table = TableName(host.config.policy.routes.table);
    match rule.filter(|rule| rule.priority > 1) {
        // Of guests alone, so it cuts nobody else's way.
        Some(rule) => finding
            .seen(format!("ip -6 rule: {rule}"))
            .run(format!("ip -6 rule add {whose} lookup {table} priority {}", rule.priority - 1)),
        None => finding.remedy(Remedy::Advice(format!(
            "`ip -6 rule` and `ip -6 route show table all` show what decides; a rule for {whose} can change it"
        ))),
    }
}

/// The rule that names a table that is not the main one.
pub fn rule_of(host: &Host, table: u32) -> Option<&KernelRule> {
    host.engine.rules().find(|rule| rule.table() == Some(table)).filter(|_| table != MAIN)
}

fn named(guests: &[&Guest]) -> String {
    let names: Vec<_> = guests.iter().take(MOST).map(|guest| guest.address.to_string()).collect();
    let more = guests.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let noun = if guests.len() == 1 { "the live guest" } else { "the live guests" };
    format!("{noun} {}{more}", names.join(", "))
}

fn whither(host: &Host, way: WayTo, came_by: IfIndex) -> String {
    match way {
        WayTo::Link { link, table, .. } => {
            let rule =
                rule_of(host, table).map(|rule| format!(", rule {}", rule.priority)).unwrap_or_default();
            let back = if came_by == link { "back out of" } else { "by" };
            format!("{back} {} (table {}{rule})", host.name(link), TableName(table))
        }
        WayTo::Host | WayTo::HostPrefix => "to this host itself".to_owned(),
        WayTo::Nowhere => "nowhere".to_owned(),
    }
}

fn shown(host: &Host, way: WayTo) -> String {
    match way {
        WayTo::Link { link, next_hop, table } => {
            let via = match next_hop {
                NextHop::Via(router) => format!("via {router} "),
                NextHop::OnLink => String::new(),
            };
            format!("{via}dev {} table {}", host.name(link), TableName(table))
        }
        WayTo::Host | WayTo::HostPrefix => "local".to_owned(),
        WayTo::Nowhere => "unreachable".to_owned(),
    }
}

fn replies(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    // One that takes the upstream's link for its own has a finding already.
    let masks = host.daemon.as_ref().and_then(|status| status["wide_masks"].as_array());
    let is_masked = |guest: &Guest| {
        let name = host.name(guest.link);
        masks.is_some_and(|masks| masks.iter().any(|mask| mask["interface"] == name.as_str()))
    };
    for (range, _) in host.ranges() {
        let mute: Vec<_> = host
            .guests_of(range)
            .filter(|guest| !is_masked(guest))
            .filter_map(|guest| match guest.replies {
                Replies::OnLinkOnly(far) => Some((guest, far)),
                Replies::Unknown | Replies::Everywhere => None,
            })
            .collect();
        findings
            .extend(mute.first().map(|(first, far)| without_gateway(host, range, first, *far, mute.len())));
    }
    findings
}

fn without_gateway(host: &Host, range: &RangePolicy, first: &Guest, far: Ipv6Addr, count: usize) -> Finding {
    let link = host.name(first.link);
    let others = if count > 1 { format!(", and {} more,", count - 1) } else { String::new() };
    let sentence = format!(
        "the guest {}{others} replies on {link} and not to {far}, which is behind its link: it has no default route, or \
         takes that address for a neighbor's",
        first.address
    );
    let finding = Finding::warning(sentence).seen(format!("ping -I {far} {}: no reply", first.address));
    let gateway = range.gateway.or_else(|| host.links().link_local(first.link));
    let Some(gateway) = gateway else {
        let lines = lines::range(range, None, &[("gateway", "\"fe80::1\"".to_owned())]);
        return finding.remedy(Remedy::Config(lines));
    };
    let steady = match (range.gateway, range.origin) {
        (None, Origin::Config) => {
            ", or write gateway = \"fe80::1\" in the [[range]], which is the same on every host"
        }
        _ => "",
    };
    finding.remedy(Remedy::Advice(format!(
        "in the guest: `ip -6 route add default via {gateway} dev` its interface, and its address with the prefix length \
         128{steady}"
    )))
}

/// Guests that are named.
const MOST: usize = 4;
