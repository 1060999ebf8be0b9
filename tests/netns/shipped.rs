//! Every configuration under `config/` runs, on a host that has the interfaces that it names.

use std::collections::BTreeSet;
use std::fs;

use lone64::config;
use lone64::engine::policy::{Downstream, RangeRoutes, UpstreamInterface};

use crate::daemon::Daemon;
use crate::lab::Lab;

crate::cases![runs_every_shipped_configuration];

fn runs_every_shipped_configuration() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let files: Vec<_> =
        fs::read_dir(directory).expect("it is there").map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let lab = Lab::veth();
        let config = config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        for name in names(&config) {
            // Bridges stand in for whatever it is: they have names and Ethernet addresses.
            lab.host.ip(&format!("link add {name} type bridge\nlink set {name} up\n"));
        }
        let daemon = Daemon::start_with_options(&lab, &format!("--config {}", file.display()));
        let routes = lab.host.show("-o route show table all proto 64");
        for range in &config.policy.ranges {
            let is_there = routes.contains(&range.prefix.to_string());
            // What is all of the upstream's link has no backstop.
            let is_guarded = range.backstop && range.prefix.prefix_len() > 64;
            let is_wanted = is_guarded || range.routes == RangeRoutes::Range;
            assert!(is_there || !is_wanted, "{}: {}: {routes}", file.display(), range.prefix);
        }
        // The /64 of the lab's upstream.
        let is_put_under = routes.contains("2001:db8:1:2:");
        // All of it has a route for each guest, and none of its own.
        let are_whole = config.policy.suffixes.iter().all(|suffix| suffix.prefix.prefix_len() == 64);
        assert!(is_put_under || are_whole, "{}: {routes}", file.display());
        let mut all = config.policy.ranges.iter().chain(&config.policy.suffixes);
        let has_gateway = all.any(|range| range.gateway.is_some());
        assert_eq!(lab.host.show("addr show").contains(" fe80::1/64 "), has_gateway, "{}", file.display());
        daemon.stop();
        assert!(!lab.host.show("addr show").contains(" fe80::1/64 "), "{}", file.display());
        assert_eq!(lab.host.show("-o route show table all proto 64"), "", "{}", file.display());
    }
}

/// The interfaces that the lab's host does not have.
fn names(config: &config::Config) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for upstream in &config.policy.upstreams {
        if let UpstreamInterface::Named(name) = &upstream.interface {
            names.insert(name.to_string());
        }
    }
    for range in &config.policy.ranges {
        match &range.downstream {
            Downstream::Named(name) => _ = names.insert(name.to_string()),
            Downstream::Matching(patterns) => {
                names.extend(patterns.iter().map(|pattern| pattern.as_str().replace('*', "0")));
            }
            Downstream::Kernel => {}
        }
    }
    ["lo", "br0", "up0"].iter().for_each(|known| _ = names.remove(*known));
    names
}
