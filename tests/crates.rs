//! What the program is made of: `contrib/deny.toml` says what may be in it, and `contrib/sbom` what is.
//!
//! cargo-deny checks the same, and known faults besides (contrib/docs/release.md). Building it takes longer than all the
//! other tests; so what it looks up in the tree of this checkout is looked up here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the verdict")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use serde::Deserialize;
use serde_json::Value;

/// Of `contrib/deny.toml`, all that is there: a key that this test does not know is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Deny {
    graph: Graph,
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
    licenses: Licenses,
    sources: Sources,
    bans: Bans,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Licenses {
    include_dev: bool,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    wildcards: String,
    multiple_versions: String,
    multiple_versions_include_dev: bool,
    skip: Vec<Named>,
    deny: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

fn deny() -> Deny {
    let text = fs::read_to_string(here("contrib/deny.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("contrib/deny.toml: {error}"))
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every package of the program and its tests on this machine, and what builds them.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        host,
        "--manifest-path",
    ]);
    let printed = cargo.arg(here("Cargo.toml")).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let metadata: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 100, "{} packages", packages.len());
    packages
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Whether an expression of SPDX can be fulfilled with these licences alone. `/` is how old manifests write OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let verdict = any(&mut rest, allowed);
    assert!(rest.is_empty() && !words.is_empty(), "{expression:?} is no expression of SPDX");
    verdict
}

/// AND binds more tightly than OR.
fn any(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut verdict = all(rest, allowed);
    while let ["OR", behind @ ..] = *rest {
        *rest = behind;
        verdict |= all(rest, allowed);
    }
    verdict
}

fn all(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut verdict = one(rest, allowed);
    while let ["AND", behind @ ..] = *rest {
        *rest = behind;
        verdict &= one(rest, allowed);
    }
    verdict
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", behind @ ..] => {
            *rest = behind;
            let verdict = any(rest, allowed);
            if let [")", behind @ ..] = *rest {
                *rest = behind;
            }
            verdict
        }
        [licence, "WITH", exception, behind @ ..] => {
            *rest = behind;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, behind @ ..] => {
            *rest = behind;
            allowed.contains(*licence)
        }
        [] => false,
    }
}

#[test]
fn an_expression_is_allowed_where_the_allowed_licences_fulfil_it() {
    let allowed = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    for (expression, verdict) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("(GPL-3.0-only OR MIT) AND Unicode-3.0", true),
        ("GPL-3.0-only OR MIT AND Unicode-3.0", true),
        ("MIT AND (GPL-3.0-only OR Zlib)", false),
        ("MIT WITH LLVM-exception", false),
        ("MIT WITH LLVM-exception OR MIT", true),
    ] {
        assert_eq!(is_allowed(expression, &allowed), verdict, "{expression}");
    }
}

#[test]
fn every_licence_is_allowed_and_each_that_is_allowed_is_there() {
    let licenses = deny().licenses;
    assert!(licenses.include_dev);
    let packages = packages();
    for package in &packages {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        assert!(is_allowed(licence, &licenses.allow), "{name}: {licence} is not in contrib/deny.toml");
    }
    let is_there =
        |licence: &&String| packages.iter().any(|package| text(package, "license").contains(*licence));
    let unused: Vec<_> = licenses.allow.iter().filter(|licence| !is_there(licence)).collect();
    assert!(unused.is_empty(), "no crate has these licences: {unused:?}");
}

#[test]
fn every_crate_comes_from_one_registry_and_is_named_with_a_version() {
    let deny = deny();
    assert_eq!([deny.sources.unknown_registry, deny.sources.unknown_git], ["deny", "deny"]);
    assert_eq!(deny.bans.wildcards, "deny");
    let packages = packages();
    let (own, others): (Vec<_>, Vec<_>) = packages.iter().partition(|package| package["source"].is_null());
    assert_eq!(own.len(), 1, "no crate but lone64 itself lies in a directory");
    for package in others {
        let source = text(package, "source");
        let is_known = source.starts_with("registry+") && source.ends_with("/crates.io-index");
        assert!(is_known, "{}: {source}", text(package, "name"));
    }
    for dependency in own[0]["dependencies"].as_array().unwrap() {
        assert_ne!(text(dependency, "req"), "*", "{}", text(dependency, "name"));
    }
}

#[test]
fn no_crate_is_there_twice_or_banned() {
    let bans = deny().bans;
    assert!(bans.multiple_versions == "deny" && bans.multiple_versions_include_dev);
    assert!(bans.skip.iter().chain(&bans.deny).all(|named| !named.reason.is_empty()));
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    let packages = packages();
    for package in &packages {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    for banned in &bans.deny {
        assert!(!versions.contains_key(banned.name.as_str()), "{}: {}", banned.name, banned.reason);
    }
    for Named { name, .. } in &bans.skip {
        let (name, version) = name.split_once('@').unwrap();
        let known = versions.get_mut(name).unwrap_or_else(|| panic!("there is no {name} to skip"));
        let before = known.len();
        known.retain(|its| !its.starts_with(&format!("{version}.")));
        assert_eq!(known.len(), before - 1, "there is one {name} {version} to skip");
    }
    let twice: Vec<_> = versions.iter().filter(|(_, versions)| versions.len() != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// That it is said for the machines that packages are made for, and for this one.
#[test]
fn it_holds_for_linux() {
    let targets = deny().graph.targets;
    assert!(!targets.is_empty() && targets.iter().all(|target| target.contains("-linux-")), "{targets:?}");
}

/// `contrib/sbom`, which has to succeed.
fn sbom(arguments: &[&str]) -> String {
    let done = run(arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(here("contrib/sbom")).args(arguments).output().unwrap()
}

/// What contrib/release writes into the program: name and version of each crate.
fn written() -> Vec<(String, String)> {
    let precursor: Value = serde_json::from_str(&sbom(&["--precursor"])).unwrap();
    let crates = precursor["crates"].as_array().unwrap();
    let ids = crates.iter().map(|each| text(each, "id").rsplit(['#', '/']).next().unwrap());
    let mut named: Vec<_> = ids.filter_map(|id| id.split_once('@')).collect();
    named.sort_unstable();
    named.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

/// A program with this list in the section for it, compressed as zlib does it where nothing gets smaller.
fn program(name: &str, crates: &[(String, String)]) -> String {
    let packages: Vec<_> = crates
        .iter()
        .map(|(name, version)| serde_json::json!({ "name": name, "version": version }))
        .collect();
    let list = serde_json::json!({ "packages": packages }).to_string();
    let length = u16::try_from(list.len()).unwrap();
    let mut section = vec![0x78, 0x01, 0x01];
    section.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    section.extend(list.bytes().chain([0; 4]));
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = place.with_extension("section");
    fs::write(&file, section).unwrap();
    let mut objcopy = Command::new("objcopy");
    objcopy.arg(format!("--add-section=.dep-v0={}", file.display())).arg("/bin/true").arg(&place);
    assert!(objcopy.status().unwrap().success());
    place.display().to_string()
}

#[test]
fn the_list_has_what_is_built_and_nothing_that_only_tests_use() {
    let written = written();
    let packages = packages();
    let known: BTreeSet<_> =
        packages.iter().map(|package| (text(package, "name"), text(package, "version"))).collect();
    let stray: Vec<_> = written.iter().filter(|(name, version)| !known.contains(&(name, version))).collect();
    assert!(stray.is_empty(), "Cargo.lock has none of {stray:?}");
    let own = packages.iter().find(|package| package["source"].is_null()).unwrap();
    let names: BTreeSet<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains("lone64"));
    for dependency in own["dependencies"].as_array().unwrap() {
        let (name, is_dev) = (text(dependency, "name"), text(dependency, "kind") == "dev");
        let is_also_ours = own["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .any(|other| text(other, "name") == name && text(other, "kind") != "dev");
        assert_eq!(names.contains(name), !is_dev || is_also_ours, "{name}");
    }
    // What cargo has built for this test lies beside it.
    let beside = env::current_exe().unwrap();
    let files: Vec<_> = fs::read_dir(beside.parent().unwrap()).unwrap().collect();
    let files: Vec<_> =
        files.into_iter().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        if !written.contains(&(text(package, "name").to_owned(), text(package, "version").to_owned())) {
            continue;
        }
        let targets = package["targets"].as_array().unwrap();
        let library = targets.iter().find(|target| text(target, "name") != "build-script-build").unwrap();
        let start = format!("lib{}-", text(library, "name").replace('-', "_"));
        assert!(files.iter().any(|file| file.starts_with(&start)), "{} is not built", text(package, "name"));
    }
}

#[test]
fn a_program_with_another_list_is_refused() {
    let right = written();
    let name = program("sbom-right", &right);
    let printed = sbom(&[&name]);
    let lines: Vec<_> = right.iter().map(|(name, version)| format!("{name} {version}")).collect();
    assert_eq!(printed.lines().collect::<BTreeSet<_>>(), lines.iter().map(String::as_str).collect());
    assert!(sbom(&["--check", &name]).contains(&format!("exactly the {} crates", right.len())));
    let fewer = program("sbom-fewer", &right[1..]);
    let mut more = right.clone();
    more.push(("smuggled".to_owned(), "1.0.0".to_owned()));
    for (program, told) in [
        (fewer, format!("built, and not listed: {}", lines[0])),
        (program("sbom-more", &more), "listed, and not built: smuggled 1.0.0".to_owned()),
        ("/bin/true".to_owned(), "/bin/true has no list of its crates".to_owned()),
        ("/nowhere".to_owned(), "there is no program /nowhere".to_owned()),
    ] {
        let done = run(&["--check", &program]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(1) && said.contains(&told), "{said}");
    }
}
