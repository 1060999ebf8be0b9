//! The kernel's neighbor table, and the entries in it that are ours: pins.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::change::{NeighborChange, Outcome};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::facts::{IfIndex, Mark, Neighbor};
use crate::engine::guests::Word;
use crate::engine::house::House;
use crate::engine::keep::pins::PinCount;
use crate::engine::time::Time;

impl Desk {
    /// The kernel has told of an entry. From one of ours nothing follows: it says no more than we did.
    pub(super) fn entry(&mut self, neighbor: Neighbor, mark: Option<Mark>, now: Time) {
        let pins = &mut self.house.keep.pins;
        let is_ours = (mark.is_some() || !pins.is_idle()) && pins.heard(&neighbor, mark, now);
        if !is_ours {
            self.neighbor(neighbor, now);
        }
    }

    /// The kernel has told that there is no entry any more.
    pub(super) fn entry_gone(&mut self, link: IfIndex, address: Ipv6Addr, now: Time) {
        self.house.manners.entry(link, address, None, now);
        if !self.house.keep.pins.is_idle() {
            self.house.keep.pins.heard_gone((link, address), now);
        }
    }

    /// What became of a neighbor entry. The rest is heard as a fact; a router that was not told is asked and told
    /// again.
    pub fn neighbor_changed(&mut self, change: &NeighborChange, outcome: &Outcome, now: Time) {
        match change {
            NeighborChange::Add(link, address, _)
                if *outcome == Outcome::Exists && self.house.manners.routers.has_entry(*link, *address) =>
            {
                self.outputs.push_back(Output::Resync);
            }
            NeighborChange::Pin(pin, _) if self.house.keep.pins.outcome(pin, outcome, now) => {
                self.tell_problems();
            }
            _ => {}
        }
    }

    /// Where the administrator says that the address is, and whether it is to be pinned there; `None`: nowhere.
    pub(super) fn pin(&mut self, target: Ipv6Addr, word: Option<Word>) {
        let House { keep, host, .. } = &mut self.house;
        let word = word.filter(|word| word.is_pinned && self.phase == Phase::Serving);
        let place = word.filter(|word| !host.links.is_layer_3(word.link));
        keep.pins.want(target, place.and_then(|word| Some((word.link, word.mac?))));
    }

    /// A predecessor of this process left pins: where their guests are is known by them.
    pub(super) fn inherit_pins(&mut self, now: Time) {
        for ((link, address), mac) in self.house.keep.pins.inherited() {
            if self.house.host.links.is_up(link) {
                self.hear_identity((link, mac), address, now);
            }
        }
    }

    /// Asks for changes of pins, and tells which were overwritten.
    pub(super) fn ask_for_pins(&mut self, now: Time) {
        let pins = &mut self.house.keep.pins;
        pins.changes(&mut self.outputs, now);
        for overwritten in pins.take_news() {
            self.tell(Event::PinOverwritten(overwritten.at.1, overwritten.at.0, overwritten.mac));
        }
    }
}

impl House {
    /// How many pins there are, and what became of them.
    pub fn pins(&self) -> PinCount {
        self.keep.pins.count()
    }

    /// Whether another program overwrites the pin of this address on this interface, or did within the last minute.
    pub fn is_pin_overwritten(&self, link: IfIndex, address: Ipv6Addr) -> bool {
        self.keep.pins.is_overwritten((link, address))
    }
}
