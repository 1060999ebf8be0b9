//! The house as it is drawn: no room imports one that imports it, and the pure rooms stay pure.
//!
//! Reads the sources, and takes every path that begins with `crate`, `super`, `std` or the name of a dependency,
//! wherever it stands, for an import; so is a `use` of a child module. Comments and tests are left out. A name that
//! a `mod.rs` hands on counts for the file that it comes from.

mod house;
mod paths;

use std::collections::BTreeSet;
use std::path::Path;

use house::House;

/// What a pure room may import besides the pure rooms.
const PURE_CRATES: [&str; 9] =
    ["core", "glob", "hashbrown", "ipnet", "pnet", "prefix_trie", "serde", "siphasher", "thiserror"];

/// What of the standard library reads no clock, socket, file or environment.
const PURE_STD: [&str; 21] = [
    "array",
    "borrow",
    "cell",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "hash",
    "iter",
    "marker",
    "mem",
    "net",
    "num",
    "ops",
    "rc",
    "slice",
    "str",
    "string",
    "time",
    "vec",
];

/// What of those modules does all the same.
const IMPURE: [&str; 6] = ["Instant", "SystemTime", "TcpListener", "TcpStream", "UdpSocket", "ToSocketAddrs"];

#[test]
fn no_two_rooms_import_each_other() {
    let circles = house().circles(|module| module.first().cloned());
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_two_files_of_the_configuration_import_each_other() {
    let circles = house().circles(|module| in_room("config", module).then(|| module.join("::")));
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_two_machines_of_the_engine_import_each_other() {
    let machine = |module: &[String]| module.get(1).cloned().unwrap_or_else(|| "mod".to_owned());
    let circles = house().circles(|module| in_room("engine", module).then(|| machine(module)));
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn only_one_file_composes_the_engine() {
    let house = house();
    let composing = house.files().filter(|file| file.text.contains("impl Engine"));
    let paths: Vec<&str> = composing.map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["engine/mod.rs"]);
}

#[test]
fn the_pure_rooms_import_nothing_but_each_other_and_pure_crates() {
    let house = house();
    let mut impure = Vec::new();
    for file in house.files().filter(|f| ["wire", "engine"].iter().any(|room| in_room(room, &f.module))) {
        for target in house.imports(file) {
            if !["wire", "engine"].iter().any(|room| in_room(room, &target)) {
                impure.push(format!("{} imports crate::{}", file.path, target.join("::")));
            }
        }
        for path in house.foreign(file) {
            let segments: Vec<&str> = path.iter().map(String::as_str).collect();
            let is_pure = match segments.as_slice() {
                // A name that is shared, not changed; of locks and channels nothing.
                ["std", "sync", "Arc"] => true,
                ["std", module, rest @ ..] => {
                    PURE_STD.contains(module) && !rest.iter().any(|name| IMPURE.contains(name))
                }
                [krate, ..] => PURE_CRATES.contains(krate),
                [] => true,
            };
            if !is_pure {
                impure.push(format!("{} imports {}", file.path, path.join("::")));
            }
        }
    }
    assert!(impure.is_empty(), "{}", impure.join("\n"));
}

#[test]
fn the_table_of_the_house_has_every_room() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let rooms: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let missing: Vec<&str> = rooms.into_iter().filter(|room| !lib.contains(&format!("[`{room}`]"))).collect();
    assert!(missing.is_empty(), "src/lib.rs has no line for {missing:?} in its table");
}

/// The circles that there were: this test would have found them.
#[test]
fn finds_a_circle_of_rooms_and_one_of_files() {
    let house = House::of([
        ("cli.rs", "use crate::commands::check::CheckArgs;"),
        ("commands/mod.rs", "pub mod check;\npub mod run;\npub fn explanation() {}"),
        ("commands/check.rs", "use super::Outcome;"),
        ("commands/run.rs", "use crate::{\n    cli::RunArgs,\n    daemon::{self, Daemon},\n};"),
        ("daemon/mod.rs", "fn log() { crate::commands::explanation() }"),
        ("config/mod.rs", "mod file;\nmod gateway;\nmod tables;\npub use file::File;"),
        ("config/file.rs", "use super::{Control, tables};"),
        ("config/tables.rs", "use super::gateway;"),
        ("config/gateway.rs", "use super::File;"),
    ]);
    let circles = house.circles(|module| module.first().cloned());
    assert_eq!(circles.len(), 1);
    for line in ["cli -> commands", "commands -> cli", "commands -> daemon", "daemon -> commands"] {
        assert!(circles[0].contains(line), "{line}: {circles:?}");
    }
    let circles = house.circles(|module| in_room("config", module).then(|| module.join("::")));
    assert_eq!(circles.len(), 1);
    for line in
        ["config::gateway -> config::file", "config::tables -> config::gateway", "config -> config::file"]
    {
        assert!(circles[0].contains(line), "{line}: {circles:?}");
    }
}

#[test]
fn overlooks_comments_and_tests_and_sees_paths_within_a_line() {
    let house = House::of([
        (
            "a.rs",
            "//! [`crate::b`]\nfn f() {} // crate::b::g\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n",
        ),
        ("b.rs", "pub fn g() -> crate::a::T { std::fs::read(\"\") }"),
        ("b_tests.rs", "use crate::a;"),
    ]);
    assert!(house.circles(|module| module.first().cloned()).is_empty());
    let b = house.files().find(|file| file.path == "b.rs").unwrap();
    assert_eq!(house.imports(b), [["a"]]);
    assert_eq!(house.foreign(b), [&["std", "fs", "read"].map(str::to_owned).to_vec()]);
}

fn house() -> House {
    House::read(&source())
}

fn source() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn in_room(room: &str, module: &[String]) -> bool {
    module.first().is_some_and(|first| first == room)
}
