//! What marks a route of the kernel as ours: its protocol number, present or former.

use std::collections::BTreeSet;

use super::facts::KernelRoute;

/// Which routes of the kernel are ours to keep and to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    protocol: u8,
    /// Protocol numbers that were ours before, until everything has been told again.
    former: BTreeSet<u8>,
    /// Ours under one of these, until they are gone.
    leaving: BTreeSet<KernelRoute>,
}

impl Ours {
    /// Routes of this protocol number.
    pub fn new(protocol: u8) -> Self {
        Self { protocol, former: BTreeSet::new(), leaving: BTreeSet::new() }
    }

    /// From here on ours have this number. What there is under the one before is ours to remove.
    pub fn change(&mut self, protocol: u8) {
        if protocol != self.protocol {
            self.former.insert(self.protocol);
            self.former.remove(&protocol);
            self.leaving.retain(|route| route.protocol != protocol);
            self.protocol = protocol;
        }
    }

    /// True for a route that is ours.
    pub fn include(&self, route: &KernelRoute) -> bool {
        route.protocol == self.protocol
            || self.former.contains(&route.protocol)
            || !self.leaving.is_empty() && self.leaving.contains(route)
    }

    /// True while there may be routes under a former number that nobody has told of yet.
    pub fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    /// Everything that there is has been told, and these are known. Those under a former number are the last
    /// of it: what else comes under that number is another program's.
    pub fn told_all<'a>(&mut self, known: impl Iterator<Item = &'a KernelRoute>) {
        let old = known.filter(|route| self.former.contains(&route.protocol)).cloned();
        self.leaving.extend(old.collect::<Vec<_>>());
        self.former.clear();
    }

    /// This one is gone.
    pub fn gone(&mut self, route: &KernelRoute) {
        self.leaving.remove(route);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::{IfIndex, NextHop, RouteKind};

    fn of(protocol: u8, link: u32) -> KernelRoute {
        let destination = "2001:db8::/64".parse().expect("a prefix");
        let (kind, next_hop, table) = (RouteKind::Unicast(IfIndex(link)), NextHop::OnLink, 254);
        KernelRoute { destination, kind, next_hop, table, protocol, metric: 1024, source: None }
    }

    #[test]
    fn those_under_a_former_number_are_ours_until_they_are_gone_and_nobody_elses() {
        let mut ours = Ours::new(64);
        ours.change(65);
        assert!([64, 65].into_iter().all(|protocol| ours.include(&of(protocol, 3))));
        ours.told_all([of(64, 3), of(3, 3)].iter());
        assert!(ours.include(&of(64, 3)) && ours.include(&of(65, 4)));
        assert!(!ours.include(&of(64, 4)), "it came later, and is another program's");
        assert!(!ours.include(&of(3, 3)));
        ours.change(66);
        assert!(ours.include(&of(64, 3)), "it is still there");
        ours.gone(&of(64, 3));
        assert!(!ours.include(&of(64, 3)));
    }
}
