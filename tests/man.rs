//! The manual pages and the completions: whole, and every example in them is right.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use clap::{CommandFactory, Parser, ValueEnum};
use lone64::cli::Cli;
use lone64::commands::man::Page;
use lone64::config::{self, manual};

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
    for (escape, meaning) in
        [("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\-", "-"), ("\\&", ""), ("\\*(Aq", "'"), ("\\\\", "\\")]
    {
        text = text.replace(escape, meaning);
    }
    text
}

/// What is shown as it is.
fn examples(page: Page) -> Vec<String> {
    let roff = page.render();
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
fn every_command_line_in_the_pages_is_one() {
    let mut seen = 0;
    for page in [Page::Program, Page::File] {
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
    for page in [Page::Program, Page::File] {
        let groff = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-Wbreak", "-rLL=78n"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut groff) = groff else {
            eprintln!("groff is not there: only the text of the pages was tested");
            return;
        };
        groff.stdin.take().unwrap().write_all(page.render().as_bytes()).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page:?}");
        assert!(output.status.success() && !output.stdout.is_empty(), "{page:?}");
    }
}

#[test]
fn the_pages_that_are_named_are_there() {
    let names: Vec<_> = Page::value_variants()
        .iter()
        .map(|page| page.to_possible_value().unwrap().get_name().to_owned())
        .collect();
    assert_eq!(names, ["lone64", "lone64.toml"]);
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
