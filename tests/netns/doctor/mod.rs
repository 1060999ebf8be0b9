//! `lone64 doctor` on hosts with one fault each: it names it, first, and what it says heals it.

mod bridges;
mod filters;
mod healthy;
mod heard;
mod live;
mod named_guests;
mod others;
mod programs;
mod ranges;
mod remedies;
mod router;
mod running;
mod served;
mod session;
mod settings;
mod traveller;
mod tunnel;
mod unnoticed;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use session::Session;

use crate::endpoint::PATIENCE;
use crate::lab::{Lab, SENTINELS};
use crate::namespace::{Namespace, eventually};

pub(crate) use bridges::{BY_NETFILTER, refusal};
pub(crate) use settings::BY_LIMIT;

/// All of this room's tests.
pub(crate) fn cases() -> impl Iterator<Item = &'static crate::Case> {
    let rooms = [
        settings::CASES,
        upstream::CASES,
        ranges::CASES,
        filters::CASES,
        bridges::CASES,
        others::CASES,
        programs::CASES,
        live::CASES,
        router::CASES,
        heard::CASES,
        named_guests::CASES,
        tunnel::CASES,
        remedies::CASES,
        healthy::CASES,
        running::CASES,
        unnoticed::CASES,
    ];
    rooms.into_iter().flatten()
}

/// The ranges of the usual lab.
pub(crate) const RANGES: &str = "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"br0\"\n\
                                 [[range]]\nprefix = \"2001:db8:1:2:d::/112\"\ninterface = \"gv1\"\n";

/// A host with a configuration, before the doctor.
pub(crate) struct Patient {
    pub(crate) lab: Lab,
    directory: PathBuf,
    config: PathBuf,
}

/// What it says of a host on which no lone64 runs.
pub(crate) const IDLE: &str = "no lone64 is running";
/// What it says where it was told to look at another configuration than the daemon has.
pub(crate) const ANOTHER: &str = "this report is about ";

/// One remedy, as `--json` prints it.
#[derive(Debug, Clone)]
pub(crate) struct Remedy {
    pub(crate) kind: String,
    pub(crate) text: String,
    /// All of it.
    pub(crate) value: Value,
}

/// One finding.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) severity: String,
    pub(crate) text: String,
    pub(crate) remedies: Vec<Remedy>,
}

impl Patient {
    /// The usual lab, with nothing wrong.
    pub(crate) fn healthy() -> Self {
        Self::with(Lab::veth(), RANGES)
    }

    /// A lab with this configuration.
    pub(crate) fn with(lab: Lab, config: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("lone64-doctor-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory");
        let patient = Self { lab, config: directory.join("lone64.toml"), directory };
        patient.configure(config);
        patient
    }

    /// Another configuration.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.directory.join("lone64.toml"), config).expect("a temporary file");
    }

    /// The doctor reads this configuration from now on.
    pub(crate) fn reads(&mut self, config: PathBuf) {
        self.config = config;
    }

    /// A file below the directory that the doctor takes for `/`.
    pub(crate) fn file(&self, path: &str, content: &str) {
        let path = self.directory.join(path);
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a temporary directory");
        fs::write(path, content).expect("a temporary file");
    }

    /// Runs lines of shell on the host; they have to succeed.
    pub(crate) fn shell(&self, script: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null());
        // The legacy iptables locks a file that an ordinary user cannot write.
        shell.env("XTABLES_LOCKFILE", self.directory.join("lock"));
        let status = self.lab.host.spawn(&mut shell).wait().expect("the shell ends");
        assert!(status.success(), "{script}");
    }

    /// What the doctor finds, and its exit status. That no lone64 runs is no news where a test has
    /// started none, nor that a test has a file of its own.
    pub(crate) fn examine(&self) -> (Vec<Finding>, i32) {
        self.doctor(&[])
    }

    /// The same with further options.
    pub(crate) fn doctor(&self, options: &[&str]) -> (Vec<Finding>, i32) {
        self.call(&[], options)
    }

    /// The same, started by another program.
    pub(crate) fn doctor_under(&self, wrapper: &[&str]) -> (Vec<Finding>, i32) {
        self.call(wrapper, &[])
    }

    /// The same, in a mount namespace of its own in which a script was run.
    pub(crate) fn doctor_after(&self, script: &str) -> (Vec<Finding>, i32) {
        let script = format!("{script}\nexec \"$@\"");
        self.doctor_under(&["unshare", "--mount", "sh", "-ec", &script, "sh"])
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// All that the doctor says.
    pub(crate) fn output(&self, options: &[&str]) -> std::process::Output {
        self.run(&[], options)
    }

    fn run(&self, wrapper: &[&str], options: &[&str]) -> std::process::Output {
        let words: Vec<_> = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_lone64")]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["doctor", "--config"])
            .arg(&self.config)
            .arg("--root")
            .arg(&self.directory)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.lab.host.spawn(&mut command).wait_with_output().expect("it ends")
    }

    fn call(&self, wrapper: &[&str], options: &[&str]) -> (Vec<Finding>, i32) {
        let (mut findings, status) = self.all(wrapper, options);
        findings.retain(|finding| !finding.text.starts_with(IDLE) && !finding.text.starts_with(ANOTHER));
        (findings, status)
    }

    /// All that it finds, also that no lone64 runs.
    pub(crate) fn all(&self, wrapper: &[&str], options: &[&str]) -> (Vec<Finding>, i32) {
        let options: Vec<_> = ["--json"].into_iter().chain(options.iter().copied()).collect();
        let output = self.run(wrapper, &options);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{complaint}", String::from_utf8_lossy(&output.stdout))
        });
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let mut findings = Vec::new();
        for check in list(&report["checks"]) {
            for finding in list(&check["findings"]) {
                let remedies = list(&finding["remedies"]).into_iter().map(|remedy| Remedy {
                    kind: text(&remedy["kind"]),
                    text: text(&remedy["text"]),
                    value: remedy,
                });
                findings.push(Finding {
                    check: text(&check["name"]),
                    severity: text(&finding["severity"]),
                    text: format!("{} {}", text(&finding["sentence"]), finding["evidence"]),
                    remedies: remedies.collect(),
                });
            }
        }
        let status = output.status.code().expect("it was not killed");
        (findings, status)
    }

    /// There is nothing wrong, not even a warning.
    pub(crate) fn is_well(&self) {
        let (findings, status) = self.examine();
        assert!(findings.is_empty() && status == 0, "{findings:#?}");
    }

    /// The fault is the first that the doctor names, with this severity and these words; what it says
    /// is done literally, and heals.
    pub(crate) fn is_healed(&self, check: &str, severity: &str, words: &[&str]) {
        self.is_treated(check, severity, words);
        let (left, _) = self.examine();
        assert!(left.iter().all(|finding| finding.check != check), "not healed: {left:#?}");
    }

    /// The same, where the kernel needs a moment.
    pub(crate) fn is_healed_in_time(&self, check: &str, severity: &str, words: &[&str]) {
        self.is_treated(check, severity, words);
        let healed = || self.examine().0.iter().all(|finding| finding.check != check).then_some(());
        eventually("it is healed", PATIENCE, healed);
    }

    fn is_treated(&self, check: &str, severity: &str, words: &[&str]) {
        let finding = self.suffers_from(check, severity, words);
        // An administrator types it over the network, where there is still one.
        let mut session = Session::open(&self.lab);
        assert!(!finding.remedies.is_empty(), "no remedy: {finding:#?}");
        for remedy in &finding.remedies {
            match remedy.kind.as_str() {
                "fix" | "command" => self.shell(&remedy.text),
                // The lines of a configuration stand for themselves.
                "config" => self.configure(&remedy.text),
                // Beside commands: what makes them last.
                "advice" if finding.remedies.len() > 1 => {}
                other => panic!("nobody can follow {other}: {finding:#?}"),
            }
            // Without it nobody can type the next line.
            let lives = session.as_mut().is_none_or(Session::lives);
            assert!(lives, "{} cut the session: {finding:#?}", remedy.text);
        }
    }

    /// The fault is the first that the doctor names.
    pub(crate) fn suffers_from(&self, check: &str, severity: &str, words: &[&str]) -> Finding {
        let (findings, status) = self.examine();
        let first = findings.first().unwrap_or_else(|| panic!("{check} was not found"));
        assert_eq!((first.check.as_str(), first.severity.as_str()), (check, severity), "{findings:#?}");
        for word in words {
            assert!(first.text.contains(word), "{word} is missing: {first:#?}");
        }
        assert_eq!(status, i32::from(severity == "fault"), "the exit status");
        first.clone()
    }
}

/// Of a host on which everything works, with a daemon that was started in whatever way: the doctor finds it, and no fault.
pub(crate) fn finds_no_fault(host: &Namespace) {
    let root = crate::daemon::directory();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lone64"));
    command.args(["doctor", "--json", "--root"]).arg(&root).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = host.run(|| command.output()).expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let checks = report["checks"].as_array().into_iter().flatten();
    let found: Vec<_> =
        checks.filter_map(|check| check["findings"].as_array()).flatten().map(Value::to_string).collect();
    // Nobody has the addresses of that range, on purpose.
    let is_fault =
        |finding: &&String| finding.contains("\"severity\":\"fault\"") && !finding.contains(SENTINELS);
    let faults: Vec<_> = found.iter().filter(is_fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(found.iter().all(|finding| !finding.contains(IDLE)), "it was not found: {found:#?}");
    let _ = fs::remove_dir_all(root);
}

impl Drop for Patient {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
