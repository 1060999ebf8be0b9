//! What can be asked on the control socket. A new method is a variant of [`Method`], a line in its
//! `parse`, and a branch where the daemon answers it.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::reply::Fault;

/// A request that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// What there is.
    Status(StatusParams),
    /// Why an address is answered for, or not.
    Explain(ExplainParams),
    /// Read the configuration again.
    Reload,
    /// Tell whatever happens from now on.
    Watch,
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
    pub const NAMES: &'static str = "`status`, `explain`, `reload` and `watch`";

    /// Reads a request.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Fault> {
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
            "reload" => params_of::<NoParams>("reload", params).map(|NoParams {}| Self::Reload),
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
            "unknown_method: unknown method `stats`; the methods are `status`, `explain`, `reload` and `watch`"
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
    fn says_back_little_of_what_it_was_told() {
        let long = "x".repeat(60_000);
        assert!(fault(&format!("{{\"method\":\"{long}\"}}")).len() < 200);
        assert!(fault(&format!("{{\"method\":\"status\",\"params\":{{\"{long}\":1}}}}")).len() < 500);
        assert!(fault(&"[".repeat(60_000)).starts_with("not_a_request"));
    }
}
