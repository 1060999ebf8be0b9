//! What guards have dropped, and how much their tables hold.

use std::io;

use crate::engine::facts::IfName;
use crate::engine::guests::Breach;
use crate::kernel::nft_dump::Dumps;
use crate::kernel::nft_table::Table;
use crate::wire::Mac;

/// Packets that were dropped since their table was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// The table that counts them.
    pub table: Table,
    /// Where they came.
    pub interface: IfName,
    /// Who sent them; `None` where the reason is that it was another MAC.
    pub mac: Option<Mac>,
    /// Why.
    pub breach: Breach,
    /// How many.
    pub packets: u64,
}

/// How many rules and elements both tables have, by which a change by another program is noticed. What is counted is not
/// among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape([usize; 2 * (1 + SETS.len())]);

impl Shape {
    /// Whether each table has its rules, and as many guests as it should, so that nobody has flushed it meanwhile.
    pub fn has(&self, guests: [usize; 2]) -> bool {
        let tables = self.0.chunks(1 + SETS.len()).zip(guests);
        tables.into_iter().all(|(table, guests)| table[1 + MACS] == guests && (guests == 0 || table[0] > 0))
    }
}

/// What these tables have dropped, in the network namespace of this thread.
pub fn drops(tables: &[Table]) -> io::Result<Vec<Drop>> {
    let dumps = Dumps::open()?;
    let mut all = Vec::new();
    for table in tables {
        for breach in Breach::ALL {
            let elements = dumps.elements(*table, &format!("dropped_{}\0", breach.as_str()))?;
            let drops = elements.into_iter().filter_map(|element| {
                let (interface, mac) = element.key.split_at_checked(IFNAMSIZ)?;
                let interface = str::from_utf8(interface).ok()?.trim_end_matches('\0').parse().ok()?;
                let mac = mac.first_chunk().copied().map(Mac);
                Some(Drop { table: *table, interface, mac, breach, packets: element.packets })
            });
            all.extend(drops);
        }
    }
    Ok(all)
}

/// What the tables are like, in the network namespace of this thread.
pub fn shape() -> io::Result<Shape> {
    let dumps = Dumps::open()?;
    let mut counts = Shape::default();
    let mut at = counts.0.iter_mut();
    for table in [Table::GUARD_BRIDGE, Table::GUARD_ROUTED] {
        let rules = dumps.rules(table)?;
        let sets = SETS.iter().map(|set| dumps.count_elements(table, set));
        for (count, known) in std::iter::once(Ok(rules)).chain(sets).zip(&mut at) {
            *known = count?;
        }
    }
    Ok(counts)
}

const IFNAMSIZ: usize = 16;
/// Which of them has every guest once.
const MACS: usize = 2;
const SETS: [&str; 8] =
    ["ports\0", "places\0", "macs\0", "fresh\0", "reserved\0", "own\0", "prefixes\0", "pairs\0"];
