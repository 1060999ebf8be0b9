//! Whether guests are held to their own addresses where the configuration says so (`guard`), and whether other programs have
//! their sets (`nft-sets`). br_netfilter makes no difference to either.

use serde_json::Value;

use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::policy::Policy;

/// The check.
pub static CHECK: Check = Check {
    name: "guards",
    group: Group::Daemon,
    asks: "guests are guarded where `guard` says so, and the sets of `nft-sets` are there",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let Some(key) = wanted(&host.config.policy) else { return Vec::new() };
    if !host.has_nft {
        let sentence = format!("`{key}` needs the program nft, and it is not installed");
        let advice = "install the Debian package nftables (`apt-get install nftables`)";
        return vec![Finding::fault(sentence).remedy(Remedy::Advice(advice.to_owned()))];
    }
    let problems = host.daemon.iter().flat_map(|status| status["problems"].as_array().into_iter().flatten());
    problems.filter_map(Value::as_str).filter(|problem| is_about(problem)).map(refused).collect()
}

/// The key that needs nft, if one is written.
fn wanted(policy: &Policy) -> Option<&'static str> {
    let is_guarded = policy.guests.iter().any(|guest| guest.guard == Some(true))
        || policy.ranges.iter().chain(&policy.suffixes).any(|range| range.guard);
    match (is_guarded, policy.nft_sets) {
        (true, _) => Some("guard"),
        (false, true) => Some("nft-sets"),
        (false, false) => None,
    }
}

fn is_about(problem: &str) -> bool {
    problem.contains("not guarded") || problem.contains("`nft-sets`")
}

fn refused(problem: &str) -> Finding {
    let advice =
        "do what it says; the kernel needs nftables, and for ports of bridges CONFIG_NF_TABLES_BRIDGE";
    Finding::fault(problem.to_owned())
        .seen("lone64 status".to_owned())
        .remedy(Remedy::Advice(advice.to_owned()))
}
