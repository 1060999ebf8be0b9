//! The rules of a host as `nft --json` tells them, and behind a line of three dashes as `ip6tables-save` and
//! `nft list chains` do.
//!
//! Held to: no panic, and an end. An objection names a chain and a rule that are there. Our own table never objects, and
//! what is only for IPv4 changes nothing. A chain does not speak for another: one more that lets all pass changes nothing
//! that others object to, and one that drops all is objected to, whatever the others do.

use std::net::Ipv6Addr;

use lone64::doctor::firewall::{
    Body, Family, Fate, Hook, Listings, Objection, Packet, Reverse, Ruleset, State,
};
use serde_json::{Value, json};

/// One input.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split(BREAK);
    let nftables = parts.next().and_then(objects).unwrap_or_default();
    let [saved, chains] = [(); 2].map(|()| parts.next().map(str::to_owned));
    let of = |nftables: Vec<Value>| Listings {
        nftables,
        chains: chains.clone(),
        iptables: saved.clone(),
        legacy: saved.clone(),
    };
    let listings = of(nftables.clone());
    let (_, _) = (listings.has_iptables(), listings.lacks_devices());
    let rules = listings.parse();
    assert_eq!(rules, listings.parse());
    assert!(rules.chains.iter().all(|chain| chain.table.name != "lone64"));
    let said = objections(&rules);

    let ipv4 = nftables.iter().cloned().chain(foreign()).collect();
    assert_eq!(of(ipv4).parse(), rules);
    let open = nftables.iter().cloned().chain(chain("accept", -1_000)).collect();
    assert_eq!(objections(&of(open).parse()), said);
    let closed = of(nftables.into_iter().chain(chain("drop", 1_000)).collect()).parse();
    assert!(closed.objections(Hook::Forward, &FAMILIES, "", &PACKETS[0]).iter().any(|objection| {
        objection.base.table.name == OURS && objection.fate == Fate::Dropped && objection.rule.is_some()
    }));
}

/// As doctor takes them out of the document.
fn objects(text: &str) -> Option<Vec<Value>> {
    match serde_json::from_str::<Value>(text).ok()?.get_mut("nftables")?.take() {
        Value::Array(objects) => Some(objects),
        _ => None,
    }
}

/// What becomes of some packets at every hook.
fn objections(rules: &Ruleset) -> Vec<String> {
    let mut all = Vec::new();
    for hook in HOOKS {
        for packet in &PACKETS {
            let objections = rules.objections(hook, &FAMILIES, "eth0", packet);
            objections.iter().for_each(|objection| is_there(rules, objection));
            let said = |one: &Objection<'_>| {
                let rule = one.rule.map(|(number, rule)| (number, rule.handle));
                format!("{hook:?} {}: {:?} by {} {rule:?}", one.base, one.fate, one.chain)
            };
            all.extend(objections.iter().map(said));
        }
    }
    all
}

fn is_there(rules: &Ruleset, objection: &Objection<'_>) {
    let Objection { base, chain, rule, siblings, .. } = objection;
    assert!(base.base.is_some() && base.table == chain.table);
    assert!(rules.chains.contains(base) && rules.chains.contains(chain));
    assert!(siblings.contains(&base.name.as_str()) && siblings.contains(&chain.name.as_str()));
    assert!(rule.is_none_or(|(number, rule)| chain.rules.get(number) == Some(rule)));
}

/// A table with a chain that does this with whatever is forwarded.
fn chain(verdict: &str, priority: i64) -> [Value; 2] {
    let chain = json!({"family": "inet", "table": OURS, "name": "c", "type": "filter", "hook": "forward", "prio": priority,
        "policy": "accept"});
    let rule = json!({"family": "inet", "table": OURS, "chain": "c", "handle": 2, "expr": [{verdict: null}]});
    [json!({"chain": chain}), json!({"rule": rule})]
}

fn foreign() -> [Value; 2] {
    let chain =
        json!({"family": "ip", "table": OURS, "name": "c", "hook": "forward", "prio": 0, "policy": "drop"});
    let rule = json!({"family": "ip", "table": OURS, "chain": "c", "expr": [{"drop": null}]});
    [json!({"chain": chain}), json!({"rule": rule})]
}

const fn packet(body: Body, state: State, reverse: Reverse) -> Packet<'static> {
    let source = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let destination = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0xc, 0, 0, 5);
    Packet { input: "eth0", output: "br0", source, destination, body, state, reverse }
}

/// A solicitation, an echo request, a reply on a connection, and a datagram that nobody knows a way back for.
const PACKETS: [Packet<'static>; 4] = [
    packet(Body::Icmp(135), State::Untracked, Reverse::Routed),
    packet(Body::Icmp(128), State::New, Reverse::Routed),
    packet(Body::Tcp(443), State::Established, Reverse::Routed),
    packet(Body::Udp(53), State::New, Reverse::Missing),
];
const HOOKS: [Hook; 7] = [
    Hook::Ingress,
    Hook::Prerouting,
    Hook::Input,
    Hook::Forward,
    Hook::Output,
    Hook::Postrouting,
    Hook::Egress,
];
const FAMILIES: [Family; 4] = [Family::Inet, Family::Ip6, Family::Bridge, Family::Netdev];
/// No table of an input has this name by chance.
const OURS: &str = "of the fuzzer";
const BREAK: &str = "\n---\n";
