//! The real daemon, as a child process in the host's namespace.

use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, IoSliceMut, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;

use crate::endpoint::PATIENCE;
use crate::lab::{Lab, SENTINELS};
use crate::namespace::{Namespace, took};

thread_local! {
    /// Whether the configurations that this thread makes have a program in the kernel, wherever they allow for one.
    pub(crate) static WITH_A_PROGRAM: Cell<bool> = const { Cell::new(false) };
}

/// A configuration, put together piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    no_sentinels: bool,
    /// Lines of `[[upstream]]`; `None`: as in the lab.
    named: Option<String>,
    upstream: String,
    ranges: String,
    rest: String,
    arguments: String,
}

impl Settings {
    /// A range and its further keys.
    pub(crate) fn range(mut self, prefix: &str, interface: &str, keys: &str) -> Self {
        self.ranges += &format!("[[range]]\nprefix = \"{prefix}\"\ninterface = \"{interface}\"\n{keys}\n");
        self
    }

    /// Further keys of the upstream.
    pub(crate) fn upstream(mut self, keys: &str) -> Self {
        self.upstream += keys;
        self
    }

    /// No `[[upstream]]`: the daemon has to find it.
    pub(crate) fn without_upstream(mut self) -> Self {
        self.named = Some(String::new());
        self
    }

    /// Another upstream than the lab's.
    pub(crate) fn upstream_named(mut self, name: &str) -> Self {
        self.named = Some(format!("[[upstream]]\ninterface = \"{name}\"\n"));
        self
    }

    /// No range for sentinels: nothing but the ranges of the test.
    pub(crate) fn without_sentinels(mut self) -> Self {
        self.no_sentinels = true;
        self
    }

    /// Further tables.
    pub(crate) fn rest(mut self, tables: &str) -> Self {
        self.rest += tables;
        self
    }

    /// Further words of the command line.
    pub(crate) fn arguments(mut self, arguments: &str) -> Self {
        self.arguments += arguments;
        self
    }

    /// Writes it to a file.
    pub(crate) fn write(&self, file: &Path) {
        fs::write(file, self.text()).expect("a temporary file");
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let upstream = self.named.as_deref().unwrap_or("[[upstream]]\ninterface = \"up0\"\n");
        // Not where the upstream has to be found, or has a line of its own already.
        let program =
            match WITH_A_PROGRAM.get() && !upstream.is_empty() && !self.upstream.contains("source = ") {
                true => "backend = \"tc\"\nsource = \"scope\"\n",
                false => "",
            };
        let sentinels = format!(
            "[[range]]\nprefix = \"{SENTINELS}\"\ninterface = \"br0\"\nanswer = \"always\"\n\
             routes = \"none\"\nbackstop = false\n"
        );
        let sentinels = if self.no_sentinels { "" } else { &sentinels };
        format!("{upstream}{program}{}\n{sentinels}{}{}\n", self.upstream, self.ranges, self.rest)
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Hears everything that was written to stderr, once the process has gone.
    stderr: Receiver<String>,
    notifications: UnixDatagram,
    directory: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(lab: &Lab, settings: Settings) -> Self {
        Self::start_under(lab, &[], settings)
    }

    /// The same, started by another program.
    pub(crate) fn start_under(lab: &Lab, wrapper: &[&str], settings: Settings) -> Self {
        Self::launch_with(lab, wrapper, settings).ready()
    }

    /// Only starts it.
    pub(crate) fn start_unready(lab: &Lab, settings: Settings) -> Self {
        Self::launch_with(lab, &[], settings)
    }

    /// SIGSTOP: it reads nothing more, until [`Daemon::thaw`].
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Starts it with options instead of a file, and waits until it says that it is ready.
    pub(crate) fn start_with_options(lab: &Lab, options: &str) -> Self {
        let directory = directory();
        let arguments = format!("run {options} {}", own_socket(&directory));
        Self::launch(&lab.host, directory, &[], &arguments).ready()
    }

    /// Starts it under `wrapper`, expects it to give up with exit status 1, and returns what it said.
    pub(crate) fn refusal(lab: &Lab, wrapper: &[&str], settings: Settings) -> String {
        let mut daemon = Self::launch_with(lab, wrapper, settings);
        let (status, said) = daemon.ended();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its control socket, unless its settings name another.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.join("lone64.toml")
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// The resident memory that it has written, in KiB. What is mapped of the program comes and goes: in a debug build that is
    /// 20 MB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("every process has it");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
    }

    /// Whether its loop waits: then it has read what the kernel had said by then.
    pub(crate) fn is_asleep(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
    }

    /// Whether it has ended, and nobody has asked for its exit status yet.
    pub(crate) fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it is our child");
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    }

    /// How long it has computed so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let fields: Vec<_> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// SIGTERM: out, with exit status 0, as soon as the kernel has taken everything back (rules.md, Change). Returns
    /// the log.
    pub(crate) fn stop(mut self) -> String {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        let (status, said) = self.ended();
        took("the daemon had stopped", start.elapsed());
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    /// It was told to stop already: its log.
    pub(crate) fn stopped(mut self) -> String {
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    /// As [`Self::stop`], and the descriptors that it has left with the service manager, with their names; they are the caller's to
    /// close.
    pub(crate) fn stop_and_keep(mut self) -> (String, Vec<(String, RawFd)>) {
        self.signal(Signal::SIGTERM);
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        (said, self.stored())
    }

    /// What it has told the service manager to keep.
    fn stored(&self) -> Vec<(String, RawFd)> {
        let mut stored = Vec::new();
        let mut buffer = [0; 512];
        loop {
            let (mut text, mut rights) = ([IoSliceMut::new(&mut buffer)], nix::cmsg_space!([RawFd; 8]));
            let from = self.notifications.as_raw_fd();
            let Ok(message) = recvmsg::<()>(from, &mut text, Some(&mut rights), MsgFlags::MSG_DONTWAIT)
            else {
                return stored;
            };
            let (length, controls) = (message.bytes, message.cmsgs().expect("there is room"));
            let passed = controls.filter_map(|control| match control {
                ControlMessageOwned::ScmRights(passed) => Some(passed),
                _ => None,
            });
            let passed: Vec<_> = passed.flatten().collect();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
            stored.extend(passed.into_iter().map(|fd| (name.unwrap_or_default().to_owned(), fd)));
        }
    }

    /// Waits until it ends by itself, with exit status 1, and returns what it said.
    pub(crate) fn failed(mut self) -> String {
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    /// SIGKILL: no chance to clean up.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let (status, said) = self.ended();
        assert_eq!(status.signal(), Some(9), "{said}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("it runs");
    }

    fn launch_with(lab: &Lab, wrapper: &[&str], settings: Settings) -> Self {
        let (directory, arguments) = prepare(&settings);
        Self::launch(&lab.host, directory, wrapper, &arguments)
    }

    fn launch(host: &Namespace, directory: PathBuf, wrapper: &[&str], arguments: &str) -> Self {
        let notifications = UnixDatagram::bind(directory.join("notify")).expect("a fresh directory");
        notifications.set_read_timeout(Some(Duration::from_millis(50))).expect("not zero");
        let words: Vec<&str> =
            wrapper.iter().copied().chain([BINARY]).chain(arguments.split_whitespace()).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env("NOTIFY_SOCKET", directory.join("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = host.spawn(&mut command);
        let mut pipe = child.stderr.take().expect("piped");
        let (gone, stderr) = channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            let _ = gone.send(String::from_utf8_lossy(&text).into_owned());
        });
        Self { child, stderr, notifications, directory }
    }

    fn ready(mut self) -> Self {
        self.notified("READY=1");
        self
    }

    /// Waits until it tells the service manager so, and returns all of the message.
    pub(crate) fn notified(&mut self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut message = [0; 512];
        loop {
            match self.notifications.recv(&mut message) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&message[..length]);
                    if text.contains(what) {
                        return text.into_owned();
                    }
                }
                // A machine that is put to sleep and woken up interrupts whoever waits.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => panic!("the notification socket: {error}"),
            }
            if let Some(status) = self.child.try_wait().expect("our child") {
                panic!("ended before it said {what}, {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("did not say {what} within {PATIENCE:?}: {}", self.log());
            }
        }
    }

    fn log(&self) -> String {
        self.stderr.recv_timeout(PATIENCE).unwrap_or_default()
    }

    fn ended(&mut self) -> (ExitStatus, String) {
        match self.stderr.recv_timeout(PATIENCE) {
            Ok(said) => (self.child.wait().expect("our child"), said),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                panic!("still there after {PATIENCE:?}: {}", self.log());
            }
            Err(RecvTimeoutError::Disconnected) => panic!("asked twice how it ended"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Whoever looks at a failed test wants to know what the daemon had to say.
        if thread::panicking() {
            eprintln!("--- the daemon's log\n{}---", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The directory with the configuration, and the arguments to run it.
fn prepare(settings: &Settings) -> (PathBuf, String) {
    let directory = directory();
    let config = directory.join("lone64.toml");
    settings.write(&config);
    let mut arguments = format!("run --config {}", config.display());
    arguments += &format!(" {}", settings.arguments);
    if !settings.rest.contains("socket = ") {
        arguments += &format!(" {}", own_socket(&directory));
    }
    (directory, arguments)
}

/// They run side by side, and with the default they would be in each other's way.
fn own_socket(directory: &Path) -> String {
    format!("--socket {}", directory.join("control.sock").display())
}

pub(crate) fn directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("lone64-netns-{}-{number}", std::process::id()));
    fs::create_dir_all(&path).expect("a temporary directory");
    path
}

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_lone64");
