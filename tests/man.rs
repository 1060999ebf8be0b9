//! The manual pages and the completions: whole, and every example in them is right.

#![allow(clippy::unwrap_used)]

mod host;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use clap::{CommandFactory, Parser, ValueEnum};
use lone64::cli::Cli;
use lone64::columns;
use lone64::commands::man::Page;
use lone64::config::{self, manual};
use lone64::daemon::control::{Method, StatusParams};
use lone64::daemon::explained::Explained;
use lone64::daemon::metrics::catalog;
use lone64::daemon::status::Status;
use lone64::wire::DropReason;
use serde_json::Value;

/// What `lone64 …` prints; it has to succeed.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lone64")).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The text behind the escapes of roff, fonts left out.
fn plain(roff: &str) -> String {
    let mut text = roff.to_owned();
    for (escape, meaning) in [
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\-", "-"),
        ("\\&", ""),
        ("\\*(Aq", "'"),
        ("\\[u00A7]", "§"),
        ("\\\\", "\\"),
    ] {
        text = text.replace(escape, meaning);
    }
    text
}

/// What is shown as it is.
fn examples(page: Page) -> Vec<String> {
    let roff = page.render(Cli::command());
    let blocks = roff.split(".nf\n").skip(1).map(|rest| rest.split(".fi\n").next().unwrap());
    blocks.map(plain).collect()
}

#[test]
fn the_page_of_the_program_has_every_command_and_every_option() {
    let page = plain(&printed(&["man"]));
    let mut program = Cli::command();
    program.build();
    let shown = program.get_subcommands().filter(|command| !command.is_hide_set());
    for command in shown.filter(|command| command.get_name() != "help") {
        let heading = format!(".SS \"lone64 {}\"\n", command.get_name());
        let section = page.split_once(&heading).unwrap_or_else(|| panic!("no {heading}")).1;
        let section = section.split(".SS").next().unwrap().split(".SH").next().unwrap();
        assert!(section.contains("Examples:"), "{heading}");
        for argument in
            command.get_arguments().filter(|argument| argument.get_id() != "help" && !argument.is_hide_set())
        {
            let name = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_value_names().unwrap()[0].to_string(),
            };
            assert!(section.contains(&name), "{heading}{name}");
        }
    }
    for hidden in ["completions", "lone64 man"] {
        assert!(!page.contains(&format!(".SS \"lone64 {hidden}")), "{hidden}");
    }
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "FILES", "SIGNALS", "EXAMPLES"] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}");
    }
    assert!(page.contains(".SH \"EXIT STATUS\"\n") && page.contains(".SH \"SEE ALSO\"\n"));
}

#[test]
fn the_page_of_the_file_has_every_key_that_is_supported() {
    let page = plain(&printed(&["man", "lone64.toml"]));
    for table in manual::tables() {
        let heading = format!("\n.SH {}\n", table.header);
        let section = page.split_once(&heading).unwrap_or_else(|| panic!("no {heading}")).1;
        let section = section.split("\n.SH").next().unwrap();
        for key in table.keys {
            let default = key.default.map(|default| format!(" = {default}")).unwrap_or_default();
            assert!(section.contains(&format!("\n.TP\n{}{default}\n", key.name)), "{heading}{}", key.name);
        }
    }
}

#[test]
fn the_page_of_the_metrics_has_every_metric_and_every_verdict() {
    let page = plain(&printed(&["man", "lone64-metrics"]));
    let part = |title: &str| {
        let section = page.split_once(&format!("\n.SH {title}\n")).unwrap().1;
        section.split("\n.SH").next().unwrap().to_owned()
    };
    let (metrics, verdicts) = (part("METRICS"), part("VERDICTS"));
    for metric in catalog::ALL {
        let head = format!("\n.TP\n{}", metric.series());
        let entry = metrics.split_once(&head).unwrap_or_else(|| panic!("no {head}")).1;
        let entry = entry.split("\n.TP").next().unwrap();
        assert!(
            entry.contains(metric.help) && metric.labels.iter().all(|label| entry.contains(label)),
            "{entry}"
        );
    }
    for reason in DropReason::ALL {
        assert!(verdicts.contains(&format!("\n.TP\n{reason}\n{}", reason.about())), "{reason}");
    }
    assert!(verdicts.contains("\n.TP\nanswered\n"));
    assert_eq!(metrics.matches("\n.TP\n").count(), catalog::ALL.len());
    assert_eq!(verdicts.matches("\n.TP\n").count(), DropReason::COUNT + 1);
}

/// What the page says of the control socket, or of one of its methods.
fn of_the_socket(method: Option<&str>) -> String {
    let page = plain(&printed(&["man"]));
    let section = page.split_once(".SH \"CONTROL SOCKET\"\n").unwrap().1.split("\n.SH").next().unwrap();
    let Some(method) = method else { return section.to_owned() };
    let heading = format!("\n.SS {method}\n");
    let rest = section.split_once(&heading).unwrap_or_else(|| panic!("no {heading}")).1;
    rest.split("\n.SS").next().unwrap().to_owned()
}

/// What stands in the source from each of these marks to the next quote.
fn quoted_behind<'a>(mark: &str, source: &'a str) -> Vec<&'a str> {
    source.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Whether it is there as a word of its own.
fn says(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

/// The names of all fields, those of fields in fields, too.
fn fields(value: &Value) -> Vec<String> {
    match value {
        // What is counted is a matter of the frames.
        Value::Object(object) => object
            .iter()
            .filter(|(name, _)| *name != "dropped")
            .flat_map(|(name, value)| [vec![name.clone()], fields(value)].concat())
            .collect(),
        Value::Array(values) => values.iter().flat_map(fields).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_page_of_the_program_has_every_method_and_every_code() {
    let methods: Vec<&str> = Method::NAMES.split('`').skip(1).step_by(2).collect();
    assert_eq!(methods.len(), of_the_socket(None).matches("\n.SS ").count(), "{methods:?}");
    for method in methods {
        assert!(of_the_socket(Some(method)).contains(&format!("{{\"method\":\"{method}\"")), "{method}");
    }
    let sources = [
        include_str!("../src/daemon/control/mod.rs"),
        include_str!("../src/daemon/control/client.rs"),
        include_str!("../src/daemon/control/method.rs"),
        include_str!("../src/daemon/control/reply.rs"),
        include_str!("../src/daemon/reload.rs"),
    ];
    let codes: BTreeSet<&str> = sources
        .into_iter()
        .map(|source| source.split("#[cfg(test)]").next().unwrap())
        .flat_map(|source| ["fault(\"", "Fault::new(\"", "code: \""].map(|mark| quoted_behind(mark, source)))
        .flatten()
        .collect();
    assert!(codes.len() >= 7, "{codes:?}");
    for code in codes {
        assert!(of_the_socket(None).contains(&format!("\n.TP\n{code}\n")), "{code}");
    }
}

#[test]
fn the_page_of_the_program_has_every_event() {
    let source = include_str!("../src/daemon/control/event.rs");
    let events = [quoted_behind("\"event\": \"", source), quoted_behind("asked(\"", source)].concat();
    assert!(events.len() >= 19, "{events:?}");
    let section = of_the_socket(Some("watch"));
    for event in &events {
        assert!(section.contains(&format!("\n.TP\n{event}\n")), "{event}");
    }
    assert_eq!(section.matches("\n.TP\n").count(), events.len(), "one that does not exist is in the page");
}

#[test]
fn the_page_of_the_program_has_every_field_of_a_status_and_of_an_explanation() {
    let guest = "2001:db8:1:2:c::5".parse().unwrap();
    let mut host = host::Host::new(host::live()).with_guest(guest, lone64::wire::Mac([2, 0, 0, 0, 0, 5]));
    host.ask(guest);
    let status = Status::of(&host.engine, &StatusParams::default(), host.now);
    let status = serde_json::to_value(&status).unwrap();
    assert!(status["targets"][0]["mac"].is_string() && status["routes"][0]["state"].is_string(), "{status}");
    assert!(status["upstreams"][0].is_object() && status["ranges"][0].is_object(), "{status}");
    let section = of_the_socket(Some("status"));
    for field in status.as_object().unwrap().keys() {
        assert!(section.contains(&format!("\n.TP\n{field}\n")), "{field}");
    }
    for field in fields(&status) {
        assert!(says(&section, &field), "{field}");
    }
    let explained = serde_json::to_value(Explained::of(&host.engine, guest, host.now)).unwrap();
    assert!(explained["steps"][0].is_object(), "{explained}");
    for field in fields(&explained) {
        assert!(says(&of_the_socket(Some("explain")), &field), "{field}");
    }
}

#[test]
fn every_command_line_in_the_pages_is_one() {
    let mut seen = 0;
    for page in Page::value_variants().iter().copied() {
        for block in examples(page) {
            for line in block.replace("\\\n", " ").lines() {
                // In a pipe or a list, each command is one.
                for command in line.split(['|', '&']).map(str::trim) {
                    let Some(arguments) =
                        command.strip_prefix("lone64 ").or((command == "lone64").then_some(""))
                    else {
                        continue;
                    };
                    let words = arguments.split('>').next().unwrap().split_whitespace();
                    Cli::try_parse_from(["lone64"].into_iter().chain(words))
                        .unwrap_or_else(|error| panic!("{line}: {error}"));
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 12, "only {seen}");
}

/// Lines to be copied are not filled: they have the columns of a terminal without those that the page indents.
#[test]
fn what_is_shown_as_it_is_fits_eighty_columns() {
    const INDENT: usize = 7 + 4;
    for page in Page::value_variants() {
        for line in examples(*page).iter().flat_map(|block| block.lines()) {
            assert!(columns::width(line) + INDENT <= columns::USUAL, "{page:?}: {line}");
        }
    }
}

#[test]
fn every_configuration_in_the_pages_is_good() {
    let blocks: Vec<String> =
        examples(Page::File).into_iter().filter(|block| block.contains("[[range]]")).collect();
    assert!(blocks.len() >= 4, "{blocks:?}");
    for block in blocks {
        config::parse(&block, "lone64.toml(5)").unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// groff is not needed to build or test; where it is there, it has to be content.
#[test]
fn groff_has_nothing_to_say_against_the_pages() {
    for page in Page::value_variants() {
        let groff = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-Wbreak", "-rLL=78n", "-P-cbou"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut groff) = groff else {
            eprintln!("groff is not there: only the text of the pages was tested");
            return;
        };
        groff.stdin.take().unwrap().write_all(page.render(Cli::command()).as_bytes()).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page:?}");
        assert!(output.status.success() && !output.stdout.is_empty(), "{page:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let wide: Vec<_> = text.lines().filter(|line| columns::width(line) > columns::USUAL).collect();
        assert!(wide.is_empty(), "{page:?}: {wide:#?}");
    }
}

#[test]
fn the_pages_that_are_named_are_there() {
    let names: Vec<_> = Page::value_variants()
        .iter()
        .map(|page| page.to_possible_value().unwrap().get_name().to_owned())
        .collect();
    assert_eq!(names, ["lone64", "lone64.toml", "lone64-metrics"]);
    for name in names {
        assert!(printed(&["man", &name]).contains(&format!(".TH {}", name.to_uppercase())), "{name}");
    }
}

#[test]
fn every_shell_gets_completions_for_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for word in ["import", "check", "kernel", "upstream"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(printed(&["completions", "bash"]).as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}
