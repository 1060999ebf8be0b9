//! The engine on a virtual clock: scenarios by subject, through its public interface.
#![allow(clippy::unwrap_used)]

mod admission;
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
mod filtered_gateway;
mod filters;
#[path = "../frames/mod.rs"]
mod frames;
mod gateway;
mod gateway_address;
mod groups;
mod guards;
mod hints;
#[path = "../host/mod.rs"]
mod host;
mod host_addresses;
mod hour;
mod identities;
mod keepalive;
mod limits;
mod links;
#[path = "../machine/mod.rs"]
mod machine;
mod masks;
mod measure;
mod mirror;
mod mirrored_sources;
mod neighbors;
mod next_hops;
mod own_bridge;
mod own_link;
mod own_link_pairs;
mod probing;
mod programs;
mod provider;
mod proxy_downstream;
mod regressions;
mod reload;
mod remedies;
mod replaced_routes;
mod rounds;
mod routed;
mod routes;
mod scans;
mod slices;
mod source;
mod storm;
mod suffix;
mod suppress;
mod switches;
mod tables;
mod unserved;
mod upstreams;
mod whole_64;
mod whole_link;
