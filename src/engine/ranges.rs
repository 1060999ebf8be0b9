//! Which range a target belongs to: the longest prefix decides.

use core::net::Ipv6Addr;
use std::cmp::Reverse;

use ipnet::Ipv6Net;
use prefix_trie::{PrefixMap, PrefixSet};

use super::policy::{Answer, RangePolicy, RangeRoutes};

/// The ranges of the policy, by prefix.
#[derive(Debug)]
pub struct Ranges {
    by_prefix: PrefixMap<Ipv6Net, RangeId>,
    /// The same, the longest prefix first. Hosts have few ranges, and for these a look at each is
    /// several times cheaper than the way down a tree; it was a twentieth of an answer's cost.
    longest_first: Vec<(Ipv6Net, RangeId)>,
    excluded: Vec<PrefixSet<Ipv6Net>>,
}

impl RangePolicy {
    /// Whether its guests are looked for one by one: to answer for them, or only to route to them.
    pub fn looks_for_guests(&self) -> bool {
        match self.answer {
            Answer::Live => true,
            Answer::Always => false,
            Answer::Never => self.routes == RangeRoutes::Guests,
        }
    }
}

/// The position of a range in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId(pub usize);

impl Ranges {
    /// Indexes the ranges of the policy.
    pub fn new(ranges: &[RangePolicy]) -> Self {
        let mut longest_first: Vec<_> =
            ranges.iter().enumerate().map(|(id, range)| (range.prefix, RangeId(id))).collect();
        longest_first.sort_by_key(|(prefix, _)| Reverse(prefix.prefix_len()));
        let by_prefix = longest_first.iter().copied().collect();
        let excluded = ranges.iter().map(|range| range.exclude.iter().copied().collect()).collect();
        Self { by_prefix, longest_first, excluded }
    }

    /// The range that decides for this target.
    pub fn find(&self, target: Ipv6Addr) -> Option<RangeId> {
        if self.longest_first.len() <= FEW {
            return self.longest_first.iter().find(|(prefix, _)| prefix.contains(&target)).map(|(_, id)| *id);
        }
        self.by_prefix.get_lpm(&Ipv6Net::from(target)).map(|(_, id)| *id)
    }

    /// True if the target is never answered in its range.
    pub fn excludes(&self, RangeId(id): RangeId, target: Ipv6Addr) -> bool {
        self.excluded[id].get_lpm(&Ipv6Net::from(target)).is_some()
    }

    /// True if `prefix` lies inside a range, or a range inside it: what happens to it concerns us.
    pub fn touch(&self, prefix: &Ipv6Net) -> bool {
        self.by_prefix.get_lpm(prefix).is_some() || self.by_prefix.children(prefix).next().is_some()
    }
}

/// As many are looked at one by one.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::{Downstream, Origin};

    fn range(prefix: &str, exclude: &[&str]) -> RangePolicy {
        RangePolicy {
            prefix: prefix.parse().expect("a prefix"),
            upstream: None,
            downstream: Downstream::Kernel,
            answer: Answer::Always,
            routes: RangeRoutes::None,
            gateway: None,
            backstop: true,
            exclude: exclude.iter().map(|net| net.parse().expect("a prefix")).collect(),
            proxy_downstream: false,
            origin: Origin::Config,
        }
    }

    fn address(text: &str) -> Ipv6Addr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_longest_prefix_decides() {
        let ranges = Ranges::new(&[range("2001:db8::/64", &[]), range("2001:db8::c:0:0:0/112", &[])]);
        assert_eq!(ranges.find(address("2001:db8::c:0:0:5")), Some(RangeId(1)));
        assert_eq!(ranges.find(address("2001:db8::c:0:1:5")), Some(RangeId(0)));
        assert_eq!(ranges.find(address("2001:db8:0:1::5")), None);
    }

    #[test]
    fn the_longest_prefix_decides_among_many_as_among_few() {
        let nested = |count: u8| {
            let prefix = |length| Ipv6Net::new(address("2001:db8::"), length).expect("a length").to_string();
            let ranges: Vec<_> = (0..count).map(|n| range(&prefix(32 + 4 * n), &[])).collect();
            Ranges::new(&ranges)
        };
        let (few, many) = (nested(16), nested(17));
        for bit in 0..96 {
            let target = Ipv6Addr::from_bits(address("2001:db8::").to_bits() | 1 << bit);
            // Bit 31 and below lie in the one that only the many have.
            let expected = few.find(target).map(|id| if bit < 32 { RangeId(16) } else { id });
            assert_eq!(many.find(target), expected, "{target}");
        }
    }

    #[test]
    fn an_exclusion_holds_in_its_own_range_only() {
        let ranges =
            Ranges::new(&[range("2001:db8::/64", &["2001:db8::/120"]), range("2001:db8::40/122", &[])]);
        let excluded = |text| ranges.find(address(text)).map(|id| ranges.excludes(id, address(text)));
        assert_eq!(excluded("2001:db8::1"), Some(true));
        assert_eq!(excluded("2001:db8::41"), Some(false));
        assert_eq!(excluded("2001:db8::1:0"), Some(false));
    }

    #[test]
    fn tells_which_prefixes_concern_a_range() {
        let ranges = Ranges::new(&[range("2001:db8::/64", &[])]);
        let touch = |text: &str| ranges.touch(&text.parse().expect("a prefix"));
        assert!(touch("::/0") && touch("2001:db8::/64") && touch("2001:db8::5/128"));
        assert!(!touch("2001:db8:0:1::/64"));
    }
}
