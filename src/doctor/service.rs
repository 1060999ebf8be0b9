//! What systemd says of lone64's unit.
//!
//! Pure: `gather` runs systemctl(1), and this reads what it prints.

use std::net::IpAddr;

use ipnet::IpNet;

/// The state of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its name.
    pub unit: String,
    /// Whether there is such a unit.
    pub is_installed: bool,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub active: String,
    /// `running`, `dead`, `auto-restart`, …
    pub sub: String,
    /// `enabled`, `disabled`, `masked`, …
    pub enabled: String,
    /// How often it was started again after it had ended by itself.
    pub restarts: u32,
    /// The networks whose packets it drops, as systemd writes them.
    pub denied: String,
    /// Those that it takes all the same.
    pub allowed: String,
}

impl Service {
    /// The properties to ask for.
    pub const PROPERTIES: &str =
        "LoadState,ActiveState,SubState,UnitFileState,NRestarts,IPAddressDeny,IPAddressAllow";

    /// Reads lines of `PROPERTY=VALUE` (systemctl(1), `show`).
    pub fn parse(unit: &str, text: &str) -> Self {
        let mut service = Self { unit: unit.to_owned(), ..Self::default() };
        for (property, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match property {
                "LoadState" => service.is_installed = !matches!(value, "not-found" | "error" | ""),
                "ActiveState" => value.clone_into(&mut service.active),
                "SubState" => value.clone_into(&mut service.sub),
                "UnitFileState" => value.clone_into(&mut service.enabled),
                "NRestarts" => service.restarts = value.parse().unwrap_or_default(),
                "IPAddressDeny" => value.clone_into(&mut service.denied),
                "IPAddressAllow" => value.clone_into(&mut service.allowed),
                _ => {}
            }
        }
        service
    }

    /// Whether it was to run, and does not.
    pub fn fails(&self) -> bool {
        self.active == "failed" || self.sub == "auto-restart"
    }

    /// Whether any other host can reach an address of this one, by what the unit drops and takes
    /// (systemd.resource-control(5), `IPAddressAllow=`).
    pub fn lets_others_in(&self, address: IpAddr) -> bool {
        let networks = |text: &str| -> Vec<IpNet> {
            let all = text.split_whitespace().filter_map(|word| word.parse::<IpNet>().ok());
            // Who connects to an address of one family has one of the same.
            all.filter(|network| network.addr().is_ipv4() == address.is_ipv4()).collect()
        };
        let is_denied = networks(&self.denied).iter().any(|network| network.prefix_len() == 0);
        !is_denied || networks(&self.allowed).iter().any(|network| !network.network().is_loopback())
    }

    /// Whether the next boot starts it. A unit that another one pulls in, or that a generator made, counts.
    pub fn is_started_at_boot(&self) -> bool {
        !matches!(self.enabled.as_str(), "disabled" | "masked" | "masked-runtime" | "enabled-runtime" | "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systemctl_shows() {
        let text = "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=disabled\nNRestarts=7\n";
        let service = Service::parse("lone64.service", text);
        assert!(service.is_installed && service.fails() && !service.is_started_at_boot());
        assert_eq!(service.restarts, 7);
        let none = Service::parse("lone64.service", "LoadState=not-found\nActiveState=inactive\n");
        assert!(!none.is_installed && !none.fails());
    }
}
