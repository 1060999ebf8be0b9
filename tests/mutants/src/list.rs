//! The mutants, as cargo-mutants lists them.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// One small change of the program.
pub struct Mutant {
    /// Its switch, from 1. It counts only within one build.
    pub number: u32,
    /// Relative to the tree.
    pub file: String,
    /// As cargo-mutants names it, with its place.
    pub name: String,
    pub genre: Genre,
    pub replacement: String,
    /// What is replaced, in bytes of the file.
    pub span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Genre {
    Function,
    Binary,
    Unary,
    Arm,
    Guard,
    Field,
}

/// All mutants of the files that match one of the globs, or of all that tests/mutants/config.toml names.
pub fn list(tree: &Path, place: &Path, globs: &[String]) -> Vec<Mutant> {
    let mut config = tree.join("tests/mutants/config.toml");
    if !globs.is_empty() {
        // cargo-mutants lists what `--file` names besides what the configuration names, not in its place.
        let written = std::fs::read_to_string(&config).expect("it is in the tree");
        let lines = written.lines().filter(|line| !line.starts_with("examine_globs"));
        config = place.join("config.toml");
        std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).expect("the place can be written");
    }
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json", "--config"]).arg(&config).current_dir(tree);
    for glob in globs {
        command.args(["--file", glob]);
    }
    let output = command.output().expect("cargo can be run");
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        eprintln!(
            "tests/mutants/run: cargo-mutants is needed: cargo install --locked cargo-mutants --version 27.1.0"
        );
        std::process::exit(2);
    }
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).expect("cargo-mutants prints JSON");
    listed.iter().zip(1..).filter_map(|(value, number)| parse(tree, value, number)).collect()
}

fn parse(tree: &Path, value: &Value, number: u32) -> Option<Mutant> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let genre = match value["genre"].as_str()? {
        "FnValue" => Genre::Function,
        "BinaryOperator" => Genre::Binary,
        "UnaryOperator" => Genre::Unary,
        "MatchArm" => Genre::Arm,
        "MatchArmGuard" => Genre::Guard,
        "StructField" => Genre::Field,
        other => panic!("{other} is a new genre of cargo-mutants"),
    };
    let file = text("file")?;
    let source = std::fs::read_to_string(tree.join(&file)).ok()?;
    let place = |name: &str| {
        let place = &value["span"][name];
        offset(&source, place["line"].as_u64()?, place["column"].as_u64()?)
    };
    let span = place("start")?..place("end")?;
    Some(Mutant { number, name: text("name")?, genre, replacement: text("replacement")?, span, file })
}

/// Lines and columns count from 1, and columns in characters.
fn offset(source: &str, line: u64, column: u64) -> Option<usize> {
    let start: usize = source.split_inclusive('\n').take(line as usize - 1).map(str::len).sum();
    let within = source[start..].char_indices().nth(column as usize - 1)?;
    Some(start + within.0)
}
