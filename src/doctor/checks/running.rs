//! Whether lone64 runs, once, and will after the next boot.

use crate::doctor::{Check, Command, Finding, Group, Host, Process, Remedy, Service};

/// The check.
pub static CHECK: Check = Check {
    name: "running",
    group: Group::Daemon,
    asks: "one lone64 runs, and will after the next boot",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let daemons: Vec<&Process> = host.daemons().collect();
    let service = host.service.as_ref();
    let mut findings = Vec::new();
    if daemons.len() > 1 {
        findings.push(several(&daemons));
    }
    match (&host.daemon, service) {
        (Some(_), Some(service)) => findings.extend(until_boot(service)),
        (Some(_), None) => {}
        (None, Some(service)) if service.fails() => findings.push(refuses(service)),
        (None, _) => findings.push(match daemons.first() {
            Some(process) => {
                host.examined.removed_from.map_or_else(|| silent(host, process), |pid| removed(host, pid))
            }
            None => missing(service),
        }),
    }
    findings
}

fn several(daemons: &[&Process]) -> Finding {
    let sentence = format!(
        "{} processes of lone64 run in this network namespace: one of them serves, and the others wait or end again",
        daemons.len()
    );
    let finding = daemons.iter().take(MOST).fold(Finding::warning(sentence), |finding, process| {
        let by = process.unit.as_ref().map(|unit| format!(" of {unit}")).unwrap_or_default();
        finding.seen(format!("process {}{by}: {}", process.pid, process.command.join(" ")))
    });
    // The first was there before the others.
    daemons.iter().skip(1).take(MOST).fold(finding, |finding, process| {
        finding.run(match &process.unit {
            Some(unit) if daemons[0].unit.as_ref() != Some(unit) => {
                Command::new(format!("systemctl disable --now {unit}")).lasting()
            }
            _ => Command::new(format!("kill {}", process.pid)),
        })
    })
}

fn missing(service: Option<&Service>) -> Finding {
    let sentence = "no lone64 is running, so nobody answers for the guests";
    match service.filter(|service| service.is_installed) {
        Some(service) => {
            let Service { unit, active, enabled, .. } = service;
            let finding =
                Finding::warning(sentence).seen(format!("systemctl show {unit}: {active}, {enabled}"));
            finding.run(Command::new(format!("systemctl enable --now {unit}")).lasting())
        }
        None => Finding::warning(sentence).remedy(Remedy::Advice(
            "start it: `lone64 run`, or `systemctl enable --now lone64` where its package is installed"
                .to_owned(),
        )),
    }
}

fn refuses(service: &Service) -> Finding {
    let Service { unit, active, sub, restarts, .. } = service;
    Finding::fault(format!("{unit} ends again as soon as it is started, so nobody answers for the guests"))
        .seen(format!("systemctl show {unit}: {active} ({sub}), started again {restarts} times"))
        .remedy(Remedy::Advice(format!("`journalctl -u {unit} -n 20` has its last words, which say why")))
}

fn silent(host: &Host, process: &Process) -> Finding {
    let socket = host.examined.socket.display();
    let finding = Finding::warning(format!(
        "a lone64 runs (process {}), and does not answer at {socket}: what it serves is not known here",
        process.pid
    ))
    .seen(format!("process {}: {}", process.pid, process.command.join(" ")))
    .remedy(Remedy::Advice(
        "run this as root, or name the configuration that it was started with: `lone64 doctor --config F`"
            .to_owned(),
    ));
    if host.examined.has_socket {
        return finding;
    }
    let advice = format!(
        "or, where that is its socket: its log says why it could not make it, and `kill -HUP {}` has it tried again",
        process.pid
    );
    finding.seen(format!("there is no {socket}")).remedy(Remedy::Advice(advice))
}

fn removed(host: &Host, pid: i32) -> Finding {
    let socket = host.examined.socket.display();
    Finding::warning(format!(
        "a lone64 runs (process {pid}), but its control socket {socket} is gone: what it serves is not known here"
    ))
    .seen(format!("{socket}.lock is locked by process {pid}"))
    .run(Command::new(format!("kill -HUP {pid}")).lasting())
}

fn until_boot(service: &Service) -> Option<Finding> {
    let Service { unit, enabled, .. } = service;
    if !service.is_installed || service.is_started_at_boot() {
        return None;
    }
    let finding = Finding::warning(format!(
        "lone64 runs now, and the next boot does not start it: {unit} is {enabled}"
    ));
    let finding = finding.seen(format!("systemctl is-enabled {unit}: {enabled}"));
    Some(finding.run(Command::new(format!("systemctl enable {unit}")).lasting()))
}

/// Processes that are named.
const MOST: usize = 8;
