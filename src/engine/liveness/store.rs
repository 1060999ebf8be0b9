//! Where the table keeps its entries: chunks that never move, heaps by what is due, lists by link.

use core::net::Ipv6Addr;
use std::cmp::Ordering;

use super::entry::{Entry, Kind, NONE};
use super::table::{OnLink, Table};

impl Table {
    pub(super) fn entry(&self, id: u32) -> &Entry {
        entry_of(&self.chunks, id)
    }

    pub(super) fn entry_mut(&mut self, id: u32) -> &mut Entry {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// The first of all for which something is due.
    pub(super) fn first(&self) -> Option<u32> {
        self.due.iter().filter_map(|heap| heap.first()).copied().min_by(|a, b| self.order(*a, *b))
    }

    /// Puts an entry into the heap of its kind.
    pub(super) fn push(&mut self, id: u32) {
        let kind = self.entry(id).kind();
        let heap = &mut self.due[kind as usize];
        heap.push(id);
        let at = heap.len() - 1;
        self.entry_mut(id).heap = at as u32;
        self.sift(kind, at);
    }

    /// Takes an entry out of the heap of its kind.
    pub(super) fn remove_from_heap(&mut self, kind: Kind, id: u32) {
        let at = self.entry(id).heap as usize;
        self.due[kind as usize].swap_remove(at);
        self.entry_mut(id).heap = NONE;
        if let Some(moved) = self.due[kind as usize].get(at).copied() {
            self.entry_mut(moved).heap = at as u32;
            self.sift(kind, at);
        }
    }

    /// Moves an entry to where it belongs in its heap.
    pub(super) fn sift(&mut self, kind: Kind, mut at: usize) {
        while at > 0 && self.is_before(kind, at, (at - 1) / 2) {
            self.swap(kind, at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut first = at;
            for child in [left, right] {
                if child < self.due[kind as usize].len() && self.is_before(kind, child, first) {
                    first = child;
                }
            }
            if first == at {
                return;
            }
            self.swap(kind, at, first);
            at = first;
        }
    }

    fn is_before(&self, kind: Kind, a: usize, b: usize) -> bool {
        let heap = &self.due[kind as usize];
        self.order(heap[a], heap[b]) == Ordering::Less
    }

    fn swap(&mut self, kind: Kind, a: usize, b: usize) {
        let heap = &mut self.due[kind as usize];
        heap.swap(a, b);
        let (first, second) = (heap[a], heap[b]);
        self.entry_mut(first).heap = a as u32;
        self.entry_mut(second).heap = b as u32;
    }

    fn order(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (self.entry(a), self.entry(b));
        (a.due, a.address).cmp(&(b.due, b.address))
    }

    /// Takes an entry out of its heap and its link, so that its state can change.
    pub(super) fn detach(&mut self, id: u32) {
        let kind = self.entry(id).kind();
        self.remove_from_heap(kind, id);
        match kind {
            Kind::Live | Kind::Announced => self.leave_link(id),
            Kind::Probing => {
                let share = self.extras.get(&id).map_or(0, |extra| extra.probing.share);
                self.by_share[share] -= 1;
            }
            Kind::Absent => {}
        }
        self.extras.remove(&id);
    }

    /// A new entry, in no heap yet.
    pub(super) fn allocate(&mut self, address: Ipv6Addr) -> u32 {
        let new = Entry::new(address);
        let id = match self.free.pop() {
            Some(id) => {
                *self.entry_mut(id) = new;
                id
            }
            None => {
                if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                    self.chunks.push(Vec::with_capacity(CHUNK.min(self.limit.max(1))));
                }
                let chunk = self.chunks.len() - 1;
                self.chunks[chunk].push(new);
                (chunk * CHUNK + self.chunks[chunk].len() - 1) as u32
            }
        };
        let Self { index, hash, chunks, .. } = self;
        index.insert_unique(hash.of(address), id, |id| hash.of(entry_of(chunks, *id).address));
        id
    }

    /// Frees an entry that is in no heap any more.
    pub(super) fn forget(&mut self, id: u32) {
        let hash = self.hash.of(self.entry(id).address);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        if self.last_found.get() == id {
            self.last_found.set(NONE);
        }
        self.free.push(id);
    }

    /// Puts a live target behind the others on its link.
    pub(super) fn enter_link(&mut self, id: u32) {
        let (link, is_announced) = (self.entry(id).link, self.entry(id).kind() == Kind::Announced);
        let on = self.by_link.entry(link).or_insert(OnLink { first: id, last: NONE, announced: 0 });
        on.announced += usize::from(is_announced);
        let previous = std::mem::replace(&mut on.last, id);
        (self.entry_mut(id).previous, self.entry_mut(id).next) = (previous, NONE);
        if previous != NONE {
            self.entry_mut(previous).next = id;
        }
    }

    fn leave_link(&mut self, id: u32) {
        let Entry { link, next, previous, .. } = *self.entry(id);
        let is_announced = self.entry(id).kind() == Kind::Announced;
        if previous != NONE {
            self.entry_mut(previous).next = next;
        }
        if next != NONE {
            self.entry_mut(next).previous = previous;
        }
        let Some(on) = self.by_link.get_mut(&link) else { return };
        on.announced -= usize::from(is_announced);
        if on.first == id {
            on.first = next;
        }
        if on.last == id {
            on.last = previous;
        }
        if on.first == NONE {
            self.by_link.remove(&link);
        }
    }
}

/// The entry of this number.
pub(super) fn entry_of(chunks: &[Vec<Entry>], id: u32) -> &Entry {
    &chunks[id as usize / CHUNK][id as usize % CHUNK]
}

/// Entries to a chunk: 64 KiB.
const CHUNK: usize = 1_024;
