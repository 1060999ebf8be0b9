//! lone64.toml(5): every key, out of the configuration room's own manual.

use clap_mangen::roff::{bold, roman};

use super::page::Writer;
use crate::config::{DEFAULT_FILE, manual};

/// The page in roff.
pub(super) fn render() -> String {
    let mut page = Writer::new("LONE64.TOML", "5", "configuration of lone64");
    page.section("SYNOPSIS").line(vec![bold(DEFAULT_FILE)]);
    page.section("DESCRIPTION").text(DESCRIPTION).code(SHORTEST).text(VALUES);
    page.section("DROP-INS").text(DROP_INS).code(DROP_IN);
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
    page.section("SEE ALSO").text("lone64(8), lone64-metrics(7)");
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

const DROP_INS: &str = "\
Behind the file, those of the directory beside it are read: /etc/lone64/lone64.d/*.toml, and for `lone64 run --config \
F.toml` F.d/*.toml. Names that begin with a dot are left out, and so are drop-ins of a pipe. They are read in the order \
of their names, as if all were one file: [[range]] and [[upstream]] add one, and a key in another table replaces the \
same key of the files before. A range or an upstream that is there already is a mistake, as it is within one file. \
Every mistake is told with its file, line and column, also in a value that a later file replaces. A link to /dev/null \
is an empty file. The default file itself may be absent.

`lone64 check --effective` prints every key with its value and the file and line that it came from, \
`lone64 status --json` has the same of a running daemon, and `lone64 reload` tells what changed. A key of the \
configuration goes behind the options of `lone64 run`, and level of [log] behind LONE64_LOG.";

const DROP_IN: &str = r#"
# /etc/lone64/lone64.d/10-vpn.toml
[[range]]
prefix    = "2001:db8:1:2:e::/112"
interface = "wg0"
answer    = "always"
"#;

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
