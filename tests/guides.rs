//! The guides are complete: each fits one screen, is listed, and its commands are typed by a test.

#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "this is no pure room")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this ending, by name.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|file| file.extension().is_some_and(|its| its == ending)).collect();
    files.sort();
    files
}

fn stem(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

/// Each guide, without the page that lists them.
fn guides() -> Vec<PathBuf> {
    let mut guides = files("contrib/guides", "md");
    guides.retain(|file| stem(file) != "README");
    assert!(!guides.is_empty());
    guides
}

#[test]
fn each_fits_one_screen() {
    for guide in guides() {
        let text = fs::read_to_string(&guide).unwrap();
        assert!(text.lines().count() <= 60, "{}: {} lines", guide.display(), text.lines().count());
        for line in text.lines() {
            assert!(line.chars().count() <= 105, "{}: a wide line: {line}", guide.display());
        }
    }
}

#[test]
fn each_is_in_the_table() {
    let table = fs::read_to_string(root().join("contrib/guides/README.md")).unwrap();
    for guide in guides() {
        let link = format!("({}.md)", stem(&guide));
        assert!(table.contains(&link), "contrib/guides/README.md does not list {}", guide.display());
    }
}

#[test]
fn each_is_typed_by_a_test() {
    let tests: String =
        files("tests/engines", "rs").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for guide in guides() {
        // One that has no commands has nothing to be typed.
        let has_commands = fs::read_to_string(&guide).unwrap().contains("```sh");
        let is_read = !has_commands || tests.contains(&format!("\"{}\"", stem(&guide)));
        assert!(is_read, "no test in tests/engines types {}", guide.display());
    }
}

/// A page about providers that says where it has it from: what is referred to is defined, and the other way round.
#[test]
fn each_provider_has_its_source() {
    let text = fs::read_to_string(root().join("contrib/guides/providers.md")).unwrap();
    let used: BTreeSet<&str> = text.split("][").skip(1).map(|rest| rest.split(']').next().unwrap()).collect();
    let definitions = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: https://"));
    let defined: BTreeSet<&str> = definitions.map(|(name, _)| name).collect();
    assert_eq!(used, defined);
    for name in [
        "OVH",
        "Hetzner",
        "Contabo",
        "Netcup",
        "Vultr",
        "Scaleway",
        "Linode",
        "Oracle",
        "Virtualizor",
        "SolusVM",
        "Proxmox",
    ] {
        assert!(text.lines().any(|line| line.starts_with('|') && line.contains(name)), "{name}");
    }
}

#[test]
fn their_links_lead_somewhere() {
    for guide in files("contrib/guides", "md") {
        let text = fs::read_to_string(&guide).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(guide.parent().unwrap().join(link).exists(), "{}: {link}", guide.display());
        }
    }
}

#[test]
fn each_configuration_is_explained_by_a_guide_or_the_readme() {
    let pages = files("contrib/guides", "md").into_iter().chain([root().join("README.md")]);
    let pages: String = pages.map(|page| fs::read_to_string(page).unwrap()).collect();
    for file in files("config", "toml") {
        let name = format!("config/{}.toml", stem(&file));
        assert!(pages.contains(&name), "neither a guide nor README.md names {name}");
    }
}

/// Those that are in a guide: each is read, the files of guests with the configuration before them.
#[test]
fn each_configuration_in_a_guide_is_good() {
    let mut count = 0;
    for guide in guides() {
        let text = fs::read_to_string(&guide).unwrap();
        let mut before = String::new();
        for block in text.split("```toml").skip(1) {
            let (kind, rest) = block.split_once('\n').unwrap();
            let toml = rest.split("```").next().unwrap();
            let whole = if kind.trim() == "guest" { format!("{before}{toml}") } else { toml.to_owned() };
            let read = lone64::config::Overrides::default().parse(&whole, "guide");
            let read = read.unwrap_or_else(|problems| panic!("{}: {problems}", guide.display()));
            assert!(read.notices.is_empty(), "{}: {:?}", guide.display(), read.notices);
            assert_eq!(read.config.policy.guests.is_empty(), kind.trim() != "guest", "{}", guide.display());
            before = whole;
            count += 1;
        }
    }
    assert!(count > 4, "{count} configurations");
}

/// What a guide says of a hook is where the hook is installed.
#[test]
fn the_hooks_that_guides_name_are_there() {
    for guide in guides() {
        let text = fs::read_to_string(&guide).unwrap();
        for hook in text.split("/usr/local/lib/lone64/").skip(1) {
            let name: String = hook.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(root().join("contrib/hooks").join(&name).exists(), "{}: {name}", guide.display());
        }
    }
}
