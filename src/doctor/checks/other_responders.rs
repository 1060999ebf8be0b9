//! Two responders answer twice, and the one that knows less wins half of the time.

use crate::doctor::{Check, Command, Finding, Group, Host};

/// The check.
pub static CHECK: Check =
    Check { name: "other-responders", group: Group::Others, asks: "nobody else answers for guests", examine };

const RESPONDERS: [&str; 5] = ["ndppd", "npd6", "odhcpd", "pndpd", "ndpresponder"];

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for process in host.processes.iter().filter(|process| RESPONDERS.contains(&process.name.as_str())) {
        let name = &process.name;
        let sentence = format!("{name} answers solicitations on this host too");
        let finding = Finding::warning(sentence).seen(format!("process {} is {name}", process.pid));
        // A service that is killed comes back.
        findings.push(finding.run(match &process.unit {
            Some(unit) => Command::new(format!("systemctl disable --now {unit}")).lasting(),
            None => Command::new(format!("kill {}", process.pid)),
        }));
    }
    for (link, address) in &host.proxies {
        let name = host.name(*link);
        let is_ours = host.ranges().any(|(range, _)| range.prefix.contains(address));
        if is_ours {
            let sentence =
                format!("the kernel itself is a proxy for {address}, and answers up to 800 ms late");
            let finding =
                Finding::warning(sentence).seen(format!("ip -6 neigh show proxy: {address} dev {name}"));
            findings.push(finding.run(format!("ip -6 neigh del proxy {address} dev {name}")));
        }
    }
    findings
}
