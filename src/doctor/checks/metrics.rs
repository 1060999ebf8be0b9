//! Whether those who are to read the metrics can.

use super::in_force::named;
use crate::config::Endpoint;
use crate::doctor::{Check, Command, Finding, Group, Host, Remedy, Service};

/// The check.
pub static CHECK: Check = Check {
    name: "metrics",
    group: Group::Daemon,
    asks: "those who are to read the metrics can: the socket is there, and the unit lets other hosts in",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let config = host.daemon.as_ref().map(|status| &status["config"]);
    if let Some(socket) = config.and_then(|config| config["metrics_gone"].as_str()) {
        return vec![removed(socket, config.and_then(|config| config["file"].as_str()))];
    }
    let Some(address) = host.config.control.metrics.as_ref().and_then(Endpoint::port) else {
        return Vec::new();
    };
    let Some(service) = host.service.as_ref().filter(|service| service.is_installed) else {
        return Vec::new();
    };
    // A lone64 that somebody has started by hand is not in the unit.
    let is_of_unit = host.daemon.is_none() || service.active == "active";
    if address.ip().is_loopback() || !is_of_unit || service.lets_others_in(address.ip()) {
        return Vec::new();
    }
    let Service { unit, .. } = service;
    let sentence = format!(
        "no other host can read the metrics at {address}: {unit} drops what others send, and says nothing"
    );
    let finding = Finding::warning(sentence)
        .seen(format!("systemctl show {unit}: IPAddressDeny={}", service.denied))
        .seen(format!("systemctl show {unit}: IPAddressAllow={}", service.allowed));
    vec![finding.remedy(Remedy::Advice(format!(
        "write [Service] and IPAddressAllow= with the address of the Prometheus with `systemctl edit {unit}`, then \
         `systemctl restart {unit}`; or serve them to this host alone: `metrics = \"/run/lone64/metrics.sock\"`"
    )))]
}

fn removed(socket: &str, file: Option<&str>) -> Finding {
    let sentence = format!("the socket of the metrics, {socket}, is gone: nobody can read them");
    let finding =
        Finding::warning(sentence).seen(format!("lone64 status: {socket} was removed, or is another's"));
    finding.run(Command::new(format!("lone64 reload{}", named("--config ", file))).lasting())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemctl(1) shows the unit of contrib/systemd, with a drop-in that allows more.
    fn service(more: &str) -> Service {
        let text = format!(
            "LoadState=loaded\nActiveState=active\nIPAddressDeny=::/0 0.0.0.0/0\n\
             IPAddressAllow=127.0.0.0/8 ::1/128{more}\n"
        );
        Service::parse("lone64.service", &text)
    }

    #[test]
    fn others_are_let_in_by_what_the_unit_allows() {
        let lets_in =
            |service: &Service, address: &str| service.lets_others_in(address.parse().expect("an address"));
        let alone = service("");
        assert!(!lets_in(&alone, "::") && !lets_in(&alone, "2001:db8::1") && !lets_in(&alone, "0.0.0.0"));
        let dropped_in = service(" 2001:db8:9::9/128");
        assert!(lets_in(&dropped_in, "::") && lets_in(&dropped_in, "2001:db8::1"));
        assert!(!lets_in(&dropped_in, "192.0.2.1"), "only an IPv6 address is allowed");
        let without = Service::parse("lone64.service", "LoadState=loaded\nIPAddressDeny=\nIPAddressAllow=\n");
        assert!(lets_in(&without, "::"));
    }
}
