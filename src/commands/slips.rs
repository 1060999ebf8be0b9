//! What `check` says of a configuration that is right by itself, and surely is not meant for this host: a name that is
//! not there beside one that almost is, and prefixes out of a page of documentation.

use ipnet::Ipv6Net;

use crate::config::nearest;
use crate::engine::Engine;
use crate::engine::facts::IfName;
use crate::engine::policy::{Downstream, IfPattern, Policy, UpstreamInterface};

/// A sentence for each.
pub(super) fn notes(written: &Policy, here: &Engine) -> Vec<String> {
    let mut notes = Vec::new();
    for name in names(written) {
        let missing = name.parse::<IfName>().is_ok_and(|name| here.links().named(&name).is_none());
        let there = here.links().iter().map(|link| link.name.as_str());
        if let Some(near) = nearest(&name, there).filter(|_| missing) {
            notes.push(format!("this host has no interface {name} now; did you mean {near}?"));
        }
    }
    let ranges = written.ranges.iter().filter(|range| range.needs_upstream());
    let documented = ranges.map(|range| range.prefix).filter(|prefix| DOCUMENTATION.contains(prefix));
    let own = here.upstream_links().find_map(|link| here.links().global(link));
    // A host with other addresses than those of the Internet has its prefixes translated, or is a test.
    if let Some(own) = own.filter(|own| INTERNET.contains(own) && !DOCUMENTATION.contains(own)) {
        notes.extend(documented.map(|prefix| {
            format!(
                "{prefix} is part of {DOCUMENTATION}, which is for documentation, and no router asks for it; use a \
                 prefix of this host, which has {own}"
            )
        }));
    }
    notes
}

/// Every interface that is named in so many letters, each once.
fn names(written: &Policy) -> Vec<String> {
    let mut names = Vec::new();
    for upstream in &written.upstreams {
        if let UpstreamInterface::Named(name) = &upstream.interface {
            names.push(name.to_string());
        }
    }
    for range in written.ranges.iter().chain(&written.suffixes) {
        match &range.downstream {
            Downstream::Kernel => {}
            Downstream::Named(name) => names.push(name.to_string()),
            Downstream::Matching(patterns) => {
                let plain =
                    patterns.iter().map(IfPattern::as_str).filter(|text| !IfPattern::is_pattern(text));
                names.extend(plain.map(str::to_owned));
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// RFC 3849.
const DOCUMENTATION: Ipv6Net =
    Ipv6Net::new_assert(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32);

/// RFC 4291 §2.4 and the registry of global unicast addresses.
const INTERNET: Ipv6Net = Ipv6Net::new_assert(core::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_named_in_so_many_letters_once() {
        let policy = crate::config::parse(
            "[[upstream]]\ninterface = \"eth0\"\n\
             [[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = [\"br0\", \"veth*\"]\n\
             [[range]]\nprefix = \"2001:db8:1:2:d::/112\"\ninterface = \"br0\"\n",
            "f",
        );
        assert_eq!(names(&policy.unwrap().policy), ["br0", "eth0"]);
    }
}
