//! What switches that snoop MLD cannot be told by reports of groups, and so may keep from the daemon.
//!
//! Whether there is such a switch cannot be seen from a host. So these are warnings, each with what the daemon says.

use serde_json::Value;

use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::Note;
use crate::engine::policy::Mld;

/// The check.
pub static CHECK: Check = Check {
    name: "reports",
    group: Group::Path,
    asks: "switches that snoop MLD are told of every guest",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let Some(status) = &host.daemon else { return Vec::new() };
    let notes = status["notes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    // That the daemon answers and not the kernel is of another check.
    let said: Vec<_> = notes.filter(|note| !note.starts_with(Note::OF_PROGRAMS)).collect();
    let reporting = host.upstreams().iter().filter(|upstream| upstream.mld == Mld::Reports);
    let one_sided = reporting.filter_map(|upstream| one_sided(status, &host.name(upstream.link), &said));
    let findings = said.iter().copied().map(Finding::warning).chain(one_sided);
    findings.map(|finding| finding.remedy(Remedy::Config(lines(host)))).collect()
}

/// A querier was heard, and nothing has proved that questions come also for guests that nobody has heard of. The daemon
/// says so itself after long; who calls the doctor wants to know it now.
fn one_sided(status: &Value, name: &str, said: &[&str]) -> Option<Finding> {
    let is_said = said.contains(&Note::OneSided(name.parse().ok()?).to_string().as_str());
    let mut upstreams = status["upstreams"].as_array()?.iter();
    let mld = &upstreams.find(|upstream| upstream["interface"] == name)?["mld"];
    let querier = mld["querier"].as_str().filter(|_| mld["delivers_all"] == false && !is_said)?;
    let sentence = format!(
        "on {name} there is an MLD querier, and no solicitation has come yet for a guest whose multicast group is not \
         reported: if a switch there snoops MLD, a guest that nobody has heard of is not reached until it says that it \
         exists; mld = \"router\" helps, and lets all multicast of the link arrive at this host"
    );
    Some(Finding::warning(sentence).seen(format!("lone64 heard the querier {querier} on {name}")))
}

/// A multicast router on every upstream on which groups alone are reported.
fn lines(host: &Host) -> String {
    let upstreams = host.upstreams().iter().filter(|upstream| upstream.mld != Mld::Router);
    let table = |name: String| format!("[[upstream]]\ninterface = \"{name}\"\nmld = \"router\"\n");
    upstreams.map(|upstream| table(host.name(upstream.link))).collect()
}
