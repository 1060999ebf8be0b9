//! README.md says what is so: its configuration is one, its commands exist, its links lead somewhere.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser;
use lone64::cli::Cli;
use lone64::config;

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The blocks of code in this language.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let mut blocks = text.split("```").skip(1).step_by(2);
    let mut found = Vec::new();
    for block in &mut blocks {
        if let Some(code) = block.strip_prefix(&format!("{language}\n")) {
            found.push(code.to_owned());
        }
    }
    found
}

#[test]
fn its_configuration_has_three_lines_and_no_mistake() {
    let text = readme();
    let (_, rest) = text.split_once("lone64.toml <<END\n").unwrap();
    let (configuration, _) = rest.split_once("\nEND\n").unwrap();
    assert_eq!(configuration.lines().count(), 3);
    config::parse(configuration, "README.md").unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn its_commands_are_commands() {
    let shell = blocks("sh").concat();
    let mut seen = BTreeSet::new();
    for line in shell.lines() {
        let line = line.split('#').next().unwrap();
        // In a pipe, each command is one; what it prints may go to a file.
        for command in line.split('|') {
            let command = command.split('>').next().unwrap().trim();
            let command = command.strip_prefix("sudo ").unwrap_or(command);
            let arguments =
                command.strip_prefix("lone64 ").or(command.strip_prefix("cargo run --release -- "));
            if let Some(arguments) = arguments {
                let words = ["lone64"].into_iter().chain(arguments.split_whitespace());
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
                seen.extend(arguments.split_whitespace().next().map(str::to_owned));
            }
        }
    }
    for command in ["check", "demo", "doctor", "explain", "import", "reload", "run", "status", "watch"] {
        assert!(seen.contains(command), "{command} is not shown: {seen:?}");
    }
}

#[test]
fn its_links_lead_somewhere() {
    let text = readme();
    let links: Vec<_> = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.len() >= 2);
    for link in links {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{link}");
    }
}

#[test]
fn the_test_command_that_it_names_is_there() {
    assert!(blocks("sh").iter().any(|block| block.trim() == "tests/run"));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run").exists());
}
