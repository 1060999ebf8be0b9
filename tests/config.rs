//! The files under `config/` and every key that a file can have, through the public interface.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use lone64::config::{self, Config, Endpoint, LogFormat, LogLevel};
use lone64::engine::policy::{
    Announce, Answer, Downstream, GatewaySource, OnStop, Override, Policy, RangeRoutes, Source,
    UpstreamInterface,
};

fn shipped() -> Vec<(String, String)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let mut files: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn read(name: &str) -> Policy {
    let (_, text) = shipped().into_iter().find(|(file, _)| file == name).unwrap();
    good(&text).policy
}

fn good(text: &str) -> Config {
    config::parse(text, "f").unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems of a text below one good range, each as `line: message; help`.
fn problems(text: &str) -> Vec<String> {
    let text = format!("{text}\n[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\n");
    let problems = config::parse(&text, "f").expect_err("the text has a mistake");
    let shown = problems.as_slice().iter();
    shown
        .map(|p| format!("{}: {}; {}", p.line.unwrap_or(0), p.message, p.help.as_deref().unwrap_or_default()))
        .collect()
}

#[test]
fn every_shipped_file_is_good_and_says_what_it_is_for() {
    let files = shipped();
    assert!(files.len() >= 7, "{files:?}");
    for (name, text) in files {
        assert!(text.starts_with("# "), "{name} opens with no comment");
        config::parse(&text, &name).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn the_annotated_defaults_are_the_defaults() {
    let (_, annotated) = shipped().into_iter().find(|(name, _)| name == "lone64.toml").unwrap();
    let is_default = |rest: &str| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let mut taken = 0;
    let uncommented: Vec<&str> = annotated
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_default(rest) => {
                taken += 1;
                rest
            }
            _ => line,
        })
        .collect();
    assert!(taken >= 20, "only {taken} defaults were found");
    let mut written = good(&uncommented.join("\n"));
    // Only where a range is all of a link it matters whether somebody has written that.
    written.policy.ranges.iter_mut().for_each(|range| range.has_written_routes = false);
    assert_eq!(written, good(&annotated));
}

#[test]
fn the_scenarios_mean_what_their_comments_say() {
    let bgp = read("bgp.toml");
    assert!(bgp.routes.metric < 20 && bgp.ranges[0].routes == RangeRoutes::Guests, "before FRR's and BIRD's");
    assert_eq!(read("lxc-bridge.toml").ranges[0].exclude.len(), 1);
    let libvirt = read("libvirt-routed.toml");
    assert_eq!(libvirt.ranges.len(), 2);
    assert!(libvirt.ranges.iter().all(|range| range.routes == RangeRoutes::None && range.backstop));
    assert_eq!(read("wireguard.toml").ranges[0].answer, Answer::Always);

    assert!(!read("routed.toml").needs_upstream());

    let anyip = read("anyip.toml");
    assert_eq!(anyip.ranges[0].answer, Answer::Always);
    assert_eq!(anyip.ranges[0].downstream, Downstream::Named("lo".parse().unwrap()));

    let routed = read("lxc-routed.toml");
    let Downstream::Matching(patterns) = &routed.ranges[0].downstream else { panic!("{routed:?}") };
    assert!(patterns.iter().any(|pattern| pattern.matches(&"veth1a2B3c".parse().unwrap())));
    assert!(!patterns.iter().any(|pattern| pattern.matches(&"eth0".parse().unwrap())));
    assert_eq!((routed.ranges[0].answer, routed.ranges[0].routes), (Answer::Live, RangeRoutes::Guests));
    assert_eq!(routed.ranges[0].gateway, "fe80::1".parse().ok());

    let whole = read("whole-64.toml");
    assert_eq!((whole.suffixes[0].routes, whole.suffixes[0].answer), (RangeRoutes::Guests, Answer::Live));
    assert_eq!(whole.suffixes[0].gateway, "fe80::1".parse().ok());

    let proxmox = read("proxmox.toml");
    assert_eq!(proxmox.upstreams[0].interface, UpstreamInterface::Named("vmbr0".parse().unwrap()));
    assert_eq!(proxmox.ranges[0].downstream, Downstream::Named("vmbr1".parse().unwrap()));

    let two = read("two-upstreams.toml");
    let sources: Vec<Source> = two.upstreams.iter().map(|upstream| upstream.source).collect();
    assert_eq!(sources, [Source::Auto, Source::Target]);
    assert!(two.ranges.iter().all(|range| range.upstream.is_some()));
}

#[test]
fn every_key_is_read() {
    let config = good(
        r#"
        upstream = [{ interface = "eth0", router = true, override = "always", source = "2001:db8::1",
            automatic = true, ignore = ["docker*"],
            announce = "dad", gateway-source = "global", mld = false, suppress-kernel = true }]
        routes = { protocol = 65, table = 100, metric = 0x200, on-stop = "keep" }
        log.level = "trace"
        log.format = "json"
        sysctl.manage = true
        control.socket = "/run/here.sock"
        control.metrics = "[2001:db8::1]:80"
        [timers]
        reachable = "1m"
        retransmit = "250ms"
        retries = 5
        absent = "10s"
        keepalive = "1h"
        [limits]
        targets = 1_000
        pending = 10
        probes-per-second = 20
        announcements-per-second = 30
        groups = 40
        [[range]]
        prefix = "2001:db8:1:2:c::/112"
        upstream = "eth0"
        interface = "br0"
        answer = "never"
        routes = "none"
        backstop = true
        exclude = ["2001:db8:1:2:c::1", "2001:db8:1:2:c::100/120"]
        gateway = "fe80::64"
        proxy-downstream = true
        guard = true
        [[range]]
        suffix = "::d:0:0:0/112"
        interface = "br1"
        exclude = ["::d:0:0:1"]
        [export]
        nft-sets = true
        "#,
    );
    let Policy { upstreams, ranges, suffixes, routes, timers, limits, guests, nft_sets } = config.policy;
    assert_eq!(guests, []);
    assert_eq!((config.log.level, config.log.format), (LogLevel::Trace, LogFormat::Json));
    assert!(config.sysctl.manage && nft_sets);
    assert_eq!(config.control.socket, Path::new("/run/here.sock"));
    assert_eq!(config.control.metrics, "[2001:db8::1]:80".parse().ok().map(Endpoint::Port));
    let ignore = &upstreams[0].automatic.as_ref().unwrap().ignore;
    assert!(ignore.len() == 1 && ignore[0].matches(&"docker0".parse().unwrap()));
    assert_eq!(
        (suffixes[0].prefix, &suffixes[0].exclude[..]),
        (net("::d:0:0:0/112"), &[net("::d:0:0:1/128")][..])
    );
    assert_eq!((upstreams[0].router, upstreams[0].override_flag), (true, Override::Always));
    assert_eq!(upstreams[0].announce, Announce::Dad);
    assert_eq!(upstreams[0].gateway_source, GatewaySource::Global);
    assert_eq!((limits.announcements_per_second, limits.groups), (30, 40));
    assert_eq!(upstreams[0].source, Source::Address("2001:db8::1".parse().unwrap()));
    assert_eq!(upstreams[0].mld, lone64::engine::policy::Mld::No);
    assert!(upstreams[0].suppress_kernel);
    assert_eq!((routes.protocol, routes.table, routes.metric), (65, 100, 512));
    assert_eq!(routes.on_stop, OnStop::Keep);
    assert_eq!((timers.reachable, timers.retransmit), (Duration::from_secs(60), Duration::from_millis(250)));
    assert_eq!((timers.absent, timers.keepalive), (Duration::from_secs(10), Duration::from_secs(3600)));
    assert_eq!((timers.retries, limits.targets, limits.pending, limits.probes_per_second), (5, 1000, 10, 20));
    assert_eq!((ranges[0].gateway, ranges[0].proxy_downstream), ("fe80::64".parse().ok(), true));
    assert_eq!((ranges[0].guard, suffixes[0].guard), (true, false));
    assert_eq!(ranges[0].upstream, Some("eth0".parse().unwrap()));
    assert_eq!((ranges[0].answer, ranges[0].routes), (Answer::Never, RangeRoutes::None));
    assert!(ranges[0].proxy_downstream && !suffixes[0].proxy_downstream);
    assert_eq!(ranges[0].exclude, ["2001:db8:1:2:c::1/128", "2001:db8:1:2:c::100/120"].map(net));
}

fn net(text: &str) -> ipnet::Ipv6Net {
    text.parse().unwrap()
}

#[test]
fn switches_are_told_groups_or_of_a_router_or_nothing() {
    use lone64::engine::policy::Mld;
    for (written, mld) in [("true", Mld::Reports), ("false", Mld::No), ("\"router\"", Mld::Router)] {
        let config = good(&format!("[[upstream]]\nmld = {written}"));
        assert_eq!(config.policy.upstreams[0].mld, mld);
    }
}

#[test]
fn announcing_has_a_period_from_ten_seconds_to_a_day() {
    for (written, seconds) in [("10s", 10), ("5m", 300), ("24h", 86_400)] {
        let config = good(&format!("[[upstream]]\nannounce = \"{written}\""));
        let period = std::time::Duration::from_secs(seconds);
        assert_eq!(config.policy.upstreams[0].announce, Announce::Every(period));
    }
}

#[test]
fn a_program_in_the_kernel_answers_where_it_is_wanted_and_for_as_long() {
    use lone64::engine::policy::Backend;
    for (written, backend) in [("packet", Backend::Packet), ("tc", Backend::Tc), ("auto", Backend::Auto)] {
        let config = good(&format!("[[upstream]]\nbackend = \"{written}\""));
        assert_eq!(config.policy.upstreams[0].backend, backend);
        assert_eq!(config.policy.upstreams[0].on_crash_answer, std::time::Duration::from_secs(300));
    }
    for (written, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("24h", 86_400)] {
        let config = good(&format!("[[upstream]]\non-crash-answer = \"{written}\""));
        let expected = std::time::Duration::from_secs(seconds);
        assert_eq!(config.policy.upstreams[0].on_crash_answer, expected);
    }
    let found = problems("[[upstream]]\non-crash-answer = 30");
    assert_eq!(found, ["2: `on-crash-answer` has no unit; write \"30s\" for seconds"]);
}

#[test]
fn unknown_keys_and_tables_are_refused_with_the_nearest_known_one() {
    for (text, problem) in [
        ("[[upstream]]\nruoter = true", "2: unknown key `ruoter` in [[upstream]]; did you mean `router`?"),
        ("[routes]\non_stop = 1", "2: unknown key `on_stop` in [routes]; did you mean `on-stop`?"),
        ("[log]\nmetric = 1", "2: unknown key `metric` in [log]; `metric` belongs under [routes]"),
        ("[log]\nxyz = 1", "2: unknown key `xyz` in [log]; the keys here are `level` and `format`"),
        ("[timer]", "1: unknown table `timer`; did you mean [timers]?"),
        ("prefix = 1", "1: unknown key `prefix` outside every table; `prefix` belongs under [[range]]"),
        ("[upstream]", "1: [upstream] is written with two brackets; write [[upstream]]"),
        ("[[log]]", "1: `log` can be written only once; write [log], with one bracket"),
        ("log = 1", "1: `log` is a whole number, not a table; write [log] alone on a line"),
    ] {
        assert_eq!(problems(text), [problem]);
    }
    let found = problems("[[range]]\nprefx = \"fd00::/64\"");
    assert_eq!(found, ["2: unknown key `prefx` in [[range]]; did you mean `prefix`?"]);
}

#[test]
fn impossible_values_are_refused() {
    for protocol in (0..=18).chain([42, 84, 99]).chain(186..=198) {
        let found = problems(&format!("[routes]\nprotocol = {protocol}"));
        assert!(found[0].starts_with(&format!("2: route protocol {protocol} belongs to ")), "{found:?}");
    }
    for text in [
        "[routes]\nprotocol = 256",
        "[routes]\nprotocol = -1",
        "[routes]\nmetric = 0",
        "[routes]\nmetric = 16777215",
        "[routes]\ntable = 0",
        "[routes]\ntable = 255",
        "[routes]\ntable = \"local\"",
        "[routes]\ntable = 4294967296",
        "[routes]\ntable = true",
        "[timers]\nretries = 0",
        "[timers]\nretries = 256",
        "[timers]\nabsent = \"0s\"",
        "[timers]\nabsent = \"25h\"",
        "[timers]\nabsent = 3",
        "[timers]\nabsent = 3.5",
        "[limits]\ntargets = 0",
        "[limits]\npending = 0",
        "[limits]\nprobes-per-second = 0",
        "[limits]\nannouncements-per-second = 0",
        "[limits]\ntargets = 99999999999999999999",
        "[[upstream]]\nsource = \"ff02::1\"",
        "[[upstream]]\nsource = \"::\"",
        "[[upstream]]\nsource = \"::1\"",
        "[[upstream]]\nsource = \"fe80::1%eth0\"",
        "[[upstream]]\nsource = 1",
        "[[upstream]]\nrouter = \"yes\"",
        "[[upstream]]\nmld = \"routers\"",
        "[[upstream]]\nmld = 1",
        "[[upstream]]\nannounce = \"yes\"",
        "[[upstream]]\nannounce = 1",
        "[[upstream]]\nannounce = \"9s\"",
        "[[upstream]]\nannounce = \"9999ms\"",
        "[[upstream]]\nannounce = \"25h\"",
        "[[upstream]]\nannounce = \"5\"",
        "[[upstream]]\nannounce = [\"5m\"]",
        "[[upstream]]\ngateway-source = \"link-local\"",
        "[[upstream]]\ninterface = \"sixteen-bytes-16\"",
        "[[upstream]]\ninterface = \"lo\"",
        "[[upstream]]\ninterface = \"eth*\"",
        "[[upstream]]\ninterface = [\"eth0\"]",
        "[sysctl]\nmanage = 1",
        "[control]\nsocket = \"control.sock\"",
        "[control]\nsocket = \"/run/lone64/\"",
        "[control]\nsocket = 7",
        "[control]\nmetrics = 9164",
        "[control]\nmetrics = true",
        "[control]\nmetrics = \":9164\"",
        "[control]\nmetrics = \"localhost:9164\"",
        "[control]\nmetrics = \"[::1]:0\"",
        "[control]\nmetrics = \"[::1]:65536\"",
        "[control]\nmetrics = \"[ff02::1]:9164\"",
        "[control]\nmetrics = \"http://[::1]:9164/metrics\"",
        "[control]\nmetrics = \"metrics.sock\"",
        "[control]\nmetrics = \"/run/lone64/\"",
        "[control]\nmetrics = \"/run/lone64/control.sock\"",
        "[log]\nlevel = 1",
        "[log]\nlevel = \"loud\"",
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with("2: ") && !found[0].ends_with("; "), "{text}: {found:?}");
    }
    for (announce, problem) in [
        ("\"9s\"", "2: `announce` cannot be \"9s\"; write at least \"10s\""),
        ("\"25h\"", "2: `announce` cannot be \"25h\"; write at most one day, \"24h\""),
        ("60", "2: `announce` has no unit; write \"60s\" for seconds, or true, false or \"dad\""),
    ] {
        assert_eq!(problems(&format!("[[upstream]]\nannounce = {announce}")), [problem]);
    }
    assert_eq!(problems("[timers]\nabsent = 3"), ["2: `absent` has no unit; write \"3s\" for seconds"]);
    let good =
        "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\n[control]\nmetrics = \"/run/lone64/metrics.sock\"";
    let config = config::parse(good, "f").expect("no mistake");
    assert_eq!(config.control.metrics, Some(Endpoint::Socket("/run/lone64/metrics.sock".into())));
    assert_eq!(
        problems("[control]\nmetrics = \"unix:///run/lone64/metrics.sock\""),
        ["2: `metrics` cannot be \"unix:///run/lone64/metrics.sock\"; write \"/run/lone64/metrics.sock\""]
    );
    for (bare, whole) in [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1")] {
        let found = problems(&format!("[control]\nmetrics = \"{bare}\""));
        assert_eq!(found, [format!("2: `metrics` has no port; write \"{whole}:9164\"")]);
    }
}

#[test]
fn the_socket_is_found_in_a_file_with_mistakes() {
    let file = std::env::temp_dir().join(format!("lone64-socket-{}.toml", std::process::id()));
    let found = |text: &str| {
        fs::write(&file, text).unwrap();
        config::socket_in(&file)
    };
    let named = "[control]\nsocket = \"/run/here.sock\"\n";
    assert_eq!(found(named), Path::new("/run/here.sock"));
    assert_eq!(found(&format!("{named}[[range]]\nprefx = 7\n")), Path::new("/run/here.sock"));
    assert_eq!(found(&format!("[log]\nlevel = debug\n{named}")), Path::new("/run/here.sock"));
    assert_eq!(found("[control]\n"), Path::new(config::DEFAULT_SOCKET));
    fs::remove_file(&file).unwrap();
    assert_eq!(config::socket_in(&file), Path::new(config::DEFAULT_SOCKET));
}

#[test]
fn mistakes_in_the_grammar_are_told_together_with_the_others() {
    let found = problems(
        "[log]\nlevel = debug\nformat = 7\n[timers]\nabsent = 5m\n[[range]]\nprefix = fd00:1::/64\nanswer \"live\"",
    );
    assert_eq!(found[0], "2: debug has no quotes; write \"debug\"");
    assert!(found[1].starts_with("3: `format` is a whole number"), "{found:?}");
    assert_eq!(found[2], "5: 5m has no quotes; write \"5m\"");
    assert_eq!(found[3], "7: fd00:1::/64 has no quotes; write \"fd00:1::/64\"");
    assert!(found[4].starts_with("8: this is not TOML: "), "{found:?}");
    assert_eq!(found.len(), 5, "{found:?}");
    // What stands behind a broken header belongs nowhere, and is not blamed for it.
    assert_eq!(problems("[[range]\nprefix = \"fd00::/64\"").len(), 1);
}

proptest! {
    /// A good file with a piece cut out and another put in: most mistakes that people make.
    #[test]
    fn survives_every_damage_to_a_file_and_tells_its_place(
        at in 0.0..1.0_f64,
        cut in 0..40_usize,
        piece in "[\\[\\]{}\"'=#,.:/\\\\ \t\r\n\u{0}a-z0-9é网-]{0,12}",
    ) {
        let (_, whole) = shipped().into_iter().find(|(name, _)| name == "two-upstreams.toml").unwrap();
        let mut characters: Vec<char> = whole.chars().collect();
        let start = (at * characters.len() as f64) as usize;
        let end = (start + cut).min(characters.len());
        characters.splice(start..end, piece.chars());
        let damaged: String = characters.into_iter().collect();
        if let Err(problems) = config::parse(&damaged, "f") {
            prop_assert!(!problems.as_slice().is_empty());
            for problem in problems.as_slice() {
                prop_assert!(!problem.message.is_empty() && !problem.message.contains('\n'));
                prop_assert!(problem.line.is_none_or(|line| line <= damaged.matches('\n').count() + 1));
            }
            prop_assert!(!problems.to_string().contains(['\r', '\0']));
        }
    }
}
