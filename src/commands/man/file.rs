//! lone64.toml(5): every key, out of the configuration room's own manual.

use clap_mangen::roff::{bold, roman};

use super::page::Writer;
use crate::config::{DEFAULT_FILE, manual};

/// The page in roff.
pub(super) fn render() -> String {
    let mut page = Writer::new("LONE64.TOML", "5", "configuration of lone64");
    page.section("SYNOPSIS").line(vec![bold(DEFAULT_FILE)]);
    page.section("DESCRIPTION").text(DESCRIPTION).code(SHORTEST).text(VALUES);
    for table in manual::tables() {
        page.section(&table.header).text(table.help);
        for key in table.keys {
            let mut head = vec![bold(key.name)];
            if let Some(default) = key.default {
                head.push(roman(format!(" = {default}")));
            }
            page.term(head, key.help);
        }
    }
    page.section("EXAMPLES");
    for (what, code) in EXAMPLES {
        page.text(what).code(code);
    }
    page.section("SEE ALSO").text("lone64(8)");
    page.render()
}

const DESCRIPTION: &str = "\
The file is TOML. What is not in it has its default; the common case is three lines:";

const SHORTEST: &str = r#"
[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "lxcbr0"
"#;

const VALUES: &str = "\
Tables in two brackets can be written several times, the others once. Names, addresses, prefixes and \
durations are in quotes; durations are a whole number and a unit: \"500ms\", \"30s\", \"5m\", \"1h\", at most a \
day. Interfaces that are named need not be there yet.

Unknown keys, host bits in a prefix and impossible values are errors. `lone64 check` tells all of them at \
once, each with its place. Below, a key is shown with its default, if it has a fixed one.";

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Containers on a veth each, followed as they come and go:",
        r#"
[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "veth*"
"#,
    ),
    (
        "Peers of a WireGuard server, which cannot be asked whether they are there:",
        r#"
[[range]]
prefix    = "2001:db8:1:2:e::/112"
interface = "wg0"
answer    = "always"
"#,
    ),
    (
        "A provider that drops answers from link-local addresses, and a gateway of the guests that is \
         nobody else's business:",
        r#"
[[upstream]]
interface = "eth0"
source    = "target"

[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "br0"
exclude   = ["2001:db8:1:2:c::1"]
"#,
    ),
];
