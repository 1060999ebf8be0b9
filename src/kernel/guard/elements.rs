//! What the sets of guards hold, and the text for nft(8) that changes it: whole tables at first, elements afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ipnet::Ipv6Net;

use super::rules::{TABLE, table};
use crate::engine::guests::{Family, GuardKey, Guarded, Guarding};
use crate::wire::Mac;

/// The guards that are to be in the kernel.
#[derive(Debug, Default)]
pub struct Elements {
    guards: BTreeMap<GuardKey, Guarding>,
    /// Elements that several guards can have, and how many have them.
    shared: BTreeMap<(Kind, Element), u32>,
    /// The tables that are there, if that is known.
    there: Option<Tables>,
}

/// One transaction.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// For nft(8).
    pub text: String,
    /// Tables are made again, so that what they have counted is gone.
    pub is_whole: bool,
}

/// Which of both tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tables {
    /// That for ports of bridges.
    pub bridge: bool,
    /// That for routed interfaces.
    pub routed: bool,
}

/// One of both tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bridge,
    Routed,
}

/// A set, and what is in it as nft writes it.
type Element = (&'static str, String);

/// Elements of one table that are to go, and to come.
#[derive(Debug, Default)]
struct Delta {
    gone: BTreeSet<Element>,
    new: BTreeSet<Element>,
}

impl Elements {
    /// Takes over these changes. The text of the transaction that brings the kernel up to them.
    ///
    /// `left` tells which tables are there already, where that is not known from before.
    pub fn change(&mut self, changes: Vec<(GuardKey, Option<Guarding>)>, left: Tables) -> Script {
        let mut deltas = [Delta::default(), Delta::default()];
        for (key, guarding) in changes {
            self.replace(key, guarding, &mut deltas);
            // Of thousands at a start only the whole is of use.
            if self.there.is_none() {
                deltas = Default::default();
            }
        }
        let wanted = self.tables();
        if self.there != Some(wanted) {
            let before = self.there.replace(wanted).unwrap_or(left);
            return Script { text: self.whole(before, wanted), is_whole: true };
        }
        let mut text = String::new();
        // What nobody may take is in both kinds of tables, as far as they are there.
        let kinds = [(Kind::Bridge, wanted.bridge), (Kind::Routed, wanted.routed)];
        for ((kind, _), delta) in kinds.into_iter().zip(deltas).filter(|((_, is_there), _)| *is_there) {
            kind.write(&mut text, "delete", &delta.gone);
            kind.write(&mut text, "add", &delta.new);
        }
        Script { text, is_whole: false }
    }

    /// It is not known any more what the kernel has.
    pub fn forget(&mut self) {
        self.there = None;
    }

    /// Whether it is known what the kernel has.
    pub fn is_sure(&self) -> bool {
        self.there.is_some()
    }

    /// The tables that guards are in.
    pub fn tables(&self) -> Tables {
        let guests = || self.guards.values().filter_map(guarded);
        Tables {
            bridge: guests().any(|guest| guest.family.has_bridges()),
            routed: guests().any(|guest| guest.family.has_routed()),
        }
    }

    /// How many guests each table has.
    pub fn count(&self) -> [usize; 2] {
        [Kind::Bridge, Kind::Routed].map(|kind| {
            let macs = self.guards.values().filter_map(guarded).filter(|guest| kind.is_of(guest.family));
            macs.map(|guest| guest.mac).collect::<BTreeSet<_>>().len()
        })
    }

    /// The guests, by MAC and by the interface that they have alone.
    pub fn guests(&self) -> impl Iterator<Item = (GuardKey, &Guarded)> {
        self.guards.iter().filter_map(|(key, guarding)| Some((*key, guarded(guarding)?)))
    }

    fn replace(&mut self, key: GuardKey, guarding: Option<Guarding>, deltas: &mut [Delta; 2]) {
        let before = self.guards.remove(&key);
        for (kind, delta) in [Kind::Bridge, Kind::Routed].into_iter().zip(deltas) {
            let gone = before.as_ref().map(|guarding| kind.elements(guarding)).unwrap_or_default();
            let new = guarding.as_ref().map(|guarding| kind.elements(guarding)).unwrap_or_default();
            for element in gone.difference(&new) {
                if self.is_last(kind, element) {
                    delta.gone.insert(element.clone());
                }
            }
            for element in new.difference(&gone) {
                if self.is_first(kind, element) {
                    delta.new.insert(element.clone());
                }
            }
        }
        self.guards.extend(guarding.map(|guarding| (key, guarding)));
    }

    fn is_first(&mut self, kind: Kind, element: &Element) -> bool {
        if !is_shared(element) {
            return true;
        }
        let count = self.shared.entry((kind, element.clone())).or_default();
        *count += 1;
        *count == 1
    }

    fn is_last(&mut self, kind: Kind, element: &Element) -> bool {
        if !is_shared(element) {
            return true;
        }
        let at = (kind, element.clone());
        let Some(count) = self.shared.get_mut(&at) else { return false };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.shared.remove(&at);
        }
        is_last
    }

    /// All of it in the place of whatever is there.
    fn whole(&self, before: Tables, wanted: Tables) -> String {
        let mut text = String::new();
        for (kind, was, is) in
            [(Kind::Bridge, before.bridge, wanted.bridge), (Kind::Routed, before.routed, wanted.routed)]
        {
            let family = kind.family();
            if was {
                // The first line makes the second one work where it has gone meanwhile.
                let _ = writeln!(text, "add table {family} {TABLE}\ndelete table {family} {TABLE}");
            }
            if is {
                text += &table(family);
                self.write_all(kind, &mut text);
            }
        }
        text
    }

    /// Guest by guest: as one set, the elements of thousands would take several times the memory of the text.
    fn write_all(&self, kind: Kind, text: &mut String) {
        let mut sets: BTreeMap<&'static str, String> = BTreeMap::new();
        let mut add = |(set, element): &Element| {
            let text = sets.entry(*set).or_default();
            let _ = write!(text, " {element},");
        };
        for guarding in self.guards.values() {
            kind.elements(guarding).iter().filter(|element| !is_shared(element)).for_each(&mut add);
        }
        self.shared.keys().filter(|(of, _)| *of == kind).for_each(|(_, element)| add(element));
        for (set, elements) in sets {
            let _ = writeln!(text, "add element {} {TABLE} {set} {{{elements} }}", kind.family());
        }
    }
}

impl Kind {
    fn family(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Routed => "ip6",
        }
    }

    fn is_of(self, family: Family) -> bool {
        match self {
            Self::Bridge => family.has_bridges(),
            Self::Routed => family.has_routed(),
        }
    }

    /// A line for each set.
    fn write(self, text: &mut String, verb: &str, elements: &BTreeSet<Element>) {
        let all: Vec<_> = elements.iter().collect();
        for of_set in all.chunk_by(|(set, _), (next, _)| set == next) {
            let _ = write!(text, "{verb} element {} {TABLE} {} {{", self.family(), of_set[0].0);
            of_set.iter().for_each(|(_, element)| {
                let _ = write!(text, " {element},");
            });
            *text += " }\n";
        }
    }

    fn elements(self, guarding: &Guarding) -> BTreeSet<Element> {
        let guest = match guarding {
            Guarding::Reserved(all) => {
                return all.iter().map(|address| ("reserved", hex(address.to_bits()))).collect();
            }
            Guarding::Guest(guest) if self.is_of(guest.family) => guest,
            Guarding::Guest(_) => return BTreeSet::new(),
        };
        let Guarded { mac, port, addresses, prefixes, is_fresh, .. } = &**guest;
        let mut all =
            BTreeSet::from([("macs", mac.to_string()), ("pairs", format!("{mac} . {}", number(*mac)))]);
        if let Some(port) = port {
            all.insert(("ports", format!("\"{port}\"")));
            all.insert(("places", format!("\"{port}\" . {mac}")));
        }
        if *is_fresh {
            all.insert(("fresh", mac.to_string()));
        }
        for address in addresses {
            all.insert(("own", format!("{mac} . {}", hex(address.to_bits()))));
            if address.is_unicast_link_local() {
                all.insert(("reserved", hex(address.to_bits())));
            }
        }
        all.extend(prefixes.iter().map(|prefix| ("prefixes", format!("{mac} . {}", span(prefix)))));
        all
    }
}

fn guarded(guarding: &Guarding) -> Option<&Guarded> {
    match guarding {
        Guarding::Guest(guest) => Some(guest),
        Guarding::Reserved(_) => None,
    }
}

fn is_shared((set, _): &Element) -> bool {
    matches!(*set, "ports" | "reserved")
}

fn hex(bits: u128) -> String {
    format!("0x{bits:032x}")
}

fn number(mac: Mac) -> String {
    mac.0.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn span(prefix: &Ipv6Net) -> String {
    let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
    if first == last { hex(first) } else { format!("{}-{}", hex(first), hex(last)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::guests::GuestId;

    fn key(id: u32) -> GuardKey {
        let id: GuestId = serde_json::from_value(id.into()).expect("a number");
        GuardKey::Guest(id)
    }

    fn guest(last: u8, port: &str, family: Family) -> Guarding {
        let address = format!("2001:db8::{last:x}").parse().expect("an address");
        let link_local = format!("fe80::{last:x}").parse().expect("an address");
        Guarding::Guest(Arc::new(Guarded {
            mac: Mac([2, 0, 0, 0, 0, last]),
            family,
            port: port.parse().ok(),
            addresses: vec![address, link_local],
            prefixes: vec!["2001:db8:0:1::/116".parse().expect("a prefix")],
            is_fresh: false,
        }))
    }

    #[test]
    fn writes_whole_tables_once_and_single_elements_afterwards() {
        let mut elements = Elements::default();
        let all = (1..=3).map(|id| (key(id), Some(guest(id as u8, "tap0", Family::Bridge)))).collect();
        let text = elements.change(all, Tables { bridge: true, routed: false }).text;
        assert!(
            text.starts_with("add table bridge lone64_guard\ndelete table bridge lone64_guard\n"),
            "{text}"
        );
        assert!(text.contains("table bridge lone64_guard {\n") && !text.contains("table ip6"), "{text}");
        let ports: Vec<_> = text.lines().filter(|line| line.contains(" ports { \"")).collect();
        assert_eq!(ports, ["add element bridge lone64_guard ports { \"tap0\", }"]);
        let text = elements.change(vec![(key(2), None)], Tables::default()).text;
        assert!(!text.contains("table ") && !text.contains("ports"), "{text}");
        assert!(text.contains("delete element bridge lone64_guard macs { 02:00:00:00:00:02, }\n"), "{text}");
        assert!(!text.contains("02:00:00:00:00:01"), "{text}");
    }

    #[test]
    fn the_last_one_takes_the_table_along_and_what_is_lost_is_written_again() {
        let mut elements = Elements::default();
        elements.change(vec![(key(1), Some(guest(1, "tap0", Family::Routed)))], Tables::default());
        elements.forget();
        let text = elements.change(Vec::new(), Tables::default()).text;
        assert!(text.starts_with("table ip6 lone64_guard {") && text.contains("\"tap0\" . 02:"), "{text}");
        let text = elements.change(vec![(key(1), None)], Tables::default()).text;
        assert_eq!(text, "add table ip6 lone64_guard\ndelete table ip6 lone64_guard\n");
    }

    #[test]
    fn a_table_that_is_not_there_has_no_elements_that_change() {
        let reserved = |last: u16| {
            let address = core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
            (GuardKey::Reserved, Some(Guarding::Reserved(vec![address])))
        };
        for (family, other) in [(Family::Bridge, "ip6 lone64_guard"), (Family::Routed, "bridge lone64_guard")]
        {
            let mut elements = Elements::default();
            let first = vec![(key(1), Some(guest(1, "tap0", family))), reserved(0x70)];
            assert!(!elements.change(first, Tables::default()).text.contains(other));
            // The host has another link-local address.
            let text = elements.change(vec![reserved(0x71)], Tables::default()).text;
            assert!(text.contains(" reserved ") && !text.contains(other), "{text}");
        }
    }

    #[test]
    fn a_guest_that_changes_changes_what_is_different() {
        let mut elements = Elements::default();
        elements.change(vec![(key(1), Some(guest(1, "tap0", Family::Bridge)))], Tables::default());
        let Guarding::Guest(mut other) = guest(1, "tap0", Family::Bridge) else { unreachable!() };
        Arc::make_mut(&mut other).addresses[0] = "2001:db8::99".parse().expect("an address");
        let text = elements.change(vec![(key(1), Some(Guarding::Guest(other)))], Tables::default()).text;
        let expected = "delete element bridge lone64_guard own { 02:00:00:00:00:01 . \
                        0x20010db8000000000000000000000001, }\nadd element bridge lone64_guard own { \
                        02:00:00:00:00:01 . 0x20010db8000000000000000000000099, }\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_mac_that_changes_hands_is_taken_away_before_it_is_given() {
        let mut elements = Elements::default();
        elements.change(vec![(key(1), Some(guest(1, "tap0", Family::Bridge)))], Tables::default());
        let text = elements.change(
            vec![(key(1), None), (key(2), Some(guest(1, "tap0", Family::Bridge)))],
            Tables::default(),
        );
        let text = text.text;
        let at = |verb: &str| text.find(&format!("{verb} element bridge lone64_guard macs")).expect("a line");
        assert!(at("delete") < at("add"), "{text}");
    }
}
