//! The named sets that other programs of this host can use: the table `inet lone64`, as text for nft(8).
//!
//! A set can be used by rules of its own table only, so the administrator's chains are in this table too. They are never
//! touched: the table goes only when there is nothing in it but our sets.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;

use super::nft_dump::Dumps;
use super::nft_table::Table;
use crate::engine::Exported;

/// How many elements each set has, by which a change by another program is noticed; `None`: a set is not there.
pub type Shape = [usize; 3];

/// All of it in the place of whatever is in the sets. Chains that refer to them stay.
pub fn whole(all: &BTreeSet<Exported>) -> String {
    let mut text = "add table inet lone64\n".to_owned();
    for (name, kind) in SETS {
        let _ = writeln!(text, "add set inet lone64 {name} {{ {kind} }}\nflush set inet lone64 {name}");
    }
    change(&mut text, "add", all.iter());
    text
}

/// These come, and those go.
pub fn delta(new: &BTreeSet<Exported>, gone: &BTreeSet<Exported>) -> String {
    let mut text = String::new();
    change(&mut text, "delete", gone.iter());
    change(&mut text, "add", new.iter());
    text
}

/// The sets are emptied; and where nothing else is in the table, it goes.
pub fn end() -> io::Result<String> {
    let dumps = Dumps::open()?;
    let is_ours_alone = dumps.chains(Table::SETS)? == 0 && dumps.sets(Table::SETS)? <= SETS.len();
    Ok(match (is_there()?, is_ours_alone) {
        (false, _) => String::new(),
        // The first line makes the second one work where it has gone meanwhile.
        (true, true) => "add table inet lone64\ndelete table inet lone64\n".to_owned(),
        (true, false) => SETS.iter().fold(String::new(), |mut text, (name, kind)| {
            let _ = writeln!(text, "add set inet lone64 {name} {{ {kind} }}\nflush set inet lone64 {name}");
            text
        }),
    })
}

/// Whether the table has all of our sets, in the network namespace of this thread.
pub fn is_there() -> io::Result<bool> {
    Ok(Dumps::open()?.sets(Table::SETS)? >= SETS.len())
}

/// What the sets hold, in the network namespace of this thread.
pub fn shape() -> io::Result<Shape> {
    let dumps = Dumps::open()?;
    let mut shape = Shape::default();
    for (count, name) in shape.iter_mut().zip(["live\0", "guests\0", "delegated\0"]) {
        *count = dumps.elements(Table::SETS, name)?.len();
    }
    Ok(shape)
}

fn change<'a>(text: &mut String, verb: &str, elements: impl Iterator<Item = &'a Exported>) {
    let all: Vec<_> = elements.collect();
    for of_set in all.chunk_by(|a, b| set(a) == set(b)) {
        let _ = write!(text, "{verb} element inet lone64 {} {{", set(of_set[0]));
        of_set.iter().for_each(|element| {
            let _ = match element {
                Exported::Live(address) | Exported::Guest(address) => write!(text, " {address},"),
                Exported::Delegated(prefix) => write!(text, " {prefix},"),
            };
        });
        *text += " }\n";
    }
}

fn set(element: &Exported) -> &'static str {
    match element {
        Exported::Live(_) => "live",
        Exported::Guest(_) => "guests",
        Exported::Delegated(_) => "delegated",
    }
}

/// As the documentation has them, so that an administrator's file can declare the same.
const SETS: [(&str, &str); 3] = [
    ("live", "type ipv6_addr;"),
    ("guests", "type ipv6_addr;"),
    ("delegated", "type ipv6_addr; flags interval;"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_line_for_each_set() {
        let address = |last: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        let prefix = "2001:db8:0:1::/64".parse().expect("a prefix");
        let new = [Exported::Live(address(2)), Exported::Live(address(1)), Exported::Delegated(prefix)];
        let gone = BTreeSet::from([Exported::Guest(address(3))]);
        let text = delta(&BTreeSet::from(new), &gone);
        let expected = "delete element inet lone64 guests { 2001:db8::3, }\nadd element inet lone64 live { 2001:db8::1, \
                        2001:db8::2, }\nadd element inet lone64 delegated { 2001:db8:0:1::/64, }\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_whole_of_it_touches_no_chain() {
        let text = whole(&BTreeSet::new());
        assert!(
            !text.contains("delete")
                && !text.contains("chain")
                && text.contains("flush set inet lone64 live")
        );
    }
}
