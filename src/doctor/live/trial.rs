//! Tries what the provider accepts: another source of answers, another source of our questions.

use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::LiveError;
use super::journey::Journey;
use super::rig::{Own, Rig, Seen};
use super::sighting::What;
use crate::engine::bindings::Upstream;
use crate::engine::policy::Source;
use crate::engine::{Asker, Links, advertisement};
use crate::wire::{Mac, Solicitation, solicited_node};

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

/// Sends the packet again and answers for the guest from one source after the other; the first that
/// brings the reply back.
pub(super) async fn sources(
    rig: &mut Rig,
    upstream: &Upstream,
    journey: &Journey,
    hop_limit: u32,
) -> Result<Option<Source>, LiveError> {
    let used = journey.advertised.map(|advertisement| advertisement.source);
    let candidates = [
        (Source::Target, Some(journey.request.guest)),
        (Source::Global, upstream.global),
        (Source::LinkLocal, upstream.link_local),
    ];
    for (source, address) in candidates {
        if address.is_some() && address != used && works(rig, upstream, journey, source, hop_limit).await? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

async fn works(
    rig: &mut Rig,
    upstream: &Upstream,
    journey: &Journey,
    source: Source,
    hop_limit: u32,
) -> Result<bool, LiveError> {
    // That one address, whichever others there are.
    let (upstream, links) = (Upstream { source, has_several: false, ..*upstream }, Links::default());
    let mut again = journey.anew();
    for attempt in 0..ATTEMPTS {
        // What cannot be sent brings nothing back.
        let _ = rig.send(&journey.request, FIRST_SEQUENCE + attempt, hop_limit);
        let until = Instant::now() + RETRANSMIT;
        loop {
            let all = rig.watch(&journey.request, until).await?;
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
            if again.reply.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// RFC 4861 §10: RETRANS_TIMER, and MAX_MULTICAST_SOLICIT.
const RETRANSMIT: Duration = Duration::from_secs(1);
const ATTEMPTS: u16 = 3;
const FIRST_SEQUENCE: u16 = 100;
