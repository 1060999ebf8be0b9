//! Which part of a status is shown. What is left out is left out of text and JSON alike.
//!
//! May touch: nothing.

use core::net::Ipv6Addr;
use std::str::FromStr;

use ipnet::Ipv6Net;
use serde_json::Value;

use crate::engine::facts::IfName;

/// A part of what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    /// What is behind this interface, or arrives on it.
    Interface(IfName),
    /// What is in this prefix, or has it in it.
    Prefix(Ipv6Net),
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shown {
    pub(super) only: Option<Only>,
    pub(super) what: What,
}

/// Which kind of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum What {
    #[default]
    All,
    /// Guests that are there.
    Live,
    /// Whatever is not as it should be.
    Problems,
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(prefix) = text.parse::<Ipv6Net>() {
            return Ok(Self::Prefix(prefix.trunc()));
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self::Prefix(address.into()));
        }
        let remedy = "write the name of an interface, or a prefix such as 2001:db8:1:2:c::/112";
        if text.contains([':', '/']) {
            return Err(remedy.to_owned());
        }
        text.parse().map(Self::Interface).map_err(|error| format!("{error}; {remedy}"))
    }
}

impl Shown {
    /// What to say of a part that nothing that is served has to do with, as a name that is written wrongly has not.
    pub(super) fn missed(&self, status: &Value) -> Option<String> {
        let is_empty = |list: &str| status[list].as_array().is_none_or(Vec::is_empty);
        let only = self.only.as_ref().filter(|_| self.what == What::All);
        let only = only.filter(|_| is_empty("upstreams") && is_empty("ranges"))?;
        Some(match only {
            Only::Interface(name) => format!("{name} is no upstream, and no range is served behind it"),
            Only::Prefix(prefix) => format!("no range is served in {prefix}"),
        })
    }

    /// Leaves out of the status what is not shown. Problems and totals are of the whole, and stay.
    pub(super) fn cut(&self, status: &mut Value) {
        match &self.only {
            None => {}
            Some(Only::Interface(name)) => behind(name.as_str(), status),
            Some(Only::Prefix(prefix)) => inside(prefix, status),
        }
        match self.what {
            What::All => {}
            What::Live => {
                retain(status, "targets", |target| target["state"] == "live");
                let served = ["upstreams", "ranges", "routes", "next_hops", "guests", "claims"];
                let others = ["conflicts", "wide_masks", "unserved"];
                served.iter().chain(&others).for_each(|list| retain(status, list, |_| false));
            }
            What::Problems => {
                retain(status, "targets", |_| false);
                retain(status, "upstreams", |upstream| upstream["state"] != "up");
                retain(status, "ranges", |range| range["state"] != "serving");
                retain(status, "routes", |route| route["state"] != "installed");
                retain(status, "next_hops", |hop| hop["state"] == "absent");
                retain(status, "guests", |guest| !guest["missing"].is_null());
                retain(status, "claims", |claim| !claim["missing"].is_null());
            }
        }
    }
}

fn behind(name: &str, status: &mut Value) {
    let is_it = |value: &Value| value["interface"] == name;
    for list in
        ["upstreams", "targets", "routes", "next_hops", "wide_masks", "not_admitted", "guests", "claims"]
    {
        retain(status, list, is_it);
    }
    retain(status, "unserved", |network| is_it(network) || network["upstream"] == name);
    retain(status, "ranges", |range| {
        let named = range["interfaces"].as_array().map_or(&[][..], Vec::as_slice);
        // Not all of very many are named.
        let is_cut = range["interface_count"].as_u64() > u64::try_from(named.len()).ok();
        range["upstream"] == name || is_cut || named.iter().any(|interface| interface == name)
    });
}

fn inside(prefix: &Ipv6Net, status: &mut Value) {
    let has = |value: &Value| match value.as_str() {
        None => false,
        Some(text) => {
            let other = text.parse().or_else(|_| text.parse::<Ipv6Addr>().map(Ipv6Net::from));
            other.is_ok_and(|other: Ipv6Net| prefix.contains(&other) || other.contains(prefix))
        }
    };
    for (list, key) in [
        ("ranges", "prefix"),
        ("targets", "address"),
        ("routes", "destination"),
        ("next_hops", "address"),
        ("conflicts", "address"),
        ("wide_masks", "guest"),
        ("unserved", "prefix"),
        ("not_admitted", "address"),
    ] {
        retain(status, list, |one| has(&one[key]));
    }
    retain(status, "claims", |claim| has(&claim["object"]));
    let of_guest = |guest: &Value, key: &str| guest[key].as_array().is_some_and(|all| all.iter().any(has));
    retain(status, "guests", |guest| of_guest(guest, "addresses") || of_guest(guest, "delegated"));
    let ranges = status["ranges"].as_array().cloned().unwrap_or_default();
    retain(status, "upstreams", |upstream| {
        ranges.iter().any(|range| range["upstream"] == upstream["interface"])
    });
}

fn retain(status: &mut Value, list: &str, is_shown: impl Fn(&Value) -> bool) {
    if let Some(list) = status.get_mut(list).and_then(Value::as_array_mut) {
        list.retain(is_shown);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut(only: &str, what: What) -> Value {
        let range = |prefix: &str, interface: &str, state: &str| {
            json!({ "prefix": prefix, "upstream": "eth0", "interfaces": [interface], "interface_count": 1,
                    "state": state })
        };
        let target = |address: &str, interface: &str, state: &str| json!({ "address": address, "interface": interface, "state": state });
        let mut status = json!({
            "upstreams": [{ "interface": "eth0", "state": "up" }, { "interface": "eth1", "state": "down" }],
            "ranges": [
                range("2001:db8:1:2:c::/112", "br0", "serving"),
                range("2001:db8:1:2:d::/112", "br1", "waiting"),
            ],
            "targets": [
                target("2001:db8:1:2:c::5", "br0", "live"),
                target("2001:db8:1:2:c::6", "br0", "absent"),
                target("2001:db8:1:2:d::5", "br1", "live"),
            ],
            "routes": [{ "destination": "2001:db8:1:2:d::/112", "interface": "br1", "state": "conflict" }],
            "problems": [{ "message": "somewhere" }],
        });
        let only = (!only.is_empty()).then(|| only.parse().unwrap());
        Shown { only, what }.cut(&mut status);
        status
    }

    fn names(status: &Value, list: &str, key: &str) -> Vec<String> {
        let list = status[list].as_array().unwrap();
        list.iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn shows_what_is_behind_an_interface() {
        let status = cut("br0", What::All);
        assert_eq!(names(&status, "targets", "address"), ["2001:db8:1:2:c::5", "2001:db8:1:2:c::6"]);
        assert_eq!(names(&status, "ranges", "prefix"), ["2001:db8:1:2:c::/112"]);
        assert_eq!(
            (names(&status, "upstreams", "interface").len(), names(&status, "routes", "state").len()),
            (0, 0)
        );
        assert_eq!(names(&status, "problems", "message"), ["somewhere"]);
        assert_eq!(names(&cut("eth0", What::All), "ranges", "prefix").len(), 2);
    }

    #[test]
    fn shows_what_is_in_a_prefix_or_around_it() {
        let status = cut("2001:db8:1:2:d::/112", What::All);
        assert_eq!(names(&status, "targets", "address"), ["2001:db8:1:2:d::5"]);
        assert_eq!(names(&status, "routes", "state"), ["conflict"]);
        assert_eq!(names(&status, "upstreams", "interface"), ["eth0"]);
        let one = cut("2001:db8:1:2:c::6", What::All);
        assert_eq!(names(&one, "ranges", "prefix"), ["2001:db8:1:2:c::/112"]);
        assert_eq!(names(&one, "targets", "state"), ["absent"]);
    }

    #[test]
    fn says_that_nothing_is_there_of_what_was_asked_for() {
        let missed = |only: &str, what: What| {
            Shown { only: only.parse().ok(), what }.missed(&cut(only, what)).unwrap_or_default()
        };
        assert_eq!(missed("br9", What::All), "br9 is no upstream, and no range is served behind it");
        assert_eq!(missed("2001:db8:9::/64", What::All), "no range is served in 2001:db8:9::/64");
        for (only, what) in [("br0", What::All), ("eth1", What::All), ("br9", What::Live), ("", What::All)] {
            assert_eq!(missed(only, what), "", "{only}");
        }
    }

    #[test]
    fn shows_the_live_alone_or_the_problems_alone() {
        let live = cut("br0", What::Live);
        assert_eq!(names(&live, "targets", "address"), ["2001:db8:1:2:c::5"]);
        assert_eq!(names(&live, "ranges", "prefix").len(), 0);
        let problems = cut("", What::Problems);
        assert_eq!(names(&problems, "targets", "address").len(), 0);
        assert_eq!(names(&problems, "ranges", "state"), ["waiting"]);
        assert_eq!(names(&problems, "upstreams", "interface"), ["eth1"]);
        assert_eq!(names(&problems, "routes", "state"), ["conflict"]);
    }

    #[test]
    fn refuses_what_is_neither_an_interface_nor_a_prefix() {
        for text in ["2001:db8::/129", "192.0.2.0/24", "a/b", "sixteen-bytes-16"] {
            assert!(text.parse::<Only>().is_err_and(|error| error.contains("or a prefix such as")), "{text}");
        }
    }
}
