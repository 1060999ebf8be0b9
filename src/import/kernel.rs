//! The kernel's own proxy entries (`ip -6 neigh add proxy`) as a configuration.
//!
//! The kernel answers for each of them, whether anybody has it or not. lone64 asks whether somebody has it, where the
//! one who has it can be asked; where that is not so, it answers always, as the kernel did. So each entry comes with
//! the way that the kernel has to it.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::draft::{Draft, Overlap, Range, Router, Timers, Upstream};
use super::settle::interface;
use super::{ImportError, Imported, Note, finish};
use crate::engine::facts::IfName;
use crate::engine::policy::Answer;

/// An address that the kernel answers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyEntry {
    /// The name of the interface that it answers on; `None` if that is gone meanwhile.
    pub interface: Option<String>,
    /// The address.
    pub address: Ipv6Addr,
    /// Where it sends what arrives there for the address.
    pub way: Way,
    /// The R flag of the kernel's answers.
    pub is_router: bool,
    /// Who asks there.
    pub side: Side,
}

/// Which side of the host an interface is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The provider's router asks for guests.
    Upstream,
    /// Guests ask for the router, or for what else is on the other side.
    Downstream,
}

/// Where the kernel sends what arrives for an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Out of another interface, where the address itself is.
    Link,
    /// By a default route, to a router that is not behind the interface that it came in by.
    Default {
        /// The interface that the router is behind.
        interface: String,
        /// The router's address.
        router: Ipv6Addr,
    },
    /// To a router, by a route to the address or a prefix around it.
    Router {
        /// The interface that the router is behind.
        interface: String,
        /// The router's address.
        router: Ipv6Addr,
    },
    /// The host has the address.
    Host,
    /// The host takes every address of a prefix that this one is in.
    HostPrefix,
    /// Back out of the interface that it came in by: no other route leads there.
    Back,
    /// Nowhere.
    Nowhere,
}

/// The configuration that answers for these addresses.
pub fn import(entries: &[ProxyEntry]) -> Result<Imported, ImportError> {
    let mut notes = Vec::new();
    let mut by_interface: BTreeMap<&str, BTreeMap<Ipv6Addr, &ProxyEntry>> = BTreeMap::new();
    let mut for_guests: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        match &entry.interface {
            Some(name) if entry.side == Side::Downstream => *for_guests.entry(name).or_default() += 1,
            Some(name) => _ = by_interface.entry(name).or_default().insert(entry.address, entry),
            None => {
                let message = format!("left out: the interface of {} does not exist any more", entry.address);
                notes.push(Note::general(message));
            }
        }
    }
    let mut upstreams = Vec::new();
    for (name, entries) in by_interface {
        match interface(name) {
            Ok(interface) => {
                let entries: Vec<&ProxyEntry> = entries.into_values().collect();
                upstreams.push(upstream(interface, &entries));
            }
            Err(message) => notes.push(Note::general(format!("left out: {message}"))),
        }
    }
    if !for_guests.is_empty() {
        notes.extend(for_guests.into_iter().map(asked_by_guests));
        let live = |range: &&mut Range| range.answer == Answer::Live;
        let ranges = upstreams.iter_mut().flat_map(|upstream| &mut upstream.ranges);
        ranges.filter(live).for_each(|range| range.proxy_downstream = true);
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

/// What the kernel answered for on one interface; the addresses are in order, each once.
fn upstream(interface: IfName, entries: &[&ProxyEntry]) -> Upstream {
    let ranges: Vec<Range> =
        entries.iter().map(|entry| range(entry.address, &entry.way, interface)).collect();
    let is_by_routes = |range: &&Range| range.answer == Answer::Live && range.interfaces.is_empty();
    let followed: Vec<_> = ranges.iter().filter(is_by_routes).map(|range| range.prefix.addr()).collect();
    let mut notes = covering(&followed);
    let any = |is_meant: fn(&Way) -> bool| entries.iter().any(|entry| is_meant(&entry.way));
    if any(|way| matches!(way, Way::Router { .. })) {
        notes.push(Note::general(BEHIND_ROUTERS));
    }
    if any(|way| matches!(way, Way::Back | Way::Nowhere)) {
        notes.push(Note::general(WITHOUT_ROUTE));
    }
    let routers = entries.iter().filter(|entry| entry.is_router).count();
    if routers > 0 && routers < entries.len() {
        let message = format!(
            "the R flag was set for {routers} of {} addresses, and is set for all of them now",
            entries.len()
        );
        notes.push(Note::general(message));
    }
    let router = if routers > 0 { Router::Set } else { Router::Clear };
    Upstream { notes, ranges, place: Note::general(""), router, interface }
}

/// Entries on an interface that guests are behind.
fn asked_by_guests((interface, entries): (&str, usize)) -> Note {
    let (addresses, these) = if entries == 1 { ("address", "it") } else { ("addresses", "them") };
    Note::general(format!(
        "on {interface} the kernel answered guests for {entries} {addresses} of the other side (for example the \
         router): with `proxy-downstream = true` lone64 answers for {these}, and for everything else that exists \
         there. Remove it if the guests have this host as their gateway and a /128"
    ))
}

/// One entry, and what is to be said of it.
fn range(address: Ipv6Addr, way: &Way, upstream: IfName) -> Range {
    let mut range = Range::new(address.into(), Answer::Live, Note::general(""));
    let message = match way {
        // lone64 follows rules and routes itself.
        Way::Link | Way::Host => return range,
        Way::Router { interface, router } => {
            format!(
                "{address} is behind the router {router} on {interface}, and counts as live while the router is"
            )
        }
        Way::Default { interface, router } => {
            range.answer_always();
            format!(
                "the default route to {address} goes through the router {router} on {interface}: lone64 always \
                     answers for it"
            )
        }
        Way::HostPrefix => {
            range.answer_always();
            format!("the host itself accepts every address around {address}: lone64 always answers for it")
        }
        Way::Back => {
            range.answer_always();
            format!("the only route to {address} leads back out of {upstream}: lone64 always answers for it")
        }
        Way::Nowhere => {
            range.answer_always();
            format!("no route leads to {address}: lone64 always answers for it")
        }
    };
    range.notes.push(Note::general(message));
    range
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
                "one [[range]] for {} can replace all {}: lone64 answers only for guests that exist",
                prefix.trunc(),
                addresses.len()
            ))
        })
        .into_iter()
        .collect()
}

const REMEDY: &str = "`ip -6 neigh add proxy ADDRESS dev INTERFACE` adds an entry in this namespace";

const PREFACE: &str = "The kernel answers for these addresses in any case, lone64 only while the guest exists, if it \
                       can probe it. The routes to the guests stay as they are. When lone64 runs, remove the \
                       kernel's entries, or both answer: `ip -6 neigh del proxy ADDRESS dev INTERFACE`.";

const BEHIND_ROUTERS: &str = "lone64 cannot probe an address behind a router on the guests' link: it answers for it \
                              while the router is live, and the kernel answered always. One [[range]] for the whole \
                              prefix of the router can replace all addresses in it";

const WITHOUT_ROUTE: &str = "lone64 always answers for addresses without a route of their own, as the kernel did. If \
                             an IPsec policy handles their packets (`ip xfrm policy` shows it), that is right. If \
                             not, nobody can be reached there: add a route to the guest (`ip -6 route add ADDRESS \
                             dev INTERFACE`) and write answer = \"live\", or remove its [[range]]";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::engine::policy::{Downstream, RangeRoutes};

    fn entry(interface: &str, address: &str) -> ProxyEntry {
        led(interface, address, Way::Link)
    }

    fn led(interface: &str, address: &str, way: Way) -> ProxyEntry {
        ProxyEntry {
            interface: Some(interface.to_owned()),
            address: address.parse().unwrap(),
            way,
            is_router: false,
            side: Side::Upstream,
        }
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
            ProxyEntry {
                interface: None,
                address: "2001:db8::1".parse().unwrap(),
                way: Way::Nowhere,
                is_router: false,
                side: Side::Upstream,
            },
            entry("eth0", "fe80::1"),
            entry("lo", "2001:db8::2"),
            entry("eth0", "2001:db8::3"),
        ];
        let imported = import(&entries).unwrap();
        let notes: Vec<_> = imported.notes.iter().map(|note| note.message.as_str()).collect();
        for part in [
            "the interface of 2001:db8::1 does not exist any more",
            "fe80::1/128 is link-local",
            "`lo` is no",
        ] {
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

    #[test]
    fn asks_where_somebody_can_be_asked_and_answers_always_elsewhere() {
        let router = Way::Router { interface: "br0".to_owned(), router: "fe80::5".parse().unwrap() };
        let default = Way::Default { interface: "br1".to_owned(), router: "fe80::9".parse().unwrap() };
        let cases = [
            ("2001:db8:1:2::1", Way::Link, Answer::Live, ""),
            ("2001:db8:1:2::2", Way::Host, Answer::Live, ""),
            ("2001:db8:1:2::5", router, Answer::Live, "2001:db8:1:2::5 is behind the router fe80::5 on br0"),
            ("2001:db8:1:2::6", Way::HostPrefix, Answer::Always, "the host itself accepts"),
            (
                "2001:db8:1:2::7",
                Way::Back,
                Answer::Always,
                "the only route to 2001:db8:1:2::7 leads back out of eth0",
            ),
            (
                "2001:db8:1:2::8",
                Way::Nowhere,
                Answer::Always,
                "no route leads to 2001:db8:1:2::8: lone64 always answers for it",
            ),
            (
                "2001:db8:1:2::9",
                default,
                Answer::Always,
                "the default route to 2001:db8:1:2::9 goes through the router fe80::9 on br1",
            ),
        ];
        let entries: Vec<_> =
            cases.iter().map(|(address, way, ..)| led("eth0", address, way.clone())).collect();
        let imported = import(&entries).unwrap();
        let policy = config::parse(&imported.toml, "f").unwrap_or_else(|p| panic!("{p}")).policy;
        for (range, (address, _, answer, message)) in policy.ranges.iter().zip(&cases) {
            assert_eq!(range.prefix.to_string(), format!("{address}/128"));
            assert_eq!(range.answer, *answer, "{address}");
            assert_eq!(range.routes, RangeRoutes::None, "{address}");
            assert!(!range.backstop, "{address}");
            assert_eq!(range.downstream, Downstream::Kernel, "{address}");
            let told = imported.notes.iter().any(|note| note.message.contains(message));
            assert!(told, "{message}: {:#?}", imported.notes);
        }
        for remedy in ["One [[range]] for the whole prefix", "`ip xfrm policy` shows it"] {
            assert!(imported.notes.iter().any(|note| note.message.contains(remedy)), "{remedy}");
        }
        // One range for all would be right for those only whose guests can be asked by the routes.
        let around = imported.notes.iter().find(|note| note.message.starts_with("one [[range]]")).unwrap();
        assert!(around.message.contains("2001:db8:1:2::/125 can replace all 3"), "{}", around.message);
    }

    #[test]
    fn entries_for_guests_make_no_upstream_of_their_interface() {
        let gateway = |address| ProxyEntry { side: Side::Downstream, ..entry("br1", address) };
        let entries = [
            entry("eth0", "2001:db8:1:2:c::5"),
            led("eth0", "2001:db8:1:2:c::6", Way::Back),
            gateway("2001:db8:1:2::1"),
            gateway("fe80::1"),
        ];
        let imported = import(&entries).unwrap();
        let policy = config::parse(&imported.toml, "f").unwrap_or_else(|p| panic!("{p}")).policy;
        assert_eq!(policy.upstreams.len(), 1);
        let ranges = policy.ranges.iter().map(|range| (range.prefix.to_string(), range.proxy_downstream));
        let expected = [("2001:db8:1:2:c::5/128", true), ("2001:db8:1:2:c::6/128", false)];
        assert_eq!(ranges.collect::<Vec<_>>(), expected.map(|(p, is)| (p.to_owned(), is)));
        let told = imported
            .notes
            .iter()
            .any(|note| note.message.contains("on br1 the kernel answered guests for 2"));
        assert!(told, "{:#?}", imported.notes);
        let error = import(&[gateway("2001:db8:1:2::1")]).unwrap_err().to_string();
        assert!(error.contains("on br1 the kernel answered guests for 1 address"), "{error}");
    }

    #[test]
    fn says_nothing_more_where_all_are_on_downstreams() {
        let imported = import(&[entry("eth0", "2001:db8:1:2:c::5")]).unwrap();
        assert_eq!(imported.notes, []);
    }

    #[test]
    fn sets_the_r_flag_as_the_entries_have_it() {
        let entries = |routers: &[bool]| -> Vec<ProxyEntry> {
            let address = |last: usize| format!("2001:db8:1:2:c::{last}");
            let entry = |(last, is_router): (usize, &bool)| ProxyEntry {
                is_router: *is_router,
                ..entry("eth0", &address(last))
            };
            routers.iter().enumerate().map(entry).collect()
        };
        let router = |routers: &[bool]| {
            let imported = import(&entries(routers)).unwrap();
            let policy = config::parse(&imported.toml, "f").unwrap().policy;
            let told = imported.notes.iter().filter(|note| note.message.contains("R flag")).count();
            (policy.upstreams[0].router, told)
        };
        assert_eq!(router(&[false, false]), (false, 0));
        assert_eq!(router(&[true, true]), (true, 0));
        assert_eq!(router(&[true, false]), (true, 1));
    }
}
