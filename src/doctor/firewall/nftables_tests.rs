//! Listings of `nft --json list ruleset`.

use serde_json::json;

use super::super::Listings;
use super::*;

#[test]
fn tells_tables_of_iptables_by_their_chains() {
    let chain = |family: &str, table: &str, name: &str| json!({"chain": {"family": family, "table": table, "name": name, "hook": "forward", "prio": 0}});
    let keeper = |object: Json| chains(&[object])[0].table.keeper;
    assert_eq!(keeper(chain("ip6", "filter", "FORWARD")), Keeper::Iptables);
    assert_eq!(keeper(chain("ip6", "filter", "forward")), Keeper::Nft);
    assert_eq!(keeper(chain("inet", "filter", "FORWARD")), Keeper::Nft);
    assert_eq!(keeper(chain("ip6", "mine", "FORWARD")), Keeper::Nft);
}

#[test]
fn the_listing_of_iptables_wins_over_that_of_nft() {
    let nftables = vec![
        json!({"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "hook": "forward", "prio": 0,
            "policy": "drop"}}),
        json!({"rule": {"family": "ip6", "table": "filter", "chain": "FORWARD", "handle": 3,
            "expr": [{"xt": {"type": "match", "name": "conntrack"}}, {"accept": null}]}}),
    ];
    let without = Listings { nftables: nftables.clone(), ..Listings::default() };
    assert!(without.has_iptables());
    // Nothing to change it with but nft.
    assert_eq!(without.parse().chains[0].table.keeper, Keeper::Nft);
    let saved = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n";
    let with = Listings { nftables, iptables: Some(saved.to_owned()), ..Listings::default() }.parse();
    assert_eq!(with.chains.len(), 1);
    assert!(matches!(&with.chains[0].rules[0].steps[0], Step::Match(one) if one.field == Field::State));
}

#[test]
fn our_own_table_and_ipv4_are_left_out() {
    let chain = |family: &str, table: &str| json!({"chain": {"family": family, "table": table, "name": "c", "hook": "prerouting", "policy": "drop"}});
    let nftables = vec![chain("ip6", "lone64"), chain("ip", "filter"), chain("arp", "filter")];
    assert!(Listings { nftables, ..Listings::default() }.parse().chains.is_empty());
}

#[test]
fn nonsense_is_survived() {
    let rule = |expr: Json| json!({"rule": {"family": "ip6", "table": "t", "chain": "c", "expr": expr}});
    let mut objects =
        vec![json!({"chain": {"family": "ip6", "table": "t", "name": "c"}}), json!(null), json!([])];
    for expr in [
        json!(null),
        json!([null, 1, "x", {}]),
        json!([{"match": null}, {"vmap": {}}, {"jump": 3}, {"xt": []}]),
        json!([{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "daddr"}},
            "right": {"prefix": {"addr": "2001:db8::", "len": 300}}}}]),
    ] {
        objects.push(rule(expr));
    }
    assert_eq!(chains(&objects)[0].rules.len(), 4);
}

#[test]
fn what_is_not_followed_is_named_in_words_of_nft() {
    let mark = json!({"meta": {"key": "mark"}});
    let helper = json!({"ct": {"key": "helper"}});
    let service = json!({"concat": [
        {"payload": {"protocol": "ip6", "field": "daddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]});
    let named = [mark, helper, service].each_ref().map(field);
    let expected = ["meta mark", "ct helper", "ip6 daddr . tcp dport"];
    assert_eq!(named, expected.map(|words| Field::Unknown(words.to_owned())));
}
