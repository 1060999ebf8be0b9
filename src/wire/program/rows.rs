//! The table of targets: an array of rows, and in which of them a target is.
//!
//! A row is 32 bytes and has all that is kept of one target, so an answer takes one line of the processor's cache, however
//! many targets there are. A target is in the row that a hash of its address leads to, or in one of the next: a search
//! goes from row to row until there is the target, or a row without one. There are at least
//! twice as many rows as targets, so that is soon. The hash has a secret seed: guests choose their addresses, and nobody
//! is to choose them so that they all lead to the same row.
//!
//! Two addresses that differ in the last bit only belong to the same pair of rows, which is one line of the cache. So guests
//! with addresses one behind the other take fewer lines, and more of them fit into the cache.

use core::net::Ipv6Addr;

use super::layout::{ADDRESS, ASKED, HITS, UNTIL};
use super::steps::doubles;

/// How many rows there are, and the seed of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    seed: [u64; 2],
    bits: u8,
}

/// Room for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The row that it gets.
    pub row: u32,
    /// The rows that are to be moved before, each into the next one, in this order: the last of them into an empty one.
    pub moved: Vec<u32>,
}

/// What a row says. Times are nanoseconds since the host started, those in which it slept among them (CLOCK_BOOTTIME).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whose row it is. A search ends where it is nobody's.
    pub target: Option<Ipv6Addr>,
    /// Until then the target is answered for. 0: never, whatever is said of a range around it.
    pub until: u64,
    /// When it was last asked for, in units of [`Row::UNIT`], the lower 32 bits of them.
    pub asked: u32,
    /// How often it was answered for; behind 2^32 - 1 comes 0.
    pub hits: u32,
}

impl Rows {
    /// Enough of them for so many targets. `seed` is to be random.
    pub fn new(targets: u32, seed: [u64; 2]) -> Self {
        let wanted = (2 * u64::from(targets)).next_power_of_two().max(u64::from(FEWEST));
        let bits = u8::try_from(wanted.trailing_zeros()).unwrap_or(MOST_BITS).min(MOST_BITS);
        Self::of_bits(bits, seed)
    }

    /// So many, as a table has them that is there. `None`: no table of this kind has as many.
    pub fn of_table(count: u32, seed: [u64; 2]) -> Option<Self> {
        let is_usual = count.is_power_of_two() && (FEWEST..=1 << MOST_BITS).contains(&count);
        is_usual.then(|| Self::of_bits(count.trailing_zeros() as u8, seed))
    }

    /// To multiply by an odd number loses nothing.
    fn of_bits(bits: u8, [multiplier, added]: [u64; 2]) -> Self {
        Self { seed: [multiplier | 1, added], bits }
    }

    /// How many rows there are: a power of two.
    pub fn count(&self) -> u32 {
        1 << self.bits
    }

    /// For how many targets there is room.
    pub fn capacity(&self) -> u32 {
        self.count() / 2
    }

    /// What to keep for who goes on with the table.
    pub fn seed(&self) -> [u64; 2] {
        self.seed
    }

    /// The rows in which this target may be, in the order in which they are searched.
    pub fn of(&self, target: Ipv6Addr) -> impl Iterator<Item = u32> + use<> {
        let (first, last) = (self.first(target), self.count() - 1);
        (0..STEPS).map(move |step| first.wrapping_add(step) & last)
    }

    /// The row behind this one: behind the last is the first.
    pub fn next(&self, row: u32) -> u32 {
        row.wrapping_add(1) & (self.count() - 1)
    }

    /// Which row a new target gets. Targets whose search begins earlier come first (Robin Hood hashing: Celis, 1986): so all
    /// are found after few steps. `target` says whose a row is. None: there is no room.
    pub fn room(&self, new: Ipv6Addr, target: impl Fn(u32) -> Option<Ipv6Addr>) -> Option<Room> {
        let comes_before =
            |step: u32, row: u32| target(row).is_none_or(|other| self.steps(other, row) < step);
        let (_, row) = (0..).zip(self.of(new)).find(|(step, row)| comes_before(*step, *row))?;
        let mut moved = Vec::new();
        let mut last = row;
        while let Some(other) = target(last) {
            if self.steps(other, last) + 1 >= STEPS || moved.len() >= self.count() as usize {
                return None;
            }
            moved.push(last);
            last = self.next(last);
        }
        moved.reverse();
        Some(Room { row, moved })
    }

    /// The row that is to be moved into `empty`, because a search for its target would end there: the first such one behind
    /// it. `target` says whose a row is.
    pub fn to_fill(&self, empty: u32, target: impl Fn(u32) -> Option<Ipv6Addr>) -> Option<u32> {
        let next = self.next(empty);
        (self.steps(target(next)?, next) > 0).then_some(next)
    }

    /// How many rows a search goes over before it comes to this one.
    fn steps(&self, target: Ipv6Addr, row: u32) -> u32 {
        row.wrapping_sub(self.first(target)) & (self.count() - 1)
    }

    /// As `lookup` computes it.
    fn first(&self, target: Ipv6Addr) -> u32 {
        let [network, rest] = doubles(target);
        let mut hash = network.wrapping_mul(self.seed[0]) ^ (rest & !LAST_BIT) ^ self.seed[1];
        for mixer in MIXERS {
            hash ^= hash >> 32;
            hash = hash.wrapping_mul(mixer);
        }
        (hash >> (64 - self.bits)) as u32 ^ u32::from(rest & LAST_BIT != 0)
    }

    /// How many bits of the hash are the number of a row.
    pub(super) fn bits(&self) -> i32 {
        i32::from(self.bits)
    }
}

impl Row {
    /// Bytes of a row.
    pub const SIZE: usize = 32;
    /// Numbers of 64 bits in a row.
    pub const NUMBERS: usize = Self::SIZE / 8;
    /// Which of these say whose it is: the first and the second half of the address.
    pub const OWNER: [usize; 2] = [number(ADDRESS), number(ADDRESS) + 1];
    /// Which says until when it is answered for.
    pub const UNTIL: usize = number(UNTIL);
    /// Which says when it was last asked for, and how often it was answered for.
    pub const COUNTED: usize = number(ASKED);
    /// Nanoseconds: 2^20, a little more than a millisecond.
    pub const UNIT: u64 = 1 << UNIT_BITS;

    /// From its numbers.
    pub fn parse(numbers: [u64; Self::NUMBERS]) -> Self {
        let address = Self::OWNER.map(|at| numbers[at]);
        let [asked, hits] = counted(numbers[Self::COUNTED]);
        let octets = || std::array::from_fn(|at| address[at / 8].to_ne_bytes()[at % 8]);
        let target = (address[0] != NOBODY).then(|| Ipv6Addr::from(octets()));
        Self { target, until: numbers[Self::UNTIL], asked, hits }
    }

    /// Of a range that is answered for until then.
    pub fn of_range(until: u64) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[8 * Self::UNTIL..][..8].copy_from_slice(&until.to_ne_bytes());
        bytes
    }

    /// What a row says first: whose it is. The first and the second half of an address, as this machine reads them.
    pub fn owner(target: Option<Ipv6Addr>) -> [u64; 2] {
        target.map_or([NOBODY, 0], doubles)
    }

    /// When it was last asked for, in nanoseconds, if that is less than 52 days before `now`.
    pub fn last_asked(&self, now: u64) -> u64 {
        let since = ((now >> UNIT_BITS) as u32).wrapping_sub(self.asked);
        (now >> UNIT_BITS).saturating_sub(u64::from(since)) << UNIT_BITS
    }
}

/// The lower and the higher half, in memory.
fn counted(number: u64) -> [u32; 2] {
    let bytes = number.to_ne_bytes();
    [ASKED, HITS].map(|at| {
        let at = usize::from(at.unsigned_abs()) % 8;
        u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    })
}

const fn number(offset: i16) -> usize {
    offset.unsigned_abs() as usize / 8
}

/// Odd numbers, multiplied by which every bit of a number changes about half of the higher ones: those of the last step of
/// MurmurHash3, which its author found by trial.
pub(super) const MIXERS: [u64; 2] = [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53];
/// In so many rows at most a target is searched. In a table of which half is taken, all of it in pairs, fewer than one target
/// of 10^8 would be further from its first row: it falls off by e^1.26 a pair (the tests try a few million).
pub(super) const STEPS: u32 = 32;
/// A search never comes round to where it began.
const FEWEST: u32 = 2 * STEPS;
/// 2^26 rows take 2 GB.
const MOST_BITS: u8 = 26;
/// The first half of the address where there is none. No target begins with 64 zero bits.
pub(super) const NOBODY: u64 = 0;
pub(super) const UNIT_BITS: u8 = 20;
/// Of the second half of an address, as this machine reads it.
pub(super) const LAST_BIT: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 1]);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SEEDS: [[u64; 2]; 5] = [
        [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93],
        [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3211],
        [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db],
        [0x5851_f42d_4c95_7f2d, 0x1405_7b7e_f767_814f],
        [0x2545_f491_4f6c_dd1d, 0xbf58_476d_1ce4_e5b9],
    ];

    struct Table(Rows, Vec<Option<Ipv6Addr>>);

    impl Table {
        fn new(rows: Rows) -> Self {
            Self(rows, vec![None; rows.count() as usize])
        }

        fn target(&self, row: u32) -> Option<Ipv6Addr> {
            self.1[row as usize]
        }

        fn insert(&mut self, target: Ipv6Addr) -> bool {
            let Some(room) = self.0.room(target, |row| self.target(row)) else { return false };
            for row in room.moved {
                self.1[self.0.next(row) as usize] = self.1[row as usize];
            }
            self.1[room.row as usize] = Some(target);
            true
        }

        fn remove(&mut self, target: Ipv6Addr) {
            let (_, mut empty) = self.find(target).expect("its row");
            while let Some(next) = self.0.to_fill(empty, |row| self.target(row)) {
                self.1[empty as usize] = self.1[next as usize];
                empty = next;
            }
            self.1[empty as usize] = None;
        }

        /// After how many steps it is found, and where.
        fn find(&self, target: Ipv6Addr) -> Option<(usize, u32)> {
            let searched = self.0.of(target).map_while(|row| Some((row, self.target(row)?)));
            searched.enumerate().find(|(_, (_, found))| *found == target).map(|(step, (row, _))| (step, row))
        }
    }

    /// Whether both addresses of a pair are there.
    fn has_pairs(kind: usize) -> bool {
        matches!(kind, 0 | 2)
    }

    /// As guests have them: one behind the other, at the beginning of /80s, by a MAC of their host's, at random.
    fn guests(kind: usize, count: u64) -> Box<dyn Iterator<Item = Ipv6Addr>> {
        let address = |bits: u128| Ipv6Addr::from(0x2001_0db8_0001_0002_u128 << 64 | bits);
        let mut random = 1_u64;
        Box::new((0..count).map(move |n| match kind {
            0 => address(0xc << 48 | u128::from(n)),
            1 => address(u128::from(n) << 48 | 1),
            2 => address(0x5054_00ff_fe00_0000 | u128::from(n & 0xff_ffff)),
            3 => Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n) << 64 | 1),
            _ => {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                address(u128::from(random ^ random >> 29))
            }
        }))
    }

    #[test]
    fn a_full_table_has_a_row_for_each_and_most_are_where_their_hash_says() {
        for seed in SEEDS {
            for kind in 0..5 {
                let rows = Rows::new(65_536, seed);
                assert_eq!((rows.count(), rows.capacity()), (131_072, 65_536));
                let mut table = Table::new(rows);
                assert!(guests(kind, 65_536).all(|target| table.insert(target)), "{seed:x?} {kind}");
                let steps = guests(kind, 65_536).map(|target| table.find(target).expect("its row").0);
                let sum: usize = steps.sum();
                // Linear probing at half of all rows: (1 + 1 / (1 - 0.5)) / 2 = 1.5 rows are looked at (Knuth, 6.4), and of
                // pairs as many.
                let expected = if has_pairs(kind) { 65_536 } else { 32_768 };
                assert!((expected * 7 / 8..expected * 9 / 8).contains(&sum), "{seed:x?} {kind}: {sum}");
            }
        }
    }

    #[test]
    fn another_seed_gives_other_rows() {
        let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);
        let first: HashSet<_> =
            SEEDS.iter().filter_map(|seed| Rows::new(1 << 20, *seed).of(target).next()).collect();
        assert_eq!(first.len(), SEEDS.len());
    }

    #[test]
    fn rows_follow_each_other_and_behind_the_last_comes_the_first() {
        let rows = Rows::new(1, SEEDS[0]);
        let all: Vec<_> = rows.of(Ipv6Addr::LOCALHOST).collect();
        assert_eq!(all.len(), STEPS as usize);
        assert!(all.windows(2).all(|pair| (pair[0] + 1) % rows.count() == pair[1]));
    }

    /// For long, and always as many as there is room for: all are found, and none is far away.
    #[test]
    fn targets_come_and_go_and_the_table_stays_as_it_is() {
        for seed in SEEDS {
            let rows = Rows::new(512, seed);
            let mut table = Table::new(rows);
            let all: Vec<_> = guests(4, 40_000).collect();
            for (number, target) in all.iter().enumerate() {
                if let Some(old) = number.checked_sub(512) {
                    // Not in the order in which they came.
                    table.remove(all[old / 8 * 8 + (old * 5 + 3) % 8]);
                }
                assert!(table.insert(*target), "{seed:x?} {number}");
                if number % 997 == 0 {
                    let there: Vec<_> = table.1.iter().flatten().copied().collect();
                    assert!(
                        there.iter().all(|target| table.find(*target).is_some_and(|(steps, _)| steps < 12))
                    );
                }
            }
        }
    }

    #[test]
    fn a_table_without_room_says_so() {
        let rows = Rows::new(1, SEEDS[0]);
        let first = rows.of(Ipv6Addr::LOCALHOST).next();
        // All of these lead to the same row.
        let mut same = guests(4, u64::MAX).filter(|target| rows.of(*target).next() == first);
        let mut table = Table::new(rows);
        assert!((0..STEPS).all(|_| table.insert(same.next().expect("another"))));
        assert!(!table.insert(same.next().expect("another")));
        let full = vec![same.next(); rows.count() as usize];
        assert_eq!(rows.room(Ipv6Addr::LOCALHOST, |row| full[row as usize]), None);
    }

    #[test]
    fn tables_are_of_a_few_sizes() {
        for (targets, count) in
            [(0, 64), (1, 64), (32, 64), (33, 128), (65_536, 131_072), (u32::MAX, 1 << 26)]
        {
            let rows = Rows::new(targets, SEEDS[0]);
            assert_eq!(rows.count(), count, "{targets}");
            assert_eq!(Rows::of_table(count, SEEDS[0]), Some(rows));
        }
        for count in [0, 1, 32, 65, 1 << 27, u32::MAX] {
            assert_eq!(Rows::of_table(count, SEEDS[0]), None, "{count}");
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let target = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
        for target in [None, Some(target)] {
            let [first, second] = Row::owner(target);
            let mut counted = [0; 8];
            counted[..4].copy_from_slice(&7_u32.to_ne_bytes());
            counted[4..].copy_from_slice(&9_u32.to_ne_bytes());
            let row = Row::parse([first, second, 5, u64::from_ne_bytes(counted)]);
            assert_eq!(row, Row { target, until: 5, asked: 7, hits: 9 });
        }
    }

    #[test]
    fn when_it_was_asked_is_told_across_the_end_of_the_counter() {
        let row = |asked| Row { target: None, until: 0, asked, hits: 0 };
        let now = (1 << 32 | 5) * Row::UNIT + 3;
        assert_eq!(row(4).last_asked(now), (1 << 32 | 4) * Row::UNIT);
        assert_eq!(row(u32::MAX).last_asked(now), u64::from(u32::MAX) * Row::UNIT);
        assert_eq!(row(0).last_asked(7 * Row::UNIT), 0);
    }
}
