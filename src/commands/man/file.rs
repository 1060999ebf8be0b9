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
The file is in TOML. Every key that is not in it has its default. The common case is three lines:";

const SHORTEST: &str = r#"
[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "lxcbr0"
"#;

const VALUES: &str = "\
A table in two brackets can be written several times, every other table once. Names, addresses, prefixes and \
durations are in quotes. A duration is a whole number and a unit: \"500ms\", \"30s\", \"5m\", \"1h\"; the longest is \
one day. An interface may be named before it exists.

Unknown keys, host bits in a prefix and impossible values are errors. `lone64 check` shows all of them at once, each \
with its place. Below, a key is shown with its default, if the default is fixed.";

const DROP_INS: &str = "\
After the file, lone64 reads the drop-ins in the directory beside it: /etc/lone64/lone64.d/*.toml, and F.d/*.toml \
for `lone64 run --config F.toml`. It ignores names that begin with a dot, and drop-ins of a pipe. It reads drop-ins \
in the order of their names, as if all were one file: [[range]] and [[upstream]] add one, and a key in any other \
table replaces the same key of an earlier file. The same range or upstream twice is a mistake, as in one file. Every \
mistake is shown with its file, line and column, also in a value that a later file replaces. A link to /dev/null is \
an empty file. The default file itself may be missing.

`lone64 check --effective` prints every key with its value, and with the file and line that set it. `lone64 status \
--json` prints the same of a running daemon, and `lone64 reload` prints what changed. The options of `lone64 run` \
override the configuration, and LONE64_LOG overrides level in [log].";

const DROP_IN: &str = r#"
# /etc/lone64/lone64.d/10-vpn.toml
[[range]]
prefix    = "2001:db8:1:2:e::/112"
interface = "wg0"
answer    = "always"
"#;

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Containers with one veth each, which come and go:",
        r#"
[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "veth*"
"#,
    ),
    (
        "Peers of a WireGuard server, which cannot be probed:",
        r#"
[[range]]
prefix    = "2001:db8:1:2:e::/112"
interface = "wg0"
answer    = "always"
"#,
    ),
    (
        "A provider that drops answers from link-local addresses, and an address that is never answered:",
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
