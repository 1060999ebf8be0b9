//! The administrator's word for single addresses: each is there, and where.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::engine::facts::IfIndex;
use crate::wire::Mac;

/// Who says so. Where several do, the first of these decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A claim of the address, or of a prefix.
    Claim,
    /// A claim of the guest that has it.
    NamedClaim,
    /// The configuration.
    Guest,
}

impl By {
    /// Each of them, the first first.
    const ALL: [Self; BYS] = [Self::Claim, Self::NamedClaim, Self::Guest];

    /// The name as evidence, in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim | Self::NamedClaim => "claim",
            Self::Guest => "guest",
        }
    }
}

/// A guest that is written, as long as its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GuestId(u32);

impl GuestId {
    /// The one behind it.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The word for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The link that it is on.
    pub link: IfIndex,
    /// Its link-layer address, where that is known.
    pub mac: Option<Mac>,
    /// Who says so.
    pub by: By,
    /// The guest that has it.
    pub guest: Option<GuestId>,
    /// Whether the link is the administrator's word too, or was found out.
    pub is_fixed: bool,
    /// Whether it has a permanent neighbor entry.
    pub is_pinned: bool,
}

/// How packets for a prefix get to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through the address that was heard from its MAC, or that was named, on this link.
    Via(IfIndex, Ipv6Addr),
    /// There is no Neighbor Discovery on this link.
    Direct(IfIndex),
}

impl Way {
    /// The link that it leads to.
    pub fn link(&self) -> IfIndex {
        match self {
            Self::Via(link, _) | Self::Direct(link) => *link,
        }
    }
}

/// What is said, each by another. Of thousands hardly any has more than one word, and a place for each of three would
/// be three times as long.
#[derive(Debug, Clone)]
enum Said<T> {
    One(By, T),
    Several(Box<[Option<T>; BYS]>),
}

/// So many can say something of one thing.
const BYS: usize = 3;

/// Every word.
#[derive(Debug, Default)]
pub struct Words {
    addresses: BTreeMap<Ipv6Addr, Said<Word>>,
    prefixes: BTreeMap<Ipv6Net, Said<(Way, Option<GuestId>)>>,
    /// Of ranges that stand by, what is claimed as a whole: a few.
    awake: BTreeSet<Ipv6Net>,
}

impl Words {
    /// The word for this address, if there is one.
    pub fn of(&self, target: Ipv6Addr) -> Option<&Word> {
        self.addresses.get(&target)?.first()
    }

    /// Whether the address is on this link by the administrator's word.
    pub fn place(&self, target: Ipv6Addr, link: IfIndex) -> bool {
        !self.addresses.is_empty() && self.of(target).is_some_and(|word| word.link == link)
    }

    /// The same, and nothing that is heard elsewhere speaks against it.
    pub fn fix(&self, target: Ipv6Addr, link: IfIndex) -> bool {
        self.place(target, link) && self.of(target).is_some_and(|word| word.is_fixed)
    }

    /// Every address of which there is a word.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.addresses.keys().copied()
    }

    /// Every prefix that is routed to a guest.
    pub fn prefixes(&self) -> impl Iterator<Item = Ipv6Net> {
        self.prefixes.keys().copied()
    }

    /// The same, and it is defended there without being asked. One that was found by its MAC may have moved.
    pub fn keep(&self, target: Ipv6Addr, link: IfIndex) -> bool {
        let may_move = |word: &Word| word.by == By::Guest && !word.is_fixed;
        self.place(target, link) && !self.of(target).is_some_and(may_move)
    }

    /// Whether the address is claimed: by itself, with its guest, or with a prefix.
    pub fn is_claimed(&self, target: Ipv6Addr) -> bool {
        let by_word = self.of(target).is_some_and(|word| word.by != By::Guest);
        let by_prefix = || self.prefixes.range(..=Ipv6Net::from(target)).next_back();
        let is_routed = || {
            by_prefix().is_some_and(|(prefix, said)| {
                prefix.contains(&target) && said.all().any(|(by, _)| by != By::Guest)
            })
        };
        by_word || is_routed() || self.awake.iter().any(|prefix| prefix.contains(&target))
    }

    /// All of this prefix is claimed in a range that stands by; or is not any more. True if that is new.
    pub(super) fn wake(&mut self, prefix: Ipv6Net, is_awake: bool) -> bool {
        match is_awake {
            true => self.awake.insert(prefix),
            false => self.awake.remove(&prefix),
        }
    }

    /// The way to this prefix, if one is wanted.
    pub fn way(&self, prefix: &Ipv6Net) -> Option<Way> {
        self.prefixes.get(prefix)?.first().map(|(way, _)| *way)
    }

    /// The prefix that is routed to a guest and has this address, and the guest, if it has a name.
    pub fn around(&self, target: Ipv6Addr) -> Option<(Ipv6Net, Way, Option<GuestId>)> {
        // None is inside another, so the last that does not begin behind it is the one.
        let (prefix, said) = self.prefixes.range(..=Ipv6Net::from(target)).next_back()?;
        let (way, guest) = said.first()?;
        prefix.contains(&target).then_some((*prefix, *way, *guest))
    }

    /// The first address of another guest inside this prefix.
    pub fn other_inside(&self, prefix: &Ipv6Net, own: Option<GuestId>) -> Option<(Ipv6Addr, &Word)> {
        let inside = self.addresses.range(prefix.network()..=prefix.broadcast());
        let words = inside.filter_map(|(address, said)| Some((*address, said.first()?)));
        words.into_iter().find(|(_, word)| own.is_none() || word.guest != own)
    }

    /// A prefix that has addresses of this one, and is routed to another than this guest, or by another's word.
    pub fn overlapping(&self, prefix: &Ipv6Net, by: By, own: Option<GuestId>) -> Option<Ipv6Net> {
        let around = self.prefixes.range(..=*prefix).next_back().filter(|(other, _)| other.contains(prefix));
        let inside = self.prefixes.range(*prefix..).filter(|(other, _)| prefix.contains(*other));
        let is_others = |(other, said): &(&Ipv6Net, &Said<(Way, Option<GuestId>)>)| {
            said.all().any(|(at, (_, guest))| match own {
                Some(_) => *guest != own,
                None => *other != prefix || at != by,
            })
        };
        around.into_iter().chain(inside.take(MOST_LOOKED_AT)).find(is_others).map(|(other, _)| *other)
    }

    /// This is said of an address from here on, by this one. True if the word is another then.
    pub(super) fn say(&mut self, target: Ipv6Addr, by: By, word: Option<Word>) -> bool {
        say(&mut self.addresses, target, by, word)
    }

    /// The same of a prefix.
    pub(super) fn lead(&mut self, prefix: Ipv6Net, by: By, way: Option<(Way, Option<GuestId>)>) -> bool {
        say(&mut self.prefixes, prefix, by, way)
    }
}

/// Inside one prefix: the first that is another's decides.
const MOST_LOOKED_AT: usize = 64;

impl<T: Copy> Said<T> {
    /// Each, and who says it.
    fn all(&self) -> impl Iterator<Item = (By, &T)> {
        let (one, several) = match self {
            Self::One(by, said) => (Some((*by, said)), None),
            Self::Several(all) => (None, Some(all)),
        };
        let several = several.into_iter().flat_map(|all| By::ALL.into_iter().zip(all.iter()));
        one.into_iter().chain(several.filter_map(|(by, said)| Some((by, said.as_ref()?))))
    }

    fn first(&self) -> Option<&T> {
        self.all().next().map(|(_, said)| said)
    }

    /// The same where this one says that, or nothing; `None` if nobody says anything then.
    fn with(&self, by: By, said: Option<T>) -> Option<Self> {
        let mut all = [None; BYS];
        self.all().for_each(|(by, said)| all[by as usize] = Some(*said));
        all[by as usize] = said;
        let mut each = By::ALL.into_iter().zip(all).filter_map(|(by, said)| Some((by, said?)));
        match (each.next(), each.next()) {
            (None, _) => None,
            (Some((by, said)), None) => Some(Self::One(by, said)),
            (Some(_), Some(_)) => Some(Self::Several(Box::new(all))),
        }
    }
}

fn say<K: Ord, T: Copy + PartialEq>(all: &mut BTreeMap<K, Said<T>>, of: K, by: By, said: Option<T>) -> bool {
    use std::collections::btree_map::Entry;
    match all.entry(of) {
        Entry::Vacant(free) => {
            let Some(said) = said else { return false };
            free.insert(Said::One(by, said));
            true
        }
        Entry::Occupied(mut known) => {
            let before = known.get().first().copied();
            let after = known.get().with(by, said);
            let is_new = before != after.as_ref().and_then(Said::first).copied();
            match after {
                Some(after) => _ = known.insert(after),
                None => _ = known.remove(),
            }
            is_new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_those_who_say_something_decides() {
        let mut all = BTreeMap::new();
        assert!(say(&mut all, 1, By::Guest, Some('g')));
        assert!(!say(&mut all, 1, By::Guest, Some('g')), "nothing new");
        assert!(say(&mut all, 1, By::Claim, Some('c')));
        assert!(!say(&mut all, 1, By::NamedClaim, Some('n')));
        assert_eq!(all[&1].all().map(|(_, said)| *said).collect::<String>(), "cng");
        assert!(say(&mut all, 1, By::Claim, None) && all[&1].first() == Some(&'n'));
        assert!(!say(&mut all, 1, By::Guest, None) && matches!(all[&1], Said::One(By::NamedClaim, 'n')));
        assert!(say(&mut all, 1, By::NamedClaim, None) && all.is_empty());
        assert!(!say(&mut all, 2, By::Guest, None) && all.is_empty());
    }

    /// Of 5,000 guests with an address and a prefix each the words of the addresses were 0.83 MB of a heap of 12.3, and are
    /// 0.46 (heaptrack, release).
    #[test]
    fn a_word_takes_less_than_two() {
        assert!(size_of::<Said<Word>>() <= 56, "{}", size_of::<Said<Word>>());
        assert!(size_of::<Said<(Way, Option<GuestId>)>>() <= 40);
    }
}
