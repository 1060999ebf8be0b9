//! Which range a target belongs to: the longest prefix decides.

use core::net::Ipv6Addr;
use std::cmp::Reverse;

use ipnet::Ipv6Net;

use crate::engine::policy::{Answer, Downstream, RangePolicy, RangeRoutes};

/// The ranges of the policy, by prefix.
#[derive(Debug, Default)]
pub struct Ranges {
    /// In the order of their first addresses, an outer range before those inside it.
    sorted: Vec<Indexed>,
    /// The same, the longest prefix first. Hosts have few ranges, and for these a look at each is cheaper than a
    /// search; it was a twentieth of an answer's cost. Empty where there are many.
    longest_first: Vec<(Ipv6Net, RangeId)>,
    /// By range, what it excludes: in the order of the addresses, none inside another. Most exclude nothing.
    excluded: Vec<Box<[Ipv6Net]>>,
}

/// A range among all.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    prefix: Ipv6Net,
    id: RangeId,
    /// The position of the range around this one.
    outer: Option<u32>,
}

impl RangePolicy {
    /// Whether its guests are where the kernel's routes lead.
    pub fn follows_routes(&self) -> bool {
        self.downstream == Downstream::Kernel
    }

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
        let with_id = ranges.iter().enumerate().map(|(id, range)| (range.prefix, RangeId(id)));
        let mut sorted: Vec<_> = with_id.map(|(prefix, id)| Indexed { prefix, id, outer: None }).collect();
        sorted.sort_by_key(|range| (range.prefix.network(), range.prefix.prefix_len()));
        let mut around: Vec<u32> = Vec::new();
        for position in 0..sorted.len() {
            let prefix = sorted[position].prefix;
            while around.last().is_some_and(|outer| !sorted[*outer as usize].prefix.contains(&prefix)) {
                around.pop();
            }
            sorted[position].outer = around.last().copied();
            around.push(u32::try_from(position).expect("fewer ranges than that"));
        }
        let mut longest_first = Vec::new();
        if sorted.len() <= FEW {
            longest_first.extend(sorted.iter().map(|range| (range.prefix, range.id)));
            longest_first.sort_by_key(|(prefix, _)| Reverse(prefix.prefix_len()));
        }
        Self {
            sorted,
            longest_first,
            excluded: ranges.iter().map(|range| outermost(&range.exclude)).collect(),
        }
    }

    /// The range that decides for this target.
    pub fn find(&self, target: Ipv6Addr) -> Option<RangeId> {
        if self.sorted.len() <= FEW {
            return self.longest_first.iter().find(|(prefix, _)| prefix.contains(&target)).map(|(_, id)| *id);
        }
        self.around(&target.into()).map(|range| range.id)
    }

    /// True if a range holds all of `prefix`.
    pub fn covers(&self, prefix: &Ipv6Net) -> bool {
        self.around(prefix).is_some()
    }

    /// The innermost range that holds all of `prefix`.
    pub fn around_all(&self, prefix: &Ipv6Net) -> Option<RangeId> {
        self.around(prefix).map(|range| range.id)
    }

    fn around(&self, prefix: &Ipv6Net) -> Option<&Indexed> {
        let key = (prefix.network(), prefix.prefix_len());
        let behind = self.sorted.partition_point(|r| (r.prefix.network(), r.prefix.prefix_len()) <= key);
        let mut at = behind.checked_sub(1).map(|position| &self.sorted[position])?;
        while !at.prefix.contains(prefix) {
            at = &self.sorted[at.outer? as usize];
        }
        Some(at)
    }

    /// True if the target is never answered in its range.
    pub fn excludes(&self, RangeId(id): RangeId, target: Ipv6Addr) -> bool {
        let excluded = &self.excluded[id];
        let behind = excluded.partition_point(|prefix| prefix.network() <= target);
        behind.checked_sub(1).is_some_and(|last| excluded[last].contains(&target))
    }

    /// True if no address of `prefix` is answered in this range.
    pub fn excludes_all(&self, RangeId(id): RangeId, prefix: &Ipv6Net) -> bool {
        let excluded = &self.excluded[id];
        let behind = excluded.partition_point(|other| other.network() <= prefix.network());
        behind.checked_sub(1).is_some_and(|last| excluded[last].contains(prefix))
    }

    /// The ranges inside `prefix`, itself among them.
    pub fn inside(&self, prefix: &Ipv6Net) -> impl Iterator<Item = RangeId> {
        let first = self.sorted.partition_point(|range| range.prefix.network() < prefix.network());
        let prefix = *prefix;
        self.sorted[first..]
            .iter()
            .take_while(move |range| range.prefix.network() <= prefix.broadcast())
            .filter(move |range| prefix.contains(&range.prefix))
            .map(|range| range.id)
    }

    /// True if `prefix` lies inside a range, or a range inside it: what happens to it concerns us.
    pub fn touch(&self, prefix: &Ipv6Net) -> bool {
        self.around(prefix).is_some() || self.inside(prefix).next().is_some()
    }
}

/// The same addresses by as few prefixes as are not inside another, in order.
pub fn outermost(prefixes: &[Ipv6Net]) -> Box<[Ipv6Net]> {
    let mut all = prefixes.to_vec();
    all.sort_by_key(|prefix| (prefix.network(), prefix.prefix_len()));
    all.dedup_by(|inner, outer| outer.contains(&*inner));
    all.into()
}

/// As many are looked at one by one.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::Origin;

    fn range(prefix: &str, exclude: &[&str]) -> RangePolicy {
        RangePolicy {
            prefix: prefix.parse().expect("a prefix"),
            upstream: None,
            downstream: Downstream::Kernel,
            answer: Answer::Always,
            routes: RangeRoutes::None,
            has_written_routes: false,
            gateway: None,
            backstop: true,
            exclude: exclude.iter().map(|net| net.parse().expect("a prefix")).collect(),
            proxy_downstream: false,
            guard: false,
            standby: false,
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
    fn an_exclusion_inside_another_hides_nothing_of_it() {
        let ranges = Ranges::new(&[range(
            "2001:db8::/64",
            &["2001:db8::20/124", "2001:db8::/120", "2001:db8::4:0/112"],
        )]);
        let is_excluded = |text| ranges.excludes(RangeId(0), address(text));
        let excluded = ["2001:db8::", "2001:db8::1f", "2001:db8::2a", "2001:db8::ff", "2001:db8::4:1"];
        let left = ["2001:db8::100", "2001:db8::3:ffff", "2001:db8::5:0"];
        assert!(excluded.into_iter().all(is_excluded) && !left.into_iter().any(is_excluded));
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
    fn finds_the_ranges_around_and_inside_a_prefix() {
        let ranges = Ranges::new(&[range("2001:db8::/64", &[]), range("2001:db8::c:0:0:0/112", &[])]);
        let net = |text: &str| text.parse::<Ipv6Net>().expect("a prefix");
        assert!(ranges.covers(&net("2001:db8::c:0:0:0/112")) && ranges.covers(&net("2001:db8::d:0:0:0/113")));
        assert!(!ranges.covers(&net("2001:db8::/63")));
        let inside = |text| ranges.inside(&net(text)).collect::<Vec<_>>();
        assert_eq!(inside("2001:db8::/60"), [RangeId(0), RangeId(1)]);
        assert_eq!(inside("2001:db8:0:0:c::/80"), [RangeId(1)]);
        assert_eq!(inside("2001:db8::c:0:0:0/113"), []);
    }

    #[test]
    fn tells_which_prefixes_concern_a_range() {
        let ranges = Ranges::new(&[range("2001:db8::/64", &[])]);
        let touch = |text: &str| ranges.touch(&text.parse().expect("a prefix"));
        assert!(touch("::/0") && touch("2001:db8::/64") && touch("2001:db8::5/128"));
        assert!(!touch("2001:db8:0:1::/64"));
    }
}
