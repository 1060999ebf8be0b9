//! `lone64 doctor --live`: the five legs of a packet, for people and for programs.
//!
//! May touch: the control socket, and whatever the doctor's live room may.

use std::net::Ipv6Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::super::control::{Client, ControlError};
use super::super::terminal::{bad, good};
use super::super::wrapped;
use super::DoctorArgs;
use super::report::treatment;
use crate::daemon::explained::Explained;
use crate::doctor::Host;
use crate::doctor::live::{self, Daemon, Live, LiveError, Options};
use crate::engine::Holds;

/// Follows a packet; some seconds, where something is broken.
pub(super) fn follow(args: &DoctorArgs, host: &Host) -> Result<Live, LiveError> {
    let ask = |address| ask(&host.examined.socket, address);
    live::run(host, &Options { address: args.live_address, to: args.to, root: args.root.clone(), ask: &ask })
}

/// A line for each leg; the first that is broken with its remedy.
pub(super) fn report(live: &Live, file: &str) -> String {
    let Live { guest, behind, upstream, to, steps } = live;
    let mut text = wrapped("live ", &format!("{guest}, {behind}, sends to {to} by {upstream}"));
    for step in steps {
        let mark = match step.holds {
            Holds::Yes => good("✓"),
            Holds::No => bad("✗"),
            Holds::Open => "?".to_owned(),
        };
        text += &wrapped(&format!("  {mark} {:<13} ", step.leg.as_str()), &step.value);
        for evidence in &step.evidence {
            text += &wrapped("                  seen: ", evidence);
        }
        text += &treatment("                  ", &step.remedies, file);
    }
    text.push('\n');
    let open: Vec<_> = live.open().map(|leg| format!("`{}`", leg.as_str())).collect();
    let verdict = match live.steps.iter().find(|step| step.holds == Holds::No) {
        Some(step) => format!("The packet is lost at the leg `{}`.", step.leg.as_str()),
        None if open.is_empty() => "The packet came all the way back.".to_owned(),
        None => format!("The packet came all the way back, and did not need {}.", open.join(" and ")),
    };
    text + &wrapped("", &verdict)
}

/// The same as JSON.
pub(super) fn described(live: &Live, file: &str) -> Value {
    let holds = |holds: Holds| match holds {
        Holds::Yes => "yes",
        Holds::No => "no",
        Holds::Open => "open",
    };
    let legs: Vec<Value> = live
        .steps
        .iter()
        .map(|step| {
            json!({
                "leg": step.leg.as_str(),
                "holds": holds(step.holds),
                "value": step.value,
                "evidence": step.evidence,
                "remedies": step.remedies.iter().map(|remedy| remedy.to_json(file)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "holds": live.holds(),
        "guest": live.guest,
        "behind": live.behind,
        "upstream": live.upstream,
        "to": live.to,
        "legs": legs,
    })
}

fn ask(socket: &Path, address: Ipv6Addr) -> Daemon {
    let asked =
        Client::connect(socket).and_then(|mut client| client.ask("explain", json!({ "address": address })));
    match asked {
        Ok(reply) => match serde_json::from_value::<Explained>(reply) {
            Ok(explained) => Daemon::Says(Box::new(explained)),
            Err(_) => Daemon::Mute(ControlError::Foreign(socket.to_owned()).to_string()),
        },
        Err(ControlError::NotRunning(_)) => Daemon::Absent,
        Err(error) => Daemon::Mute(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Remedy;
    use crate::doctor::live::{Leg, Step};

    #[test]
    fn shows_a_line_for_each_leg_and_the_remedy_whole() {
        let step = |leg, holds| Step {
            leg,
            holds,
            value: "as it was seen, in words that are many and long enough to be broken".to_owned(),
            evidence: Vec::new(),
            remedies: Vec::new(),
        };
        let mut steps: Vec<_> = Leg::ALL.into_iter().map(|leg| step(leg, Holds::Yes)).collect();
        steps[3].holds = Holds::No;
        steps[3].remedies.push(Remedy::Config("[[upstream]]\nsource = \"target\"\n".to_owned()));
        let guest = "2001:db8::5".parse().unwrap();
        let live =
            Live { guest, behind: "behind br0".to_owned(), upstream: "up0".to_owned(), to: guest, steps };
        let text: String = anstream::adapter::strip_str(&report(&live, "zz.conf")).collect();
        assert!(text.contains("✗ reply") && text.contains("   source = \"target\"\n"), "{text}");
        assert!(text.ends_with("The packet is lost at the leg `reply`.\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(described(&live, "zz.conf")["holds"], false);
    }
}
