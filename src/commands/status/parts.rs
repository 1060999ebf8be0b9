//! Next hops, guests with an identity and claims, as the status shows them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::page::{duration, painted};
use crate::commands::terminal::{bad, folded};

/// A router that guests are behind.
#[derive(Debug, Deserialize)]
pub(super) struct NextHop {
    address: String,
    interface: Option<String>,
    state: String,
    last_seen_seconds: Option<u64>,
}

/// A guest with an identity.
#[derive(Debug, Deserialize)]
pub(super) struct Guest {
    name: String,
    interface: Option<String>,
    state: String,
    delegated: Vec<String>,
    missing: Option<String>,
    /// `on`, `waiting` or `off`.
    #[serde(default)]
    guard: String,
    /// Packets that its guard has dropped, by the reason.
    #[serde(default)]
    dropped: BTreeMap<String, u64>,
}

/// What is claimed.
#[derive(Debug, Deserialize)]
pub(super) struct Claim {
    object: String,
    interface: Option<String>,
    via: Option<String>,
    seconds_left: Option<u64>,
    state: String,
    missing: Option<String>,
}

/// What is done with a range. One that stands by is answered for as far as it is claimed, and that has lines of its own.
pub(super) fn range_state(state: &str, stands_by: bool) -> String {
    match stands_by && state == "serving" {
        true => "standing by, but for what is claimed".to_owned(),
        false => painted(state),
    }
}

impl NextHop {
    pub(super) fn line(&self) -> String {
        let seen = self.last_seen_seconds.map(|s| format!(", seen {} ago", duration(s))).unwrap_or_default();
        let line = format!("{}{}: {}{seen}", self.address, dev(&self.interface), painted(&self.state));
        folded("next hop ", "    ", &line)
    }
}

impl Guest {
    /// Of one that lacks something, has prefixes, or of which something was dropped; the addresses of the others are
    /// among the live guests.
    pub(super) fn line(&self) -> Option<String> {
        let prefixes = match self.delegated.as_slice() {
            [] => String::new(),
            prefixes => format!("; {}", prefixes.join(", ")),
        };
        let missing = self.missing.as_ref().map(|missing| format!("; {missing}")).unwrap_or_default();
        let guard = self.guard();
        let is_worth_it = self.missing.is_some()
            || !self.delegated.is_empty()
            || !self.dropped.is_empty()
            || self.guard == "waiting";
        let line = format!(
            "{}{}: {}{prefixes}{guard}{missing}",
            self.name,
            dev(&self.interface),
            painted(&self.state)
        );
        is_worth_it.then(|| folded("guest ", "    ", &line))
    }
}

impl Guest {
    fn guard(&self) -> String {
        let dropped: Vec<_> =
            self.dropped.iter().map(|(reason, packets)| format!("{reason} {packets}")).collect();
        match (self.guard.as_str(), dropped.as_slice()) {
            ("on", []) => "; guarded".to_owned(),
            ("on", dropped) => format!("; guarded, dropped {}", dropped.join(", ")),
            ("waiting", _) => format!("; {}", bad("not guarded yet")),
            _ => String::new(),
        }
    }
}

impl Claim {
    pub(super) fn line(&self) -> String {
        let via = self.via.as_ref().map(|via| format!(" via {via}")).unwrap_or_default();
        let left = self.seconds_left.map(|s| format!(", ends in {}", duration(s))).unwrap_or_default();
        let missing = self.missing.as_ref().map(|missing| format!("; {missing}")).unwrap_or_default();
        let line =
            format!("{}{via}{}: {}{left}{missing}", self.object, dev(&self.interface), painted(&self.state));
        folded("claim ", "    ", &line)
    }
}

fn dev(interface: &Option<String>) -> String {
    interface.as_ref().map(|name| format!(" dev {name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::terminal::good;

    #[test]
    fn names_what_is_missing_and_leaves_out_guests_that_lack_nothing() {
        let guest = |missing: Option<&str>, delegated: &[&str]| {
            let value = json!({ "name": "web1", "interface": "br0", "state": "here", "delegated": delegated,
                "missing": missing, "mac": null, "addresses": [] });
            Guest::deserialize(value).unwrap().line()
        };
        let here = good("here");
        assert_eq!(guest(None, &[]), None);
        assert_eq!(
            guest(Some("tap7 is down"), &[]).unwrap(),
            format!("guest web1 dev br0: {here}; tap7 is down\n")
        );
        assert_eq!(
            guest(None, &["2001:db8::/112"]).unwrap(),
            format!("guest web1 dev br0: {here}; 2001:db8::/112\n")
        );
        let guarded = |guard: &str, dropped: serde_json::Value| {
            let value = json!({ "name": "web1", "interface": "br0", "state": "here", "delegated": [], "missing": null,
                "guard": guard, "dropped": dropped });
            Guest::deserialize(value).unwrap().line()
        };
        assert_eq!((guarded("on", json!({})), guarded("off", json!({}))), (None, None));
        let line = guarded("on", json!({ "source": 3, "dad": 1 }));
        assert_eq!(line.unwrap(), format!("guest web1 dev br0: {here}; guarded, dropped dad 1, source 3\n"));
        assert!(guarded("waiting", json!({})).unwrap().contains("not guarded yet"));
        let claim = json!({ "object": "2001:db8::5", "interface": "br0", "mac": null, "via": null,
            "seconds_left": 90, "state": "here", "missing": null });
        let line = Claim::deserialize(claim).unwrap().line();
        assert_eq!(line, format!("claim 2001:db8::5 dev br0: {here}, ends in 1min 30s\n"));
    }
}
