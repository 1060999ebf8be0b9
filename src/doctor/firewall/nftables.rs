//! `nft --json list ruleset` into chains and rules (libnftables-json(5)).

use std::collections::HashMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde_json::Value as Json;

use super::raw::{self, Bits};
use super::rules::{Base, Chain, Family, Hook, Keeper, Policy, Rule, Step, Table, Verdict};
use super::value::{Field, Match, Sense, Value, icmp_type, protocol};

/// The chains of a listing, with their rules.
pub fn chains(objects: &[Json]) -> Vec<Chain> {
    let mut chains = outlines(objects);
    let place = |chain: &Chain| (chain.table.family.as_str(), chain.table.name.clone(), chain.name.clone());
    let places: HashMap<_, _> =
        chains.iter().enumerate().map(|(number, chain)| (place(chain), number)).collect();
    for rule in objects.iter().map(|object| &object["rule"]) {
        let Some(family) = rule["family"].as_str().and_then(family) else { continue };
        let place = (family.as_str(), text(&rule["table"]), text(&rule["chain"]));
        if let Some(number) = places.get(&place) {
            chains[*number].rules.push(read_rule(rule, objects));
        }
    }
    chains
}

/// The chains alone.
pub fn outlines(objects: &[Json]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = objects.iter().filter_map(|object| chain(&object["chain"])).collect();
    // The names of the base chains are what iptables-nft is told by: its tables carry no other mark.
    let kept: Vec<Table> =
        chains.iter().filter(|chain| is_of_iptables(chain)).map(|chain| chain.table.clone()).collect();
    for chain in chains.iter_mut().filter(|chain| kept.contains(&chain.table)) {
        chain.table.keeper = Keeper::Iptables;
    }
    chains
}

fn is_of_iptables(chain: &Chain) -> bool {
    let is_capital = |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase());
    let tables = ["raw", "mangle", "nat", "filter", "security"];
    chain.table.family == Family::Ip6
        && tables.contains(&chain.table.name.as_str())
        && chain.base.is_some()
        && is_capital(&chain.name)
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn chain(object: &Json) -> Option<Chain> {
    let family = family(object["family"].as_str()?)?;
    let table = Table { family, name: text(&object["table"]), keeper: Keeper::Nft };
    let base = object["hook"].as_str().and_then(Hook::parse).map(|hook| Base {
        hook,
        priority: object["prio"].as_i64().unwrap_or(0),
        policy: if object["policy"] == "drop" { Policy::Drop } else { Policy::Accept },
        devices: match &object["dev"] {
            Json::Array(names) => names.iter().map(text).collect(),
            name => name.as_str().map(str::to_owned).into_iter().collect(),
        },
    });
    Some(Chain { table, name: text(&object["name"]), base, rules: Vec::new() })
}

fn family(name: &str) -> Option<Family> {
    Some(match name {
        "inet" => Family::Inet,
        "ip6" => Family::Ip6,
        "bridge" => Family::Bridge,
        "netdev" => Family::Netdev,
        _ => return None,
    })
}

fn read_rule(rule: &Json, objects: &[Json]) -> Rule {
    let statements = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let scope = Scope { objects, family: &rule["family"], table: &rule["table"] };
    let steps = statements.iter().filter_map(|statement| scope.step(statement)).collect();
    Rule { text: text(&rule["comment"]), handle: rule["handle"].as_u64(), steps }
}

/// Where named sets are looked up.
struct Scope<'a> {
    objects: &'a [Json],
    family: &'a Json,
    table: &'a Json,
}

impl Scope<'_> {
    fn step(&self, statement: &Json) -> Option<Step> {
        let (name, body) = statement.as_object()?.iter().next()?;
        if let Some(verdict) = verdict(statement) {
            return Some(Step::Verdict(verdict));
        }
        match name.as_str() {
            "match" => Some(self.comparison(body)),
            "vmap" => Some(self.map(body)),
            // An ordinary packet is within the limit.
            "limit" if body["inv"] == true => Some(Step::Match(never())),
            "limit" => None,
            "xt" => match text(&body["name"]).as_str() {
                "DROP" => Some(Step::Verdict(Verdict::Drop)),
                "REJECT" => Some(Step::Verdict(Verdict::Reject)),
                name @ ("MASQUERADE" | "SNAT" | "DNAT" | "REDIRECT" | "NETMAP") => {
                    Some(Step::Verdict(Verdict::Translate(name.to_ascii_lowercase())))
                }
                _ if body["type"] == "target" => None,
                "comment" => None,
                name @ ("bpf" | "u32") => Some(obscure(name.to_owned())),
                name => Some(Step::Unknown(name.to_owned())),
            },
            "ct count" | "quota" => Some(Step::Unknown(name.clone())),
            // Counters, logs, marks: they decide nothing.
            _ => None,
        }
    }

    fn comparison(&self, body: &Json) -> Step {
        let (field, right) = (field(&body["left"]), &body["right"]);
        let sense = match body["op"].as_str() {
            Some("==" | "in") => Sense::Among,
            Some("!=") => Sense::NotAmong,
            _ if matches!(field, Field::Raw(_) | Field::Obscure(_)) => {
                return obscure(words(&body["left"]));
            }
            _ => return Step::Unknown(words(&body["left"])),
        };
        if let Field::Unknown(what) = field {
            return Step::Unknown(what);
        }
        let mut values = Vec::new();
        self.values(&field, right, &mut values);
        Step::Match(Match { field, sense, values })
    }

    fn map(&self, body: &Json) -> Step {
        let field = field(&body["key"]);
        let data = match body["data"].as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => self.named("map", name).map_or(&Json::Null, |map| &map["elem"]),
            None => &body["data"]["set"],
        };
        let pairs = data.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut elements = Vec::new();
        for pair in pairs {
            let Some(verdict) = verdict(&pair[1]) else { continue };
            let mut values = Vec::new();
            self.values(&field, &pair[0], &mut values);
            elements.extend(values.into_iter().map(|value| (value, verdict.clone())));
        }
        Step::Map(field, elements)
    }

    fn named(&self, kind: &str, name: &str) -> Option<&Json> {
        self.objects.iter().map(|object| &object[kind]).find(|object| {
            object["name"] == name && object["family"] == *self.family && object["table"] == *self.table
        })
    }

    fn values(&self, field: &Field, right: &Json, into: &mut Vec<Value>) {
        match right {
            Json::Array(all) => all.iter().for_each(|one| self.values(field, one, into)),
            Json::Object(object) => {
                if let Some(set) = object.get("set") {
                    self.values(field, set, into);
                } else if let Some(element) = object.get("elem") {
                    self.values(field, &element["val"], into);
                } else {
                    into.push(complex(field, right));
                }
            }
            Json::String(name) if name.starts_with('@') => match self.named("set", &name[1..]) {
                // What a rule or a timeout puts into a set may be gone, or there, the next moment.
                Some(set)
                    if set["flags"]
                        .as_array()
                        .is_none_or(|all| all.iter().all(|f| *f == "interval" || *f == "constant")) =>
                {
                    self.values(field, &set["elem"], into);
                }
                _ => into.push(Value::Unknown),
            },
            Json::Null => {}
            plain => into.push(simple(field, plain)),
        }
    }
}

fn verdict(statement: &Json) -> Option<Verdict> {
    let (name, body) = statement.as_object()?.iter().next()?;
    Some(match name.as_str() {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "reject" => Verdict::Reject,
        // With nobody to decide, the packet passes.
        "queue" if body.to_string().contains("bypass") => Verdict::Accept,
        "queue" => Verdict::Queue,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(text(&body["target"])),
        "goto" => Verdict::Goto(text(&body["target"])),
        "snat" if body["addr"]["payload"]["field"] == "saddr" => Verdict::Keep,
        "masquerade" | "snat" | "dnat" | "redirect" => Verdict::Translate(name.clone()),
        _ => return None,
    })
}

fn field(left: &Json) -> Field {
    let unknown = || Field::Unknown(words(left));
    if let Some(key) = left["meta"]["key"].as_str() {
        return match key {
            "iifname" | "iif" => Field::Input,
            "oifname" | "oif" => Field::Output,
            "l4proto" => Field::Protocol,
            "nfproto" | "protocol" => Field::Version,
            _ => unknown(),
        };
    }
    if let Some(key) = left["ct"]["key"].as_str() {
        return match key {
            "state" => Field::State,
            "status" => Field::Status,
            _ => unknown(),
        };
    }
    let fib = &left["fib"];
    if fib["result"] == "oif" {
        let flags = fib["flags"].to_string();
        let is_reverse = flags.contains("saddr") && flags.contains("iif");
        return if is_reverse { Field::Reverse } else { unknown() };
    }
    let payload = &left["payload"];
    if let Some(bits) = Bits::parse(payload) {
        return Field::Raw(bits);
    }
    // Masked, shifted, in a row with others.
    if let Some(bits) = operands(left).find_map(|operand| Bits::parse(&operand["payload"])) {
        return Field::Obscure(format!("{bits}, masked"));
    }
    match (payload["protocol"].as_str(), payload["field"].as_str()) {
        (Some("ip6"), Some("saddr")) => Field::Source,
        (Some("ip6"), Some("daddr")) => Field::Destination,
        (Some("ip6"), Some("nexthdr")) => Field::Protocol,
        (Some("ip6"), Some("hoplimit")) => Field::HopLimit,
        (Some("icmpv6"), Some("type")) => Field::IcmpType,
        (Some("tcp"), Some("dport")) => Field::TcpPort,
        (Some("udp"), Some("dport")) => Field::UdpPort,
        (Some("th"), Some("dport")) => Field::Port,
        (Some("ether"), Some("type")) => Field::Version,
        (Some("ip" | "arp" | "vlan" | "icmp" | "igmp" | "esp" | "ah" | "sctp"), _) => Field::Foreign,
        _ => unknown(),
    }
}

/// What a rule looks at, as nft(8) writes it; as JSON where that is longer.
fn words(left: &Json) -> String {
    if let Some(parts) = left["concat"].as_array() {
        return parts.iter().map(words).collect::<Vec<_>>().join(" . ");
    }
    for (kind, first, second) in
        [("meta", "meta", "key"), ("ct", "ct", "key"), ("payload", "protocol", "field")]
    {
        let object = &left[kind];
        let first = if kind == "payload" { object[first].as_str() } else { Some(first) };
        if let (Some(first), Some(second)) = (first, object[second].as_str()) {
            return format!("{first} {second}");
        }
    }
    left.to_string()
}

fn operands(left: &Json) -> impl Iterator<Item = &Json> {
    let lists = left.as_object().into_iter().flat_map(|object| object.values());
    lists.filter_map(Json::as_array).flatten()
}

/// It may match, and looks at what is in the packet.
pub fn obscure(what: String) -> Step {
    Step::Match(Match { field: Field::Obscure(what), sense: Sense::Among, values: vec![Value::Unknown] })
}

fn simple(field: &Field, value: &Json) -> Value {
    let number = |number: Option<u64>| number.map_or(Value::Unknown, |number| Value::Number(number, number));
    let word = value.as_str().unwrap_or_default();
    match field {
        Field::Source | Field::Destination => {
            word.parse().map_or(Value::Unknown, |address: Ipv6Addr| Value::Net(address.into()))
        }
        Field::Protocol => number(value.as_u64().or_else(|| protocol(word))),
        Field::IcmpType => number(value.as_u64().or_else(|| icmp_type(word))),
        Field::Version => Value::Name(match word {
            "ip6" => "ipv6".to_owned(),
            word => word.to_owned(),
        }),
        // `missing` is false in JSON.
        Field::Reverse => Value::Name(if *value == false { MISSING } else { "exists" }.to_owned()),
        Field::Input | Field::Output | Field::State | Field::Status if !word.is_empty() => {
            Value::Name(word.to_owned())
        }
        Field::Raw(_) => raw::number(value).map_or(Value::Unknown, |bits| Value::Bits(bits, bits)),
        Field::HopLimit | Field::TcpPort | Field::UdpPort | Field::Port => number(value.as_u64()),
        _ => Value::Unknown,
    }
}

/// `{"prefix": …}` and `{"range": …}`.
fn complex(field: &Field, value: &Json) -> Value {
    let address = |value: &Json| value.as_str().and_then(|text| text.parse::<Ipv6Addr>().ok());
    let prefix = &value["prefix"];
    if let (Some(address), Some(length)) = (address(&prefix["addr"]), prefix["len"].as_u64()) {
        let net = u8::try_from(length).ok().and_then(|length| Ipv6Net::new(address, length).ok());
        return net.map_or(Value::Unknown, Value::Net);
    }
    let (from, to) = (&value["range"][0], &value["range"][1]);
    if let (Some(from), Some(to)) = (address(from), address(to)) {
        return Value::Between(from, to);
    }
    match (simple(field, from), simple(field, to)) {
        (Value::Number(from, _), Value::Number(to, _)) => Value::Number(from, to),
        (Value::Bits(from, _), Value::Bits(to, _)) => Value::Bits(from, to),
        _ => Value::Unknown,
    }
}

fn never() -> Match {
    Match { field: Field::Foreign, sense: Sense::Among, values: Vec::new() }
}

/// There is no way back by the interface that a packet came by.
pub const MISSING: &str = "missing";

#[cfg(test)]
#[path = "nftables_tests.rs"]
mod tests;
