//! Two responders answer twice, and the one that knows less wins half of the time.

use crate::doctor::{Check, Finding, Group, Host};

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
        findings.push(finding.run(format!("systemctl disable --now {name} || kill {}", process.pid)));
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
