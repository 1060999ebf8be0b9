//! `[[guest]]`: guests with an identity, in the configuration and in the files of `guests.d`.
//!
//! May touch: nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use toml::de::DeValue;

use super::mirror::{Addresses, Guest};
use super::problem::{Place, Report};
use super::section::{Field, Section, kind, refuse};
use crate::engine::facts::IfName;
use crate::engine::policy::{
    Downstream, GuestAddresses, GuestPolicy, IfPattern, RangePolicy, UpstreamPolicy,
};
use crate::wire::Mac;

/// What else is written, as far as it matters to guests.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) ranges: &'a [RangePolicy],
    pub(super) suffixes: &'a [RangePolicy],
    pub(super) upstreams: &'a [UpstreamPolicy],
}

pub(super) fn read(section: &Section<'_>, report: &mut Report<'_>) -> Guest {
    Guest {
        place: section.place.clone(),
        written: section.written(),
        name: name(section, report),
        mac: mac(section, report),
        interface: section.interface("interface", report),
        addresses: addresses(section, report),
        delegate: section.prefixes("delegate", report),
        guard: section.flag("guard", report),
    }
}

fn name(section: &Section<'_>, report: &mut Report<'_>) -> Field<String> {
    const REMEDY: &str = "write letters, digits, dots, hyphens and underscores, such as \"web1\"";
    let Some((value, place)) = section.entry("name") else { return section.absent("name") };
    let Some(text) = value.as_str() else {
        return refuse(report, &place, format!("`name` is {}", kind(value)), REMEDY);
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_good = (1..=LONGEST_NAME).contains(&text.len())
        && text.chars().all(is_part)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric());
    match is_good {
        true => Field::Is(text.to_owned(), place),
        false => refuse(report, &place, format!("`name` cannot be \"{text}\""), REMEDY),
    }
}

fn mac(section: &Section<'_>, report: &mut Report<'_>) -> Field<Mac> {
    const REMEDY: &str = "write the MAC of one guest, such as \"52:54:00:12:34:56\"";
    let Some((value, place)) = section.entry("mac") else { return section.absent("mac") };
    let Some(text) = value.as_str() else {
        return refuse(report, &place, format!("`mac` is {}", kind(value)), REMEDY);
    };
    match text.parse::<Mac>() {
        Ok(mac) if mac.is_station() => Field::Is(mac, place),
        Ok(mac) => refuse(report, &place, format!("{mac} cannot be the MAC of a guest"), REMEDY),
        Err(_) => refuse(report, &place, format!("`mac` cannot be \"{text}\""), REMEDY),
    }
}

fn addresses(section: &Section<'_>, report: &mut Report<'_>) -> Field<Addresses> {
    const REMEDY: &str =
        "write a list such as [\"2001:db8:1:2:c::5\"], or \"eui64\" for the one that the MAC computes to";
    let Some((value, place)) = section.entry("addresses") else { return section.absent("addresses") };
    if value.as_str() == Some("eui64") {
        return Field::Is(Addresses::Eui64, place);
    }
    let Some(items) = section.items("addresses") else {
        let sentence = match value.as_str() {
            Some(text) => format!("`addresses` cannot be \"{text}\""),
            None => format!("`addresses` is {}", kind(value)),
        };
        return refuse(report, &place, sentence, REMEDY);
    };
    let mut listed = Vec::new();
    for (item, place) in items {
        listed.extend(address(item, &place, report).map(|address| (address, place)));
    }
    Field::Is(Addresses::Listed(listed), place)
}

fn address(value: &DeValue<'_>, place: &Place, report: &mut Report<'_>) -> Option<Ipv6Addr> {
    const REMEDY: &str = "write an address without a length, such as \"2001:db8:1:2:c::5\"";
    let Some(text) = value.as_str() else {
        report.push(place, format!("`addresses` has {} instead of an address", kind(value))).help(REMEDY);
        return None;
    };
    let Ok(address) = text.parse::<Ipv6Addr>() else {
        report.push(place, format!("\"{text}\" is not an IPv6 address")).help(REMEDY);
        return None;
    };
    let is_global = !address.is_multicast()
        && !address.is_unicast_link_local()
        && !address.is_loopback()
        && !address.is_unspecified()
        && address.to_ipv4_mapped().is_none();
    if !is_global {
        let problem = report.push(place, format!("{address} is not an address that a router asks for"));
        problem.help("write a global address; the link-local one follows from the MAC");
        return None;
    }
    Some(address)
}

/// What guests there are, each with its mistakes. `taken` is what others have already.
pub(super) fn policies(
    guests: &[Guest],
    around: Around<'_>,
    taken: &mut Taken,
    report: &mut Report<'_>,
) -> Vec<GuestPolicy> {
    let policy = |guest| policy(guest, around, taken, report);
    guests.iter().filter_map(policy).collect()
}

fn policy(
    guest: &Guest,
    around: Around<'_>,
    taken: &mut Taken,
    report: &mut Report<'_>,
) -> Option<GuestPolicy> {
    let before = report.len();
    if guest.name == Field::Absent {
        let problem = report.push(&guest.place, "this [[guest]] has no `name`");
        problem.help("add a name of your choice, such as name = \"web1\"");
    }
    if let (Field::Absent, Field::Absent) = (&guest.mac, &guest.interface) {
        let problem = report.push(&guest.place, "this [[guest]] has neither a `mac` nor an `interface`");
        problem.help("add one of them, so that lone64 can find the guest");
    }
    if let (Field::Is(true, place), Field::Absent) = (&guest.guard, &guest.mac) {
        let problem =
            report.push(place, "`guard` needs the MAC of the guest, and this [[guest]] has no `mac`");
        problem.help("add its `mac`, such as mac = \"52:54:00:12:34:56\"");
    }
    check_addresses(guest, around, report);
    check_delegate(guest, around, report);
    let policy = GuestPolicy {
        name: guest.name.value()?.clone(),
        mac: guest.mac.value().copied(),
        interface: guest.interface.value().copied(),
        addresses: match guest.addresses.value() {
            Some(Addresses::Eui64) => GuestAddresses::Eui64,
            Some(Addresses::Listed(listed)) => {
                GuestAddresses::Listed(listed.iter().map(|(address, _)| *address).collect())
            }
            None => GuestAddresses::Listed(Vec::new()),
        },
        delegate: guest.delegate.value().into_iter().flatten().map(|(prefix, _)| *prefix).collect(),
        guard: guest.guard.value().copied(),
    };
    if let Some(clash) = taken.clash(&policy) {
        let place = clash.place(guest);
        report.push(&place, clash.sentence).help(clash.remedy);
    }
    if report.len() > before {
        return None;
    }
    let place = report.line(&guest.place).map(|(origin, line)| format!("line {line} of {origin}"));
    taken.take(&policy, place.unwrap_or_else(|| report.describe(&guest.place)));
    Some(policy)
}

fn check_addresses(guest: &Guest, around: Around<'_>, report: &mut Report<'_>) {
    match &guest.addresses {
        Field::Absent if guest.delegate == Field::Absent => {
            let problem = report.push(&guest.place, "this [[guest]] has no `addresses`");
            problem.help("add addresses = [\"2001:db8:1:2:c::5\"], or addresses = \"eui64\" in a /64");
        }
        Field::Is(Addresses::Eui64, place) => {
            if guest.mac == Field::Absent {
                let problem =
                    report.push(place, "\"eui64\" computes the address from the `mac`, which is missing");
                problem.help("add the `mac`, or list the addresses");
            }
            if !around.has_64_for(guest.interface.value()) {
                let sentence = "\"eui64\" needs a range that is a /64, and there is none for this guest";
                let problem = report.push(place, sentence);
                problem.help("write a [[range]] with suffix = \"::/64\", or list the addresses");
            }
        }
        Field::Is(Addresses::Listed(listed), _) => {
            for (address, place) in listed {
                let net = Ipv6Net::from(*address);
                if around.is_outside(&net) {
                    let problem = report.push(place, format!("{address} is outside every range"));
                    problem.help("write a [[range]] that has it, or correct the address");
                }
            }
        }
        Field::Absent | Field::Wrong => {}
    }
}

fn check_delegate(guest: &Guest, around: Around<'_>, report: &mut Report<'_>) {
    let Field::Is(prefixes, _) = &guest.delegate else { return };
    for (prefix, place) in prefixes {
        if let Some(range) = around.ranges.iter().find(|range| prefix.contains(&range.prefix)) {
            let problem = report.push(place, format!("{prefix} covers all of the range {}", range.prefix));
            problem.help("delegate a longer prefix inside the range");
        } else if around.is_outside(prefix) {
            let problem = report.push(place, format!("{prefix} is outside every range"));
            problem.help("write a [[range]] that has all of it, or correct the prefix");
        }
    }
}

impl Around<'_> {
    /// Whether no range has all of this, as far as that can be told without the host.
    fn is_outside(&self, prefix: &Ipv6Net) -> bool {
        !self.follows_host() && !self.ranges.iter().any(|range| range.prefix.contains(prefix))
    }

    fn follows_host(&self) -> bool {
        !self.suffixes.is_empty() || self.upstreams.iter().any(|upstream| upstream.automatic.is_some())
    }

    fn has_64_for(&self, interface: Option<&IfName>) -> bool {
        let is_there = |range: &RangePolicy| match (&range.downstream, interface) {
            (_, None) | (Downstream::Kernel, _) => true,
            (Downstream::Named(name), Some(interface)) => name == interface,
            (Downstream::Matching(patterns), Some(interface)) => {
                patterns.iter().any(|pattern: &IfPattern| pattern.matches(interface))
            }
        };
        let mut all = self.ranges.iter().chain(self.suffixes);
        self.upstreams.iter().any(|upstream| upstream.automatic.is_some())
            || all.any(|range| range.prefix.prefix_len() == 64 && is_there(range))
    }
}

/// What guests have, each with the name of its guest and where that is written.
#[derive(Debug, Default)]
pub(super) struct Taken {
    names: HashMap<String, String>,
    macs: HashMap<Mac, (String, String)>,
    addresses: BTreeMap<Ipv6Addr, (String, String)>,
    prefixes: BTreeMap<Ipv6Net, (String, String)>,
}

/// Two guests that have the same.
#[derive(Debug)]
pub(super) struct Clash {
    key: Key,
    pub(super) sentence: String,
    pub(super) remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Name,
    Mac,
    Address(Ipv6Addr),
    Prefix(Ipv6Net),
}

impl Taken {
    /// What another guest has already of what this one is to have.
    pub(super) fn clash(&self, guest: &GuestPolicy) -> Option<Clash> {
        let GuestPolicy { name, .. } = guest;
        if let Some(place) = self.names.get(name) {
            let sentence = format!("there are two guests with the name `{name}`");
            return Some(Clash {
                key: Key::Name,
                sentence,
                remedy: format!("rename it, or the one at {place}"),
            });
        }
        let clash = |key, what: String, (other, place): &(String, String)| {
            let sentence = format!("{what} belongs to two guests, `{other}` and `{name}`");
            Some(Clash {
                key,
                sentence,
                remedy: format!("take it from one of them; `{other}` is at {place}"),
            })
        };
        if let Some((mac, other)) = guest.mac.and_then(|mac| Some((mac, self.macs.get(&mac)?))) {
            return clash(Key::Mac, mac.to_string(), other);
        }
        for address in guest.addresses.listed() {
            if let Some(other) = self.addresses.get(address).or_else(|| self.around(&Ipv6Net::from(*address)))
            {
                return clash(Key::Address(*address), address.to_string(), other);
            }
        }
        for (at, prefix) in guest.delegate.iter().enumerate() {
            let inside = self.addresses.range(prefix.network()..=prefix.broadcast()).next();
            let within = self.prefixes.range(prefix..).next().filter(|(other, _)| prefix.contains(*other));
            let other = inside.map(|(_, other)| other).or(within.map(|(_, other)| other));
            if let Some(other) = other.or_else(|| self.around(prefix)) {
                return clash(Key::Prefix(*prefix), format!("a part of {prefix}"), other);
            }
            let own = guest.addresses.listed().iter().find(|address| prefix.contains(*address));
            let twice =
                guest.delegate[..at].iter().find(|other| other.contains(prefix) || prefix.contains(*other));
            let what = own.map(ToString::to_string).or(twice.map(ToString::to_string));
            if let Some(what) = what {
                let sentence = format!("{prefix} and {what} of the guest `{name}` overlap");
                return Some(Clash {
                    key: Key::Prefix(*prefix),
                    sentence,
                    remedy: "remove one of them".to_owned(),
                });
            }
        }
        None
    }

    fn around(&self, prefix: &Ipv6Net) -> Option<&(String, String)> {
        let (other, whose) = self.prefixes.range(..=*prefix).next_back()?;
        other.contains(prefix).then_some(whose)
    }

    /// This guest has that. `place` is where it is written.
    pub(super) fn take(&mut self, guest: &GuestPolicy, place: String) {
        let whose = (guest.name.clone(), place);
        self.macs.extend(guest.mac.map(|mac| (mac, whose.clone())));
        self.addresses.extend(guest.addresses.listed().iter().map(|address| (*address, whose.clone())));
        self.prefixes.extend(guest.delegate.iter().map(|prefix| (*prefix, whose.clone())));
        self.names.insert(whose.0, whose.1);
    }
}

impl Clash {
    /// Where it is written in this guest.
    fn place(&self, guest: &Guest) -> Place {
        let of_list = |listed: &Field<Vec<(Ipv6Net, Place)>>, prefix| {
            let place = listed.value().into_iter().flatten().find(|(other, _)| *other == prefix);
            place.map(|(_, place)| place.clone())
        };
        let place = match (self.key, &guest.addresses) {
            (Key::Name, _) => guest.name.place(),
            (Key::Mac, _) => guest.mac.place(),
            (Key::Prefix(prefix), _) => of_list(&guest.delegate, prefix),
            (Key::Address(address), Field::Is(Addresses::Listed(listed), _)) => {
                let found = listed.iter().find(|(other, _)| *other == address);
                found.map(|(_, place)| place.clone())
            }
            (Key::Address(_), _) => None,
        };
        place.unwrap_or_else(|| guest.place.clone())
    }
}

const LONGEST_NAME: usize = 63;

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
