//! What the program and the daemon share: the targets, the ranges, and how often what happened.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::layout::{HASH, HASH_ASKED};
use super::rows::Row;

/// A map of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Map {
    /// By number: a [`Row`]. An array that is read and written without a system call. A target that is here goes before what
    /// is in the ranges.
    Targets,
    /// By prefix: a [`Row`] without a target. A trie in which the longest prefix decides.
    Ranges,
    /// By a hash of target and asker: the question for an address of a range that came last with it, [`Recent`]. An array.
    Recent,
    /// By [`Verdict`]: how often, as 64 bits for each processor.
    Verdicts,
    /// At 0: the seed of [`super::Rows`], for who goes on with the table. An array of one.
    Seed,
}

impl Map {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Targets, Self::Ranges, Self::Recent, Self::Verdicts, Self::Seed];

    /// Its name: in a listing, among the kernel's maps, and where it is pinned.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Ranges => "ranges",
            Self::Recent => "recent",
            Self::Verdicts => "verdicts",
            Self::Seed => "seed",
        }
    }

    /// Bytes of a key.
    pub const fn key_size(self) -> usize {
        match self {
            Self::Ranges => 20,
            Self::Targets | Self::Recent | Self::Verdicts | Self::Seed => 4,
        }
    }

    /// Bytes of a value; where there is one for each processor, of each.
    pub const fn value_size(self) -> usize {
        match self {
            Self::Targets | Self::Ranges => Row::SIZE,
            Self::Recent => Recent::SIZE,
            Self::Verdicts => 8,
            Self::Seed => 16,
        }
    }
}

/// So many questions for addresses of ranges are remembered, each under a hash of target and asker. Of two that fall into
/// the same place the later one is kept.
pub const RECENT: u32 = 1 << RECENT_BITS;
pub(super) const RECENT_BITS: u8 = 12;

/// A question for an address of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recent {
    /// The hash of target and asker.
    pub hash: u64,
    /// When it came, in nanoseconds since the host started; 0: none came yet.
    pub asked: u64,
}

impl Recent {
    /// Bytes.
    pub const SIZE: usize = 16;

    /// From what the map holds.
    pub fn parse(bytes: [u8; Self::SIZE]) -> Self {
        let number = |at: i16| {
            let at = usize::from(at.unsigned_abs());
            u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
        };
        Self { hash: number(HASH), asked: number(HASH_ASKED) }
    }
}

/// The key of a range, or of what is left out of one: how many bits count, and the address.
pub fn range_key(prefix: Ipv6Net) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&u32::from(prefix.prefix_len()).to_ne_bytes());
    key[4..].copy_from_slice(&prefix.network().octets());
    key
}

/// Where, among the ranges, it says until when the daemon is taken to be there: `::`, which is no target. It puts that off
/// again and again. What only it can see is passed on until then, and no longer.
pub fn daemon_key() -> [u8; 20] {
    range_key(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128))
}

/// What became of a frame that is a solicitation at first sight, for an address of [`super::Responder::within`]. All others
/// pass, and are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Verdict {
    /// Answered: the target is known.
    Target = 0,
    /// Answered: all of a range is answered for.
    Range = 1,
    /// Passed on: nothing is known of the target.
    Unknown = 2,
    /// Passed on: it is not answered for, or not any more.
    Lapsed = 3,
    /// Passed on: it is not valid, or not plain.
    NotPlain = 4,
    /// Passed on: the kernel had no room for the answer.
    NoRoom = 5,
    /// Passed on: what this asker makes of answers is to be seen.
    Asker = 6,
}

impl Verdict {
    /// Every verdict, in the order of the counters.
    pub const ALL: [Self; 7] =
        [Self::Target, Self::Range, Self::Unknown, Self::Lapsed, Self::NotPlain, Self::NoRoom, Self::Asker];

    /// The key of its counter.
    pub const fn key(self) -> [u8; 4] {
        (self as u32).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_as_long_as_their_maps_say() {
        let net: Ipv6Net = "2001:db8::/33".parse().unwrap();
        assert_eq!(range_key(net).len(), Map::Ranges.key_size());
        assert_eq!(range_key(net)[..4], 33_u32.to_ne_bytes());
        assert_eq!(Verdict::Target.key().len(), Map::Verdicts.key_size());
        assert!(Verdict::ALL.iter().enumerate().all(|(n, verdict)| *verdict as usize == n));
    }
}
