//! Hash tables that strangers cannot slow down by choosing addresses, and that behave alike for the same seed.

use core::net::Ipv6Addr;
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// The key of a table's hashes: random, and known to nobody else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seed(pub [u64; 2]);

/// The hash of the table that every question looks into, because SipHash was a twentieth of an answer's cost.
///
/// It is vector multiply-shift (Thorup, "High Speed Hashing for Integers and Strings"), which is strongly universal:
/// whichever two addresses somebody chooses who does not know the key, their hashes are two independent random numbers.
/// No hash ever leaves the engine.
#[derive(Debug, Clone, Copy)]
pub struct AddressHash {
    /// For each half of an address.
    multipliers: [u128; 2],
    addend: u128,
}

impl AddressHash {
    /// With this key.
    pub fn new(seed: Seed) -> Self {
        let word = |number: u8| {
            u128::from(seed.hash_one((number, 0))) << 64 | u128::from(seed.hash_one((number, 1)))
        };
        Self { multipliers: [word(0), word(1)], addend: word(2) }
    }

    /// The hash of this address.
    pub fn of(&self, address: Ipv6Addr) -> u64 {
        let (high, low) = (address.to_bits() >> 64, address.to_bits() & u128::from(u64::MAX));
        let [first, second] = self.multipliers;
        let sum = self.addend.wrapping_add(first.wrapping_mul(high)).wrapping_add(second.wrapping_mul(low));
        (sum >> 64) as u64
    }
}

impl BuildHasher for Seed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of a prefix one by one, spread over its upper bits, and over both: in 1,024 lists for 1,024
    /// addresses the longest is seldom longer than six, whatever they have in common.
    #[test]
    fn addresses_that_have_much_in_common_are_spread_all_the_same() {
        let base = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0).to_bits();
        let patterns: [fn(u128) -> u128; 5] =
            [|n| n, |n| n << 16, |n| n << 54, |n| n << 64, |n| (n >> 5) << 59 | n & 31];
        for seed in 0..16 {
            let hash = AddressHash::new(Seed([seed, 7]));
            for (which, pattern) in patterns.iter().enumerate() {
                let (mut low, mut high) = ([0; 1024], [0; 128]);
                for number in 0..1024 {
                    let found = hash.of(Ipv6Addr::from_bits(base ^ pattern(number)));
                    low[found as usize % 1024] += 1;
                    high[(found >> 57) as usize] += 1;
                }
                assert!(low.into_iter().max() < Some(16), "pattern {which}, seed {seed}: {low:?}");
                assert!(high.into_iter().max() < Some(40), "pattern {which}, seed {seed}: {high:?}");
            }
        }
    }

    #[test]
    fn another_seed_makes_other_hashes() {
        let of = |seed| AddressHash::new(Seed(seed)).of(Ipv6Addr::LOCALHOST);
        assert_eq!(of([1, 2]), of([1, 2]));
        assert!(of([1, 2]) != of([1, 3]) && of([1, 2]) != of([2, 2]));
    }
}
