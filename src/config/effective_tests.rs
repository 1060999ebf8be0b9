//! Every key with its value and where it came from.

use super::*;
use crate::config::Overrides;
use crate::config::schema::{RANGE, UPSTREAM};

const FILE: &str = "[[upstream]]
interface = \"eth0\"
announce = \"5m\"
[[range]]
prefix = \"2001:db8:1:2:c::/112\"
interface = [\"lxcbr0\", \"veth*\"]
[[range]]
suffix = \"::d:0:0:0/112\"
upstream = \"eth0\"
interface = \"lo\"
[[guest]]
name = \"web1\"
mac = \"52:54:00:12:34:56\"
addresses = [\"2001:db8:1:2:c::5\"]
[timers]
absent = \"5s\"
";

fn effective(overrides: &Overrides, text: &str) -> Effective {
    overrides.parse(text, "f").unwrap_or_else(|problems| panic!("{problems}")).effective
}

fn found(effective: &Effective, table: &str, of: Option<&str>, key: &str) -> Key {
    let is_it = |one: &Key| (one.table, one.of.as_deref(), one.key) == (table, of, key);
    effective.keys().into_iter().find(is_it).unwrap_or_else(|| panic!("{table} {of:?} {key}"))
}

#[test]
fn has_every_key_of_every_table() {
    let effective = effective(&Overrides::default(), FILE);
    for table in TABLES {
        let mut keys: Vec<_> =
            effective.keys().into_iter().filter(|key| key.table == table.name).map(|key| key.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut known = table.keys.to_vec();
        known.sort_unstable();
        assert_eq!(keys, known, "{}", table.header());
    }
    assert!(!UPSTREAM.keys.is_empty() && !RANGE.keys.is_empty());
}

#[test]
fn says_where_each_value_came_from() {
    let overrides = Overrides {
        ranges: vec![("2001:db8:1:2:e::/112".parse().unwrap(), "wg0".parse().unwrap())],
        level: Some((crate::config::LogLevel::Debug, "-v")),
        environment: Some("error".to_owned()),
        ..Overrides::default()
    };
    let effective = effective(&overrides, FILE);
    let at = |line| KeyOrigin::File { file: "f".to_owned(), line };
    let option = |option: &str| KeyOrigin::CommandLine { option: option.to_owned() };
    for (table, of, key, value, origin) in [
        ("upstream", Some("eth0"), "announce", json!("5m"), at(3)),
        ("upstream", Some("eth0"), "automatic", json!(false), KeyOrigin::Default),
        ("range", Some("2001:db8:1:2:c::/112"), "interface", json!(["lxcbr0", "veth*"]), at(6)),
        ("range", Some("2001:db8:1:2:c::/112"), "routes", json!("guests"), KeyOrigin::Default),
        ("range", Some("2001:db8:1:2:c::/112"), "upstream", Value::Null, KeyOrigin::Automatic),
        ("range", Some("::d:0:0:0/112 on eth0"), "suffix", json!("::d:0:0:0/112"), at(8)),
        ("range", Some("::d:0:0:0/112 on eth0"), "answer", json!("always"), KeyOrigin::Default),
        (
            "range",
            Some("2001:db8:1:2:e::/112"),
            "interface",
            json!("wg0"),
            option("--range 2001:db8:1:2:e::/112=wg0"),
        ),
        ("timers", None, "absent", json!("5s"), at(16)),
        ("control", None, "metrics", Value::Null, KeyOrigin::Default),
        ("log", None, "level", json!("debug"), option("-v")),
    ] {
        let key = found(&effective, table, of, key);
        assert_eq!((&key.value, &key.origin), (&value, &origin), "{key:?}");
    }
    let variable = KeyOrigin::Environment { variable: "LONE64_LOG=error".to_owned() };
    let quiet = Overrides { level: None, ..overrides };
    assert_eq!(found(&self::effective(&quiet, FILE), "log", None, "level").origin, variable);
}

#[test]
fn refuses_a_level_of_the_environment_that_is_none() {
    let overrides = Overrides { environment: Some("warning".to_owned()), ..Overrides::default() };
    let problems = overrides.config().unwrap_err().to_string();
    assert_eq!(
        problems,
        "LONE64_LOG=warning: this is not a log level\n  help: did you mean LONE64_LOG=warn?"
    );
    let in_capitals = Overrides { environment: Some("TRACE".to_owned()), ..Overrides::default() };
    assert_eq!(in_capitals.config().unwrap().log.level, crate::config::LogLevel::Trace);
    let empty = Overrides { environment: Some(String::new()), ..Overrides::default() };
    assert!(empty.config().is_ok());
}

#[test]
fn is_text_that_means_the_same() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let read = Overrides::default().parse(&text, "f").unwrap();
        assert_eq!(read.notices, [], "{}", path.display());
        let (mut config, printed) = (read.config, read.effective.text());
        let mut again = crate::config::parse(&printed, "printed")
            .unwrap_or_else(|problems| panic!("{problems}\n{printed}"));
        // What is written in so many words is the same otherwise.
        for config in [&mut config, &mut again] {
            config.policy.ranges.iter_mut().for_each(|range| range.has_written_routes = true);
            config.policy.suffixes.iter_mut().for_each(|range| range.has_written_routes = true);
            config.policy.upstreams.iter_mut().for_each(|upstream| upstream.left_out = Default::default());
        }
        assert_eq!(again, config, "{printed}");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn shows_a_key_on_a_line_with_where_it_came_from() {
    let printed = effective(&Overrides::default(), FILE).text();
    for line in [
        "announce        = \"5m\"        # f:3\n",
        "#upstream        = (none)                  # automatic\n",
        "interface        = [\"lxcbr0\", \"veth*\"]     # f:6\n",
        "absent     = \"5s\"   # f:16\n",
        "retries    = 3      # default\n",
        "#metrics = (none)                      # default\n",
    ] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
}

#[test]
fn shows_what_the_host_adds_as_a_comment() {
    let mut effective = effective(&Overrides::default(), "[log]\n");
    let automatic = RangePolicy {
        origin: Origin::Automatic,
        ..crate::config::parse("[[range]]\nprefix = \"2001:db8:1:2:d::/80\"", "f").unwrap().policy.ranges[0]
            .clone()
    };
    effective.add_automatic([&automatic]);
    effective.name_upstreams(&["eth0".to_owned()]);
    let printed = effective.text();
    assert!(printed.contains("#[[range]]\n#prefix"), "{printed}");
    assert!(printed.contains("#interface      = \"eth0\""), "{printed}");
    assert!(crate::config::parse(&printed, "printed").unwrap().policy.ranges.is_empty(), "{printed}");
}
