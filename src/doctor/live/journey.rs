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
    /// The last answer from this host to one of them.
    pub(super) advertised: Option<Advertisement>,
    /// This host told of the guest, unasked, before anything came back: that makes an entry, or moves one.
    pub(super) was_announced: bool,
    /// Another station says that it has the guest's address.
    pub(super) rival: Option<Mac>,
    /// What came back to this host from behind the router.
    pub(super) reply: Option<Reply>,
    /// What the router itself said to it.
    pub(super) near: Option<Reply>,
    /// What somebody on the way did not let pass.
    pub(super) refused: Option<Reply>,
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
            was_announced: false,
            rival: None,
            reply: None,
            near: None,
            refused: None,
            misled_to: None,
            refusal: None,
            is_delivered: false,
        }
    }

    /// The same from another address, with nothing seen of it.
    pub(super) fn again_for(&self, guest: Ipv6Addr) -> Self {
        Self::new(Request { guest, ..self.request }, self.station, self.guest, self.gateway)
    }

    /// The packet came back, and nobody knows whether it would have without the announcement.
    pub(super) fn is_open(&self) -> bool {
        self.reply.is_some() && self.was_announced
    }

    /// The router asked, and was answered, and that brought nothing back by itself.
    pub(super) fn is_not_taken(&self) -> bool {
        let is_answered = self.asked.is_some() && self.advertised.is_some();
        is_answered && self.rival.is_none() && (self.was_announced || !self.has_come_back())
    }

    /// Something has come back, from wherever.
    pub(super) fn has_come_back(&self) -> bool {
        self.near.is_some() || self.refused.is_some() || self.reply.is_some()
    }

    /// Whether the gateway answered the kernel's own question, from the address from which it asks for guests.
    pub(super) fn kernel_was_answered(&self) -> bool {
        self.gateway_asked_from.is_some() && self.gateway_answered
    }

    /// Takes note.
    pub(super) fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Upstream(sighting) => self.note_upstream(sighting),
            Seen::Guest(sighting) => {
                self.is_sent |=
                    Some(sighting.from) == self.guest && matches!(sighting.what, What::Request(_));
            }
            Seen::Received(reply) if self.is_from_beyond(reply) => self.is_delivered |= self.reply.is_some(),
            Seen::Received(_) if self.near.is_some() || self.refused.is_some() => {}
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
            What::Reply(_) if to != self.station => self.misled_to = Some(to),
            What::Reply(reply) if self.is_from_beyond(reply) => self.reply = Some(reply),
            What::Reply(reply) if reply.is_refusal() => self.refused = Some(reply),
            What::Reply(reply) => self.near = Some(reply),
            // What is announced asks for the gateway, too (RFC 4861 §7.2.3: its source makes an entry).
            What::Solicitation(solicitation) if is_ours && solicitation.source == self.request.guest => {
                self.was_announced |= !self.has_come_back();
            }
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
                if !is_ours {
                    self.rival = Some(from);
                } else if self.asked.is_some_and(|asked| answers(&advertisement, &asked)) {
                    self.advertised = Some(advertisement);
                } else {
                    self.was_announced |= !self.has_come_back();
                }
            }
            What::Advertisement(advertisement) => {
                let is_to_us = self.gateway_asked_from == Some(advertisement.destination);
                self.gateway_answered |= !is_ours && is_to_us && Some(advertisement.target) == self.gateway;
            }
        }
    }

    /// A destination on the link answers itself: the router has nothing to forward.
    fn is_from_beyond(&self, reply: Reply) -> bool {
        reply.is_from_beyond() && self.gateway != Some(self.request.to)
    }
}

/// RFC 4861 §7.2.4: to the asker with the Solicited flag, or to all nodes without, if it asked from no address.
fn answers(advertisement: &Advertisement, asked: &Solicitation) -> bool {
    match asked.is_dad() {
        true => advertisement.destination.is_multicast(),
        false => advertisement.flags.solicited && advertisement.destination == asked.source,
    }
}
