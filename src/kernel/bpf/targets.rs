//! The rows of the targets, as the daemon writes them while the program reads: each number by itself, in an order in which
//! nothing is answered for that is not to be.
//!
//! One daemon writes. What the program adds to the counters meanwhile is not disturbed.

use core::net::Ipv6Addr;

use super::call::Mapping;
use super::{BpfError, Maps};
use crate::wire::program::{Room, Row, Rows};

/// The table of one program.
#[derive(Debug)]
pub(super) struct Targets {
    rows: Rows,
    mapping: Mapping,
    /// A bit for each row: whether a target has it.
    taken: Vec<u64>,
    count: u32,
    /// By row: how many hits were told.
    told: Vec<u32>,
}

impl Targets {
    /// What these maps have. What was counted before counts as told.
    pub(super) fn open(maps: &Maps) -> Result<Self, BpfError> {
        Ok(Self::new(*maps.rows(), maps.targets.mapping()?))
    }

    fn new(rows: Rows, mapping: Mapping) -> Self {
        let taken = vec![0; rows.count().div_ceil(u64::BITS) as usize];
        let told = vec![0; rows.count() as usize];
        let mut table = Self { rows, mapping, taken, count: 0, told };
        for number in 0..rows.count() {
            let row = table.row(number);
            if row.target.is_some() {
                table.told[number as usize] = row.hits;
                table.take(number);
            }
        }
        table
    }

    /// How many targets there are.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The row of this target, if it has one.
    pub(super) fn of(&self, target: Ipv6Addr) -> Option<u32> {
        let taken = self.rows.of(target).map_while(|row| Some((row, self.row(row).target?)));
        taken.into_iter().find(|(_, other)| *other == target).map(|(row, _)| row)
    }

    /// What this row says.
    pub(super) fn row(&self, row: u32) -> Row {
        Row::parse(self.numbers(row))
    }

    /// What the rows say that targets have.
    pub(super) fn all(&self) -> impl Iterator<Item = Row> + '_ {
        self.taken().map(|row| self.row(row))
    }

    /// The targets that were answered for since this was last asked.
    pub(super) fn asked(&mut self, mut tell: impl FnMut(Ipv6Addr, u32, Row)) {
        let mut told = std::mem::take(&mut self.told);
        for number in self.taken() {
            let row = self.row(number);
            let before = std::mem::replace(&mut told[number as usize], row.hits);
            if let (Some(target), new @ 1..) = (row.target, row.hits.wrapping_sub(before)) {
                tell(target, new, row);
            }
        }
        self.told = told;
    }

    /// The target is answered for until then from now on. False: there is no room.
    pub(super) fn set(&mut self, target: Ipv6Addr, until: u64) -> bool {
        if let Some(row) = self.of(target) {
            self.mapping.set(place(row, Row::UNTIL), until);
            return true;
        }
        if self.count >= self.rows.capacity() {
            return false;
        }
        let Some(Room { row, moved }) = self.rows.room(target, |row| self.row(row).target) else {
            return false;
        };
        let end = moved.first().map_or(row, |last| self.rows.next(*last));
        moved.into_iter().for_each(|row| self.move_to(self.rows.next(row), row));
        let [first, second] = Row::owner(Some(target));
        self.write(row, [first, second, until, 0]);
        self.told[row as usize] = 0;
        self.take(end);
        true
    }

    /// The target is not answered for any more.
    pub(super) fn remove(&mut self, target: Ipv6Addr) {
        if let Some(row) = self.of(target) {
            self.empty(row);
        }
    }

    /// Whatever is not to stay goes.
    pub(super) fn retain(&mut self, stays: impl Fn(&Self, u32, &Row) -> bool) {
        for number in 0..self.rows.count() {
            // Another may have come to its place.
            while self.is_taken(number) && !stays(self, number, &self.row(number)) {
                self.empty(number);
            }
        }
    }

    /// Nobody has this row any more. Those behind it move up, as they do in the other direction for a new one: a search that
    /// goes by at that moment may miss one, and then the daemon answers.
    fn empty(&mut self, row: u32) {
        self.mapping.set(place(row, Row::UNTIL), 0);
        let mut empty = row;
        while let Some(next) = self.rows.to_fill(empty, |row| self.row(row).target) {
            self.move_to(empty, next);
            empty = next;
        }
        let [first, second] = Row::owner(None);
        self.write(empty, [first, second, 0, 0]);
        self.taken[word(empty)] &= !bit(empty);
        self.count -= 1;
    }

    fn move_to(&mut self, row: u32, from: u32) {
        self.write(row, self.numbers(from));
        self.told[row as usize] = self.told[from as usize];
    }

    /// Until all of it is there nothing is answered for.
    fn write(&mut self, row: u32, numbers: [u64; Row::NUMBERS]) {
        let [first, second] = Row::OWNER;
        self.mapping.set(place(row, Row::UNTIL), 0);
        for number in [Row::COUNTED, second, first, Row::UNTIL] {
            self.mapping.set(place(row, number), numbers[number]);
        }
    }

    fn numbers(&self, row: u32) -> [u64; Row::NUMBERS] {
        std::array::from_fn(|number| self.mapping.number(place(row, number)))
    }

    fn taken(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).step_by(64).zip(&self.taken).flat_map(|(first, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(first + bit)
            })
        })
    }

    fn take(&mut self, row: u32) {
        self.taken[word(row)] |= bit(row);
        self.count += 1;
    }

    fn is_taken(&self, row: u32) -> bool {
        self.taken[word(row)] & bit(row) != 0
    }
}

fn place(row: u32, number: usize) -> usize {
    row as usize * Row::NUMBERS + number
}

fn word(row: u32) -> usize {
    (row / u64::BITS) as usize
}

fn bit(row: u32) -> u64 {
    1 << (row % u64::BITS)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::fd::AsFd;

    use super::*;

    /// In a file, as a map would have it.
    fn table(name: &str) -> Targets {
        let rows = Rows::new(128, [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93]);
        let path = std::env::temp_dir().join(format!("lone64-{name}-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        fs::remove_file(path).unwrap();
        file.set_len((rows.count() as usize * Row::SIZE) as u64).unwrap();
        let mapping = Mapping::of(file.as_fd(), rows.count() as usize * Row::NUMBERS).unwrap();
        Targets::new(rows, mapping)
    }

    fn guest(number: u32) -> Ipv6Addr {
        (0x2001_0db8_0001_0002_000c_u128 << 48 | u128::from(number)).into()
    }

    fn is_empty(table: &Targets) -> bool {
        (0..table.rows.count()).all(|row| table.row(row).target.is_none())
    }

    #[test]
    fn a_target_has_one_row_until_it_is_removed() {
        let mut table = table("one");
        assert!(table.set(guest(1), 5));
        let row = table.of(guest(1)).unwrap();
        assert!(table.set(guest(1), 6));
        assert_eq!((table.of(guest(1)), table.row(row).until, table.len()), (Some(row), 6, 1));
        assert_eq!(table.all().collect::<Vec<_>>(), [table.row(row)]);
        table.remove(guest(1));
        table.remove(guest(1));
        assert_eq!((table.of(guest(1)), table.row(row).until, table.len()), (None, 0, 0));
        assert!(is_empty(&table));
    }

    #[test]
    fn there_is_room_for_as_many_as_it_says() {
        let mut table = table("full");
        let most = table.rows.capacity();
        assert!((0..most).all(|number| table.set(guest(number), 1)));
        assert_eq!((table.set(guest(most), 1), table.len()), (false, most as usize));
        assert!(table.set(guest(0), 2), "what it has is put off");
        table.remove(guest(0));
        assert!(table.set(guest(most), 1));
    }

    /// Rows are given to others, those behind them move up with what was counted of them, and in the end all are empty.
    #[test]
    fn targets_come_and_go_and_all_that_are_there_are_found() {
        let mut table = table("churn");
        let (most, third) = (table.rows.capacity(), table.rows.capacity() / 3);
        // What the program counts: of each target another number.
        let count = |table: &mut Targets, number: u32| {
            let row = table.of(guest(number)).unwrap();
            let mut counted = [0; 8];
            counted[4..].copy_from_slice(&number.to_ne_bytes());
            table.mapping.set(place(row, Row::COUNTED), u64::from_ne_bytes(counted));
        };
        for round in 0..300 {
            let from = 1 + round * third;
            for number in
                (from..from + most).filter(|number| table.set(guest(*number), 7)).collect::<Vec<_>>()
            {
                count(&mut table, number);
            }
            assert_eq!((table.all().count(), table.len()), (most as usize, most as usize));
            for number in from..from + most {
                let row = table.of(guest(number)).expect("its row");
                assert_eq!((table.row(row).hits, table.row(row).until), (number, 7), "{round}");
            }
            // Of each it was told once.
            let mut heard = Vec::new();
            table.asked(|target, hits, _| heard.push((target, hits)));
            let new = if round == 0 { most } else { third };
            assert_eq!(heard.len(), new as usize, "{round}");
            // A third goes, in another order each time.
            let step = [1, 5, 11, 13][round as usize % 4];
            (0..third).for_each(|turn| table.remove(guest(from + turn * step % third)));
            assert_eq!(table.len(), (most - third) as usize);
        }
        table.retain(|table, number, row| table.of(row.target.unwrap()) != Some(number));
        assert!(is_empty(&table) && table.len() == 0);
    }
}
