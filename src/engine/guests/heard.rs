//! What is heard of guests: on which link their MAC is, and which link-local address is theirs.

use core::net::Ipv6Addr;

use super::{Crossed, Guests, Out, Terrain};
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

impl Guests {
    /// Something was heard from this MAC on a downstream, from this address or about it.
    pub fn hear(&mut self, (link, mac): (IfIndex, Mac), address: Ipv6Addr, terrain: &impl Terrain) {
        let Some(id) = self.stations.get(&mac).copied() else { return };
        let Some(known) = self.known.get_mut(&id) else { return };
        let is_new_place = known.policy.interface.is_none()
            && known.seen != Some(link)
            // Anybody can send with its MAC: the first place counts as long as it is there.
            && known.seen.is_none_or(|seen| !terrain.is_up(seen));
        if is_new_place {
            known.seen = Some(link);
        }
        let is_its_link = known.is_on(link, terrain);
        if is_its_link {
            known.on_link = None;
        }
        let is_new_hop = address.is_unicast_link_local() && is_its_link && known.hop != Some((link, address));
        if is_new_hop {
            match known.hop.filter(|(before, _)| *before == link) {
                // The one that leads there may be there still: a guest can have several.
                Some((_, before)) if !known.given.prefixes.is_empty() => {
                    known.next_hop = Some(address);
                    self.out.push(Out::Doubt(link, before));
                }
                _ => known.hop = Some((link, address)),
            }
        }
        if is_new_place || is_new_hop {
            self.settle_guest(id, terrain);
        }
    }

    /// Something was heard from this MAC on an upstream. One that is here is asked, and let go where it does not reply.
    pub fn heard_on_link(&mut self, (link, mac): (IfIndex, Mac), terrain: &impl Terrain, now: Time) {
        let Some(id) = self.stations.get(&mac).copied() else { return };
        let Some(known) = self.known.get_mut(&id) else { return };
        let is_new = known.on_link.replace(link) != Some(link);
        match known.given.addresses.first().copied() {
            Some(target) => self.announced_elsewhere(target, mac, Crossed::No, now),
            None if is_new => self.settle_guest(id, terrain),
            None => {}
        }
    }

    /// The next hop with this address on this link is not there any more.
    pub fn hop_is_gone(&mut self, link: IfIndex, address: Ipv6Addr, terrain: &impl Terrain) {
        let of_guest = self.known.iter_mut().find(|(_, known)| known.hop == Some((link, address)));
        let Some((id, known)) = of_guest else { return };
        let (id, Some(next)) = (*id, known.next_hop.take()) else { return };
        known.hop = Some((link, next));
        self.settle_guest(id, terrain);
    }

    /// An address that was found by its MAC is on this link now.
    pub fn moved(&mut self, target: Ipv6Addr, link: IfIndex, terrain: &impl Terrain) {
        let word = self.words.of(target).filter(|word| !word.is_fixed && word.link != link);
        let Some(id) = word.and_then(|word| word.guest) else { return };
        if let Some(known) = self.known.get_mut(&id) {
            known.seen = Some(link);
            self.settle_guest(id, terrain);
        }
    }
}
