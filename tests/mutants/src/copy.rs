//! The copy of the tree that has all mutants, and its build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::list::Mutant;
use crate::switches;

/// The tests that need no kernel.
const TESTS: [&str; 7] = ["engine", "wire", "wire_smoltcp", "rfc4861", "trace", "fuzzing", "living"];

/// What a build gave.
pub struct Built {
    /// The test programs.
    pub programs: Vec<PathBuf>,
    /// Constants and `const fn`: no switch can stand there.
    pub unplaced: BTreeSet<u32>,
    /// Those that do not compile.
    pub refused: BTreeSet<u32>,
}

/// Copies the tree, and builds it with as many of the mutants as compile. Those of `refused` are known not to.
pub fn build(tree: &Path, place: &Path, mutants: &[Mutant], mut refused: BTreeSet<u32>) -> Built {
    let copy = place.join("tree");
    copy_files(tree, &copy, mutants);
    loop {
        let mut texts = BTreeMap::new();
        let mut unplaced = BTreeSet::new();
        for (file, all) in by_file(mutants) {
            let source = fs::read_to_string(tree.join(file)).expect("cargo-mutants has read it");
            let kept: Vec<_> = all.into_iter().filter(|mutant| !refused.contains(&mutant.number)).collect();
            let (text, without) = switches::rewrite(&source, &kept);
            write_if_new(&copy.join(file), text.as_bytes());
            unplaced.extend(without);
            texts.insert(file.to_owned(), text);
        }
        let (programs, errors) = compile(&copy, &place.join("target"));
        if errors.is_empty() {
            return Built { programs, unplaced, refused };
        }
        let before = refused.len();
        for error in &errors {
            let found = error.places.iter().find_map(|(file, at)| {
                let numbers = switches::at(texts.get(file)?, *at);
                (!numbers.is_empty()).then_some(numbers)
            });
            refused.extend(found.into_iter().flatten());
        }
        println!("{} errors of the compiler, {} mutants do not compile", errors.len(), refused.len());
        if refused.len() == before {
            for error in errors.iter().take(5) {
                eprintln!("{}", error.text);
            }
            panic!("these errors are not about a mutant");
        }
    }
}

fn by_file(mutants: &[Mutant]) -> BTreeMap<&str, Vec<&Mutant>> {
    let mut files: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        files.entry(&mutant.file).or_default().push(mutant);
    }
    files
}

/// Everything that git knows or would take, but the files with mutants.
fn copy_files(tree: &Path, copy: &Path, mutants: &[Mutant]) {
    let listed =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(tree).output();
    let listed = String::from_utf8(listed.expect("git can be run").stdout).expect("paths are text");
    let changed: BTreeSet<&str> = mutants.iter().map(|mutant| &*mutant.file).collect();
    for path in listed.lines().filter(|path| !changed.contains(path) && !path.starts_with("tests/mutants")) {
        if let Ok(mut content) = fs::read(tree.join(path)) {
            if path == "src/lib.rs" {
                content.extend(b"\n#[allow(missing_docs)]\npub mod switch;\n");
            }
            write_if_new(&copy.join(path), &content);
        }
    }
    write_if_new(&copy.join("src/switch.rs"), include_bytes!("switch.rs"));
}

/// A file that is the same keeps its time, so cargo does not build it again.
fn write_if_new(path: &Path, content: &[u8]) {
    if fs::read(path).is_ok_and(|before| before == content) {
        return;
    }
    fs::create_dir_all(path.parent().expect("it is in the copy")).expect("the copy can be written");
    fs::write(path, content).expect("the copy can be written");
}

struct Mistake {
    text: String,
    /// Files and bytes in them, the main place first.
    places: Vec<(String, usize)>,
}

fn compile(copy: &Path, target: &Path) -> (Vec<PathBuf>, Vec<Mistake>) {
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "--no-run", "--message-format", "json", "--lib"]);
    for name in TESTS {
        command.args(["--test", name]);
    }
    command.current_dir(copy).env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "--cap-lints=allow");
    for profile in ["DEV", "TEST"] {
        command
            .env(format!("CARGO_PROFILE_{profile}_OPT_LEVEL"), "1")
            .env(format!("CARGO_PROFILE_{profile}_DEBUG"), "0");
    }
    let mut cargo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cargo can be run");
    let mut programs = Vec::new();
    let mut errors = Vec::new();
    let stderr = cargo.stderr.take().expect("it is a pipe");
    let told = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    for line in BufReader::new(cargo.stdout.take().expect("it is a pipe")).lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line.expect("cargo prints text")) else { continue };
        if let (Some(path), Some(true)) =
            (message["executable"].as_str(), message["profile"]["test"].as_bool())
        {
            programs.push(path.into());
        }
        let error = &message["message"];
        if error["level"] == "error" {
            let mut spans: Vec<_> = error["spans"].as_array().into_iter().flatten().collect();
            spans.sort_by_key(|span| span["is_primary"] != true);
            let places = spans.iter().filter_map(|span| {
                Some((span["file_name"].as_str()?.to_owned(), span["byte_start"].as_u64()? as usize))
            });
            let text = error["rendered"].as_str().unwrap_or_default().to_owned();
            let places: Vec<_> = places.collect();
            if !places.is_empty() {
                errors.push(Mistake { text, places });
            }
        }
    }
    let success = cargo.wait().expect("cargo ends").success();
    let told = told.join().expect("it only reads");
    assert!(success || !errors.is_empty(), "the copy does not build:\n{told}");
    (programs, errors)
}
