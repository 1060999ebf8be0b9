//! What was seen of the packet, on its way out and back. Touches nothing.

use std::net::Ipv6Addr;

use super::rig::Seen;
use super::sighting::{Reply, Request, Sighting, What};
use crate::wire::{Advertisement, Mac, Solicitation};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journey {
    /// The packet.
    pub(super) request: Request,
    /// The upstream's own MAC.
    pub(super) station: Mac,
    /// The guest's own MAC; `None` if it is the host.
    pub(super) guest: Option<Mac>,
    /// Where the host sends the packet next.
    pub(super) gateway: Option<Ipv6Addr>,
    /// The guest put it on its wire.
    pub(super) is_sent: bool,
    /// It left by the upstream as the guest's.
    pub(super) has_left: bool,
    /// It left by the upstream from this address instead.
    pub(super) disguise: Option<Ipv6Addr>,
    /// The host asked for the gateway from this address.
    pub(super) gateway_asked_from: Option<Ipv6Addr>,
    /// The gateway answered that.
    pub(super) gateway_answered: bool,
    /// The last question for the guest.
    pub(super) asked: Option<Solicitation>,
    /// How many there were.
    pub(super) questions: u32,
    /// The last answer from this host.
    pub(super) advertised: Option<Advertisement>,
    /// Another station says that it has the guest's address.
    pub(super) rival: Option<Mac>,
    /// What came back to this host.
    pub(super) reply: Option<Reply>,
    /// What came back went to this station instead.
    pub(super) misled_to: Option<Mac>,
    /// What the host itself said to the guest.
    pub(super) refusal: Option<Reply>,
    /// The guest got what came back.
    pub(super) is_delivered: bool,
}

impl Journey {
    /// Nothing was seen yet.
    pub(super) fn new(request: Request, station: Mac, guest: Option<Mac>, gateway: Option<Ipv6Addr>) -> Self {
        Self {
            request,
            station,
            guest,
            gateway,
            is_sent: guest.is_none(),
            has_left: false,
            disguise: None,
            gateway_asked_from: None,
            gateway_answered: false,
            asked: None,
            questions: 0,
            advertised: None,
            rival: None,
            reply: None,
            misled_to: None,
            refusal: None,
            is_delivered: false,
        }
    }

    /// The same packet again, with nothing seen of it.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.request, self.station, self.guest, self.gateway)
    }

    /// Takes note.
    pub(super) fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Upstream(sighting) => self.note_upstream(sighting),
            Seen::Guest(sighting) => {
                self.is_sent |=
                    Some(sighting.from) == self.guest && matches!(sighting.what, What::Request(_));
            }
            Seen::Received(_) if self.reply.is_some() => self.is_delivered = true,
            Seen::Received(reply) => self.refusal = Some(reply),
        }
    }

    fn note_upstream(&mut self, Sighting { from, to, what }: Sighting) {
        let is_ours = from == self.station;
        match what {
            What::Request(source) if is_ours && source == self.request.guest => self.has_left = true,
            What::Request(source) if is_ours => self.disguise = Some(source),
            What::Request(_) => {}
            What::Reply(_) if is_ours => {}
            What::Reply(reply) if to == self.station => self.reply = Some(reply),
            What::Reply(_) => self.misled_to = Some(to),
            What::Solicitation(solicitation) if is_ours => {
                // The kernel asks from there when it forwards. What comes from elsewhere is the daemon's:
                // announcements, or its care for the gateway.
                if Some(solicitation.target) == self.gateway && solicitation.source.is_unicast_link_local() {
                    self.gateway_asked_from = Some(solicitation.source);
                }
            }
            What::Solicitation(solicitation) if solicitation.target == self.request.guest => {
                self.asked = Some(solicitation);
                self.questions += 1;
            }
            What::Solicitation(_) => {}
            What::Advertisement(advertisement) if advertisement.target == self.request.guest => {
                if is_ours {
                    self.advertised = Some(advertisement);
                } else {
                    self.rival = Some(from);
                }
            }
            What::Advertisement(advertisement) => {
                let is_to_us = self.gateway_asked_from == Some(advertisement.destination);
                self.gateway_answered |= !is_ours && is_to_us && Some(advertisement.target) == self.gateway;
            }
        }
    }
}
