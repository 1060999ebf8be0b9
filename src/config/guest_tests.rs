//! Mistakes in `[[guest]]`, each with its place and its remedy.

use std::sync::Arc;

use crate::config::{Overrides, Problems, Read};
use crate::engine::policy::{GuestAddresses, GuestPolicy};

const RANGE: &str = "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"br0\"\n";

fn parse(guests: &str) -> Result<Read, Problems> {
    Overrides::default().parse(&format!("{RANGE}{guests}"), "f")
}

fn guests(text: &str) -> Vec<Arc<GuestPolicy>> {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).config.policy.guests
}

/// Sentence and remedy of the only problem.
fn problem(text: &str) -> (String, String) {
    let problems = parse(text).expect_err("it has a mistake");
    let [only] = problems.as_slice() else { panic!("{problems}") };
    (only.message.clone(), only.help.clone().unwrap_or_default())
}

fn guest(name: &str, rest: &str) -> String {
    format!("[[guest]]\nname = \"{name}\"\ninterface = \"br0\"\n{rest}\n")
}

#[test]
fn reads_every_key() {
    let text = "[[guest]]\nname = \"web1\"\nmac = \"52:54:00:12:34:56\"\ninterface = \"br0\"\n\
                addresses = [\"2001:db8:1:2:c::5\"]\ndelegate = [\"2001:db8:1:2:c::1000/116\"]\n";
    let read = guests(text);
    assert_eq!(read[0].mac.map(|mac| mac.to_string()).as_deref(), Some("52:54:00:12:34:56"));
    assert_eq!(read[0].addresses.listed()[0].to_string(), "2001:db8:1:2:c::5");
    assert_eq!(read[0].delegate[0].to_string(), "2001:db8:1:2:c::1000/116");
    let by_mac = "[[range]]\nsuffix = \"::/64\"\ninterface = \"br0\"\n[[guest]]\nname = \"web2\"\n\
                  mac = \"52:54:00:12:34:57\"\naddresses = \"eui64\"\n";
    assert_eq!(guests(by_mac)[0].addresses, GuestAddresses::Eui64);
}

#[test]
fn names_both_of_an_overlap() {
    let a = guest("a", "addresses = [\"2001:db8:1:2:c::5\"]");
    let with_prefix = guest("a", "mac = \"52:54:00:12:34:56\"\ndelegate = [\"2001:db8:1:2:c::1000/116\"]");
    for (first, second, words) in [
        (&a, guest("a", "addresses = [\"2001:db8:1:2:c::6\"]"), &["two guests with the name `a`"][..]),
        (&a, guest("b", "addresses = [\"2001:db8:1:2:c::5\"]"), &["2001:db8:1:2:c::5", "`a` and `b`"]),
        (&with_prefix, guest("b", "addresses = [\"2001:db8:1:2:c::1005\"]"), &["::1005", "`a` and `b`"]),
        (
            &with_prefix,
            guest("b", "delegate = [\"2001:db8:1:2:c::1800/117\"]"),
            &["::1800/117", "`a` and `b`"],
        ),
        (&a, guest("b", "delegate = [\"2001:db8:1:2:c::/116\"]"), &["2001:db8:1:2:c::/116", "`a` and `b`"]),
        (
            &with_prefix,
            guest("b", "mac = \"52:54:00:12:34:56\"\naddresses = [\"2001:db8:1:2:c::5\"]"),
            &["52:54:00:12:34:56", "`a` and `b`"],
        ),
    ] {
        let (sentence, remedy) = problem(&format!("{first}{second}"));
        assert!(words.iter().all(|word| sentence.contains(word)), "{sentence}");
        assert!(remedy.contains("at line 4"), "{remedy}");
    }
}

#[test]
fn says_what_is_missing_and_what_cannot_be() {
    for (text, sentence, remedy) in [
        (
            "[[guest]]\ninterface = \"br0\"\naddresses = [\"2001:db8:1:2:c::5\"]",
            "no `name`",
            "name = \"web1\"",
        ),
        ("[[guest]]\nname = \"a\"\naddresses = [\"2001:db8:1:2:c::5\"]", "neither a `mac` nor", "add one"),
        (&guest("a", ""), "no `addresses`", "eui64"),
        (&guest("a b", "addresses = [\"2001:db8:1:2:c::5\"]"), "`name` cannot be \"a b\"", "letters"),
        (&guest("a", "addresses = [\"2001:db8:9::5\"]"), "2001:db8:9::5 is outside every range", "[[range]]"),
        (&guest("a", "addresses = [\"fe80::5\"]"), "fe80::5 is not an address", "follows from the MAC"),
        (&guest("a", "addresses = [\"2001:db8::5/64\"]"), "not an IPv6 address", "without a length"),
        (&guest("a", "addresses = \"slaac\""), "`addresses` cannot be \"slaac\"", "eui64"),
        (
            &guest("a", "addresses = \"eui64\"\nmac = \"52:54:00:12:34:56\""),
            "needs a range that is a /64",
            "::/64",
        ),
        (&guest("a", "mac = \"01:00:5e:00:00:01\"\naddresses = []"), "cannot be the MAC", "one guest"),
        (&guest("a", "mac = \"52-54\"\naddresses = []"), "`mac` cannot be", "52:54:00:12:34:56"),
        (&guest("a", "delegate = [\"2001:db8:1:2::/64\"]"), "covers all of the range", "longer prefix"),
        (&guest("a", "delegate = [\"2001:db8:9::/116\"]"), "outside every range", "[[range]]"),
        (
            &guest("a", "addresses = [\"2001:db8:1:2:c::1005\"]\ndelegate = [\"2001:db8:1:2:c::1000/116\"]"),
            "overlap",
            "remove one",
        ),
        (&guest("a", "addresses = []\nguard = true"), "`guard` needs the MAC", "add its `mac`"),
    ] {
        let (said, help) = problem(text);
        assert!(said.contains(sentence) && help.contains(remedy), "{said}; {help}");
    }
}

#[test]
fn guests_have_only_what_their_range_leaves_to_them() {
    let range = "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"br0\"\n\
                 exclude = [\"2001:db8:1:2:c::100/120\"]\n";
    let problem = |interface: &str, keys: &str| {
        let text = format!("{range}[[guest]]\nname = \"a\"\ninterface = \"{interface}\"\n{keys}\n");
        let problems = Overrides::default().parse(&text, "f").expect_err("it has a mistake");
        let [only] = problems.as_slice() else { panic!("{problems}") };
        assert!(only.help.is_some() && only.line == Some(8), "{only:?}");
        only.message.clone()
    };
    for (interface, keys, said) in [
        (
            "br0",
            "addresses = [\"2001:db8:1:2:c::105\"]",
            "excluded from the range 2001:db8:1:2:c::/112, by 2001",
        ),
        ("br0", "delegate = [\"2001:db8:1:2:c::140/124\"]", "2001:db8:1:2:c::140/124 is excluded"),
        ("br0", "addresses = [\"2001:db8:1:2:c::\"]", "is the subnet-router anycast address"),
        ("br1", "addresses = [\"2001:db8:1:2:c::5\"]", "which has no guests behind br1"),
        ("br0", "delegate = [\"ff02::/64\"]", "ff02::/64 cannot be routed to a guest"),
        ("br0", "delegate = [\"fe80::/64\"]", "fe80::/64 cannot be routed to a guest"),
    ] {
        let told = problem(interface, keys);
        assert!(told.contains(said), "{told}");
    }
    // It may be a port of the bridge, where the guest is found by its MAC.
    let port = "[[guest]]\nname = \"a\"\ninterface = \"tap0\"\nmac = \"52:54:00:00:00:05\"\n";
    let text = format!("{range}{port}addresses = [\"2001:db8:1:2:c::5\"]\n");
    assert!(Overrides::default().parse(&text, "f").is_ok());
}

#[test]
fn a_pin_needs_a_mac() {
    let (said, remedy) = problem(&guest("a", "addresses = [\"2001:db8:1:2:c::5\"]\npin = true"));
    assert!(said.contains("`mac` is missing") && remedy.contains("add the `mac`"), "{said}: {remedy}");
    let mac = "mac = \"52:54:00:12:34:56\"\naddresses = [\"2001:db8:1:2:c::5\"]\npin = true";
    assert!(guests(&guest("a", mac))[0].pin);
}
