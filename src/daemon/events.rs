//! Events, as lines of the log: one per change.

use super::error::describe;
use crate::engine::facts::IfIndex;
use crate::engine::{Event, Links, Loss};

/// Writes the line.
pub(super) fn tell(event: &Event, links: &Links) {
    let name = |link: &IfIndex| links.get(*link).map_or_else(|| format!("#{link}"), |l| l.name.to_string());
    match event {
        Event::Live(target, link, mac, evidence) => {
            tracing::info!(%target, interface = %name(link), %mac, evidence = %evidence.as_str(), "live");
        }
        Event::Gone(target, link, loss) => {
            let why = match loss {
                Loss::Unanswered => "probes went unanswered",
                Loss::Downstream => "its downstream is down or gone",
            };
            tracing::info!(%target, interface = %name(link), %why, "gone");
        }
        Event::RouteInstalled(route) => tracing::info!("route installed: {}", describe(route, links)),
        Event::RouteRemoved(route) => tracing::info!("route removed: {}", describe(route, links)),
        Event::RouteConflict(route, other) => {
            let there =
                other.as_ref().map_or_else(|| "another one".to_owned(), |other| describe(other, links));
            tracing::warn!("route kept out: {}; in the way is {there}", describe(route, links));
        }
        Event::RouteFailed(route, said) => {
            tracing::warn!("route refused: {}: {said}", describe(route, links));
        }
        Event::Problem(problem) => tracing::warn!("{problem}"),
        Event::Solved(problem) => tracing::info!("{}", problem.solved()),
    }
}
