//! Named sets for other programs: which live addresses and guests are in them.

use super::{Desk, Phase};
use crate::engine::change::{Exported, Outcome};
use crate::engine::guests::Out;
use crate::engine::house::House;
use crate::engine::work::Work;

impl Desk {
    /// Whether there are such sets follows the policy. The walk over all that is to be in them, if it is to follow.
    pub fn export_all(&mut self) -> Option<Work> {
        if self.phase != Phase::Serving {
            return None;
        }
        let House { keep, written, identities, .. } = &mut self.house;
        keep.exports.turn(written.nft_sets);
        if !keep.exports.take_begun() {
            return None;
        }
        for address in identities.words().addresses() {
            keep.exports.say(Exported::Guest(address), true);
        }
        for prefix in identities.words().prefixes() {
            keep.exports.say(Exported::Delegated(prefix), true);
        }
        Some(Work::Export(0))
    }

    /// Goes on with that walk, for at most `most` live guests. Where it goes on.
    pub(super) fn export_from(&mut self, from: u32, most: usize) -> Option<u32> {
        let House { guests, keep, .. } = &mut self.house;
        let (live, next) = guests.live_from(from, most);
        live.into_iter().for_each(|(_, target, _)| keep.exports.say(Exported::Live(target), true));
        next
    }

    /// A guest with an identity has come or gone.
    pub(super) fn export_identity(&mut self, out: &Out) {
        let exports = &mut self.house.keep.exports;
        match *out {
            Out::Here(address, _) => exports.say(Exported::Guest(address), true),
            Out::Gone(address, _) => exports.say(Exported::Guest(address), false),
            Out::Lead(prefix, way) => exports.say(Exported::Delegated(prefix), way.is_some()),
            _ => {}
        }
    }

    /// What became of the sets.
    pub fn export_changed(&mut self, outcome: &Outcome) {
        if self.house.keep.exports.changed(outcome) {
            self.tell_problems();
        }
    }
}
