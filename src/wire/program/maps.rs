//! What the program and the daemon share: the targets, the ranges, and how often what happened.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::layout::{HITS, LAST_ASKED, SLOT, UNTIL};

/// A map of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Map {
    /// By target: an [`Entry`]. A hash. What is here goes before what is in the ranges.
    Targets,
    /// By prefix: an [`Entry`]. A trie in which the longest prefix decides.
    Ranges,
    /// By slot: [`Hits`]. An array that can be read without a system call.
    Hits,
    /// By [`Verdict`]: how often, as 64 bits for each processor.
    Verdicts,
}

impl Map {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Targets, Self::Ranges, Self::Hits, Self::Verdicts];

    /// Its name: in a listing, among the kernel's maps, and where it is pinned.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Ranges => "ranges",
            Self::Hits => "hits",
            Self::Verdicts => "verdicts",
        }
    }

    /// Bytes of a key.
    pub const fn key_size(self) -> usize {
        match self {
            Self::Targets => 16,
            Self::Ranges => 20,
            Self::Hits | Self::Verdicts => 4,
        }
    }

    /// Bytes of a value; where there is one for each processor, of each.
    pub const fn value_size(self) -> usize {
        match self {
            Self::Targets | Self::Ranges => Entry::SIZE,
            Self::Hits => Hits::SIZE,
            Self::Verdicts => 8,
        }
    }
}

/// What the program knows of a target, or of all addresses of a range. Times are nanoseconds since the host started,
/// those in which it slept among them (CLOCK_BOOTTIME).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// Until then it is answered for. 0: never, whatever is said of a range around it.
    pub until: u64,
    /// Of a target: where in [`Map::Hits`] its answers are counted. Who makes entries gives each its own. Where there is
    /// no such slot, it is not answered for. Of a range: where in it the [`RECENT`] slots begin in which it is kept who
    /// asked for what.
    pub slot: u32,
}

impl Entry {
    /// Bytes.
    pub const SIZE: usize = 16;

    /// Answered for until then, and counted in the first slot.
    pub const fn until(until: u64) -> Self {
        Self { until, slot: 0 }
    }

    /// As the map holds it.
    pub fn bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[place(UNTIL)..][..8].copy_from_slice(&self.until.to_ne_bytes());
        bytes[place(SLOT)..][..4].copy_from_slice(&self.slot.to_ne_bytes());
        bytes
    }

    /// From what the map holds.
    pub fn parse(bytes: [u8; Self::SIZE]) -> Self {
        let until = u64::from_ne_bytes(bytes[place(UNTIL)..][..8].try_into().expect("eight bytes"));
        let slot = u32::from_ne_bytes(bytes[place(SLOT)..][..4].try_into().expect("four bytes"));
        Self { until, slot }
    }
}

/// So many slots tell which questions for addresses of ranges came last, each under a hash of target and asker. Of two
/// that fall into the same slot the later one is kept.
pub const RECENT: u32 = 1 << RECENT_BITS;
pub(super) const RECENT_BITS: u8 = 12;

/// What is counted in a slot: two numbers of 64 bits, one behind the other. Where ranges keep questions, the first is the
/// hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// How often it was answered for.
    pub count: u64,
    /// When it was last asked for, as [`Entry::until`] counts; 0 before the first time.
    pub last_asked: u64,
}

impl Hits {
    /// Bytes.
    pub const SIZE: usize = 16;

    /// From what the map holds.
    pub fn parse(bytes: [u8; Self::SIZE]) -> Self {
        let number = |at: i16| u64::from_ne_bytes(bytes[place(at)..][..8].try_into().expect("eight bytes"));
        Self { count: number(HITS), last_asked: number(LAST_ASKED) }
    }
}

fn place(offset: i16) -> usize {
    usize::from(offset.unsigned_abs())
}

/// The key of a target.
pub fn target_key(target: Ipv6Addr) -> [u8; 16] {
    target.octets()
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
    fn an_entry_comes_back_as_it_was_written() {
        let entry = Entry { until: 1 << 40 | 3, slot: 1 << 31 | 7 };
        assert_eq!(Entry::parse(entry.bytes()), entry);
        assert_eq!(Entry::until(5), Entry { until: 5, slot: 0 });
    }

    #[test]
    fn keys_and_values_are_as_long_as_their_maps_say() {
        let net: Ipv6Net = "2001:db8::/33".parse().unwrap();
        assert_eq!(target_key(net.network()).len(), Map::Targets.key_size());
        assert_eq!(range_key(net).len(), Map::Ranges.key_size());
        assert_eq!(range_key(net)[..4], 33_u32.to_ne_bytes());
        assert_eq!(Verdict::Target.key().len(), Map::Verdicts.key_size());
        assert!(Verdict::ALL.iter().enumerate().all(|(n, verdict)| *verdict as usize == n));
    }
}
