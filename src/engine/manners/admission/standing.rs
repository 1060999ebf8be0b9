//! How each target stands with the provider: four bits for a guest, by its number in the table of targets.

use core::net::Ipv6Addr;
use core::ops::Bound::{Excluded, Unbounded};
use std::collections::BTreeMap;

/// How a target stands with the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nothing is known.
    #[default]
    Unknown,
    /// The gateway has answered a question from its address.
    Admitted,
    /// The gateway has not, and it is to be found out why.
    Waiting,
    /// The same, and it was admitted before.
    Lost,
    /// The gateway answers the host, and not the target.
    Refused,
}

/// A target that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The guest of this number.
    Guest(u32),
    /// One that is no live guest: an address of the host's.
    Other(Ipv6Addr),
}

/// How far a look at all of them has come: addresses of the host's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind this one of the host's addresses.
    Others(Option<Ipv6Addr>),
    /// At this number of a guest.
    Guests(u32),
}

impl Default for Place {
    fn default() -> Self {
        Self::Others(None)
    }
}

/// How all of them stand.
#[derive(Debug, Default)]
pub struct Standings {
    /// Sixteen guests to a word. A guest behind the end is unknown.
    words: Vec<u64>,
    others: BTreeMap<Ipv6Addr, Standing>,
    counts: [usize; ALL.len()],
}

impl Standings {
    /// How the target, a live guest if it has a number, stands.
    pub fn get(&self, target: Ipv6Addr, number: Option<u32>) -> Standing {
        match number {
            Some(number) => self.of_guest(number),
            None => self.others.get(&target).copied().unwrap_or_default(),
        }
    }

    /// The target, a live guest if it has a number, stands like this now.
    pub fn set(&mut self, target: Ipv6Addr, number: Option<u32>, standing: Standing) {
        let Some(number) = number else { return self.set_other(target, standing) };
        let (word, shift) = place(number);
        if word >= self.words.len() {
            if standing == Standing::Unknown {
                return;
            }
            self.words.resize(word + 1, 0);
        }
        self.counts[self.of_guest(number) as usize] -=
            usize::from(self.of_guest(number) != Standing::Unknown);
        self.counts[standing as usize] += usize::from(standing != Standing::Unknown);
        self.words[word] = self.words[word] & !(LANE << shift) | (standing as u64) << shift;
    }

    /// Nothing is known of those that were admitted any more.
    pub fn renew(&mut self) {
        for word in &mut self.words {
            *word &= !(lanes(*word, Standing::Admitted) * LANE);
        }
        self.others.retain(|_, standing| *standing != Standing::Admitted);
        self.counts[Standing::Admitted as usize] = 0;
    }

    /// How many stand like this; not of those that are unknown.
    pub fn count(&self, standing: Standing) -> usize {
        self.counts[standing as usize]
    }

    /// The next behind this place that stands like one of these. Without one the place is the first again.
    pub fn next(&self, which: &[Standing], place: &mut Place) -> Option<Who> {
        if let Place::Others(last) = *place {
            let behind = (last.map_or(Unbounded, Excluded), Unbounded);
            let mut others = self.others.range(behind).filter(|(_, standing)| which.contains(standing));
            if let Some((target, _)) = others.next() {
                *place = Place::Others(Some(*target));
                return Some(Who::Other(*target));
            }
            *place = Place::Guests(0);
        }
        let Place::Guests(from) = *place else { return None };
        let found = which.iter().filter_map(|standing| self.guest_from(*standing, from)).min();
        *place = found.map_or(Place::default(), |number| Place::Guests(number + 1));
        found.map(Who::Guest)
    }

    /// The first guest with this number or a higher one that stands like this.
    fn guest_from(&self, standing: Standing, from: u32) -> Option<u32> {
        let (first, shift) = place(from);
        let words = self.words.iter().enumerate().skip(first);
        words
            .map(|(at, word)| {
                let found = lanes(*word, standing);
                (at, if at == first { found & (u64::MAX << shift) } else { found })
            })
            .find(|(_, found)| *found != 0)
            .map(|(at, found)| at as u32 * PER_WORD + found.trailing_zeros() / BITS)
    }

    fn set_other(&mut self, target: Ipv6Addr, standing: Standing) {
        let before = self.others.remove(&target).unwrap_or_default();
        self.counts[before as usize] -= usize::from(before != Standing::Unknown);
        if self.others.len() >= MOST_OTHERS {
            // Of those that are admitted there is nothing to say.
            let admitted = self.others.iter().find(|(_, known)| **known == Standing::Admitted);
            if let Some(admitted) = admitted.map(|(target, _)| *target) {
                self.others.remove(&admitted);
                self.counts[Standing::Admitted as usize] -= 1;
            }
        }
        if standing != Standing::Unknown && self.others.len() < MOST_OTHERS {
            self.others.insert(target, standing);
            self.counts[standing as usize] += 1;
        }
    }

    fn of_guest(&self, number: u32) -> Standing {
        let (word, shift) = place(number);
        let bits = self.words.get(word).map_or(0, |word| word >> shift & LANE);
        ALL.into_iter().find(|standing| *standing as u64 == bits).unwrap_or_default()
    }
}

/// The lowest bit of each lane that has this standing.
fn lanes(word: u64, standing: Standing) -> u64 {
    let other = word ^ (LOWEST * standing as u64);
    !(other | other >> 1 | other >> 2 | other >> 3) & LOWEST
}

fn place(number: u32) -> (usize, u32) {
    ((number / PER_WORD) as usize, number % PER_WORD * BITS)
}

const ALL: [Standing; 5] =
    [Standing::Unknown, Standing::Admitted, Standing::Waiting, Standing::Lost, Standing::Refused];
const BITS: u32 = 4;
const PER_WORD: u32 = u64::BITS / BITS;
const LANE: u64 = 0xf;
const LOWEST: u64 = 0x1111_1111_1111_1111;
/// As many addresses of the host's are known by how they stand.
const MOST_OTHERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Ipv6Addr = Ipv6Addr::LOCALHOST;

    #[test]
    fn each_guest_stands_by_itself_and_is_found_from_a_number_on() {
        let mut standings = Standings::default();
        for (number, standing) in [
            (0, Standing::Refused),
            (15, Standing::Waiting),
            (16, Standing::Refused),
            (70, Standing::Lost),
            (40, Standing::Admitted),
        ] {
            standings.set(OTHER, Some(number), standing);
            assert_eq!(standings.get(OTHER, Some(number)), standing);
        }
        let refused = [0, 1, 16, 17].map(|from| standings.guest_from(Standing::Refused, from));
        assert_eq!(refused, [Some(0), Some(16), Some(16), None]);
        assert_eq!(standings.guest_from(Standing::Lost, 3), Some(70));
        assert_eq!((standings.get(OTHER, Some(1)), standings.get(OTHER, Some(9_999))), Default::default());
        standings.renew();
        assert_eq!(standings.get(OTHER, Some(40)), Standing::Unknown);
        standings.set(OTHER, Some(16), Standing::Unknown);
        assert_eq!((standings.count(Standing::Refused), standings.count(Standing::Lost)), (1, 1));
        assert_eq!(standings.count(Standing::Admitted), 0);
    }

    #[test]
    fn of_the_hosts_addresses_too_only_those_that_were_admitted_are_found_out_once_more() {
        let mut standings = Standings::default();
        let [first, second] = [1, 2].map(Ipv6Addr::from_bits);
        standings.set(first, None, Standing::Refused);
        standings.set(first, None, Standing::Admitted);
        standings.set(second, None, Standing::Refused);
        let counts = |of: &Standings| [Standing::Admitted, Standing::Refused].map(|it| of.count(it));
        assert_eq!((standings.get(first, None), counts(&standings)), (Standing::Admitted, [1, 1]));
        standings.renew();
        assert_eq!([first, second].map(|it| standings.get(it, None)), [Standing::Unknown, Standing::Refused]);
        assert_eq!(counts(&standings), [0, 1]);
    }

    #[test]
    fn addresses_of_the_host_are_few_and_as_many_guests_as_there_may_be_take_half_a_byte_each() {
        let mut standings = Standings::default();
        (0..9).for_each(|number| standings.set(Ipv6Addr::from(1 << 64 | number), None, Standing::Admitted));
        for number in 0..2 * MOST_OTHERS as u128 {
            standings.set(Ipv6Addr::from(number), None, Standing::Refused);
        }
        assert_eq!(
            (standings.count(Standing::Refused), standings.count(Standing::Admitted)),
            (MOST_OTHERS, 0)
        );
        let mut place = Place::default();
        let found = std::iter::from_fn(|| standings.next(&[Standing::Refused], &mut place));
        assert_eq!((found.count(), place), (MOST_OTHERS, Place::default()));
        (0..65_536).for_each(|number| standings.set(OTHER, Some(number), Standing::Refused));
        assert_eq!(standings.words.len() * 8, 32_768);
    }
}
