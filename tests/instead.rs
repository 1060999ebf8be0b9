//! What people write instead of the right keys and values, and what they are told.

#![allow(clippy::unwrap_used)]

use lone64::config;

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
fn what_people_write_instead_is_told_what_it_means() {
    let range = "[[range]]\nprefix = \"2001:db8:1:2:d::/112\"\n";
    for (text, problem) in [
        (
            "[[upstream]]\niface = \"eth0\"",
            "2: unknown key `iface` in [[upstream]]; did you mean `interface`?",
        ),
        ("[[upstream]]\ndev = \"eth0\"", "2: unknown key `dev` in [[upstream]]; did you mean `interface`?"),
        (
            "[[range]]\nsubnet = \"2001:db8:1:2:d::/112\"",
            "2: unknown key `subnet` in [[range]]; did you mean `prefix`?",
        ),
        (
            &format!("{range}mode = \"static\""),
            "3: unknown key `mode` in [[range]]; write answer = \"always\"",
        ),
        (
            &format!("{range}mode = \"auto\""),
            "3: unknown key `mode` in [[range]]; remove it: answer = \"live\" is the default",
        ),
        (
            &format!("{range}answer = \"static\""),
            "3: `answer` cannot be \"static\"; did you mean \"always\"?",
        ),
        ("[log]\nlevel = \"warning\"", "2: `level` cannot be \"warning\"; did you mean \"warn\"?"),
        ("[timers]\nabsent = \"2min\"", "2: `absent` cannot be \"2min\"; write \"2m\""),
        ("[[upstream]]\nannounce = \"2min\"", "2: `announce` cannot be \"2min\"; write \"2m\""),
        (
            "[control]\nmetrics = \"localhost:9164\"",
            "2: `metrics` cannot be \"localhost:9164\"; write \"[::1]:9164\"",
        ),
        ("[[upstream]]\ninterface = “eth0”", "2: “eth0” has typographic quotes; write \"eth0\""),
        (
            "[[range]]\nprefix = [\"2001:db8:1:2:d::/112\"]",
            "2: `prefix` has a list instead of a prefix; write a [[range]] for each prefix",
        ),
        ("[sysctl]\nmanage = \"yes\"", "2: `manage` is text in quotes; write true, without quotes"),
        ("[logging]", "1: unknown table `logging`; did you mean [log]?"),
        ("iface = \"eth0\"", "1: unknown key `iface` outside every table; did you mean [[range]]?"),
    ] {
        assert_eq!(problems(text), [problem]);
    }
}
