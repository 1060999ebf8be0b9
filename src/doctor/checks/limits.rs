//! Limits of the kernel's that the daemon meets.

use ipnet::Ipv6Net;

use crate::doctor::{Check, Finding, Group, Host};
use crate::wire::filter;

/// The check.
pub static CHECK: Check = Check {
    name: "limits",
    group: Group::Host,
    asks: "the packet filter of the daemon's socket fits",
    examine,
};

const KEY: &str = "net/core/optmem_max";

fn examine(host: &Host) -> Vec<Finding> {
    let ranges: Vec<Ipv6Net> = host.ranges().map(|(range, _)| range.prefix).collect();
    let is_proxied = host.ranges().any(|(range, _)| range.proxy_downstream);
    let neighbors: Vec<Ipv6Net> = host
        .upstreams()
        .iter()
        .filter(|_| is_proxied)
        .flat_map(|upstream| host.prefixes_of(upstream.link).map(|(_, prefix)| prefix))
        .collect();
    let needed = filter::upstream(&ranges, &neighbors).len() * BYTES;
    let limit = host.setting(KEY).and_then(|text| text.parse::<usize>().ok());
    let Some(limit) = limit.filter(|limit| *limit < needed) else { return Vec::new() };
    let plural = if ranges.len() == 1 { "" } else { "s" };
    let finding = if limit < filter::upstream_in_brief(&ranges, &neighbors).len() * BYTES {
        Finding::fault(format!(
            "the kernel allows a socket {limit} bytes of options, and the daemon hears no question: with {} \
             range{plural} its packet filter takes up to {needed}",
            ranges.len(),
        ))
    } else {
        Finding::warning(format!(
            "the kernel allows a socket {limit} bytes of options, and a packet filter for {} range{plural} \
             takes up to {needed}: it lets through what lies between them, and scans cost more",
            ranges.len(),
        ))
    };
    vec![finding.seen(format!("{KEY} = {limit}")).set(KEY, DEFAULT.max(needed).to_string())]
}

/// What the kernel takes for an instruction: 50 to 51 were measured on Linux 6.18, for 1 to 64 ranges.
const BYTES: usize = 52;

/// Linux 6.9 and later; 20480 before.
const DEFAULT: usize = 131_072;
