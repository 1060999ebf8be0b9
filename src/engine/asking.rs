//! The machines of liveness side by side, each with what it has to be handed.

use super::answers::{Downstreams, Upstreams};
use super::house::House;
use super::liveness::{Budget, Liveness, Out, State};
use super::next_hops::Places;
use super::plan::Hop;
use super::time::Time;

impl House {
    /// The guests, and what their machine has to be handed.
    pub(super) fn guests(&mut self) -> (&mut Liveness, Downstreams<'_>, &mut Budget) {
        (&mut self.guests, Downstreams { plan: &self.plan, host: &self.host }, &mut self.budget)
    }

    /// The neighbors on the upstreams, and what their machine has to be handed.
    pub(super) fn neighbors(&mut self) -> (&mut Liveness, Upstreams<'_>, &mut Budget) {
        let ground = Upstreams { neighborhood: &self.neighborhood, host: &self.host };
        (&mut self.neighbors, ground, &mut self.budget)
    }

    /// The next hops that guests are behind, and what their machine has to be handed.
    pub(super) fn next_hops(&mut self) -> (&mut Liveness, Places<'_>, &mut Budget) {
        let (hops, ground) = self.next_hops.all(&self.host);
        (hops, ground, &mut self.budget)
    }

    /// What has come out of that machine since the last look.
    pub(super) fn next_hops_out(&mut self) -> Vec<Out> {
        self.next_hops.all(&self.host).0.take_out()
    }

    /// True if nothing has come out of any of them.
    pub(super) fn is_quiet(&self) -> bool {
        self.guests.is_quiet() && self.neighbors.is_quiet() && self.next_hops.liveness().is_quiet()
    }

    /// Does what is due by now, for at most `most` targets of each. False if there is more.
    pub(super) fn tick(&mut self, most: usize, now: Time) -> bool {
        let (guests, ground, budget) = self.guests();
        let mut is_all = guests.tick(most, &ground, budget, now);
        let (neighbors, ground, budget) = self.neighbors();
        is_all &= neighbors.tick(most, &ground, budget, now);
        let (hops, ground, budget) = self.next_hops();
        is_all & hops.tick(most, &ground, budget, now)
    }

    /// When something is due next, of all machines. It may say too early, never too late.
    ///
    /// Most questions are answered at once and leave what the others have to do as it is: then they are not looked at.
    pub(super) fn next_due(&self) -> Option<Time> {
        let rest = self.rest_due.get().unwrap_or_else(|| self.look_at_rest());
        self.rest_due.set(Some(rest));
        let due = earliest([self.guests.next_due(), self.manners.sources.next_due(), rest]);
        debug_assert!(
            earliest([due, self.guests.next_due(), self.look_at_rest()]) == due,
            "a question that was answered at once has made something due"
        );
        due
    }

    /// Not just questions that were answered at once have come: all machines are to be looked at.
    pub(super) fn look_again(&mut self) {
        self.rest_due.set(None);
    }

    fn look_at_rest(&self) -> Option<Time> {
        let Self { neighbors, next_hops, manners, keep, host, .. } = self;
        let hops = next_hops.liveness().next_due();
        earliest([neighbors.next_due(), hops, manners.next_due(), keep.next_due(), host.stations.next_due()])
    }

    /// Every next hop that guests are behind, and what is known of it.
    pub fn known_hops(&self) -> impl Iterator<Item = (Hop, Option<State>)> {
        let routers = self.scene().routers();
        self.plan.hops.iter().map(move |hop| {
            let state = match routers.is_guest(&hop) {
                true => self.guests.get(hop.address),
                false => self.next_hops.key(&hop).and_then(|key| self.next_hops.liveness().get(key)),
            };
            (hop, state)
        })
    }
}

fn earliest<const N: usize>(due: [Option<Time>; N]) -> Option<Time> {
    due.into_iter().flatten().min()
}
