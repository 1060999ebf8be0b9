//! `contrib/install`: what it puts where, and that it takes all of it away again.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the script with these arguments, for the binary of this test.
fn install(destdir: &Path, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/install");
    Command::new(script)
        .args(["--binary", env!("CARGO_BIN_EXE_lone64"), "--destdir"])
        .arg(destdir)
        .args(arguments)
        .output()
        .unwrap()
}

/// An empty directory of this test, with a space in its name.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("install {name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Every file below a directory, by its path there.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => found.push(path.strip_prefix(directory).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn mode(directory: &Path, file: &str) -> u32 {
    fs::metadata(directory.join(file)).unwrap().permissions().mode() & 0o777
}

#[test]
fn everything_is_where_it_belongs() {
    for (prefix, units, users, names) in [
        ("usr/local", "etc/systemd/system", "etc/sysusers.d", "etc/iproute2/rt_protos.d"),
        ("usr", "usr/lib/systemd/system", "usr/lib/sysusers.d", "usr/share/iproute2/rt_protos.d"),
    ] {
        let place = directory(&prefix.replace('/', "-"));
        let done = install(&place, &["--prefix", &format!("/{prefix}")]);
        assert!(done.status.success(), "{done:?}");
        for program in ["lone64", "lone64-hooks"] {
            assert_eq!(mode(&place, &format!("{prefix}/sbin/{program}")), 0o755);
            let unit = text(&place, &format!("{units}/{program}.service"));
            assert!(unit.contains(&format!("\nExecStart=/{prefix}/sbin/{program}")), "{unit}");
            assert_eq!(unit.contains("/usr/local/"), prefix == "usr/local", "{unit}");
        }
        // The hooks of other programs, which name their own place.
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks");
        for hook in files(&hooks).iter().filter(|name| !name.starts_with("lone64-hooks")) {
            let installed = format!("{prefix}/lib/lone64/{hook}");
            assert_eq!(mode(&place, &installed), 0o755);
            let names = text(&place, &installed).contains(&format!("/{prefix}/lib/lone64/{hook}"));
            assert!(names || hook == "libvirt", "{hook}");
        }
        for (page, title) in [
            ("man8/lone64.8", "LONE64 8"),
            ("man5/lone64.toml.5", "LONE64.TOML 5"),
            ("man7/lone64-metrics.7", "LONE64-METRICS 7"),
        ] {
            let page = text(&place, &format!("{prefix}/share/man/{page}"));
            assert!(page.contains(&format!(".TH {title}")), "{page}");
        }
        for completion in [
            "bash-completion/completions/lone64",
            "zsh/site-functions/_lone64",
            "fish/vendor_completions.d/lone64.fish",
        ] {
            let completion = text(&place, &format!("{prefix}/share/{completion}"));
            assert!(completion.contains("explain"), "{completion}");
        }
        assert!(text(&place, &format!("{users}/lone64.conf")).contains("\nu lone64 "));
        assert!(text(&place, &format!("{names}/lone64.conf")).contains("64 lone64"));
        let doc = format!("{prefix}/share/doc/lone64");
        for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "examples/lone64.toml", "guides/docker.md"]
        {
            assert_eq!(mode(&place, &format!("{doc}/{file}")), 0o644, "{file}");
        }
    }
}

#[test]
fn what_was_installed_goes_and_what_was_there_before_stays() {
    let place = directory("uninstall");
    let own = place.join("etc/lone64/lone64.toml");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "# of the administrator\n").unwrap();
    assert!(install(&place, &[]).status.success());
    assert!(files(&place).len() > 30);
    // Twice: the second time there is nothing to remove.
    for _ in 0..2 {
        let gone = install(&place, &["--uninstall"]);
        assert!(gone.status.success(), "{gone:?}");
        assert_eq!(files(&place), ["etc/lone64/lone64.toml"]);
    }
    let left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["etc"]);
}

/// Two of them are identical, and the script in them installs the same as the one here.
#[test]
fn the_archive_installs_itself() {
    let place = directory("archive");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/packages/tarball");
    let archives = ["first", "second"].map(|name| {
        let mut pack = Command::new(&script);
        pack.env("SOURCE_DATE_EPOCH", "1700000000");
        // The program of a test is large, and one of two lines is installed the same way.
        let program = place.join("program");
        fs::write(&program, "#!/bin/sh\necho \"printed $*\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let done = pack.arg("--binary").arg(program).arg("--output").arg(place.join(name)).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        PathBuf::from(String::from_utf8(done.stdout).unwrap().trim())
    });
    assert_eq!(fs::read(&archives[0]).unwrap(), fs::read(&archives[1]).unwrap());
    let unpacked = Command::new("tar").arg("-xzf").arg(&archives[0]).arg("-C").arg(&place).status().unwrap();
    assert!(unpacked.success());
    let name = archives[0].file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let (own, here) = (place.join("own"), place.join("here"));
    let installed =
        Command::new(place.join(name).join("contrib/install")).arg("--destdir").arg(&own).output();
    assert!(installed.as_ref().unwrap().status.success(), "{installed:?}");
    assert_eq!(text(&own, "usr/local/share/man/man8/lone64.8"), "printed man lone64\n");
    assert!(install(&here, &[]).status.success());
    let third_party = "usr/local/share/doc/lone64/THIRD-PARTY";
    assert!(text(&own, third_party).contains("===== tokio "), "the licences of what it is made of");
    fs::remove_file(own.join(third_party)).unwrap();
    assert_eq!(files(&own), files(&here));
}

#[test]
fn a_mistake_is_told_with_its_remedy_and_changes_nothing() {
    let place = directory("mistakes");
    for (arguments, told) in [
        (&["--binary", "/nowhere"][..], "there is no program /nowhere: first cargo build --release"),
        (&["--prefix", "usr"], "--prefix usr is no absolute path"),
        (&["--prefix"], "--prefix needs a value"),
        (&["--purge"], "unknown option --purge: see contrib/install --help"),
    ] {
        let done = install(&place, arguments);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(told), "{arguments:?}: {said}");
        assert_eq!(files(&place), Vec::<String>::new());
    }
    let help = install(&place, &["--help"]);
    let said = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.status.success() && said.contains("Examples:"), "{said}");
    assert!(said.lines().all(|line| line.len() <= 80), "{said}");
}
