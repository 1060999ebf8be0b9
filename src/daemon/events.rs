//! Events, as lines of the log: one per change.
//!
//! A guest, or a stranger on the link, can bring about as many changes as he likes; so lines that he
//! can trigger are limited, and what is left out is counted.

use super::error::{describe, kept_out};
use super::provider;
use crate::engine::facts::IfIndex;
use crate::engine::policy::{Origin, RangePolicy};
use crate::engine::{Event, GuestMove, Limiter, Links, Time};

/// Writes events to the log.
#[derive(Debug)]
pub(super) struct Teller {
    limit: Limiter,
    /// How often it is told that lines are missing.
    telling: Limiter,
    left_out: u64,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { limit: Limiter::new(LINES_PER_SECOND), telling: Limiter::new(1), left_out: 0 }
    }

    /// Writes the line, or counts it.
    pub(super) fn tell(&mut self, event: &Event, links: &Links, now: Time) {
        // Somebody may watch them, and the log does not want them.
        if is_of_one_packet(event) && !logs_packets() {
            return;
        }
        if is_for_anyone_to_trigger(event) && !self.limit.take(now) {
            self.left_out += 1;
            return;
        }
        if self.left_out > 0 && self.telling.take(now) {
            self.tell_left_out();
        }
        write(event, links);
    }

    /// Says how many lines are missing.
    pub(super) fn tell_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            tracing::info!(
                "left out {left_out} more about guests, because there were over {LINES_PER_SECOND} lines in a second"
            );
        }
    }
}

fn is_for_anyone_to_trigger(event: &Event) -> bool {
    match event {
        Event::Live(..) | Event::Gone(..) | Event::Moved(..) => true,
        Event::HopLive(..) | Event::HopGone(..) => true,
        Event::Contested(..) | Event::Conflict(..) | Event::WideMask(..) => true,
        Event::ConflictOver(..) | Event::Defended(..) => true,
        // A guest's own route comes and goes with the guest, who has a line already.
        Event::RouteInstalled(route) | Event::RouteRemoved(route) => route.destination.prefix_len() == 128,
        Event::RouteConflict(..) | Event::RouteFailed(..) => true,
        // They come and go with the interfaces of guests.
        Event::GatewayAdded(..) | Event::GatewayRemoved(..) => true,
        // Once a minute for each, and there may be thousands.
        Event::PinOverwritten(..) => true,
        Event::RoundLate(..) => false,
        // Each asker can take answers or leave them.
        Event::SourceFound(..) | Event::NotTaken(_) | Event::TakenAgain(_) => true,
        Event::GatewayFiltered(..) | Event::GatewayAnswers(..) => true,
        Event::NotAdmitted(..) | Event::Admitted(..) | Event::Forgets(..) => true,
        // A router's advertisements bring prefixes, and a stranger can advertise.
        Event::Serving(_) | Event::Withdrawn(_) => true,
        Event::Claimed(..) | Event::Released(..) => false,
        Event::GuardDropped(..) | Event::GuestMoved(..) => true,
        Event::Problem(_) | Event::Solved(_) => false,
        // One guest more and one less may bring one about and end it.
        Event::Note(_) | Event::NoteOver(_) => true,
        // A container engine makes networks and takes them away as fast as it likes.
        Event::Unserved(_) | Event::UnservedEnded(..) | Event::ManyUnserved(_) => true,
        Event::Solicited(..) | Event::Answered(..) | Event::Dropped(..) => true,
    }
}

/// Whether every packet has its line.
pub(super) fn logs_packets() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

fn is_of_one_packet(event: &Event) -> bool {
    matches!(event, Event::Solicited(..) | Event::Answered(..) | Event::Dropped(..))
}

fn write(event: &Event, links: &Links) {
    let name = |link: &IfIndex| links.name(*link);
    match event {
        Event::Live(target, link, mac, evidence) => {
            let mac = mac.map(tracing::field::display);
            tracing::info!(%target, interface = %name(link), mac, evidence = %evidence.as_str(), "live");
        }
        Event::Gone(target, link, loss) => {
            let why = loss.as_str();
            tracing::info!(%target, interface = %name(link), %why, "gone");
        }
        Event::HopLive(address, link, mac) => {
            tracing::info!(%address, interface = %name(link), %mac, "the next hop is live: lone64 answers for the \
                                                                     addresses behind it");
        }
        Event::HopGone(address, link) => {
            tracing::info!(%address, interface = %name(link), "the next hop is gone, and so are the addresses behind \
                                                               it");
        }
        Event::GuardDropped(guest, breach, packets) => {
            tracing::warn!(%guest, packets, "dropped by the guard: the packet {}", breach.in_words());
        }
        Event::Moved(target, from, to, mac) => {
            tracing::info!(%target, from = %name(from), to = %name(to), %mac, "moved");
        }
        Event::Contested(target, link, by, mac) => {
            let (interface, by) = (name(link), name(by));
            tracing::warn!(%target, %interface, %by, %mac, "the claim failed: the guest that has the address replies");
        }
        Event::WideMask(guest, link, asked_for) => tracing::warn!(
            target = %guest, interface = %name(link), %asked_for,
            "a guest asks its own link for an address that is not on that link: its mask is too short; set the mask \
             to that of the range, or write proxy-downstream = true in the [[range]]"
        ),
        Event::Conflict(target, link, mac) => {
            let interface = name(link);
            tracing::warn!(
                %target, %interface, %mac,
                "conflict: another host on the upstream has the address; no answers until it is silent"
            );
        }
        Event::ConflictOver(target, link) => {
            let interface = name(link);
            tracing::info!(%target, %interface, "the conflict is over: no other host has the address; answering \
                                                 again");
        }
        Event::Defended(target, link, mac) => {
            let interface = name(link);
            tracing::warn!(
                %target, %interface, %mac,
                "conflict: another host on the upstream wanted the address and was refused, because a guest has it"
            );
        }
        Event::RouteInstalled(route) => tracing::info!("route installed: {}", describe(route, links)),
        Event::RouteRemoved(route) => tracing::info!("route removed: {}", describe(route, links)),
        Event::RouteConflict(route, other) => {
            tracing::warn!("{}", kept_out(route, other.as_ref(), links));
        }
        Event::RouteFailed(route, said) => {
            tracing::warn!("route refused: {}: {said}", describe(route, links));
        }
        Event::GatewayAdded(link, address) => {
            tracing::info!(%address, interface = %name(link), "the guests' gateway is added");
        }
        Event::GatewayRemoved(link, address) => {
            tracing::info!(%address, interface = %name(link), "the guests' gateway is removed");
        }
        Event::PinOverwritten(address, link, mac) => {
            let (interface, mac) = (name(link), mac.map(tracing::field::display));
            tracing::warn!(%address, %interface, mac, "another program overwrote or removed the permanent neighbor \
                                                       entry of a guest; it is put back");
        }
        Event::RoundLate(link, period, took) => tracing::warn!(
            interface = %name(link),
            "announcing every live target took {took:.0?}, longer than `announce` allows ({period:?}): each round \
             starts when the last one ends; raise announcements-per-second in [limits], or write a longer period"
        ),
        Event::SourceFound(asker, source) => {
            tracing::info!("{}", provider::source_found(asker, *source, &name(&asker.link)));
        }
        Event::NotTaken(asked) => tracing::warn!("{}", provider::not_taken(asked, &name(&asked.asker.link))),
        Event::TakenAgain(asker) => tracing::info!(
            asker = %asker.address, mac = %asker.mac, interface = %name(&asker.link),
            "the asker accepts every answer again"
        ),
        Event::GatewayFiltered(link, router) => {
            tracing::warn!("{}", provider::gateway_filtered(*router, &name(link)));
        }
        Event::GatewayAnswers(link, router) => tracing::info!(
            gateway = %router, interface = %name(link),
            "the gateway answers solicitations from link-local addresses again; the kernel asks it from now on"
        ),
        Event::NotAdmitted(target, link, router) => {
            tracing::warn!("{target} {}", provider::not_admitted(*router, &name(link)));
        }
        Event::Admitted(target, link) => {
            tracing::info!(%target, interface = %name(link), "the provider admits it now");
        }
        Event::Forgets(link, period) => tracing::warn!("{}", provider::forgets(&name(link), *period)),
        Event::Serving(range) => tracing::info!("serving {}", reason(range)),
        Event::Withdrawn(range) => tracing::info!("no longer serving {}", range.prefix),
        Event::Claimed(object, Some(link)) => tracing::info!(%object, interface = %name(link), "claimed"),
        Event::Claimed(object, None) => tracing::info!(%object, "claimed"),
        Event::Released(object, ended) => tracing::info!(%object, why = ended.as_str(), "released"),
        Event::GuestMoved(guest, GuestMove::Arrived(link)) => {
            tracing::info!(%guest, interface = %name(link), "the guest has come to this host and is announced");
        }
        Event::GuestMoved(guest, GuestMove::Left(link, by)) => {
            tracing::info!(%guest, interface = %name(link), %by, "the guest has left: it does not reply \
                                                                 here, and has this MAC on the upstream");
        }
        Event::GuestMoved(guest, GuestMove::Flaps(link)) => tracing::warn!(
            %guest, interface = %name(link),
            "the guest comes and goes too often (more than five times in 180 s): until it stays for 180 s, it is \
             announced at once only if it was away and replies here, and else when the upstream's link was asked and \
             nobody has its addresses; two guests may have the same MAC"
        ),
        Event::GuestMoved(guest, GuestMove::Quiet) => {
            tracing::info!(%guest, "the guest stays where it is; it is announced at once again when it moves");
        }
        Event::Problem(problem) => tracing::warn!("{problem}"),
        Event::Solved(problem) => tracing::info!("{}", problem.solved()),
        Event::Note(note) => tracing::info!("{note}"),
        Event::NoteOver(note) => tracing::info!("{}", note.over()),
        Event::Unserved(network) => tracing::warn!("{network}"),
        Event::UnservedEnded(network, ended) => tracing::info!("{}", network.ended(*ended)),
        Event::ManyUnserved(count) => tracing::warn!(
            "no range serves {count} networks that the kernel routes inside an on-link prefix; `lone64 status` lists \
             more of them"
        ),
        // Those who watch see them; a log with a line for each question would be a weapon.
        Event::Solicited(target, asker) => {
            tracing::trace!(%target, interface = %name(&asker.link), asker = %asker.address, "solicited");
        }
        Event::Answered(target, asker) => {
            tracing::trace!(%target, interface = %name(&asker.link), asker = %asker.address, "answered");
        }
        Event::Dropped(target, link, reason) => {
            let target = target.map(tracing::field::display);
            tracing::trace!(target, interface = %name(link), reason = reason.as_str(), "unanswered");
        }
    }
}

/// What is served, and why.
pub(super) fn reason(range: &RangePolicy) -> String {
    let RangePolicy { prefix, .. } = range;
    let downstream = range.downstream.to_string();
    match (range.origin, range.answer) {
        (Origin::Config, answer) => format!("{prefix} for {downstream} ({answer})"),
        (Origin::Suffix, answer) => {
            format!("{prefix} for {downstream} ({answer}): inside the /64 of the upstream")
        }
        (Origin::Automatic, _) => format!("{prefix} behind {downstream}: the kernel routes it there"),
    }
}

/// A host that starts a hundred containers shows each; a flood does not fill the disk.
const LINES_PER_SECOND: u32 = 100;
