//! Guests of `[[guest]]`: what a running daemon says that they lack, who else has their addresses, and the files of guests.d.

use serde_json::Value;

use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};
use crate::engine::facts::NeighborState;
use crate::engine::policy::GuestPolicy;
use crate::wire::Mac;

/// The check of guests.
pub static CHECK: Check = Check {
    name: "named-guests",
    group: Group::Ranges,
    asks: "each [[guest]] is here, with its MAC, its addresses, its prefixes and its pins",
    examine,
};

/// The check of their files.
pub static FILES: Check = Check {
    name: "guest-files",
    group: Group::Daemon,
    asks: "no file in guests.d has a mistake",
    examine: files,
};

fn examine(host: &Host) -> Vec<Finding> {
    let told = host.daemon.as_ref().and_then(|status| status["guests"].as_array());
    let mut findings: Vec<_> = told.into_iter().flatten().filter_map(|guest| lacking(host, guest)).collect();
    findings.extend(told.into_iter().flatten().filter_map(|guest| overwritten(host, guest)));
    findings.extend(kept_out(host));
    findings.extend(host.config.policy.guests.iter().flat_map(|guest| others(host, guest)));
    findings.truncate(MOST);
    findings
}

/// What it lacks first.
fn lacking(host: &Host, guest: &Value) -> Option<Finding> {
    let (name, missing) = (text(guest, "name"), guest["missing"].as_str()?);
    let (interface, mac) = (text(guest, "interface"), text(guest, "mac"));
    let finding = |sentence: String| Finding::warning(sentence).seen(format!("lone64 status: {missing}"));
    Some(match guest["code"].as_str().unwrap_or_default() {
        // Nothing is wrong with a guest that is there.
        "elsewhere" | "on_link" => return None,
        "mac_not_heard" => {
            let finding = finding(format!(
                "the guest {name} is not here: nothing was heard from its MAC {mac} on any downstream"
            ));
            match elsewhere(host, mac) {
                Some(other) => {
                    finding.remedy(Remedy::Advice(format!("write interface = \"{other}\" in the [[guest]] {name}")))
                }
                None => finding.remedy(Remedy::Advice(format!(
                    "start the guest; or, if it runs, compare `ip link` in it with the `mac` of {name}, and correct \
                     that"
                ))),
            }
        }
        "no_link_local" => finding(format!(
            "the prefixes of the guest {name} are not routed: no link-local address was heard from {mac} on \
             {interface}"
        ))
        // A guest that replies has to ask for the host's link-local address first, from its own.
        .run(Command::new(format!("ping -c 2 ff02::1%{interface}"))),
        "interface_down" => {
            let down = named_interface(host, name).unwrap_or_else(|| interface.to_owned());
            finding(format!("the guest {name} is not here: {down} is down or has no carrier"))
                .run(Command::new(format!("ip link set {down} up")))
        }
        // The sentence ends with what to do.
        _ => {
            let (what, remedy) =
                missing.split_once("; ").unwrap_or((missing, "`lone64 check` shows its place"));
            Finding::warning(format!("the guest {name} lacks something: {what}"))
                .seen(format!("lone64 status: {name} is {}", text(guest, "state")))
                .remedy(Remedy::Advice(remedy.to_owned()))
        }
    })
}

/// Another link on which the kernel has found this MAC.
fn elsewhere(host: &Host, mac: &str) -> Option<String> {
    let mac: Mac = mac.parse().ok()?;
    let known = host.neighbors.iter().find(|known| known.mac == Some(mac))?;
    let is_downstream = host.downstreams().iter().any(|link| link.index == known.link);
    is_downstream.then(|| host.name(known.link))
}

fn named_interface(host: &Host, name: &str) -> Option<String> {
    let guest = host.config.policy.guests.iter().find(|guest| guest.name == name)?;
    guest.interface.map(|interface| interface.to_string())
}

/// Pins that another program overwrites.
fn overwritten(host: &Host, guest: &Value) -> Option<Finding> {
    let addresses = guest["overwritten"].as_array().filter(|all| !all.is_empty())?;
    let (name, interface) = (text(guest, "name"), text(guest, "interface"));
    let routing = host.processes.iter().find(|process| process.name == "zebra");
    let finding = Finding::warning(format!(
        "another program overwrites the permanent neighbor entries of the guest {name}, and lone64 puts them back once \
         a second at most"
    ));
    let shown = addresses.iter().take(MOST_ADDRESSES).filter_map(Value::as_str);
    let finding = shown.fold(finding, |finding, address| {
        finding
            .seen(format!("lone64 status: {address} on {interface} was overwritten within the last minute"))
    });
    let finding = match routing {
        Some(process) => finding.remedy(Remedy::Advice(format!(
            "zebra (process {}) does so where EVPN advertises this link: in vtysh, `show evpn arp-cache vni all` lists \
             what it has learnt, and `no advertise-all-vni` ends it",
            process.pid
        ))),
        None => finding.remedy(Remedy::Advice(format!(
            "`ip -6 monitor neigh dev {interface}` shows each change with its `proto`, which names the program; let \
             that leave {interface} alone"
        ))),
    };
    Some(finding.remedy(Remedy::Advice(format!("or write pin = false in the [[guest]] {name}"))))
}

/// Permanent entries of other programs.
fn kept_out(host: &Host) -> Vec<Finding> {
    let problems = host.daemon.as_ref().and_then(|status| status["problems"].as_array());
    let messages = problems.into_iter().flatten().filter_map(|problem| problem["message"].as_str());
    let finding = |message: &str| {
        let (what, remedy) = message.split_once("; ")?;
        let line = remedy.split('`').nth(1).filter(|line| line.starts_with("ip -6 neigh del "))?;
        Some(Finding::warning(what).run(Command::new(line)))
    };
    messages.filter_map(finding).collect()
}

/// Stations that use an address of this guest, and are not it.
fn others(host: &Host, guest: &GuestPolicy) -> Vec<Finding> {
    let Some(mac) = guest.mac else { return Vec::new() };
    let is_alive = |state| matches!(state, NeighborState::Reachable | NeighborState::Stale);
    let downstreams = host.downstreams();
    let finding = |address| {
        let mut entries = host.neighbors.iter().filter(|known| known.address == address);
        let other = entries.find(|known| {
            is_alive(known.state)
                && known.mac.is_some_and(|other| other != mac)
                && downstreams.iter().any(|link| link.index == known.link)
        })?;
        let (link, other) = (host.name(other.link), other.mac?);
        Some(
            Finding::fault(format!(
                "{address} of the guest {} is used by {other} on {link}, and its MAC is {mac}",
                guest.name
            ))
            .seen(format!("ip -6 neigh show {address}: dev {link} lladdr {other}"))
            .remedy(Remedy::Advice(format!(
                "if {other} is the guest's MAC now, write mac = \"{other}\" in its [[guest]]; if it is another guest, \
                 remove {address} there"
            ))),
        )
    };
    guest.addresses.listed().iter().copied().filter_map(finding).collect()
}

fn files(host: &Host) -> Vec<Finding> {
    let told = host.daemon.as_ref().and_then(|status| status["config"]["guest_files"].as_array());
    let finding = |problem: &Value| {
        let (origin, message) = (text(problem, "origin"), text(problem, "message"));
        let place = problem["line"].as_u64().map(|line| format!(":{line}")).unwrap_or_default();
        let finding = Finding::warning(format!(
            "lone64 does not take {origin}: what was read of it before counts, if there was such a time"
        ))
        .seen(format!("{origin}{place}: {message}"));
        let help = problem["help"].as_str().and_then(|help| help.lines().next());
        finding.remedy(Remedy::Advice(help.unwrap_or("`lone64 check` shows its place").to_owned()))
    };
    told.into_iter().flatten().take(MOST).map(finding).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// As many findings of a kind.
const MOST: usize = 16;
/// As many addresses of one guest are named.
const MOST_ADDRESSES: usize = 4;
