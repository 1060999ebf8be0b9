//! The maps of the machine: what tests put there and read, and what the program looks up.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use lone64::wire::program::{Map, RECENT, Recent, Row, range_key};

use super::{MAPS, Machine, add, rows};

impl Machine {
    pub fn insert_target(&mut self, target: Ipv6Addr, until: u64) {
        if let Some(row) = self.row_of(target) {
            // It keeps what was counted.
            let value = &mut self.values[self.targets[&row]];
            value[8 * Row::UNTIL..][..8].copy_from_slice(&until.to_ne_bytes());
            return;
        }
        let room = rows().room(target, |row| self.row(row).target).expect("a row");
        for row in room.moved {
            self.targets.insert(rows().next(row), self.targets[&row]);
        }
        self.write_row(room.row, Some(target), until);
    }

    pub fn remove_target(&mut self, target: Ipv6Addr) {
        let Some(mut empty) = self.row_of(target) else { return };
        while let Some(next) = rows().to_fill(empty, |row| self.row(row).target) {
            self.targets.insert(empty, self.targets[&next]);
            empty = next;
        }
        self.targets.remove(&empty);
    }

    pub fn insert_range(&mut self, range: Ipv6Net, until: u64) {
        let value = self.add(Row::of_range(until).to_vec());
        self.ranges.insert(range_key(range), value);
    }

    /// What was counted for a target.
    pub fn target(&self, target: Ipv6Addr) -> Option<Row> {
        self.row_of(target).map(|row| self.row(row))
    }

    /// What is remembered of the questions for addresses of ranges.
    pub fn recent(&self) -> Vec<Recent> {
        let all = self.recent.values();
        all.map(|value| Recent::parse(self.values[*value][..].try_into().unwrap())).collect()
    }

    fn row_of(&self, target: Ipv6Addr) -> Option<u32> {
        rows().of(target).find(|row| self.row(*row).target == Some(target))
    }

    /// What a row says.
    pub fn row(&self, row: u32) -> Row {
        let numbers = |value: &usize| {
            let bytes = self.values[*value].chunks_exact(8);
            let mut numbers = bytes.map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()));
            std::array::from_fn(|_| numbers.next().unwrap())
        };
        Row::parse(self.targets.get(&row).map_or([0; Row::NUMBERS], numbers))
    }

    /// Makes a row say this.
    pub fn write_row(&mut self, row: u32, target: Option<Ipv6Addr>, until: u64) {
        let [first, second] = Row::owner(target);
        let value = [first, second, until, 0].map(u64::to_ne_bytes).concat();
        let value = self.add(value);
        self.targets.insert(row, value);
    }

    pub(super) fn look_up(&mut self, map: u64, key: &[u8]) -> Option<usize> {
        let number = || u32::from_ne_bytes(key.try_into().unwrap());
        let mut of_array = |numbers: &mut BTreeMap<u32, usize>, size, count| {
            assert!(number() < count, "{}", number());
            *numbers.entry(number()).or_insert_with(|| add(&mut self.values, vec![0; size]))
        };
        match Map::ALL[usize::try_from(map - MAPS).unwrap()] {
            Map::Targets => Some(of_array(&mut self.targets, Row::SIZE, rows().count())),
            Map::Recent => Some(of_array(&mut self.recent, Recent::SIZE, RECENT)),
            Map::Seed => panic!("the program has the seed in itself"),
            Map::Verdicts => self.verdicts.get(number() as usize).copied(),
            Map::Ranges => {
                let bits = |key: &[u8]| u128::from_be_bytes(key[4..].try_into().unwrap());
                let length = |key: &[u8]| u32::from_ne_bytes(key[..4].try_into().unwrap());
                assert_eq!(length(key), 128);
                let holds = |range: &[u8; 20]| {
                    let behind = 128 - length(range);
                    behind == 128 || bits(range) >> behind == bits(key) >> behind
                };
                let longest = self.ranges.iter().filter(|(range, _)| holds(range));
                longest.max_by_key(|(range, _)| length(&range[..])).map(|(_, value)| *value)
            }
        }
    }
}
