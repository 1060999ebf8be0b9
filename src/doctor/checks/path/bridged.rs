//! br_netfilter shows frames between guests of one bridge to the forward chain, which knows nothing of
//! them.

use super::bridge_filter::previous;
use super::forward;
use super::{Direction, ORDINARY, ROUTED, Way, exceptions, listed};
use crate::doctor::firewall::{Body, Exception, Fate, Hook, Objection, Packet, State};
use crate::doctor::{Check, Finding, Group, Host};
use crate::wire::solicited_node;

/// The check.
pub static CHECK: Check = Check {
    name: "bridged-traffic",
    group: Group::Path,
    asks: "guests on one bridge reach each other",
    examine,
};

const ALL: &str = "net/bridge/bridge-nf-call-ip6tables";

fn examine(host: &Host) -> Vec<Finding> {
    let is_for_all = host.setting(ALL) == Some("1");
    let ways = Way::all(host);
    // The remedy of these lets bridged packets pass as well.
    let barred = forward::obstacles(host, &ways, &[Hook::Prerouting, Hook::Forward, Hook::Postrouting]);
    let mut findings = Vec::new();
    let mut known = Vec::new();
    for way in &ways {
        let Some(bridge) = host.make(way.downstream).and_then(|make| make.bridge) else { continue };
        if !(is_for_all || bridge.filtered) || known.contains(&way.downstream) {
            continue;
        }
        let mut met = met(host, way);
        met.retain(|objection| !barred.all.iter().any(|(other, _)| other.base == objection.base));
        if met.is_empty() {
            continue;
        }
        known.push(way.downstream);
        let name = &way.downstream_name;
        let sentence = format!(
            "guests on {name} do not reach each other: br_netfilter shows what they send each other to {}, \
             which drops it",
            listed(met.iter().map(|objection| objection.base.to_string()))
        );
        let mut finding =
            met.iter().fold(Finding::warning(sentence), |finding, objection| finding.seen(objection.place()));
        if is_for_all {
            finding = finding.seen(format!("{ALL} = 1"));
        }
        if bridge.filtered {
            finding = finding.seen(format!("{name}: nf_call_ip6tables 1"));
        }
        // Not with the setting itself: Docker's icc=false and kube-proxy need it, on all bridges.
        let wanted = met.iter().map(|objection| {
            let hook = objection.base.base.as_ref().map(|base| base.hook);
            let exception = match hook {
                // It is not known there where a packet leaves by.
                Some(Hook::Prerouting) => Exception::By(name.clone()),
                _ => Exception::Within(name.clone()),
            };
            (objection, exception)
        });
        let what = format!("what keeps guests on {name} apart on purpose, such as Docker's icc=false");
        for command in exceptions(wanted) {
            finding = finding.run(command.disables(what.as_str()));
        }
        findings.push(finding);
    }
    findings
}

/// The chains that drop whatever one guest sends another, or the questions that come before it.
fn met<'a>(host: &'a Host, way: &Way) -> Vec<Objection<'a>> {
    let neighbor = previous(way.guest);
    let mut all: Vec<Objection<'a>> = Vec::new();
    for hook in [Hook::Prerouting, Hook::Forward, Hook::Postrouting] {
        let dropped = |body, state, destination| {
            let packet = way.packet(Direction::FromGuests, body, state);
            // Here they come and go by the bridge, not by its ports.
            let output = if hook == Hook::Prerouting { "" } else { packet.input };
            let packet = Packet { output, destination, ..packet };
            let mut all = host.firewall.rules.objections(hook, &ROUTED, "", &packet);
            all.retain(|one| one.fate == Fate::Dropped);
            all
        };
        let ordinary = ORDINARY.map(|body| dropped(body, State::New, neighbor));
        let is_in_all =
            |one: &&Objection<'_>| ordinary.iter().all(|met| met.iter().any(|other| other.base == one.base));
        let mut here: Vec<_> = ordinary[0].iter().filter(is_in_all).cloned().collect();
        here.extend(dropped(Body::Icmp(135), State::Untracked, solicited_node(neighbor)));
        here.extend(dropped(Body::Icmp(136), State::Untracked, neighbor));
        for objection in here {
            if !all.iter().any(|other| other.is_same(&objection)) {
                all.push(objection);
            }
        }
    }
    all
}
