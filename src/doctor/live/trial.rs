//! Tries what the provider accepts: another source of answers, another source of our questions.

use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::LiveError;
use super::free::Addresses;
use super::guest::raw_socket;
use super::journey::Journey;
use super::rig::{Own, Rig, Seen, send_all};
use super::sighting::What;
use crate::engine::bindings::Upstream;
use crate::engine::policy::Source;
use crate::engine::{Asker, Links, advertisement};
use crate::wire::{Mac, Solicitation, solicited_node};

/// What was tried where a leg was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Trials {
    /// The gateway answers no question from a link-local address, as the kernel asks for guests.
    pub(super) gateway_is_deaf: bool,
    /// It answers those from a global address.
    pub(super) gateway_hears_global: bool,
    /// It does not, and a router answers for this address, from a global one to a global one.
    pub(super) router_at: Option<Ipv6Addr>,
    /// What the host itself sends comes back from behind the router.
    pub(super) host_is_answered: Option<bool>,
    /// Answers from this source bring the reply.
    pub(super) source: Option<Source>,
}

/// Asks for `target` from `source` on the upstream; true if it is answered.
pub(super) async fn is_answered(
    rig: &mut Rig,
    journey: &Journey,
    source: Ipv6Addr,
    target: Ipv6Addr,
) -> Result<bool, LiveError> {
    for _ in 0..ATTEMPTS {
        rig.tell(Own::Solicitation(question(journey.station, source, target)));
        let until = Instant::now() + RETRANSMIT;
        loop {
            let all = rig.watch(&journey.request, until).await?;
            if all.is_empty() {
                break;
            }
            let answers = |seen: &Seen| match seen {
                Seen::Upstream(sighting) => matches!(
                    sighting.what,
                    What::Advertisement(answer) if answer.target == target && sighting.from != journey.station
                ),
                Seen::Guest(_) | Seen::Received(_) => false,
            };
            if all.iter().any(answers) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A question for the gateway, or for anybody, from an address of the upstream.
pub(super) fn question(station: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: station,
        destination_mac: Mac::multicast(group),
        source,
        destination: group,
        target,
        // RFC 4861 §4.3: "MUST NOT be included when the source IP address is the unspecified address."
        source_link_layer: (!source.is_unspecified()).then_some(station),
    }
}

/// Whether what the host itself sends to the same destination, by the same router, brings anything back from behind
/// that; `None` if it has no address for it.
pub(super) async fn host_is_answered(
    rig: &mut Rig,
    own: Option<Ipv6Addr>,
    journey: &Journey,
) -> Result<Option<bool>, LiveError> {
    let Some(own) = own else { return Ok(None) };
    let Ok(socket) = raw_socket(own) else { return Ok(None) };
    let mut again = journey.again_for(own);
    for round in 0..ATTEMPTS {
        send_all(&socket, &again.request, round, 0);
        let until = Instant::now() + RETRANSMIT;
        loop {
            let all = rig.watch(&again.request, until).await?;
            if all.is_empty() {
                break;
            }
            all.into_iter().for_each(|seen| again.note(seen));
            if again.reply.is_some() {
                return Ok(Some(true));
            }
        }
    }
    Ok(Some(false))
}

/// Another journey, of a packet that ends at the router: how far that comes where nothing is forwarded back.
pub(super) async fn near(
    rig: &mut Rig,
    journey: &Journey,
    addresses: &mut Addresses<'_>,
) -> Result<Journey, LiveError> {
    let mut again = journey.again_for(addresses.another(rig).await?);
    for _ in 0..ATTEMPTS {
        rig.send_near(&again.request, u32::from(again.guest.is_some()));
        let until = Instant::now() + RETRANSMIT;
        loop {
            let all = rig.watch(&again.request, until).await?;
            if all.is_empty() {
                break;
            }
            all.into_iter().for_each(|seen| again.note(seen));
            if again.near.is_some() {
                return Ok(again);
            }
        }
    }
    Ok(again)
}

/// Sends the packet again and answers for the guest from one source after the other; the first that
/// brings a reply back.
pub(super) async fn sources(
    rig: &mut Rig,
    upstream: &Upstream,
    journey: &Journey,
    addresses: &mut Addresses<'_>,
) -> Result<Option<Source>, LiveError> {
    let used = journey.advertised.map(|advertisement| advertisement.source);
    let is_target = used == Some(journey.request.guest);
    for source in [Source::Target, Source::Global, Source::LinkLocal] {
        let (is_to_be_had, is_used) = match source {
            Source::Target => (true, is_target),
            Source::Global => (upstream.global.is_some(), used == upstream.global),
            _ => (upstream.link_local.is_some(), used == upstream.link_local),
        };
        if is_to_be_had && !is_used {
            // Of one that was tried before the router may know what is not due to this source.
            let guest = addresses.another(rig).await?;
            if works(rig, upstream, journey.again_for(guest), source).await? {
                return Ok(Some(source));
            }
        }
    }
    Ok(None)
}

async fn works(
    rig: &mut Rig,
    upstream: &Upstream,
    mut again: Journey,
    source: Source,
) -> Result<bool, LiveError> {
    // That one address, whichever others there are.
    let (upstream, links) = (Upstream { source, has_several: false, ..*upstream }, Links::default());
    for round in 0..ATTEMPTS {
        rig.send(&again.request, round, u32::from(again.guest.is_some()));
        let until = Instant::now() + RETRANSMIT;
        loop {
            let all = rig.watch(&again.request, until).await?;
            if all.is_empty() {
                break;
            }
            for seen in all {
                let before = again.questions;
                again.note(seen);
                if let Some(asked) = again.asked.filter(|_| again.questions > before)
                    && let Some(answer) =
                        advertisement(&upstream, &Asker::of(upstream.link, &asked), asked.target, &links)
                {
                    rig.tell(Own::Advertisement(answer));
                }
            }
            // What comes after an announcement may be due to that.
            if again.has_come_back() || again.was_announced {
                return Ok(!again.was_announced);
            }
        }
    }
    Ok(false)
}

/// RFC 4861 §10: RETRANS_TIMER, and MAX_MULTICAST_SOLICIT.
const RETRANSMIT: Duration = Duration::from_secs(1);
const ATTEMPTS: u16 = 3;
