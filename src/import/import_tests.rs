//! Whatever was written before, what is printed is accepted; and rules about several ranges.

use proptest::prelude::*;

use super::*;
use crate::config;

fn good(conf: &str) -> Imported {
    import(conf, "f", None).unwrap_or_else(|error| panic!("{error}"))
}

fn notes(imported: &Imported) -> String {
    notes_of(&imported.notes)
}

fn notes_of(notes: &[Note]) -> String {
    notes.iter().map(|note| format!("{}\n", note.message)).collect()
}

#[test]
fn a_configuration_is_known_by_its_content() {
    let ndppd = "# prefix = 1\nproxy eth0\n{ rule 2001:db8::1 { static } }";
    assert_eq!(good(ndppd).from, "ndppd 0.2");
    assert_eq!(good("valid-ttl 9\nproxy eth0 { rule 2001:db8::1 { static } }").from, "ndppd 1.0");
    assert_eq!(good("// a {\n interface=eth0\nprefix=2001:db8:1:2:").from, "npd6");
    assert!(matches!(import("", "f", None), Err(ImportError::Unreadable(_))));
}

#[test]
fn what_nobody_could_serve_is_told_instead_of_an_empty_file() {
    let error = import("proxy eth0 { rule fe80::/64 { static } }", "f", None).unwrap_err();
    assert!(error.to_string().contains("line 1: left out: the range fe80::/64 is link-local"), "{error}");
    assert!(matches!(import("proxy eth0 { }", "f", None), Err(ImportError::Nothing { .. })));
}

#[test]
fn nothing_is_looked_for_on_the_side_that_asks() {
    let told = notes(&good(
        "proxy eth0 { rule 2001:db8:1::/64 { iface eth0 }\n rule 2001:db8:2::/64 { static } }\n\
         proxy eth1 { rule 2001:db8:3::/64 { iface eth0 }\n rule 2001:db8:4::/64 { auto } }",
    ));
    assert!(told.contains("2001:db8:1::/64 would be behind eth0, the interface on which"), "{told}");
    assert!(told.contains("2001:db8:3::/64 would be behind an upstream"), "{told}");
}

#[test]
fn a_prefix_that_only_serves_nobody_does_not_decide_where_the_router_is() {
    let imported =
        good("proxy br0 { rule ::/0 { iface eth0 } }\nproxy eth0 { rule 2001:db8:1::/64 { iface br0 } }");
    assert!(imported.toml.contains("[[upstream]]\n# line 2"), "{}", imported.toml);
    assert!(imported.toml.contains("interface = \"eth0\""), "{}", imported.toml);
}

#[test]
fn a_range_whose_every_address_is_excluded_is_left_out() {
    let conf =
        "interface=e0\nprefix=2001:db8::4/127\nlisttype=black\naddrlist=2001:db8::4\naddrlist=2001:db8::5\n";
    let error = import(conf, "f", None).unwrap_err();
    assert!(error.to_string().contains("every address of 2001:db8::4/127 is excluded"), "{error}");
}

#[test]
fn comments_hold_no_more_than_they_were_given() {
    let imported = good("\u{7}\u{1b}[31m\r x\nproxy eth0 { rule 2001:db8::1 { static } }");
    assert!(!imported.toml.contains(['\u{7}', '\u{1b}', '\r']), "{:?}", imported.toml);
    config::parse(&imported.toml, "f").unwrap_or_else(|problems| panic!("{problems}"));
    let named = import("proxy eth0 { rule 2001:db8::1 { static } }", "a\n[log]\nb", None).unwrap();
    assert!(!named.toml.contains("\n[log]"), "{}", named.toml);
}

#[test]
fn a_file_as_long_as_none_is_refused() {
    let error = import_bytes("# a\n".repeat(LONGEST).into(), "f", None).unwrap_err();
    assert!(error.to_string().contains("longer than 262144 bytes"), "{error}");
}

#[test]
fn a_mark_before_the_text_changes_nothing() {
    for conf in [
        "proxy eth0 {\n rule 2001:db8::1 { static }\n}\n",
        "prefix=2001:db8:1:2:\ninterface=eth0\n",
        "proxy eth0 {\n rule 2001:db8::x { static }\n}\n",
    ] {
        let outcome = |text: &str| import(text, "f", None).map_err(|error| error.to_string());
        assert_eq!(outcome(&format!("\u{feff}{conf}")), outcome(conf));
    }
}

#[test]
fn a_text_in_utf_16_is_told_as_that() {
    let units = "proxy eth0 { rule 2001:db8::1 { static } }".encode_utf16();
    let error = import_bytes(units.flat_map(u16::to_le_bytes).collect(), "f", None).unwrap_err();
    assert!(error.to_string().starts_with("f: the text is UTF-16"), "{error}");
}

#[test]
fn an_endless_line_does_not_make_an_endless_answer() {
    let long = "1".repeat(LONGEST / 2);
    for conf in [
        format!("proxy eth0 {{ rule {long} {{ static }} }}"),
        format!("proxy eth0 {{ {long}"),
        format!("proxy {long} {{ rule 2001:db8::1 {{ static }} }}"),
        format!("proxy eth0 {{ rule 2001:db8::1 {{ static }}\n {long} }}"),
        format!("{long}=1\nprefix=2001:db8:1:2:\ninterface=eth0\n"),
        format!("prefix={long}\ninterface=eth0\n"),
        // Two hundred mistakes in one line: it is not shown two hundred times.
        format!("{}{long}", "proxy e { rule x { y } } ".repeat(200)),
    ] {
        let said = match import(&conf, "f", None) {
            Ok(imported) => imported.toml + &notes_of(&imported.notes),
            Err(ImportError::Nothing { notes, origin, remedy }) => {
                notes_of(&notes) + &ImportError::Nothing { notes, origin, remedy }.to_string()
            }
            Err(error) => error.to_string(),
        };
        let longest = said.lines().map(|line| line.chars().count()).max();
        assert!(
            longest < Some(2_000) && said.len() < 1 << 20,
            "{}: {longest:?}, {}",
            &conf[..20],
            said.len()
        );
    }
}

/// An accepted one is read again; `true` if there was any.
fn is_accepted(conf: &str, format: Option<Format>) -> Result<bool, TestCaseError> {
    let Ok(imported) = import(conf, "f", format) else { return Ok(false) };
    if let Err(problems) = config::parse(&imported.toml, "f") {
        return Err(TestCaseError::fail(format!("{conf}\n---\n{}\n---\n{problems}", imported.toml)));
    }
    Ok(true)
}

fn prefix_text() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        6 => (0..4_u16, 0..3_u16).prop_map(|(a, b)| format!("2001:db8:1:{a}:{b}::")),
        1 => Just("fe80::1".to_owned()),
        1 => Just("ff02::1".to_owned()),
        1 => Just("::".to_owned()),
    ];
    (address, proptest::option::of(prop_oneof![Just(64_u8), Just(80), 0..=128_u8]))
        .prop_map(|(address, length)| length.map_or(address.clone(), |length| format!("{address}/{length}")))
}

fn name_text() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::sample::select(vec!["eth0", "eth1", "br0", "br1", "wg0"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["lo", "a\\b", "é", "\"q'\""]).prop_map(str::to_owned),
    ]
}

fn ndppd_text() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        Just("static".to_owned()),
        Just("auto".to_owned()),
        Just(String::new()),
        name_text().prop_map(|name| format!("iface {name}")),
    ];
    let more = prop::sample::select(vec!["", "autovia yes", "autowire", "rewrite ::/0", "x { y z }"]);
    let rule = (prefix_text(), method, more)
        .prop_map(|(prefix, method, more)| format!("rule {prefix} {{\n{method}\n{more}\n}}\n"));
    let key = prop::sample::select(vec![
        "router no",
        "autowire yes",
        "ttl 1",
        "ttl 10",
        "timeout 99",
        "deadtime 0",
        "retries 9",
        "# c",
        "junk;",
    ]);
    let proxy = (name_text(), prop::collection::vec(key, 0..3), prop::collection::vec(rule, 0..5)).prop_map(
        |(name, keys, rules)| format!("proxy {name} {{\n{}\n{}}}\n", keys.join("\n"), rules.concat()),
    );
    let top =
        prop::sample::select(vec!["", "route-ttl 9\n", "valid-ttl 99999\n", "retrans-limit 0\n", "what\n"]);
    (top, prop::collection::vec(proxy, 1..4)).prop_map(|(top, proxies)| format!("{top}{}", proxies.concat()))
}

fn npd6_text() -> impl Strategy<Value = String> {
    let pair = (prefix_text(), name_text()).prop_map(|(p, name)| format!("prefix={p}\ninterface = {name}\n"));
    let list = prop::sample::select(vec!["none", "black", "white", "grey"]);
    let listed = (0..4_u16, 0..3_u16).prop_map(|(a, b)| format!("addrlist = 2001:db8:1:{a}:{b}::\n"));
    let rest =
        prop::sample::select(vec!["", "routerNA=false\n", "maxHops = 3\n", "exprlist = HOST\n", "a=b\n"]);
    (prop::collection::vec(pair, 1..4), list, prop::collection::vec(listed, 0..5), rest).prop_map(
        |(pairs, list, listed, rest)| format!("{}listtype={list}\n{}{rest}", pairs.concat(), listed.concat()),
    )
}

proptest! {
    #[test]
    fn check_accepts_whatever_ndppd_was_told(conf in ndppd_text()) {
        is_accepted(&conf, None)?;
    }

    #[test]
    fn check_accepts_whatever_npd6_was_told(conf in npd6_text()) {
        is_accepted(&conf, Some(Format::Npd6))?;
    }

    #[test]
    fn survives_every_damage_to_a_configuration(
        conf in prop_oneof![ndppd_text(), npd6_text()],
        at in 0.0..1.0_f64,
        cut in 0..30_usize,
        piece in "[{}\"'=#;/* \t\r\n\u{0}a-z0-9é网:-]{0,12}",
    ) {
        let mut characters: Vec<char> = conf.chars().collect();
        let start = (at * characters.len() as f64) as usize;
        let end = (start + cut).min(characters.len());
        characters.splice(start..end, piece.chars());
        let damaged: String = characters.into_iter().collect();
        is_accepted(&damaged, None)?;
        is_accepted(&damaged, Some(Format::Npd6))?;
    }

    #[test]
    fn survives_any_text(text in "\\PC*|[ -~\n\t{}]*") {
        for format in [None, Some(Format::Ndppd), Some(Format::Npd6)] {
            is_accepted(&text, format)?;
        }
    }
}

/// The generators above must not be so wild that nothing of theirs is ever accepted.
#[test]
fn most_of_what_is_tried_is_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for strategy in [ndppd_text().boxed(), npd6_text().boxed()] {
        let accepted = (0..100)
            .filter(|_| {
                let conf = strategy.new_tree(&mut runner).unwrap().current();
                is_accepted(&conf, None).unwrap()
            })
            .count();
        assert!(accepted >= 40, "only {accepted} of 100");
    }
}
