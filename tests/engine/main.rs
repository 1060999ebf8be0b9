//! The engine on a virtual clock: scenarios by subject, through its public interface.
#![allow(clippy::unwrap_used)]

mod answers;
mod automatic;

mod evidence;
mod exclusions;
#[path = "../host/mod.rs"]
mod host;
mod host_addresses;
mod hour;
mod keepalive;
mod limits;
mod links;
mod probing;
mod regressions;
mod reload;
mod routes;
mod source;
mod storm;
mod suffix;
mod upstreams;
