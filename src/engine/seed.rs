//! Hash tables that strangers cannot slow down by choosing addresses, and that behave alike for the same seed.

use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// The key of a table's hashes: random, and known to nobody else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seed(pub [u64; 2]);

impl BuildHasher for Seed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}
