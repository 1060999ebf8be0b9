//! Guests that move between hosts: what is heard of them is handed to the machine of
//! [`Guests`](crate::engine::guests::Guests), and what follows to those who announce, ask and tell.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::event::{Event, GuestMove};
use crate::engine::facts::{Address, AddressState, IfIndex};
use crate::engine::guests::{Crossed, GuestId, Out, Sighting, Terrain};
use crate::engine::host::stations::Side;
use crate::engine::house::House;
use crate::engine::liveness::{Heard, Sign};
use crate::engine::time::Time;
use crate::wire::{Advertisement, Flags, Mac};

impl Desk {
    /// That stations arrive is heard only where a guest can be told by its MAC.
    pub fn hear_arrivals(&mut self) {
        let are_heard = self.house.identities.has_stations();
        if std::mem::replace(&mut self.hears_arrivals, are_heard) != are_heard {
            self.outputs.push_back(Output::HearArrivals(are_heard));
        }
    }

    /// A station says without IPv6 that it is there from now on: RARP, which QEMU sends for a guest that has come, or
    /// gratuitous ARP.
    pub fn station_announced(&mut self, link: IfIndex, mac: Mac, now: Time) {
        self.arrived(link, mac, now);
    }

    /// Something was heard from this station on an upstream. A guest there is on the link of the router, as one in a
    /// virtual machine on the upstream's own bridge, and answers for itself.
    pub(super) fn station_on_link(&mut self, link: IfIndex, mac: Mac, now: Time) {
        let is_heeded = self.house.identities.has_stations() && !self.house.budget.is_scarce(now);
        let (identities, terrain) = self.house.identities();
        if is_heeded && terrain.is_upstream(link) {
            identities.heard_on_link((link, mac), &terrain, now);
            self.settle_identities(now);
        }
    }

    /// A station begins to be on this downstream.
    pub(super) fn arrived(&mut self, link: IfIndex, mac: Mac, now: Time) {
        let (identities, terrain) = self.house.identities();
        let is_out_of_place = identities.is_dropped((link, mac), Ipv6Addr::UNSPECIFIED, &terrain);
        if !is_out_of_place && self.is_downstream_of(link, mac) {
            // It has no address, and says where its MAC is.
            self.hear_identity((link, mac), Ipv6Addr::UNSPECIFIED, now);
            self.sight(link, mac, Sighting::Arrival, now);
        }
    }

    /// Something was heard of a guest. What the kernel says of it may be old.
    pub(super) fn sighted(&mut self, heard: Heard, now: Time) {
        let sighting = match heard.sign {
            Sign::Dad => Sighting::Arrival,
            Sign::Advertised | Sign::Asked => Sighting::Sign,
            Sign::Found | Sign::WasFound => return,
        };
        if self.is_downstream_of(heard.link, heard.mac) {
            self.sight(heard.link, heard.mac, sighting, now);
        }
    }

    fn sight(&mut self, link: IfIndex, mac: Mac, sighting: Sighting, now: Time) {
        if self.phase == Phase::Serving {
            let (identities, terrain) = self.house.identities();
            identities.sight((link, mac), sighting, &terrain, now);
            self.settle_identities(now);
        }
    }

    /// Not an upstream, unless guests share it, and this station is on their side.
    fn is_downstream_of(&self, link: IfIndex, mac: Mac) -> bool {
        match self.side_of(link, mac) {
            Some(side) => side == Side::Guests,
            None => self.house.plan.upstream(link).is_none(),
        }
    }

    /// The target was claimed here or has come here just now. The host before may not have heard of that when it announced
    /// the target for the last time.
    pub(super) fn insists(&mut self, target: Ipv6Addr, now: Time) -> bool {
        let House { identities, manners, .. } = &mut self.house;
        let is_new = identities.words().is_claimed(target) || identities.has_come(target);
        is_new && manners.announcements.insist(target, now)
    }

    /// Another station announces the target on an upstream.
    pub(super) fn announced_elsewhere(&mut self, target: Ipv6Addr, by: Mac, crossed: Crossed, now: Time) {
        // A range that stands by moves as a whole, when it is claimed or released.
        let plan = &self.house.plan;
        let stands_by = plan.find(target).is_some_and(|range| plan.range(range).standby);
        // A stranger can bring it about, and one that cannot be asked is not let go.
        let is_heeded = by.is_station() && self.phase == Phase::Serving && !stands_by;
        if is_heeded && !self.house.budget.is_scarce(now) {
            self.house.identities.announced_elsewhere(target, by, crossed, now);
            self.settle_identities(now);
        }
    }

    /// Hands on what has come of it.
    pub(super) fn follow_move(&mut self, out: Out, now: Time) {
        match out {
            Out::Ask(target, link, mac) => {
                self.house.budget.take_if_plenty(now);
                let probe = self.house.probe(link, target, Some(mac));
                self.send_probe(link, probe);
            }
            Out::Arrived(id, link) => {
                for target in self.addresses_of(id) {
                    self.announce_claimed(target, now);
                }
                self.announce_gateways(link, id);
                self.tell_move(id, GuestMove::Arrived(link));
            }
            Out::Moved(id) => {
                for target in self.addresses_of(id) {
                    self.announce_claimed(target, now);
                }
            }
            // One of these may be lost, and QEMU says five times that a guest has come.
            Out::Again(id, link) => self.announce_gateways(link, id),
            // The host that has announced it is asked, as it may have been mistaken. It defends what it has.
            Out::Stays(id) => {
                for target in self.addresses_of(id) {
                    if self.house.manners.rivals.defend(target) {
                        self.announce_again(target, now);
                    }
                }
            }
            Out::Reroute(id) => self.addresses_of(id).into_iter().for_each(|target| self.reroute(target)),
            Out::Left(id, link, by) => self.tell_move(id, GuestMove::Left(link, by)),
            Out::Flaps(id, link) => self.tell_move(id, GuestMove::Flaps(link)),
            Out::Quiet(id) => {
                self.tell_move(id, GuestMove::Quiet);
                for target in self.addresses_of(id) {
                    self.announce_again(target, now);
                }
            }
            Out::Here(..) | Out::Gone(..) | Out::Lead(..) | Out::Doubt(..) => {}
            Out::Woke(_) | Out::Slept(_) => {}
        }
    }

    fn addresses_of(&self, id: GuestId) -> Vec<Ipv6Addr> {
        self.house.identities.at_home(id).map(|(addresses, _)| addresses.to_vec()).unwrap_or_default()
    }

    fn tell_move(&mut self, id: GuestId, what: GuestMove) {
        if let Some(name) = self.house.identities.name(id).map(str::to_owned) {
            self.tell(Event::GuestMoved(name, what));
        }
    }

    /// The guest that has come knows its gateway at the MAC that the host before had for it. RFC 4861 §7.2.6: "a node may
    /// send unsolicited Neighbor Advertisements in order to (unreliably) propagate new information quickly".
    pub(super) fn announce_gateways(&mut self, link: IfIndex, id: GuestId) {
        let House { host, identities, .. } = &self.house;
        let (Some(mac), Some((_, guest))) = (host.links.mac(link), identities.at_home(id)) else { return };
        let is_gateway = |known: &&Address| {
            known.address.is_unicast_link_local() && known.state != AddressState::Tentative
        };
        let gateways = host.links.addresses_of(link).filter(is_gateway).take(MOST_GATEWAYS);
        for address in gateways.map(|known| known.address) {
            let advertisement = Advertisement {
                source_mac: mac,
                destination_mac: guest,
                source: address,
                destination: ALL_NODES,
                target: address,
                flags: Flags { router: true, solicited: false, override_entry: true },
                target_link_layer: Some(mac),
            };
            self.outputs.push_back(Output::Advertise(link, advertisement));
        }
    }
}

/// RFC 4861 §7.2.6.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// An interface has one link-local address of its own, and maybe the gateway's.
const MOST_GATEWAYS: usize = 4;
