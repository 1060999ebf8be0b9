//! What switches are told, and where that does not reach.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::event::{Event, Note};
use crate::engine::facts::IfIndex;
use crate::engine::house::House;
use crate::engine::time::Time;
use crate::wire::{MldQuery, Solicitation};

impl Desk {
    /// Tells switches which groups are listened to, as far as that is due.
    pub fn report(&mut self, now: Time) {
        let House { host, plan, manners, .. } = &mut self.house;
        if !manners.must_report(now) {
            return;
        }
        manners.delivery.tick(|link| plan.upstream(link).is_some(), now);
        let is_news = manners.groups.take_news() | manners.delivery.take_news();
        if self.phase == Phase::Serving {
            let mut out = Vec::new();
            manners.report(host, &mut out, now);
            self.outputs.extend(out);
        }
        if is_news {
            self.tell_notes();
        }
    }

    /// A querier asks who listens.
    pub fn queried(&mut self, link: IfIndex, query: &MldQuery, now: Time) {
        let House { plan, manners, .. } = &mut self.house;
        manners.reports.asked(link, query, &manners.groups, now);
        if plan.upstream(link).is_some() {
            manners.delivery.queried(link, query.source, now);
        }
    }

    /// A question has come on an upstream.
    pub(super) fn came(&mut self, link: IfIndex, question: &Solicitation, now: Time) {
        let House { host, manners, .. } = &mut self.house;
        if manners.delivery.is_open(link) {
            manners.came(link, question, host, now);
        }
    }

    /// Tells what switches may keep from this host, as it comes and as it is over.
    pub(super) fn tell_notes(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        let notes = self.notes();
        let before = std::mem::replace(&mut self.house.notes, notes);
        let notes = &self.house.notes;
        let new = notes.iter().filter(|note| !before.contains(note)).cloned().map(Event::Note);
        let over = before.iter().filter(|note| !notes.contains(note)).cloned().map(Event::NoteOver);
        self.outputs.extend(new.chain(over).map(Output::Event).collect::<Vec<_>>());
    }

    /// What they cannot be told of, and where the kernel does not answer. Where a multicast router is advertised
    /// everything comes.
    fn notes(&self) -> Vec<Note> {
        let House { host, plan, manners, neighborhood, written, .. } = &self.house;
        let everything = neighborhood.snooped(plan);
        let is_limited = |link: &IfIndex| !everything.contains(link);
        let name = |link: IfIndex| host.links.get(link).map(|link| link.name);
        let most = written.limits.groups;
        let full = manners.groups.full().filter(is_limited).filter_map(name);
        let wide = manners.groups.too_wide().filter(|(_, link)| is_limited(link));
        let reports = |link: &IfIndex| plan.upstream(*link).is_some_and(|upstream| upstream.mld.reports());
        let one_sided = manners.delivery.one_sided().filter(is_limited).filter(reports).filter_map(name);
        let full = full.map(|name| Note::GroupsFull(name, most));
        let wide = wide.map(|(prefix, _)| Note::TooWideForGroups(prefix, most)).take(MOST_WIDE);
        let of_switches = full.chain(wide).chain(one_sided.map(Note::OneSided));
        of_switches.chain(self.notes_on_programs()).collect()
    }
}

/// As many prefixes that are too wide are named: a host may have thousands of them.
const MOST_WIDE: usize = 32;

impl House {
    /// What switches may keep from this host, at this moment.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How many multicast groups are reported on this link, and for how many more there is no room.
    pub fn count_groups(&self, link: IfIndex) -> (usize, usize) {
        (self.manners.groups.count_joined(link), self.manners.groups.count_waiting(link))
    }

    /// The querier that was heard on an upstream, and whether questions come there for which no group is reported.
    pub fn querier(&self, link: IfIndex) -> Option<(Ipv6Addr, bool)> {
        self.manners.delivery.querier(link)
    }
}
