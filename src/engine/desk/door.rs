//! What arrives and is the desk's: frames, what became of effects, and what the administrator asks for. The rest is the
//! engine's.

use super::Desk;
use crate::engine::house::House;
use crate::engine::input::Input;
use crate::engine::time::Time;

impl Desk {
    /// Takes it in.
    pub fn take(&mut self, input: Input, now: Time) {
        let House { keep, manners, .. } = &mut self.house;
        match input {
            Input::Solicitation(link, solicitation) => self.solicitation(link, &solicitation, now),
            Input::Advertisement(link, advertisement) => self.advertisement(link, &advertisement, now),
            Input::Arrived(link, mac) => self.station_announced(link, mac, now),
            Input::Query(link, query) => self.queried(link, &query, now),
            Input::RouterSolicitation(link, _) => manners.snoopers.asked(link, now),
            Input::Report(link, report) => self.reported(link, &report, now),
            Input::Discarded(link, reason) => self.dropped(None, link, reason),
            Input::Unsent(link, advertisement) => self.unsent(link, &advertisement),
            Input::Remembered(all) => manners.sources.remember(all),
            Input::Claiming(claiming) => self.claiming(claiming, now),
            Input::Watch(watch) => self.watch = watch,
            Input::Ask(target) => self.look(target, now),
            Input::AddressChanged(change, outcome) => self.address_changed(change, &outcome, now),
            Input::EarChanged(link, outcome) => self.ear_changed(link, &outcome, now),
            Input::SuppressionChanged(outcome) => keep.table_changed(&outcome, now),
            Input::SuppressionLost => keep.table_lost(),
            Input::GuardChanged(keys, outcome) => self.guard_changed(&keys, &outcome, now),
            Input::ExportChanged(outcome) => self.export_changed(&outcome),
            Input::GuardLost => self.guard_lost(),
            Input::GuardDropped(dropped) => self.guard_dropped(dropped),
            Input::ProgramLost(link) => keep.mirror.program_lost(link),
            Input::ProgramChanged(link, outcome) => self.program_changed(link, &outcome, now),
            Input::MirrorChanged(link, all, outcome) => keep.mirror.guests_changed(link, &all, &outcome, now),
            Input::RangesMirrored(link, outcome) => keep.mirror.ranges.changed(link, &outcome),
            Input::AnsweredThere(link, all, guests) => self.answered_there(link, all, guests, now),
            Input::NeighborChanged(change, outcome) => self.neighbor_changed(&change, &outcome, now),
            // The engine's.
            Input::Facts(_) | Input::Snapshot(_) | Input::Synced | Input::Reload(_) => {}
            Input::RouteChanged(..) | Input::Mirrored(..) | Input::Timeout | Input::Stop => {}
        }
    }
}
