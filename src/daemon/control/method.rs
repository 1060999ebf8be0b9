//! What can be asked on the control socket. A new method is a variant of [`Method`], a line in its
//! `parse`, and a branch where the daemon answers it.

use core::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::reply::Fault;
use crate::config::lifetime;
use crate::daemon::claiming::object_of;
use crate::engine::facts::IfName;
use crate::engine::guests::Object;
use crate::wire::Mac;

/// A request that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// What there is.
    Status(StatusParams),
    /// Why an address is answered for, or not.
    Explain(ExplainParams),
    /// Read the configuration again.
    Reload,
    /// The next stop is followed by another start.
    HandOver,
    /// Tell whatever happens from now on.
    Watch,
    /// Something is here from now on.
    Claim(ClaimParams),
    /// Something is not here any more.
    Release(ReleaseParams),
}

/// Which part of the status is wanted; pages of what there may be very much of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusParams {
    /// Targets behind this address only.
    pub after: Option<Ipv6Addr>,
    /// Routes behind this destination only.
    pub routes_after: Option<Ipv6Net>,
    /// Targets and routes, of each at most so many; never more than [`StatusParams::MOST`].
    pub limit: usize,
    /// Live targets only.
    pub live_only: Truth,
    /// Routes that are not as they should be only.
    pub differing_only: Truth,
    /// Every key of the configuration, too.
    pub keys: Truth,
}

/// Which address is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainParams {
    /// The address.
    pub address: Ipv6Addr,
    /// Whether its downstreams are asked for it now; what comes of it a later explanation tells.
    #[serde(default)]
    pub probe: Truth,
}

/// What is here from now on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimParams {
    /// Addresses, prefixes and names of guests.
    #[serde(deserialize_with = "objects")]
    pub what: Vec<Object>,
    /// The downstream that they are on.
    pub interface: Option<IfName>,
    /// Their link-layer address.
    pub mac: Option<Mac>,
    /// What packets for them are routed through.
    pub via: Option<Ipv6Addr>,
    /// For how long; otherwise until they are released.
    #[serde(default, rename = "for", deserialize_with = "time")]
    pub time: Option<Duration>,
}

/// What is not here any more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseParams {
    /// As it was claimed.
    #[serde(deserialize_with = "objects")]
    pub what: Vec<Object>,
}

fn objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Object>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    if !(1..=MOST_OBJECTS).contains(&written.len()) {
        return Err(D::Error::custom(format!(
            "`what` has {} entries; write 1 to {MOST_OBJECTS}",
            written.len()
        )));
    }
    written.iter().map(|text| object_of(text).map_err(D::Error::custom)).collect()
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let written = Option::<String>::deserialize(deserializer)?;
    written.map(|text| lifetime(&text).map_err(D::Error::custom)).transpose()
}

/// A flag of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "bool")]
pub enum Truth {
    /// `false`
    #[default]
    No,
    /// `true`
    Yes,
}

impl Method {
    /// All of them, in words.
    pub const NAMES: &'static str =
        "`status`, `explain`, `claim`, `release`, `reload`, `hand_over` and `watch`";

    /// Reads a request: one line, with or without its end.
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        // A list of the fields' values would do for serde, too, and for nobody else.
        let request = serde_json::from_slice::<Map<String, Value>>(line)
            .and_then(|object| serde_json::from_value::<Request>(Value::Object(object)));
        let request = request.map_err(|error| {
            let error: String = error.to_string().chars().take(LONGEST_ERROR).collect();
            let example = r#"write one such as {"method":"status"} on one line"#;
            Fault::new("not_a_request", format!("this is not a request: {error}; {example}"))
        })?;
        let params = request.params.unwrap_or_default();
        match request.method.as_str() {
            "status" => params_of("status", params).map(Self::Status),
            "explain" => params_of("explain", params).map(Self::Explain),
            "claim" => params_of("claim", params).map(Self::Claim),
            "release" => params_of("release", params).map(Self::Release),
            "reload" => params_of::<NoParams>("reload", params).map(|NoParams {}| Self::Reload),
            "hand_over" => params_of::<NoParams>("hand_over", params).map(|NoParams {}| Self::HandOver),
            "watch" => params_of::<NoParams>("watch", params).map(|NoParams {}| Self::Watch),
            other => {
                let other: String = other.chars().take(LONGEST_NAME).collect();
                let message = format!("unknown method `{other}`; the methods are {}", Self::NAMES);
                Err(Fault::new("unknown_method", message))
            }
        }
    }
}

impl StatusParams {
    /// Of one page.
    pub const MOST: usize = 1_000;

    /// Whether the first page is meant, which has what has no pages.
    pub fn is_first(&self) -> bool {
        self.after.is_none() && self.routes_after.is_none()
    }
}

impl Default for StatusParams {
    fn default() -> Self {
        Self {
            after: None,
            routes_after: None,
            limit: Self::MOST,
            live_only: Truth::No,
            differing_only: Truth::No,
            keys: Truth::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    params: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

fn params_of<P: DeserializeOwned>(method: &str, params: Map<String, Value>) -> Result<P, Fault> {
    serde_json::from_value(Value::Object(params)).map_err(|error| {
        let error: String = error.to_string().chars().take(LONGEST_ERROR).collect();
        Fault::new("wrong_params", format!("the params of `{method}` are wrong: {error}"))
    })
}

/// In one request, which has room for so many.
const MOST_OBJECTS: usize = 1_000;
/// Characters of a client's text that are said back to it.
const LONGEST_NAME: usize = 64;
const LONGEST_ERROR: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> String {
        let fault = Method::parse(line.as_bytes()).unwrap_err();
        format!("{}: {}", fault.code, fault.message)
    }

    #[test]
    fn reads_every_method() {
        for (line, method) in [
            (r#"{"method":"status"}"#, Method::Status(StatusParams::default())),
            (r#"{"method":"reload","params":{}}"#, Method::Reload),
            (r#"{"method":"hand_over"}"#, Method::HandOver),
            (r#"{"method":"watch","params":null}"#, Method::Watch),
        ] {
            assert_eq!(Method::parse(line.as_bytes()), Ok(method));
        }
        let paged = r#"{"method":"status","params":{"after":"2001:db8::1","limit":5,"live_only":true}}"#;
        let Ok(Method::Status(params)) = Method::parse(paged.as_bytes()) else { panic!("{paged}") };
        assert_eq!((params.limit, params.live_only), (5, Truth::Yes));
        assert_eq!(params.after, "2001:db8::1".parse().ok());
    }

    #[test]
    fn says_what_there_is_to_whoever_asks_for_something_else() {
        let unknown = fault(r#"{"method":"stats"}"#);
        assert_eq!(
            unknown,
            "unknown_method: unknown method `stats`; the methods are `status`, `explain`, `claim`, `release`, `reload`, \
             `hand_over` and `watch`"
        );
        let params = fault(r#"{"method":"status","params":{"afer":"::"}}"#);
        assert!(params.starts_with("wrong_params: ") && params.contains("`after`"), "{params}");
        assert!(fault(r#"{"method":"watch","params":{"x":1}}"#).contains("unknown field `x`"));
        for line in [r#"{"method":"status","params":[]}"#, r#"{"method":"status","x":1}"#] {
            assert!(fault(line).starts_with("not_a_request: "), "{line}");
        }
        for garbage in ["", "{", "[]", "7", "\u{0}", r#"{"method":7}"#, r#"["watch",null]"#] {
            assert!(fault(garbage).starts_with("not_a_request: "), "{garbage}");
        }
    }

    #[test]
    fn reads_what_is_claimed_and_refuses_what_is_none() {
        let line = r#"{"method":"claim","params":{"what":["2001:db8::5","2001:db8::c:0/116","web1"],"interface":"br0",
            "mac":"02:00:00:00:00:05","via":"fe80::5","for":"1h"}}"#;
        let Ok(Method::Claim(params)) = Method::parse(line.as_bytes()) else { panic!("{line}") };
        let what: Vec<_> = params.what.iter().map(ToString::to_string).collect();
        assert_eq!(what, ["2001:db8::5", "2001:db8::c:0/116", "web1"]);
        assert_eq!((params.time, params.via), (Some(Duration::from_secs(3_600)), "fe80::5".parse().ok()));
        let bare = r#"{"method":"claim","params":{"what":["web1"],"for":null}}"#;
        assert!(matches!(Method::parse(bare.as_bytes()), Ok(Method::Claim(params)) if params.time.is_none()));
        for (what, said) in [
            (r#"[]"#, "write 1 to 1000"),
            (r#"["2001:db8::5/64"]"#, "write 2001:db8::/64"),
            (r#"["2001:db8::g"]"#, "is not an IPv6 prefix"),
            (r#"["a b"]"#, "the name of a guest"),
        ] {
            let fault = fault(&format!(r#"{{"method":"release","params":{{"what":{what}}}}}"#));
            assert!(fault.starts_with("wrong_params: ") && fault.contains(said), "{fault}");
        }
        assert!(fault(r#"{"method":"claim","params":{"what":["a"],"for":"soon"}}"#).contains("\"1h\""));
    }

    #[test]
    fn says_back_little_of_what_it_was_told() {
        let long = "x".repeat(60_000);
        assert!(fault(&format!("{{\"method\":\"{long}\"}}")).len() < 200);
        assert!(fault(&format!("{{\"method\":\"status\",\"params\":{{\"{long}\":1}}}}")).len() < 500);
        assert!(fault(&"[".repeat(60_000)).starts_with("not_a_request"));
    }
}
