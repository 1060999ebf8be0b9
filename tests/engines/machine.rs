//! A whole Debian host in namespaces, with systemd as its init, on which things are typed.
//!
//! It has lone64 as README.md installs it, and every package of this machine; none of their services
//! runs yet. All that it writes and starts goes with it (`machine.sh`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::guide::Guide;
use crate::namespace::{Namespace, eventually};
use crate::{BOOT, typed};

/// A running host; gone with everything in it when dropped.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    /// `machine.sh`, which waits for its standard input to end.
    keeper: Child,
    /// Of `machine.sh`, which removes it.
    directory: PathBuf,
    /// Of its init, as a process of this machine.
    init: u32,
}

impl Machine {
    /// Boots one in a network namespace, which may have links already, and installs lone64 there.
    pub(crate) fn boot(name: &str, namespace: Namespace) -> Self {
        let machine = Self::boot_over(Path::new("/"), name, namespace);
        // As `cargo build --release` would have left it.
        machine.install(Path::new(env!("CARGO_BIN_EXE_lone64")), "target/release/lone64", "755");
        Guide::read("README").follow_on(&machine);
        machine
    }

    /// Boots one with another tree than this machine's, and installs nothing.
    pub(crate) fn boot_over(tree: &Path, name: &str, namespace: Namespace) -> Self {
        let directory = new_directory();
        let log = fs::File::create(directory.with_extension("log")).expect("a temporary file");
        let keeper = namespace.spawn(
            Command::new("bash")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/machine.sh"))
                .arg(&directory)
                .args([name, env!("CARGO_MANIFEST_DIR")])
                .arg(tree)
                .stdin(Stdio::piped())
                .stdout(log.try_clone().expect("a descriptor"))
                .stderr(log),
        );
        let said = directory.with_extension("log");
        let init = eventually(&format!("machine.sh has made a host ({})", said.display()), BOOT, || {
            let pid = fs::read_to_string(directory.join("pid")).ok()?;
            pid.ends_with('\n').then(|| pid.trim().parse().expect("a process"))
        });
        let machine = Self { name: name.to_owned(), namespace, keeper, directory, init };
        eventually(&format!("systemd is up ({})", said.display()), BOOT, || {
            let state = machine.command("systemctl is-system-running --wait").output().expect("nsenter");
            String::from_utf8_lossy(&state.stdout).contains("running").then_some(())
        });
        fs::remove_file(said).expect("it was made above");
        machine
    }

    /// Types lines as root, in a checkout of the project; each has to succeed. Returns what they print.
    pub(crate) fn type_in(&self, lines: &str) -> String {
        typed(&self.name, lines, &mut self.command(lines))
    }

    /// What a command prints, whether it succeeds or not.
    pub(crate) fn ask(&self, line: &str) -> String {
        let output = self.command(line).output().expect("nsenter");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// A file of this machine becomes one of the host.
    pub(crate) fn install(&self, from: &Path, to: &str, mode: &str) {
        let mut command = self.command(&format!("install -D -m {mode} /dev/stdin {to}"));
        let file = fs::File::open(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        typed(&self.name, to, command.stdin(file));
    }

    /// The process of a service.
    pub(crate) fn main_pid(&self, unit: &str) -> String {
        self.type_in(&format!("systemctl show --value -p MainPID {unit}")).trim().to_owned()
    }

    /// What tells its network namespace from others.
    pub(crate) fn network_namespace(&self) -> PathBuf {
        self.namespace.run(|| fs::read_link("/proc/thread-self/ns/net").expect("/proc is mounted"))
    }

    /// What lone64 complained of, a line each.
    pub(crate) fn warnings(&self) -> String {
        self.type_in("journalctl -q --no-pager -u lone64 -p warning -o cat")
    }

    /// The lines of a shell as a process of the host, with its namespaces, its root, its environment.
    pub(crate) fn command(&self, lines: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string()])
            .args(["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"])
            .args(["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(["HOME=/root", "LANG=C.UTF-8", "TERM=dumb"])
            // Whatever hangs is to fail the test, and not the whole run.
            .args(["timeout", "120", "bash", "-exc", &format!("cd ~/lone64\n{lines}")])
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.ask(
                "journalctl --no-pager -o short-monotonic -n 150; ip -6 route; ip -6 neigh; lone64 status",
            );
            eprintln!("--- {}\n{log}---", self.name);
        }
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait().expect("it is our child");
        let is_gone = ended.success() && !self.directory.exists();
        assert!(is_gone || thread::panicking(), "machine.sh: {ended}, {}", self.directory.display());
    }
}

/// An empty one, for `machine.sh`.
fn new_directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("lone64-engines-{}-{number}", std::process::id()));
    fs::create_dir(&path).expect("a temporary directory");
    path
}
