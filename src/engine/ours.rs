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
