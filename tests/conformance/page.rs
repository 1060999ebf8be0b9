//! The table, and contrib/docs/conformance.md around it.

use std::fmt::Write;

use crate::Column;
use crate::cases::Verdict;

/// Where it is.
pub(crate) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/docs/conformance.md");

/// The whole page.
pub(crate) fn page(columns: &[Column]) -> String {
    let versions: Vec<String> = columns.iter().map(|(responder, _)| responder.version()).collect();
    let (last, others) = versions.split_last().expect("there are responders");
    format!(
        "# Conformance\n\n\
         Written by `cargo test --test conformance -- --write`, as root, with {}\n\
         and {last}.\n\n{INTRODUCTION}\n{}\n{}\n{OTHERS}",
        others.join(", "),
        table(columns),
        reasons(columns)
    )
}

/// A row for each clause, a column for each responder.
pub(crate) fn table(columns: &[Column]) -> String {
    let mut text = String::from("| clause | | what is expected |");
    for (responder, _) in columns {
        let _ = write!(text, " {} |", responder.name);
    }
    text += "\n|---|---|---|";
    text += &"---|".repeat(columns.len());
    text.push('\n');
    for (row, (case, _)) in columns[0].1.iter().enumerate() {
        let _ = write!(text, "| {} | {} | {} |", case.section, case.level.word(), case.about);
        for (_, results) in columns {
            let mark = match &results[row].1 {
                Verdict::Kept => "yes",
                Verdict::Broken(_) => "**no**",
                Verdict::Unseen(_) => "–",
            };
            let _ = write!(text, " {mark} |");
        }
        text.push('\n');
    }
    text += "| | | **broken: MUST, all** |";
    for (_, results) in columns {
        let broken = || results.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Broken(_)));
        let musts = broken().filter(|(case, _)| case.level == crate::Level::Must).count();
        let _ = write!(text, " {musts}, {} |", broken().count());
    }
    text.push('\n');
    text
}

/// What was seen where a clause is broken.
fn reasons(columns: &[Column]) -> String {
    let mut text = String::from("## What was seen\n\n");
    for (responder, results) in columns {
        for (case, verdict) in results {
            if let Verdict::Broken(why) = verdict {
                let _ = writeln!(text, "* {}, {}, *{}*: {why}.", responder.name, case.section, case.about);
            }
        }
    }
    text
}

const INTRODUCTION: &str = "\
The program asks a responder from outside: it is the router on one side of a host and a guest on the other, and judges
what it hears on both. Each row is one clause of RFC 4861, 4862, 4389 or 6980 that binds a node which answers for others
and that can be seen this way. `–` means that there was nothing to judge: a responder that asks no guest cannot ask too
often. Where a clause has no MUST or SHOULD, the column is empty. Each responder has the plainest configuration for one
prefix behind one bridge; the kernel's proxy has an entry for the guest, and no delay.

The clauses themselves are quoted in `tests/conformance/cases`, and `tests/rfc4861` goes through all of the sections,
with a reason for each that lone64 does not follow to the letter.
";

const OTHERS: &str = "\
## Another responder

```sh
sudo -E cargo test --test conformance -- --responder 'my-responder --upstream $UPSTREAM --prefix $PREFIX'
```

The shell runs the command in the host's network namespace. `UPSTREAM`, `DOWNSTREAM`, `PREFIX`, `GUEST` and `DIRECTORY`
(an empty one, for a configuration) are set. The program prints each clause, with its words where it is broken, and its
exit status is 1 if a MUST is.
";
