//! The kernel's own proxy entries (`ip -6 neigh add proxy`) as a configuration.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::draft::{Draft, Overlap, Range, Router, Timers, Upstream};
use super::settle::interface;
use super::{ImportError, Imported, Note, finish};
use crate::engine::policy::Answer;

/// An address that the kernel answers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyEntry {
    /// The name of the interface that it answers on; `None` if that is gone meanwhile.
    pub interface: Option<String>,
    /// The address.
    pub address: Ipv6Addr,
}

/// The configuration that answers for these addresses, each only while somebody has it.
pub fn import(entries: &[ProxyEntry]) -> Result<Imported, ImportError> {
    let mut notes = Vec::new();
    let mut by_interface: BTreeMap<&str, Vec<Ipv6Addr>> = BTreeMap::new();
    for entry in entries {
        match &entry.interface {
            Some(name) => by_interface.entry(name).or_default().push(entry.address),
            None => {
                let message = format!("left out: {} was on an interface that is gone", entry.address);
                notes.push(Note::general(message));
            }
        }
    }
    let mut upstreams = Vec::new();
    for (name, mut addresses) in by_interface {
        addresses.sort();
        addresses.dedup();
        match interface(name) {
            Ok(interface) => upstreams.push(Upstream {
                notes: covering(&addresses),
                ranges: addresses
                    .iter()
                    .map(|address| Range::new((*address).into(), Answer::Live, Note::general("")))
                    .collect(),
                place: Note::general(""),
                router: Router::Set,
                interface,
            }),
            Err(message) => notes.push(Note::general(format!("left out: {message}"))),
        }
    }
    if upstreams.len() > 1 {
        notes.push(Note::general(
            "an interface that guests are behind is no upstream: if the kernel answered on one, remove its \
             tables, and give the guests this host as their gateway",
        ));
    }
    let draft = Draft {
        from: "kernel",
        preface: PREFACE,
        overlap: Overlap::One,
        notes,
        upstreams,
        timers: Timers::default(),
    };
    finish(draft, "ip -6 neigh show proxy", REMEDY)
}

/// The shortest prefix around several addresses, unless it is as large as a link's own.
fn covering(addresses: &[Ipv6Addr]) -> Vec<Note> {
    let bits = |at: Option<&Ipv6Addr>| at.map(|address| u128::from(*address));
    let (Some(first), Some(last)) = (bits(addresses.first()), bits(addresses.last())) else {
        return Vec::new();
    };
    let length = (first ^ last).leading_zeros();
    let whole = u8::try_from(length).ok().and_then(|length| Ipv6Net::new(first.into(), length).ok());
    whole
        .filter(|_| addresses.len() > 1 && (65..128).contains(&length))
        .map(|prefix| {
            Note::general(format!(
                "one [[range]] for {} would do for all {}: only guests that exist are answered for",
                prefix.trunc(),
                addresses.len()
            ))
        })
        .into_iter()
        .collect()
}

const REMEDY: &str =
    "there is an entry for each `ip -6 neigh add proxy ADDRESS dev INTERFACE` of this namespace";

const PREFACE: &str = "The kernel answers for these addresses whether somebody has them or not, with the R flag \
set; lone64 only while the guest exists. The routes to the guests stay as they are. Once lone64 runs, remove \
the kernel's entries, or both answer: `ip -6 neigh del proxy ADDRESS dev INTERFACE`.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn entry(interface: &str, address: &str) -> ProxyEntry {
        ProxyEntry { interface: Some(interface.to_owned()), address: address.parse().unwrap() }
    }

    #[test]
    fn serves_each_entry_on_the_interface_that_it_was_on() {
        let entries = [
            entry("eth0", "2001:db8:1:2:c::5"),
            entry("eth1", "2001:db8:9::1"),
            entry("eth0", "2001:db8:1:2:c::7"),
        ];
        let imported = import(&entries).unwrap();
        let policy = config::parse(&imported.toml, "f").unwrap_or_else(|p| panic!("{p}")).policy;
        let served: Vec<_> = policy
            .ranges
            .iter()
            .map(|range| {
                (range.prefix.to_string(), range.upstream.as_ref().unwrap().to_string(), range.answer)
            })
            .collect();
        let expected = [
            ("2001:db8:1:2:c::5/128", "eth0"),
            ("2001:db8:1:2:c::7/128", "eth0"),
            ("2001:db8:9::1/128", "eth1"),
        ];
        assert_eq!(served, expected.map(|(p, u)| (p.to_owned(), u.to_owned(), Answer::Live)));
        assert!(imported.toml.contains("2001:db8:1:2:c::4/126"), "{}", imported.toml);
    }

    #[test]
    fn tells_of_interfaces_that_are_gone_and_of_addresses_that_cannot_be_served() {
        let entries = [
            ProxyEntry { interface: None, address: "2001:db8::1".parse().unwrap() },
            entry("eth0", "fe80::1"),
            entry("lo", "2001:db8::2"),
            entry("eth0", "2001:db8::3"),
        ];
        let imported = import(&entries).unwrap();
        let notes: Vec<_> = imported.notes.iter().map(|note| note.message.as_str()).collect();
        for part in
            ["2001:db8::1 was on an interface that is gone", "fe80::1/128 is link-local", "`lo` is no"]
        {
            assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:#?}");
        }
    }

    #[test]
    fn says_so_if_there_are_none() {
        let error = import(&[]).unwrap_err().to_string();
        assert!(
            error.starts_with("ip -6 neigh show proxy has nothing") && error.contains("add proxy"),
            "{error}"
        );
    }
}
