//! What a provider lets through, in words: which source of answers its routers take, and which of our questions
//! they answer.
//!
//! May touch: nothing.

use core::net::Ipv6Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::policy::{GatewaySource, Source};
use crate::engine::{Asker, Engine, NotTaken, Notable, Time};

/// An asker takes answers from this source.
pub(super) fn source_found(asker: &Asker, source: Source, upstream: &str) -> String {
    let Asker { address, mac, .. } = asker;
    let written = source.written();
    match source {
        Source::Scope => format!(
            "{address} ({mac}) on {upstream} again accepts only answers from an address of the same scope: it gets \
             these"
        ),
        _ => format!(
            "{address} ({mac}) on {upstream} did not accept our answers, but accepts those with source = \
             \"{written}\": it gets these from now on; source = \"{written}\" in the [[upstream]] sends them from \
             the start"
        ),
    }
}

/// An asker does not take answers, whatever their source.
pub(super) fn not_taken(asked: &NotTaken, upstream: &str) -> String {
    let NotTaken { asker: Asker { address, mac, .. }, taken, targets } = asked;
    format!("{address} ({mac}) on {upstream} {}", complaint(*taken, targets))
}

/// What is wrong, and what to do about it: behind the name of the asker.
fn complaint(taken: usize, targets: &[Ipv6Addr]) -> String {
    let named: Vec<_> = targets.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = targets.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = named.join(", ");
    match taken {
        0 => format!(
            "accepts no answer, from any source, and keeps asking for {named}{more}: ask the provider whether this \
             port may use more than its own address, or whether the prefix is routed elsewhere"
        ),
        _ => format!(
            "accepts answers for {taken} of {} guests, and not for {named}{more}, from any source: a limit of \
             addresses per MAC, a list of permitted addresses, or a full table; ask the provider for a routed \
             prefix, or for a second MAC",
            taken + targets.len()
        ),
    }
}

/// The gateway answers no question from a link-local address.
pub(super) fn gateway_filtered(router: Ipv6Addr, upstream: &str) -> String {
    format!(
        "the gateway {router} on {upstream} ignores solicitations from a link-local address, which is what the \
         kernel sends when it forwards: lone64 asks it from a global address from now on; gateway-source = \
         \"global\" in the [[upstream]] does so from the start"
    )
}

/// The gateway answers the host, and not a guest: behind the guest's address.
pub(super) fn not_admitted(router: Ipv6Addr, upstream: &str) -> String {
    format!(
        "is not admitted by the provider: the gateway {router} on {upstream} answers questions from the host, and none from \
         this address, also after duplicate address detection for it. The provider seems to drop what comes from it (a \
         filter by source, a limit of addresses for each MAC), or its switch does not learn it: ask the provider for a routed \
         prefix, for a second MAC, or to admit the address"
    )
}

/// The provider forgets guests.
pub(super) fn forgets(upstream: &str, period: Duration) -> String {
    let seconds = period.as_secs();
    format!(
        "the provider of {upstream} has forgotten guests that it knew, and learned them from duplicate address detection: \
         every guest is announced again each {seconds} s from now on; announce = \"{seconds}s\" in the [[upstream]] says the \
         same from the start"
    )
}

/// The targets that the provider does not admit, the first of them.
pub(super) fn all_not_admitted(engine: &Engine) -> Vec<Value> {
    let shown = engine.refused(MOST_REFUSED).into_iter().map(|(target, link)| {
        let (upstream, gateway) = (engine.links().name(link), engine.refusing_gateway(link));
        let message = gateway.map(|gateway| not_admitted(gateway, &upstream));
        json!({ "address": target, "interface": upstream, "gateway": gateway, "message": message })
    });
    shown.collect()
}

/// Who keeps the gateway's neighbor entry on an upstream at this moment.
pub(super) fn gateway_source(engine: &Engine, upstream: &crate::engine::bindings::Upstream) -> &'static str {
    match upstream.gateway_source {
        GatewaySource::Auto if engine.has_filtered_gateway(upstream.link) => GatewaySource::Global.written(),
        GatewaySource::Auto => GatewaySource::Kernel.written(),
        as_written => as_written.written(),
    }
}

/// The askers of which there is something to say.
pub(super) fn askers(engine: &Engine, now: Time) -> Vec<Value> {
    let shown = engine.notable_askers(now).into_iter().map(|notable| {
        let Notable { asker, is_gateway, source, is_tried, taken, refused } = notable;
        json!({
            "interface": engine.links().name(asker.link),
            "address": asker.address,
            "mac": asker.mac.to_string(),
            "gateway": is_gateway,
            "source": source.written(),
            "trying": is_tried,
            "taken": taken,
            "not_taken": refused,
            "message": (!refused.is_empty() && !is_tried).then(|| complaint(taken, &refused)),
        })
    });
    shown.collect()
}

/// As many targets are shown that the provider does not admit.
const MOST_REFUSED: usize = 256;
/// As many targets are named in a sentence.
const MOST_NAMED: usize = 8;
