//! Events as those who watch get them: one JSON object per line.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::error::describe;
use crate::engine::facts::{IfIndex, KernelRoute};
use crate::engine::{Asker, Event, GuestMove, Links};

/// The line of an event, with its end.
pub(super) fn line(event: &Event, links: &Links) -> String {
    let mut object = object(event, links);
    // Milliseconds are enough to tell questions apart, and fit a float without noise.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    object["time"] = json!(time.as_millis() as f64 / 1000.0);
    format!("{object}\n")
}

/// So many events were not told, because they came too fast or were read too slowly.
pub(super) fn dropped(count: u64) -> String {
    format!("{}\n", json!({ "event": "dropped", "count": count }))
}

fn object(event: &Event, links: &Links) -> Value {
    let name = |link: &IfIndex| links.name(*link);
    let route = |route: &KernelRoute| describe(route, links);
    let asked = |kind: &str, target: &std::net::Ipv6Addr, asker: &Asker| {
        json!({
            "event": kind,
            "target": target,
            "interface": name(&asker.link),
            "asker": asker.address,
            "asker_mac": asker.mac.to_string(),
        })
    };
    match event {
        Event::Solicited(target, asker) => asked("solicited", target, asker),
        Event::Answered(target, asker) => asked("answered", target, asker),
        Event::Dropped(target, link, reason) => json!({
            "event": "unanswered", "target": target, "interface": name(link), "reason": reason.as_str(),
        }),
        Event::Live(target, link, mac, evidence) => json!({
            "event": "live", "target": target, "interface": name(link),
            "mac": mac.map(|mac| mac.to_string()), "evidence": evidence.as_str(),
        }),
        Event::Gone(target, link, loss) => json!({
            "event": "gone", "target": target, "interface": name(link), "why": loss.as_str(),
        }),
        Event::Moved(target, from, to, mac) => json!({
            "event": "moved", "target": target, "from": name(from), "interface": name(to),
            "mac": mac.to_string(),
        }),
        Event::Contested(target, link, by, mac) => json!({
            "event": "contested", "target": target, "interface": name(link), "by": name(by),
            "mac": mac.to_string(),
        }),
        Event::HopLive(address, link, mac) => json!({
            "event": "next_hop_live", "address": address, "interface": name(link), "mac": mac.to_string(),
        }),
        Event::HopGone(address, link) => json!({
            "event": "next_hop_gone", "address": address, "interface": name(link),
        }),
        Event::Conflict(target, link, mac) => json!({
            "event": "conflict", "target": target, "interface": name(link), "mac": mac.to_string(),
        }),
        Event::ConflictOver(target, link) => json!({
            "event": "conflict_over", "target": target, "interface": name(link),
        }),
        Event::Defended(target, link, mac) => json!({
            "event": "defended", "target": target, "interface": name(link), "mac": mac.to_string(),
        }),
        Event::WideMask(guest, link, asked_for) => json!({
            "event": "wide_mask", "target": guest, "interface": name(link), "asked_for": asked_for,
        }),
        Event::GuardDropped(guest, breach, packets) => json!({
            "event": "guard_dropped", "guest": guest, "reason": breach.as_str(), "packets": packets,
        }),
        Event::RouteInstalled(r) => json!({ "event": "route_installed", "route": route(r) }),
        Event::RouteRemoved(r) => json!({ "event": "route_removed", "route": route(r) }),
        Event::RouteConflict(r, other) => json!({
            "event": "route_conflict", "route": route(r), "other": other.as_ref().map(route),
        }),
        Event::RouteFailed(r, said) => json!({ "event": "route_refused", "route": route(r), "why": said }),
        Event::GatewayAdded(link, address) => json!({
            "event": "gateway_added", "address": address, "interface": name(link),
        }),
        Event::GatewayRemoved(link, address) => json!({
            "event": "gateway_removed", "address": address, "interface": name(link),
        }),
        Event::PinOverwritten(address, link, mac) => json!({
            "event": "pin_overwritten", "address": address, "interface": name(link),
            "mac": mac.map(|mac| mac.to_string()),
        }),
        Event::Serving(range) => json!({
            "event": "serving", "range": range.prefix.to_string(), "origin": range.origin.as_str(),
            "behind": range.downstream.to_string(),
        }),
        Event::Withdrawn(range) => json!({ "event": "withdrawn", "range": range.prefix.to_string() }),
        Event::RoundLate(link, period, took) => json!({
            "event": "round_late", "interface": name(link), "period_seconds": period.as_secs_f64(),
            "seconds": took.as_secs_f64(),
        }),
        Event::SourceFound(Asker { link, mac, address }, source) => json!({
            "event": "source_found", "interface": name(link), "asker": address, "asker_mac": mac.to_string(),
            "source": source.written(),
        }),
        Event::NotTaken(asked) => json!({
            "event": "not_taken", "interface": name(&asked.asker.link), "asker": asked.asker.address,
            "asker_mac": asked.asker.mac.to_string(), "taken": asked.taken, "targets": asked.targets,
        }),
        Event::TakenAgain(Asker { link, mac, address }) => json!({
            "event": "taken_again", "interface": name(link), "asker": address, "asker_mac": mac.to_string(),
        }),
        Event::GatewayFiltered(link, router) => json!({
            "event": "gateway_filtered", "address": router, "interface": name(link),
        }),
        Event::GatewayAnswers(link, router) => json!({
            "event": "gateway_answers", "address": router, "interface": name(link),
        }),
        Event::NotAdmitted(target, link, router) => json!({
            "event": "not_admitted", "target": target, "interface": name(link), "gateway": router,
        }),
        Event::Admitted(target, link) => json!({
            "event": "admitted", "target": target, "interface": name(link),
        }),
        Event::Forgets(link, period) => json!({
            "event": "forgets", "interface": name(link), "period_seconds": period.as_secs_f64(),
        }),
        Event::Unserved(network) => json!({
            "event": "unserved", "range": network.prefix.to_string(), "interface": network.interface,
            "message": network.to_string(),
        }),
        Event::UnservedEnded(network, ended) => json!({
            "event": "unserved_ended", "range": network.prefix.to_string(), "interface": network.interface,
            "message": network.ended(*ended),
        }),
        Event::ManyUnserved(count) => json!({ "event": "many_unserved", "count": count }),
        Event::Claimed(object, link) => json!({
            "event": "claimed", "object": object.to_string(), "interface": link.as_ref().map(name),
        }),
        Event::Released(object, ended) => json!({
            "event": "released", "object": object.to_string(), "why": ended.as_str(),
        }),
        Event::GuestMoved(guest, GuestMove::Arrived(link)) => json!({
            "event": "guest_arrived", "guest": guest, "interface": name(link),
        }),
        Event::GuestMoved(guest, GuestMove::Left(link, by)) => json!({
            "event": "guest_left", "guest": guest, "interface": name(link), "by": by.to_string(),
        }),
        Event::GuestMoved(guest, GuestMove::Flaps(link)) => json!({
            "event": "guest_flaps", "guest": guest, "interface": name(link),
        }),
        Event::GuestMoved(guest, GuestMove::Quiet) => json!({ "event": "guest_stays", "guest": guest }),
        Event::Problem(problem) => json!({ "event": "problem", "message": problem.to_string() }),
        Event::Solved(problem) => json!({ "event": "solved", "message": problem.solved() }),
        Event::Note(note) => json!({ "event": "note", "message": note.to_string() }),
        Event::NoteOver(note) => json!({ "event": "note_over", "message": note.over() }),
    }
}
