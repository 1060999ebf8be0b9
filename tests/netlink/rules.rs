//! Rules: what the kernel says of them, and that the engine finds the ways that the kernel finds.

use libtest_mimic::Failed;
use lone64::engine::facts::Fact;
use lone64::engine::policy::{
    Automatic, Limits, Policy, RoutePolicy, Timers, UpstreamInterface, UpstreamPolicy,
};
use lone64::engine::{Engine, Input, Time};
use lone64::kernel::netlink::WayTo;

use crate::lab::{Lab, in_namespace, index, ip};

type Trials = &'static [(&'static str, fn() -> Result<(), Failed>)];

pub(crate) const TRIALS: Trials = &[
    ("tells_rules_as_they_come_and_go", tells_rules_as_they_come_and_go),
    ("the_engine_finds_the_ways_of_the_kernel", the_engine_finds_the_ways_of_the_kernel),
];

fn tells_rules_as_they_come_and_go() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let words = |facts: &[Fact]| {
            let told = facts.iter().filter_map(|fact| match fact {
                Fact::Rule(rule) => Some(format!("+ {rule}")),
                Fact::RuleGone(rule) => Some(format!("- {rule}")),
                _ => None,
            });
            told.collect::<Vec<_>>()
        };
        let first = words(&lab.monitor.dump().await?);
        assert_eq!(first, ["+ 0: from all lookup local", "+ 32766: from all lookup main"]);
        let cases = [
            ("pref 5270 lookup 52", "5270: from all lookup 52"),
            (
                "pref 10 not from 2001:db8::/64 to 2001:db8:1::5 iif eth9 lookup 100000",
                "10: not from 2001:db8::/64 to 2001:db8:1::5/128 iif eth9 lookup 100000",
            ),
            (
                "pref 11 fwmark 0x80000/0xff0000 unreachable",
                "11: from all fwmark 0x80000/0xff0000 unreachable",
            ),
            (
                "pref 12 lookup main suppress_prefixlength 0",
                "12: from all lookup main suppress_prefixlength 0",
            ),
            ("pref 13 ipproto tcp dport 22 lookup 7", "13: from all dport 22-22 ipproto 6 lookup 7"),
            ("pref 15 lookup 7 suppress_ifgroup 3", "15: from all lookup 7 suppress_ifgroup 3"),
            ("pref 16 l3mdev", "16: from all lookup [l3mdev-table]"),
            ("pref 14 uidrange 5-6 goto 32766", "14: from all uidrange 5-6 goto 32766"),
        ];
        for (line, said) in cases {
            assert_eq!(words(&lab.ip(&format!("rule add {line}"))?), [format!("+ {said}")]);
            assert!(words(&lab.monitor.dump().await?).contains(&format!("+ {said}")));
            assert_eq!(words(&lab.ip(&format!("rule del {line}"))?), [format!("- {said}")]);
        }
        Ok(())
    })
}

/// Automatic, so that the engine wants to know of every route.
fn policy() -> Policy {
    let upstream = UpstreamPolicy {
        automatic: Some(Automatic::default()),
        ..UpstreamPolicy::new(UpstreamInterface::Named("v1".parse().expect("a name")))
    };
    Policy {
        upstreams: vec![upstream],
        ranges: Vec::new(),
        suffixes: Vec::new(),
        routes: RoutePolicy::default(),
        timers: Timers::default(),
        limits: Limits::default(),
        guests: Vec::new(),
        nft_sets: false,
    }
}

/// Every target's way by the engine, and by the kernel.
async fn compare(lab: &Lab, rules: &str) -> Result<(), Failed> {
    let mut engine = Engine::new(policy(), [0, 0]);
    engine.handle(Input::Facts(lab.monitor.dump().await?), Time::ORIGIN);
    for target in TARGETS {
        let way = lab.requests.way_to(ip(target), index("v1")).await?;
        let by_kernel = match way {
            WayTo::Link { link, .. } => Some(link),
            WayTo::Host | WayTo::HostPrefix | WayTo::Nowhere => None,
        };
        assert_eq!(engine.leads_to(ip(target), index("v1")), by_kernel, "{target} by\n{rules}");
    }
    Ok(())
}

fn the_engine_finds_the_ways_of_the_kernel() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        lab.two_links().await?;
        lab.ip("link set v2 group 7
             route add default via 2001:db8:a::9 dev v1
             route add 2001:db8:a:0:c::/80 dev v2
             route add 2001:db8:a:0:c::7 dev v1 table 52
             route add throw 2001:db8:a:0:c::8 table 52
             route add 2001:db8:a:0:d::/80 dev v2 table 52
             route add default dev v2 table 100
             route add unreachable 2001:db8:a:0:d::5 table 100
             route add prohibit 2001:db8:a:0:d::6 table 100")?;
        for rules in RULES {
            let lines = |word: &str| rules.map(|rule| format!("rule {word} {rule}")).join("\n");
            lab.ip(&lines("add"))?;
            compare(&lab, &lines("add")).await?;
            lab.ip(&lines("del"))?;
        }
        Ok(())
    })
}

const TARGETS: [&str; 8] = [
    "2001:db8:a:0:c::7",
    "2001:db8:a:0:c::8",
    "2001:db8:a:0:c::9",
    "2001:db8:a:0:d::5",
    "2001:db8:a:0:d::6",
    "2001:db8:a:0:d::7",
    "2001:db8:a::5",
    "2001:db8:f::5",
];

const RULES: [[&str; 2]; 18] = [
    ["pref 5270 lookup 52", "pref 40000 lookup 100"],
    ["pref 5270 lookup 52", "pref 5271 lookup 100"],
    ["pref 5271 lookup 52", "pref 5270 lookup 100"],
    ["pref 10 to 2001:db8:a:0:d::/80 lookup 100", "pref 11 lookup 52"],
    ["pref 10 iif v1 lookup 100", "pref 11 iif v2 lookup 52"],
    ["pref 10 not iif v1 lookup 100", "pref 11 not iif v2 lookup 52"],
    ["pref 10 from 2001:db8:f::/48 lookup 100", "pref 11 not from 2001:db8:f::/48 lookup 52"],
    ["pref 10 lookup main suppress_prefixlength 0", "pref 11 not fwmark 0xca6c lookup 100"],
    ["pref 10 lookup main suppress_prefixlength 64", "pref 11 fwmark 0/0xff lookup 100"],
    ["pref 10 fwmark 0x80000/0xff0000 lookup 100", "pref 11 fwmark 0x80000/0xff0000 unreachable"],
    ["pref 10 ipproto tcp dport 22 lookup 100", "pref 11 sport 53 lookup 52"],
    ["pref 10 lookup 100 suppress_ifgroup 7", "pref 11 lookup 52 suppress_ifgroup 8"],
    ["pref 10 l3mdev", "pref 11 lookup 52 suppress_ifgroup 7"],
    ["pref 10 uidrange 5-6 lookup 100", "pref 11 not uidrange 5-6 lookup 52"],
    ["pref 10 goto 12", "pref 11 lookup 100"],
    ["pref 10 goto 32766", "pref 11 lookup 100"],
    ["pref 10 to 2001:db8:a:0:c::7 unreachable", "pref 11 to 2001:db8:a:0:c::8 blackhole"],
    ["pref 10 to 2001:db8:a:0:c::7 oif v2 lookup 100", "pref 11 tos 0x10 lookup 52"],
];
