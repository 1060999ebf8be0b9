//! The machines of liveness side by side, each with what it has to be handed.

use core::net::Ipv6Addr;

use super::answers::{Downstreams, Upstreams};
use super::desk::Ground;
use super::facts::IfIndex;
use super::guests::{Claim, Guests, Missing};
use super::house::House;
use super::liveness::{Budget, Liveness, Out, State};
use super::next_hops::Places;
use super::plan::Hop;
use super::time::Time;
use crate::wire::{Mac, Solicitation, solicited_node};

impl House {
    /// The guests, and what their machine has to be handed.
    pub(super) fn guests(&mut self) -> (&mut Liveness, Downstreams<'_>, &mut Budget) {
        let Self { guests, plan, host, identities, budget, .. } = self;
        (guests, Downstreams { plan, host, words: identities.words() }, budget)
    }

    /// Guests with an identity, and what they have to know of the host.
    pub(super) fn identities(&mut self) -> (&mut Guests, Ground<'_>) {
        let Self { identities, plan, host, guests, keep, .. } = self;
        (identities, Ground { plan, host, guests, ours: keep.routes.ours() })
    }

    /// Why this cannot be claimed, if so.
    pub fn may_claim(&self, claim: &Claim) -> Result<(), Missing> {
        let Self { plan, host, guests, keep, .. } = self;
        self.identities.check(claim, &Ground { plan, host, guests, ours: keep.routes.ours() })
    }

    /// Every guest with an identity, and every claim.
    pub fn identified(&self) -> &Guests {
        &self.identities
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
        let Self { neighbors, next_hops, manners, keep, host, identities, leads, .. } = self;
        let hops = next_hops.liveness().next_due();
        let others = [host.stations.next_due(), identities.next_due(), leads.next_due()];
        let others = others.into_iter().flatten().min();
        earliest([neighbors.next_due(), hops, manners.next_due(), keep.next_due(), others])
    }

    /// A probe for a guest: RFC 4861 §7.2.2, from an address of that downstream, with our link-layer address, to the
    /// solicited-node group or to the station that is known.
    pub(super) fn probe(&self, link: IfIndex, target: Ipv6Addr, known: Option<Mac>) -> Option<Solicitation> {
        let links = &self.host.links;
        let source = links.link_local(link).or_else(|| links.global(link))?;
        self.solicitation(link, source, target, known)
    }

    /// A probe for a neighbor on an upstream, as a host on that link would ask: from a global address, because some
    /// providers drop what comes from a link-local one.
    pub(super) fn probe_upstream(
        &self,
        link: IfIndex,
        target: Ipv6Addr,
        known: Option<Mac>,
    ) -> Option<Solicitation> {
        let links = &self.host.links;
        let source = links.global(link).or_else(|| links.link_local(link))?;
        self.solicitation(link, source, target, known)
    }

    fn solicitation(
        &self,
        link: IfIndex,
        source: Ipv6Addr,
        target: Ipv6Addr,
        known: Option<Mac>,
    ) -> Option<Solicitation> {
        let source_mac = self.host.links.mac(link)?;
        let group = solicited_node(target);
        Some(Solicitation {
            source_mac,
            destination_mac: known.unwrap_or(Mac::multicast(group)),
            source,
            destination: if known.is_some() { target } else { group },
            target,
            source_link_layer: Some(source_mac),
        })
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
