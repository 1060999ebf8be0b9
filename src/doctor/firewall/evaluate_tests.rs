//! Packets against small rulesets, given as nft prints them.

use serde_json::json;

use super::super::Listings;
use super::*;
use serde_json::Value as Json;

/// One base chain at `forward`, and others that it may lead to.
fn ruleset(policy: &str, rules: &[Json], others: &[(&str, Json)], objects: &[Json]) -> Ruleset {
    let chain = |name: &str| json!({"chain": {"family": "inet", "table": "t", "name": name}});
    let rule = |chain: &str, expr: &Json| json!({"rule": {"family": "inet", "table": "t", "chain": chain, "handle": 7, "expr": expr}});
    let mut nftables = vec![json!({"chain": {"family": "inet", "table": "t", "name": "f", "type": "filter",
        "hook": "forward", "prio": 0, "policy": policy}})];
    nftables.extend(objects.iter().cloned());
    nftables.extend(others.iter().map(|(name, _)| chain(name)));
    nftables.extend(rules.iter().map(|expr| rule("f", expr)));
    nftables.extend(others.iter().map(|(name, expr)| rule(name, expr)));
    Listings { nftables, ..Listings::default() }.parse()
}

const TO_GUEST: Packet<'static> = Packet {
    input: "eth0",
    output: "br0",
    source: Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1),
    destination: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5),
    body: Body::Tcp(443),
    state: State::New,
    reverse: Reverse::Routed,
};

fn fates(rules: &Ruleset, packet: &Packet<'_>) -> Vec<Fate> {
    let families = [Family::Inet, Family::Ip6];
    rules.objections(Hook::Forward, &families, "", packet).into_iter().map(|one| one.fate).collect()
}

/// What becomes of a packet to a guest behind these rules, if whatever else is accepted.
fn fate(rules: &[Json]) -> Option<Fate> {
    fates(&ruleset("accept", rules, &[], &[]), &TO_GUEST).pop()
}

fn is(left: Json, right: impl Into<Json>) -> Json {
    json!({"match": {"op": "==", "left": left, "right": right.into()}})
}

fn is_not(left: Json, right: impl Into<Json>) -> Json {
    json!({"match": {"op": "!=", "left": left, "right": right.into()}})
}

fn meta(key: &str) -> Json {
    json!({"meta": {"key": key}})
}

fn payload(protocol: &str, field: &str) -> Json {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn drop() -> Json {
    json!({"drop": null})
}

fn accept() -> Json {
    json!({"accept": null})
}

const DROPPED: Option<Fate> = Some(Fate::Dropped);

#[test]
fn the_policy_decides_where_no_rule_does() {
    assert_eq!(fates(&ruleset("drop", &[], &[], &[]), &TO_GUEST), [Fate::Dropped]);
    assert_eq!(fates(&ruleset("accept", &[], &[], &[]), &TO_GUEST), []);
}

#[test]
fn the_first_rule_that_matches_decides() {
    assert_eq!(fate(&[json!([accept()]), json!([drop()])]), None);
    assert_eq!(fate(&[json!([is(meta("iifname"), "wan0"), accept()]), json!([drop()])]), DROPPED);
    let counted = json!([{"counter": {"packets": 0, "bytes": 0}}, {"log": {"prefix": "x"}}, drop()]);
    assert_eq!(fate(&[counted]), DROPPED);
}

#[test]
fn interfaces_match_by_name_by_beginning_and_in_sets() {
    for right in [json!("eth0"), json!("eth*"), json!("*"), json!({"set": ["wan0", "eth0"]})] {
        assert_eq!(fate(&[json!([is(meta("iifname"), right.clone()), drop()])]), DROPPED, "{right}");
        assert_eq!(fate(&[json!([is_not(meta("iif"), right.clone()), drop()])]), None, "{right}");
        assert_eq!(fate(&[json!([is(meta("oifname"), right.clone()), drop()])]) == DROPPED, right == "*");
    }
}

#[test]
fn addresses_match_by_prefix_by_range_and_in_named_sets() {
    let prefix = json!({"prefix": {"addr": "2001:db8::", "len": 64}});
    let range = json!({"range": ["2001:db8::1", "2001:db8::9"]});
    for right in [json!("2001:db8::5"), prefix.clone(), range, json!({"set": ["::1", prefix]})] {
        assert_eq!(fate(&[json!([is(payload("ip6", "daddr"), right.clone()), drop()])]), DROPPED, "{right}");
        assert_eq!(fate(&[json!([is(payload("ip6", "saddr"), right.clone()), drop()])]), None, "{right}");
    }
    let set = json!({"set": {"family": "inet", "table": "t", "name": "guests", "flags": ["interval"],
        "elem": [{"elem": {"val": {"prefix": {"addr": "2001:db8::", "len": 64}}, "comment": "ours"}}]}});
    let rule = json!([is(payload("ip6", "daddr"), "@guests"), drop()]);
    assert_eq!(fates(&ruleset("accept", &[rule], &[], &[set]), &TO_GUEST), [Fate::Dropped]);
}

#[test]
fn a_packet_without_the_field_matches_neither_a_comparison_nor_its_opposite() {
    assert_eq!(fate(&[json!([is_not(payload("udp", "dport"), 53), drop()])]), None);
    assert_eq!(fate(&[json!([is(payload("ip", "saddr"), "192.0.2.1"), drop()])]), None);
    assert_eq!(
        fate(&[json!([is_not(payload("tcp", "dport"), json!({"set": [22, {"range": [80, 90]}]})), drop()])]),
        DROPPED
    );
    assert_eq!(fate(&[json!([is(payload("th", "dport"), 443), drop()])]), DROPPED);
}

#[test]
fn states_match_alone_in_lists_and_in_maps() {
    let state = json!({"ct": {"key": "state"}});
    let within = json!({"match": {"op": "in", "left": state, "right": ["established", "related"]}});
    assert_eq!(fate(&[json!([within, accept()]), json!([drop()])]), DROPPED);
    let new = json!({"match": {"op": "in", "left": state, "right": "new"}});
    assert_eq!(fate(&[json!([new, accept()]), json!([drop()])]), None);
    let map = json!([{"vmap": {"key": state, "data": {"set": [["invalid", accept()], ["new", drop()]]}}}]);
    assert_eq!(fate(&[map]), DROPPED);
}

#[test]
fn follows_jumps_back_and_gotos_not() {
    let jump = |how: &str| json!([{how: {"target": "sub"}}]);
    let pass = ("sub", json!([is(meta("iifname"), "wan0"), drop()]));
    let stop = ("sub", json!([drop()]));
    let back = ("sub", json!([{"return": null}]));
    let rules = |how, sub: &(&str, Json)| {
        fates(&ruleset("accept", &[jump(how), json!([drop()])], &[(sub.0, sub.1.clone())], &[]), &TO_GUEST)
    };
    assert_eq!(rules("jump", &pass), [Fate::Dropped]);
    assert_eq!(rules("jump", &back), [Fate::Dropped]);
    assert_eq!(rules("goto", &pass), [], "the policy decides");
    assert_eq!(rules("goto", &stop), [Fate::Dropped]);
    let endless = ruleset("drop", &[jump("jump")], &[("sub", jump("jump"))], &[]);
    assert_eq!(fates(&endless, &TO_GUEST), [Fate::Dropped], "a circle ends");
}

#[test]
fn what_is_not_understood_may_match() {
    let mark = is(meta("mark"), 1);
    let why = |fate: Option<Fate>| matches!(fate, Some(Fate::PerhapsDropped(why)) if why.contains("mark"));
    assert!(why(fate(&[json!([mark, accept()]), json!([drop()])])));
    assert_eq!(fate(&[json!([mark, drop()])]), None, "as any block list may");
    let named = is(payload("ip6", "daddr"), "2001:db8::5");
    assert!(why(fate(&[json!([named, mark, drop()])])), "but this one means the guest");
}

#[test]
fn what_a_changing_set_holds_is_not_known() {
    let set =
        json!({"set": {"family": "inet", "table": "t", "name": "seen", "flags": ["dynamic", "timeout"]}});
    let rule = json!([is(payload("ip6", "saddr"), "@seen"), accept()]);
    let rules = ruleset("drop", &[rule], &[], &[set]);
    assert!(matches!(fates(&rules, &TO_GUEST)[..], [Fate::PerhapsDropped(_)]));
}

#[test]
fn ordinary_packets_are_within_limits() {
    let limit = |inverted: bool| json!({"limit": {"rate": 5, "per": "second", "inv": inverted}});
    assert_eq!(fate(&[json!([limit(false), accept()]), json!([drop()])]), None);
    assert_eq!(fate(&[json!([limit(true), drop()])]), None);
}

#[test]
fn a_reverse_path_filter_depends_on_the_way_back() {
    let rule = json!([is(json!({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}), false), drop()]);
    let rules = ruleset("accept", &[rule], &[], &[]);
    assert_eq!(fates(&rules, &TO_GUEST), []);
    assert_eq!(fates(&rules, &Packet { reverse: Reverse::Missing, ..TO_GUEST }), [Fate::Dropped]);
}

#[test]
fn every_base_chain_is_asked_in_the_order_of_priority() {
    let chain = |name: &str, priority: i64| {
        json!({"chain": {"family": "ip6", "table": "t", "name": name, "hook": "forward", "prio": priority,
            "policy": "drop"}})
    };
    let nftables = vec![chain("late", 10), chain("early", -10)];
    let rules = Listings { nftables, ..Listings::default() }.parse();
    let met = rules.objections(Hook::Forward, &[Family::Ip6], "", &TO_GUEST);
    let names: Vec<_> = met.iter().map(|objection| objection.base.name.as_str()).collect();
    assert_eq!(names, ["early", "late"]);
}

#[test]
fn a_queue_is_a_doubt_unless_it_may_be_bypassed() {
    assert!(matches!(fate(&[json!([{"queue": {"num": 1}}])]), Some(Fate::PerhapsDropped(_))));
    assert_eq!(fate(&[json!([{"queue": {"num": 1, "flags": "bypass"}}])]), None);
}

fn raw(base: &str, offset: usize, length: usize) -> Json {
    json!({"payload": {"base": base, "offset": offset, "len": length}})
}

/// What becomes of a solicitation behind these rules.
fn solicitation(rules: &[Json]) -> Option<Fate> {
    let packet = Packet { body: Body::Icmp(135), state: State::Untracked, ..TO_GUEST };
    fates(&ruleset("accept", rules, &[], &[]), &packet).pop()
}

#[test]
fn follows_raw_bits_of_what_is_known() {
    let dropped = Some(Fate::Dropped);
    let (kind, next_header) = (raw("th", 0, 8), raw("nh", 48, 8));
    assert_eq!(solicitation(&[json!([is(kind.clone(), 135), drop()])]), dropped);
    assert_eq!(solicitation(&[json!([is(kind.clone(), 136), drop()])]), None);
    assert_eq!(
        solicitation(&[json!([is(next_header, 58), is(raw("th", 0, 16), 135 << 8), drop()])]),
        dropped
    );
    assert_eq!(solicitation(&[json!([is(kind.clone(), json!({"range": [133, 137]})), drop()])]), dropped);
    assert_eq!(solicitation(&[json!([is_not(kind, json!({"set": [135, 136]})), drop()])]), None);
    // 2001:db8:0:0, then 2001:db8::5 whole.
    assert_eq!(solicitation(&[json!([is(raw("nh", 192, 64), 0x2001_0db8_0000_0000_u64), drop()])]), dropped);
    let whole = "0x20010db8000000000000000000000005";
    assert_eq!(solicitation(&[json!([is(raw("nh", 192, 128), whole), drop()])]), dropped);
    assert_eq!(fate(&[json!([is(raw("th", 16, 16), 443), drop()])]), dropped);
}

#[test]
fn fears_raw_bits_that_are_not_known_in_neighbor_discovery_alone() {
    let masked = json!({"&": [raw("th", 32, 8), 0x40]});
    for left in [raw("th", 32, 8), raw("ll", 0, 48), masked] {
        let rules = [json!([is(left.clone(), 0), drop()])];
        assert!(matches!(solicitation(&rules), Some(Fate::PerhapsDropped(_))), "{left}");
        assert_eq!(fate(&rules), None, "{left}");
    }
    // Of another protocol.
    let udp = is(meta("l4proto"), "udp");
    assert_eq!(solicitation(&[json!([udp, is(raw("th", 64, 8), 1), drop()])]), None);
    let accepted = [json!([is(raw("th", 64, 128), 1), json!({"accept": null})])];
    let fates = fates(
        &ruleset("drop", &accepted, &[], &[]),
        &Packet { body: Body::Icmp(135), state: State::Untracked, ..TO_GUEST },
    );
    assert_eq!(fates, [Fate::PerhapsDropped("@th,64,128".to_owned())]);
}

#[test]
fn a_packet_that_is_given_its_own_address_as_source_is_not_translated_by_a_later_chain() {
    let later = |priority: i32| {
        vec![
            json!({"chain": {"family": "ip6", "table": "nat", "name": "p", "type": "nat", "hook": "forward",
                "prio": priority, "policy": "accept"}}),
            json!({"rule": {"family": "ip6", "table": "nat", "chain": "p", "handle": 1,
                "expr": [{"masquerade": null}]}}),
        ]
    };
    let from = |source: &str| is(payload("ip6", "saddr"), source);
    let keeps = |source: &str| json!([from(source), {"snat": {"addr": payload("ip6", "saddr")}}]);
    let translated = [Fate::Translated("masquerade".to_owned())];
    let met = |source: &str, priority| {
        fates(&ruleset("accept", &[keeps(source)], &[], &later(priority)), &TO_GUEST)
    };
    assert_eq!(met("2001:db8:ffff::1", 1), []);
    assert_eq!(met("2001:db8:ffff::2", 1), translated, "another one");
    assert_eq!(met("2001:db8:ffff::1", -1), translated, "the other chain comes first");
    let elsewhere = [json!([{"snat": {"addr": "2001:db8::1"}}])];
    let snat = Fate::Translated("snat".to_owned());
    assert_eq!(fates(&ruleset("accept", &elsewhere, &[], &[]), &TO_GUEST), [snat]);
}

/// Sixteen deep, and ten wide at each depth.
#[test]
fn a_way_through_chains_that_jump_to_each_other_has_an_end() {
    let jump = json!([{"jump": {"target": "f"}}]);
    let rules = ruleset("drop", &vec![jump; 10], &[], &[]);
    let fate = fates(&rules, &TO_GUEST).pop();
    assert!(
        matches!(&fate, Some(Fate::PerhapsDropped(why)) if why.contains("too many to follow")),
        "{fate:?}"
    );
}
