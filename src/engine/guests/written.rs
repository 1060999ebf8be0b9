//! What is written of guests, as it changes; and walks over those for whom that makes a difference.

use core::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::meaning::Meaning;
use super::missing::Missing;
use super::{By, Cursor, GuestId, Guests, Known, Object, Terrain};
use crate::engine::policy::GuestPolicy;
use crate::wire::Mac;

impl Guests {
    /// These guests, and no others, are written. What was heard of those that stay is kept. What followed from those that
    /// are gone ends; of the others see [`Self::settle`].
    pub fn write<G>(&mut self, written: &[G])
    where
        G: Borrow<GuestPolicy> + Clone + Into<Arc<GuestPolicy>>,
    {
        let mut staying = BTreeSet::new();
        let mut others: Vec<Arc<GuestPolicy>> = Vec::new();
        for guest in written {
            let policy: &GuestPolicy = guest.borrow();
            match self.names.get(&policy.name) {
                Some(id) if self.known.get(id).is_some_and(|known| *known.policy == *policy) => {
                    staying.insert(*id);
                }
                Some(id) => {
                    staying.insert(*id);
                    others.push(guest.clone().into());
                }
                None => others.push(guest.clone().into()),
            }
        }
        // What was heard is of the MAC, whichever guest has that now.
        let mut heard = BTreeMap::new();
        if staying.len() < self.known.len() {
            self.end_all_but(&staying, &mut heard);
        }
        // What all of them had first, as one may have now what another had.
        let mut given = BTreeMap::new();
        for policy in &others {
            let Some(id) = self.names.get(&policy.name).copied() else { continue };
            self.unlist(id);
            if let Some(mut known) = self.known.remove(&id) {
                if (known.policy.mac, known.policy.interface) != (policy.mac, policy.interface) {
                    self.forget_place(id);
                }
                given.insert(id, std::mem::take(&mut known.given));
                heard.extend(known.policy.mac.map(|mac| (mac, known)));
            }
        }
        for policy in others {
            let id = *self.names.entry(policy.name.clone()).or_insert_with(|| {
                self.last = self.last.next();
                self.last
            });
            let given = given.remove(&id).unwrap_or_default();
            let before = policy.mac.and_then(|mac| heard.remove(&mac));
            self.stations.extend(policy.mac.map(|mac| (mac, id)));
            self.owners.extend(policy.addresses.listed().iter().map(|address| (*address, id)));
            let known = Known { given, ..Known::new(policy) };
            let known = before.into_iter().fold(known, |known, before| known.after(*before));
            self.known.insert(id, Box::new(known));
            self.is_due_again(id, None);
            self.changed.insert(id);
        }
    }

    /// Whether a guest is new, or written differently, of which something has to be heard that the kernel may know already:
    /// on which link it is, or the next hop of its prefixes.
    pub fn has_new_unheard(&self) -> bool {
        let is_unheard = |known: &Known| {
            let Known { policy, seen, hop, .. } = known;
            policy.mac.is_some()
                && (policy.interface.is_none() && seen.is_none()
                    || !policy.delegate.is_empty() && hop.is_none())
        };
        self.changed.iter().filter_map(|id| self.known.get(id)).any(|known| is_unheard(known))
    }

    fn end_all_but(&mut self, staying: &BTreeSet<GuestId>, heard: &mut BTreeMap<Mac, Box<Known>>) {
        let gone: Vec<_> = self.known.keys().filter(|id| !staying.contains(id)).copied().collect();
        for id in gone {
            self.unlist(id);
            self.touch_guard(id);
            if let Some(mut known) = self.known.remove(&id) {
                self.names.remove(&known.policy.name);
                self.changed.remove(&id);
                let given = std::mem::take(&mut known.given);
                self.give(By::Guest, Some(id), given, Meaning::default());
                heard.extend(known.policy.mac.map(|mac| (mac, known)));
            }
        }
    }

    /// It has neither its MAC nor its addresses any more.
    fn unlist(&mut self, id: GuestId) {
        let Some(policy) = self.known.get(&id).map(|known| &known.policy) else { return };
        if let Some(mac) = policy.mac.filter(|mac| self.stations.get(mac) == Some(&id)) {
            self.stations.remove(&mac);
        }
        for address in policy.addresses.listed() {
            if self.owners.get(address) == Some(&id) {
                self.owners.remove(address);
            }
        }
    }

    /// Looks at the place of every guest and claim from this one on, at most at so many: what follows from them may be
    /// something else by now. Where to go on; `None` at the end.
    pub fn settle(&mut self, from: Cursor, most: usize, terrain: &impl Terrain) -> Option<Cursor> {
        let behind = match from {
            Cursor::Changed => return Some(self.settle_changed(most, terrain)),
            Cursor::Guest(from) => {
                let ids: Vec<_> = self.known.range(from..).take(most).map(|(id, _)| *id).collect();
                for id in &ids {
                    self.changed.remove(id);
                    self.settle_guest(*id, terrain);
                }
                return Some(match ids.last().filter(|_| ids.len() == most) {
                    Some(last) => Cursor::Guest(last.next()),
                    None => Cursor::Claim(None),
                });
            }
            Cursor::Claim(behind) => behind,
        };
        let next = |(object, _): (&Object, _)| object.clone();
        let objects: Vec<_> = match &behind {
            None => self.claims.iter().take(most).map(next).collect(),
            Some(behind) => {
                use std::ops::Bound::{Excluded, Unbounded};
                self.claims.range((Excluded(behind), Unbounded)).take(most).map(next).collect()
            }
        };
        objects.iter().for_each(|object| self.settle_claim(object, terrain));
        objects.last().filter(|_| objects.len() == most).map(|last| Cursor::Claim(Some(last.clone())))
    }

    fn settle_changed(&mut self, most: usize, terrain: &impl Terrain) -> Cursor {
        let mut left = most;
        while let Some(id) = self.changed.pop_first() {
            self.settle_guest(id, terrain);
            left = left.saturating_sub(1);
            if left == 0 {
                return Cursor::Changed;
            }
        }
        // Those that may have now what they could not have before.
        let waits = |known: &Known| matches!(known.given.missing.as_deref(), Some(Missing::Covers(..)));
        let waiting: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| waits(known))
            .map(|(id, _)| *id)
            .take(MOST_WAITING)
            .collect();
        waiting.into_iter().for_each(|id| self.settle_guest(id, terrain));
        Cursor::Claim(None)
    }
}

impl Known {
    /// The same with what was heard of its MAC under what was written before: on which link it is, its link-local address
    /// there, and where it has gone.
    fn after(self, before: Self) -> Self {
        let Self { seen, hop, next_hop, .. } = before;
        let is_there = self.policy.interface == before.policy.interface;
        let course = if is_there { before.course } else { self.course };
        let seen = seen.or(hop.map(|(link, _)| link)).filter(|_| self.policy.interface.is_none());
        Self { seen, hop, next_hop, course, ..self }
    }
}

/// Far more guests than anybody has written with the same prefixes.
const MOST_WAITING: usize = 256;
