//! What the daemon needs, and the doctor itself to see everything.

use crate::doctor::{Check, Command, Finding, Group, Host};

/// The check.
pub static CHECK: Check =
    Check { name: "privileges", group: Group::Host, asks: "lone64 may do what it has to", examine };

/// By their numbers in capabilities(7), and what for.
const NEEDED: [(u32, &str, &str); 2] = [
    (12, "CAP_NET_ADMIN", "routes cannot be installed, nor packet filters read"),
    (13, "CAP_NET_RAW", "solicitations can be neither heard nor answered"),
];

fn examine(host: &Host) -> Vec<Finding> {
    let missing: Vec<_> = NEEDED.into_iter().filter(|(number, ..)| !host.may(*number)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let names: Vec<_> = missing.iter().map(|(_, name, _)| *name).collect();
    let sentence = format!("lone64 runs without {} here, and sees less than there is", names.join(" and "));
    let mut finding = Finding::warning(sentence);
    for (_, name, without) in missing {
        finding = finding.seen(format!("/proc/self/status, CapEff: without {name} {without}"));
    }
    // It changes nothing.
    vec![finding.run(Command::new("sudo lone64 doctor").lasting())]
}
