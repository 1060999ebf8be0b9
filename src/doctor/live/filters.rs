//! The packet filters that can stop what the host forwards. Touches nothing.

use ipnet::Ipv6Net;
use serde_json::Value;

use crate::doctor::{Finding, Firewall};

/// Which way the packets go that are to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the guests.
    Out,
    /// To the guests.
    In,
}

/// Names every chain that can drop what is forwarded, with the rule that lets this range pass.
pub(super) fn blame(mut finding: Finding, firewall: &Firewall, range: Ipv6Net, way: Way) -> Finding {
    let (nftables, legacy) = match way {
        Way::Out => ("saddr", "-s"),
        Way::In => ("daddr", "-d"),
    };
    for Chain { family, table, name, why } in suspects(firewall.nftables.as_deref().unwrap_or_default()) {
        finding = finding
            .seen(format!("nftables: chain {family} {table} {name} forwards, and {why}"))
            .run(format!("nft insert rule {family} {table} {name} ip6 {nftables} {range} accept"));
    }
    if let Some(rules) = &firewall.legacy
        && rules.lines().any(|line| line.starts_with(":FORWARD DROP") || drops_forwarded(line))
    {
        finding = finding
            .seen("ip6tables-legacy: the chain FORWARD drops packets")
            .run(format!("ip6tables-legacy -I FORWARD {legacy} {range} -j ACCEPT"));
    }
    match &firewall.unread {
        Some(why) => finding.seen(format!("the packet filters cannot be read: {why}")),
        None => finding,
    }
}

struct Chain {
    family: String,
    table: String,
    name: String,
    why: &'static str,
}

/// The base chains of the hook `forward` that drop by policy, or have a rule that drops, or one that
/// leads to a chain that does.
fn suspects(objects: &[Value]) -> Vec<Chain> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let chains = objects.iter().filter_map(|object| object.get("chain"));
    let forward = chains.filter(|chain| {
        chain["hook"] == "forward" && ["ip6", "inet"].contains(&chain["family"].as_str().unwrap_or_default())
    });
    forward
        .filter_map(|chain| {
            let (family, table, name) = (text(chain, "family"), text(chain, "table"), text(chain, "name"));
            let of_table =
                |rule: &&Value| rule["family"] == family.as_str() && rule["table"] == table.as_str();
            let rules = objects.iter().filter_map(|object| object.get("rule")).filter(of_table);
            let why = if chain["policy"] == "drop" {
                "drops what no rule accepts"
            } else if rules.clone().any(|rule| rule["chain"] == name.as_str() && does(rule, &VERDICTS)) {
                "has a rule that drops"
            } else if rules.clone().any(|rule| rule["chain"] == name.as_str() && does(rule, &LEADS))
                && rules.clone().any(|rule| does(rule, &VERDICTS))
            {
                "leads to a rule that drops"
            } else {
                return None;
            };
            Some(Chain { family, table, name, why })
        })
        .collect()
}

fn does(rule: &Value, statements: &[&str]) -> bool {
    let expressions = rule["expr"].as_array().into_iter().flatten();
    expressions.filter_map(Value::as_object).any(|one| statements.iter().any(|name| one.contains_key(*name)))
}

fn drops_forwarded(line: &str) -> bool {
    line.starts_with("-A FORWARD") && (line.contains("-j DROP") || line.contains("-j REJECT"))
}

const VERDICTS: [&str; 2] = ["drop", "reject"];
const LEADS: [&str; 3] = ["jump", "goto", "vmap"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(family: &str, policy: &str) -> Value {
        let (table, name) = ("filter", "forward");
        json!({ "chain": { "family": family, "table": table, "name": name, "hook": "forward", "policy": policy } })
    }

    fn blamed(objects: Vec<Value>) -> Finding {
        let firewall = Firewall { nftables: Some(objects), ..Firewall::default() };
        blame(Finding::fault("it is gone"), &firewall, "2001:db8::/112".parse().unwrap(), Way::In)
    }

    #[test]
    fn blames_chains_that_drop_and_no_others() {
        assert_eq!(blamed(vec![chain("inet", "accept"), chain("ip", "drop")]).evidence, Vec::<String>::new());
        let found = blamed(vec![chain("inet", "drop")]);
        let remedy = "nft insert rule inet filter forward ip6 daddr 2001:db8::/112 accept";
        assert_eq!(found, blamed_with(remedy));
        let rule = json!({ "rule": { "family": "ip6", "table": "filter", "chain": "forward", "expr": [{ "drop": null }] } });
        assert_eq!(blamed(vec![chain("ip6", "accept"), rule]).remedies.len(), 1);
    }

    fn blamed_with(remedy: &str) -> Finding {
        Finding::fault("it is gone")
            .seen("nftables: chain inet filter forward forwards, and drops what no rule accepts")
            .run(remedy)
    }
}
