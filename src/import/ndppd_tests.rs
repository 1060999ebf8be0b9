//! What each key of ndppd.conf becomes.

use super::super::{Format, ImportError, Imported, import};

fn good(conf: &str) -> Imported {
    import(conf, "f", Some(Format::Ndppd)).unwrap_or_else(|error| panic!("{error}"))
}

fn has(conf: &str, lines: &[&str]) {
    let toml = good(conf).toml;
    for line in lines {
        assert!(toml.lines().any(|written| written == *line), "{line} is not in\n{toml}");
    }
}

fn notes(conf: &str) -> Vec<String> {
    good(conf).notes.iter().map(|n| format!("{}: {}", n.line.unwrap_or(0), n.message)).collect()
}

fn problems(conf: &str) -> String {
    match import(conf, "f", Some(Format::Ndppd)) {
        Err(ImportError::Unreadable(problems)) => problems.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_static_rule_is_answered_always() {
    has("proxy e0 { rule 2001:db8::/112 { static } }", &["answer    = \"always\"", "routes    = \"none\""]);
}

#[test]
fn a_rule_by_interface_is_answered_for_the_live() {
    has(
        "proxy e0 { rule 2001:db8::/112 { iface br0 } }",
        &["interface = \"br0\"", "answer    = \"live\"", "routes    = \"none\"", "backstop  = false"],
    );
}

#[test]
fn an_automatic_rule_follows_the_kernel_s_routes() {
    let toml = good("proxy e0 { rule 2001:db8::/112 { auto } }").toml;
    assert!(toml.contains("answer    = \"live\""), "{toml}");
    assert_eq!(toml.matches("interface = ").count(), 1, "only the upstream's: {toml}");
}

#[test]
fn autowire_keeps_a_route_for_each_live_guest_of_an_interface() {
    has("proxy e0 { autowire yes\n rule 2001:db8::/112 { iface br0 } }", &["routes    = \"guests\""]);
    has("proxy e0 { autowire yes\n rule 2001:db8::/112 { auto } }", &["routes    = \"none\""]);
    has("proxy e0 { autowire no\n rule 2001:db8::/112 { iface br0 } }", &["routes    = \"none\""]);
    // 1.0 has it in the rule, and takes the key alone for yes.
    has("proxy e0 { rule 2001:db8::/112 { autowire\n iface br0 } }", &["routes    = \"guests\""]);
}

#[test]
fn the_r_flag_stays_what_it_was() {
    let router = |conf: &str| good(conf).toml.contains("router    = true");
    assert!(router("proxy e0 { rule 2001:db8::1 { static } }"));
    assert!(router("proxy e0 { router yes\n rule 2001:db8::1 { static } }"));
    assert!(!router("proxy e0 { router no\n rule 2001:db8::1 { static } }"));
    assert!(!router("valid-ttl 20000\nproxy e0 { rule 2001:db8::1 { static } }"), "1.0 does not set it");
    assert!(router("valid-ttl 20000\nproxy e0 { router\n rule 2001:db8::1 { static } }"));
}

#[test]
fn timers_at_its_defaults_are_nobody_s_wish() {
    let conf = "proxy e0 { ttl 30000\n timeout 500\n retries 3\n rule 2001:db8::1 { static } }";
    assert!(!good(conf).toml.contains("[timers]"));
}

#[test]
fn timers_that_were_set_are_set() {
    has(
        "proxy e0 { ttl 10000\n timeout 250\n retries 5\n deadtime 1500\n rule 2001:db8::1 { static } }",
        &["reachable  = \"10s\"", "retransmit = \"250ms\"", "retries    = 5", "absent     = \"1500ms\""],
    );
    for odd in ["ttl 0", "ttl -1", "ttl soon", "ttl 99999999999", "retries 0", "retries 256"] {
        let conf = format!("proxy e0 {{ {odd}\n rule 2001:db8::1 {{ static }} }}");
        assert!(notes(&conf).iter().any(|note| note.contains("stays at the default of lone64")), "{odd}");
    }
}

#[test]
fn whatever_has_no_equivalent_is_told_with_its_line() {
    let told = notes(
        "route-ttl 1\nproxy e0 {\n promiscuous yes\n colour blue\n rule 2001:db8::1 {\n iface br0\n autovia yes\n }\n}",
    );
    for start in ["1: route-ttl is not needed", "3: promiscuous", "4: `colour` in `proxy`", "7: autovia"] {
        assert!(told.iter().any(|note| note.starts_with(start)), "{start}: {told:#?}");
    }
}

#[test]
fn a_rule_with_two_methods_is_refused_as_ndppd_does() {
    let told = problems("proxy e0 {\n rule 2001:db8::1 {\n  iface br0\n  static\n }\n}");
    assert!(told.starts_with("f:4:3: a second method for one rule"), "{told}");
}

#[test]
fn names_and_prefixes_that_cannot_be_are_refused() {
    for (conf, start) in [
        ("proxy { rule ::1 { static } }", "f:1:1: `proxy` without the name"),
        ("proxy sixteen-bytes-16 { }", "f:1:7: 'sixteen-bytes-16' is not"),
        ("proxy eth* { }", "f:1:7: 'eth*' is a pattern"),
        ("proxy lo { }", "f:1:7: `lo` is not an interface"),
        ("proxy e0 { rule { static } }", "f:1:12: `rule` without a prefix"),
        ("proxy e0 { rule 192.0.2.1 { static } }", "f:1:17: '192.0.2.1' is not an IPv6 prefix"),
        ("proxy e0 { rule 2001:db8::/129 { static } }", "f:1:17: '2001:db8::/129' is not"),
    ] {
        let told = problems(conf);
        assert!(told.starts_with(start), "{conf}: {told}");
    }
}

#[test]
fn a_rule_for_all_addresses_is_one_for_the_upstreams_64_whatever_that_is() {
    let toml = good("proxy e0 { rule ::/0 { iface br0 } }").toml;
    let range = toml.split("[[range]]").nth(1).unwrap();
    for line in ["suffix    = \"::/64\"", "interface = \"br0\"", "answer    = \"live\""] {
        assert!(range.lines().any(|written| written == line), "{line} is not in\n{toml}");
    }
    assert!(!range.contains("routes    =") && !range.contains("backstop"), "{toml}");
    assert!(toml.contains("keeps a /128 for each live guest"));
    // One by the kernel's routes is what automatic does, beside other rules too.
    let automatic = good("proxy e0 { rule ::/0 { auto } }").toml;
    assert!(automatic.contains("automatic = true") && !automatic.contains("[[range]]"), "{automatic}");
    let both = good("proxy e0 { rule ::/0 { auto }\n rule 2001:db8::/112 { iface br0 } }").toml;
    assert!(both.contains("automatic = true") && both.matches("[[range]]").count() == 1, "{both}");
    // One that answers for everything is one that answers for all of the /64 that is not on the link itself.
    let toml = good("proxy e0 { rule ::/0 { static }\n rule 2001:db8::/112 { iface br0 } }").toml;
    let range = toml.split("[[range]]").nth(1).unwrap();
    for line in
        ["suffix    = \"::/64\"", "answer    = \"always\"", "routes    = \"none\"", "backstop  = false"]
    {
        assert!(range.lines().any(|written| written == line), "{line} is not in\n{toml}");
    }
}

#[test]
fn a_rule_inside_one_for_all_addresses_is_looked_for_there_too() {
    let toml = good("proxy e0 { rule ::/0 { iface br0 }\n rule 2001:db8::/112 { iface br1 } }").toml;
    assert!(toml.contains("interface = [\"br1\", \"br0\"]") && toml.contains("\"::/64\""), "{toml}");
}
