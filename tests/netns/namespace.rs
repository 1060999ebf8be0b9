//! A network namespace that lives as long as its value, and what can be done inside.
//!
//! It is made on a throw-away thread and held by a descriptor alone: no name, no process, no mount,
//! so an ordinary user needs no `ip netns` and nothing is left behind.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace.
pub(crate) struct Namespace {
    descriptor: File,
}

/// The same one, which lives as long as either value.
impl Clone for Namespace {
    fn clone(&self) -> Self {
        Self { descriptor: self.descriptor.try_clone().expect("a descriptor") }
    }
}

impl Namespace {
    /// A fresh one, with `lo` up and nothing configured by itself: addresses and MACs are only
    /// those that a test gives, and nothing waits for DAD.
    pub(crate) fn new() -> Self {
        let namespace = Self::untouched();
        namespace.sysctls(&[
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
            ("net/ipv6/conf/default/addr_gen_mode", "1"),
        ]);
        namespace.ip("link set lo up");
        namespace
    }

    /// A fresh one as the kernel makes it.
    pub(crate) fn untouched() -> Self {
        let descriptor = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("main() has seen that namespaces can be made");
            File::open("/proc/thread-self/ns/net").expect("/proc is mounted")
        })
        .join()
        .unwrap_or_else(|panic| resume_unwind(panic));
        Self { descriptor }
    }

    /// Where `ip link … netns` finds it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.descriptor.as_raw_fd())
    }

    /// Runs `work` on a thread inside; sockets that it opens and processes that it starts stay inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.descriptor, CloneFlags::CLONE_NEWNET).expect("the namespace is ours");
                work()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Starts a process inside.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        self.run(|| command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Runs the lines of an `ip -batch`; every one has to succeed.
    pub(crate) fn ip(&self, batch: &str) {
        if let Err(complaint) = self.try_ip(batch) {
            panic!("ip -batch: {complaint}\n{}", batch.lines().take(20).collect::<Vec<_>>().join("\n"));
        }
        if batch.contains("addr add") {
            eventually("solicitations for every address are heard", PATIENCE, || {
                self.hears_solicitations().then_some(())
            });
        }
    }

    /// The same, up to the first line that the kernel refuses.
    pub(crate) fn try_ip(&self, batch: &str) -> Result<(), String> {
        let mut child = self.spawn(
            Command::new("ip")
                .args(["-6", "-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        let mut stdin = child.stdin.take().expect("piped");
        match stdin.write_all(batch.as_bytes()) {
            // It has ended at a line that was refused, and says why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.expect("ip reads its batch"),
        }
        drop(stdin);
        let output = child.wait_with_output().expect("ip ends");
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{}, {}", output.status, String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Linux has a worker join the solicited-node group of a new address, also without DAD; until
    /// then it is deaf to solicitations for it.
    fn hears_solicitations(&self) -> bool {
        let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("/proc");
        let (addresses, groups) = self.run(|| (read("if_inet6"), read("igmp6")));
        let column = |line: &str, at: usize| line.split_whitespace().nth(at).unwrap_or_default().to_owned();
        let joined: HashSet<_> = groups.lines().map(|line| (column(line, 1), column(line, 2))).collect();
        addresses.lines().map(|line| (column(line, 5), column(line, 0))).all(|(interface, address)| {
            let group = format!("ff0200000000000000000001ff{}", &address[26..]);
            interface == "lo" || joined.contains(&(interface, group))
        })
    }

    /// What a program prints; it has to succeed.
    pub(crate) fn output(&self, program: &str, arguments: &str) -> String {
        let child = self.spawn(
            Command::new(program)
                .args(arguments.split_whitespace())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        let output = child.wait_with_output().expect("the program ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {text}{complaint}");
        text
    }

    /// One ping of these arguments, which has to be replied to, however late.
    pub(crate) fn ping(&self, arguments: &str) -> String {
        self.output("ping", &format!("-c 1 -W {} {arguments}", PATIENCE.as_secs()))
    }

    /// What `ip -6 …` prints.
    pub(crate) fn show(&self, arguments: &str) -> String {
        self.output("ip", &format!("-6 {arguments}"))
    }

    /// Sets sysctls, keys written as paths.
    pub(crate) fn sysctls(&self, settings: &[(&str, &str)]) {
        self.run(|| {
            for (key, value) in settings {
                fs::write(format!("/proc/sys/{key}"), value)
                    .unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
            }
        });
    }
}

/// Looks again and again until `look` finds something; the looking itself takes milliseconds,
/// because it starts processes or exchanges frames.
pub(crate) fn eventually<T>(what: &str, within: Duration, look: impl FnMut() -> Option<T>) -> T {
    in_time(what, within, look).unwrap_or_else(|| panic!("within {within:?} it never was so that {what}"))
}

/// The same, for a test that can tell more of what there is instead.
pub(crate) fn in_time<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            took(what, start.elapsed());
            return Some(found);
        }
        if start.elapsed() >= within {
            return None;
        }
    }
}

/// Prints how long something took: no test judges that, because the machine decides it. What is quick is told only
/// to whoever wants the numbers, with LONE64_TIMES=1.
pub(crate) fn took(what: &str, time: Duration) {
    if time >= SLOW || std::env::var_os("LONE64_TIMES").is_some() {
        eprintln!("{time:.1?} until {what}");
    }
}

/// Longer than anything that works takes, on however busy a machine. Every test that waits for something waits so
/// long; what is promised in seconds is measured by `cargo bench --bench promises`.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const SLOW: Duration = Duration::from_secs(2);
