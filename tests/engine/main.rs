//! The engine on a virtual clock: scenarios by subject, through its public interface.
#![allow(clippy::unwrap_used)]

mod announce;
mod answers;
mod automatic;
mod bursts;
mod claims;
mod convergence;
mod door;
mod doubts;
mod evidence;
mod exclusions;
mod explain;
mod gateway;
mod gateway_address;
mod groups;
#[path = "../host/mod.rs"]
mod host;
mod host_addresses;
mod hour;
mod keepalive;
mod limits;
mod links;
mod masks;
mod measure;
mod neighbors;
mod own_bridge;
mod own_link;
mod probing;
mod proxy_downstream;
mod regressions;
mod reload;
mod remedies;
mod replaced_routes;
mod rounds;
mod routed;
mod routes;
mod slices;
mod source;
mod storm;
mod suffix;
mod suppress;
mod tables;
mod unserved;
mod upstreams;
mod whole_64;
mod whole_link;
