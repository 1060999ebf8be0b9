//! lone64, as a process that is killed, stopped and started again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::lab::{C, D, Lab};
use crate::namespace::{PATIENCE, in_time};

/// A process, or none at this moment.
pub(crate) struct Daemon {
    child: Option<Child>,
    directory: PathBuf,
    backend: &'static str,
    /// Whether it may get little more memory than it has.
    is_short: bool,
    /// Whether it may open hardly any file.
    has_few_descriptors: bool,
    /// The library that shows it another wall clock, if the machine has it.
    clock: Option<PathBuf>,
}

/// A configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Config {
    Good,
    /// Another good one.
    Other,
    Broken,
}

impl Daemon {
    /// Makes a place for it, on a file system of 256 KiB, and starts it.
    pub(crate) fn start(lab: &Lab, backend: &'static str) -> Self {
        let directory = std::env::temp_dir().join(format!("lone64-torture-{}", std::process::id()));
        fs::create_dir_all(directory.join("run")).expect("a temporary directory");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("root");
        mount(Some("tmpfs"), &directory.join("run"), Some("tmpfs"), MsFlags::empty(), Some("size=256k"))
            .expect("root");
        let clock = glob::glob(CLOCK).expect("a pattern").flatten().next();
        let mut daemon =
            Self { child: None, directory, backend, is_short: false, has_few_descriptors: false, clock };
        daemon.set_clock("+0");
        daemon.write(Config::Good);
        daemon.launch(lab);
        daemon
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        self.directory.join("run")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run_directory().join("control.sock")
    }

    pub(crate) fn write(&self, config: Config) {
        let socket = self.socket();
        let metrics = self.run_directory().join("metrics.sock");
        let more = match config {
            Config::Good => "",
            Config::Other => "exclude = [\"2001:db8:1:2:c::fff0/124\"]\n",
            Config::Broken => "answer = \"perhaps\"\n",
        };
        let text = format!(
            "[[upstream]]\ninterface = \"up0\"\nsuppress-kernel = true\nbackend = \"{}\"\n\
             [[range]]\nprefix = \"{D}\"\ninterface = \"gv1\"\n\
             [[range]]\nprefix = \"{C}\"\ninterface = \"br0\"\nroutes = \"guests\"\n{more}\
             [timers]\nreachable = \"5s\"\nkeepalive = \"10s\"\nabsent = \"1s\"\n\
             [control]\nsocket = \"{}\"\nmetrics = \"{}\"\n",
            self.backend,
            socket.display(),
            metrics.display()
        );
        // One that is read meanwhile is the old one or the new one.
        fs::write(self.directory.join("next"), text).expect("a temporary file");
        fs::rename(self.directory.join("next"), self.directory.join("lone64.toml"))
            .expect("the same directory");
    }

    /// Starts it, unless it runs.
    pub(crate) fn launch(&mut self, lab: &Lab) {
        if self.child.is_some() {
            return;
        }
        let log = File::options().create(true).append(true).open(self.log()).expect("a temporary file");
        let mut command =
            Command::new(std::env::var_os(OTHER).unwrap_or(env!("CARGO_BIN_EXE_lone64").into()));
        command.arg("run").arg("--config").arg(self.directory.join("lone64.toml"));
        if let Some(library) = &self.clock {
            command.env("LD_PRELOAD", library).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command
                .env("FAKETIME_TIMESTAMP_FILE", self.directory.join("clock"))
                .env("FAKETIME_NO_CACHE", "1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        (self.is_short, self.has_few_descriptors) = (false, false);
        self.child = Some(lab.host.spawn(&mut command));
    }

    /// Whether its wall clock can be set.
    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Sets its wall clock forward or back, as libfaketime reads it: `+400d`.
    pub(crate) fn set_clock(&self, offset: &str) {
        fs::write(self.directory.join("next-clock"), offset).expect("a temporary file");
        fs::rename(self.directory.join("next-clock"), self.directory.join("clock"))
            .expect("the same directory");
    }

    /// Lets it get so many bytes more than it has, or as many as it wants.
    pub(crate) fn limit_memory(&mut self, more: Option<u64>) {
        let Some(pid) = self.pid() else { return };
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages: Option<u64> = statm.split(' ').next().and_then(|pages| pages.parse().ok());
        let most = match (more, pages) {
            (Some(more), Some(pages)) => (pages * 4_096 + more).to_string(),
            _ => "unlimited".to_owned(),
        };
        self.is_short |= more.is_some();
        let _ = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--as={most}:")]).status();
    }

    /// A program that gets no memory aborts, or panics if that was for a thread, and systemd starts it again.
    pub(crate) fn may_end_of(&self, status: &ExitStatus) -> bool {
        let may =
            self.is_short && (status.signal() == Some(Signal::SIGABRT as i32) || status.code() == Some(101));
        if may {
            let _ = fs::remove_file(self.log());
        }
        may
    }

    /// Lets it have one descriptor more than it has, or as many as it wants.
    pub(crate) fn limit_descriptors(&mut self, is_limited: bool) {
        let (Some(pid), Some((_, open))) = (self.pid(), self.size()) else { return };
        let most = if is_limited { open + 1 } else { 4_096 };
        self.has_few_descriptors = is_limited;
        let _ =
            Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={most}:")]).status();
    }

    /// All that was scarce is there again, and it goes on as if it always had been.
    pub(crate) fn is_at_rest(&mut self) {
        self.is_short = false;
    }

    /// Whether it may be unable to write into a file now.
    pub(crate) fn may_not_write(&self) -> bool {
        self.is_short || self.has_few_descriptors || self.run_directory().join("full").exists()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended by itself; that is looked for elsewhere.
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    /// Whether it has ended although nobody told it to.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("our child")?;
        self.child = None;
        Some(status)
    }

    /// Ends it, and says so if it does not go.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<(), String> {
        self.signal(signal);
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let start = Instant::now();
        let gone = in_time("it ends", PATIENCE, || child.try_wait().expect("our child"));
        if gone.is_none() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it has not ended {} s after {signal}", start.elapsed().as_secs()));
        }
        Ok(())
    }

    /// One request on the control socket.
    pub(crate) fn ask(&self, request: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        stream.set_write_timeout(Some(Duration::from_secs(20))).ok()?;
        writeln!(stream, "{request}").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// KiB of resident memory, and open descriptors.
    pub(crate) fn size(&self) -> Option<(u64, usize)> {
        let pid = self.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = line.split_whitespace().next()?.parse().ok()?;
        Some((memory, fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()))
    }
}

/// Where Debian's libfaketime has it.
const CLOCK: &str = "/usr/lib/*/faketime/libfaketime.so.1";
/// The variable that names another build.
const OTHER: &str = "LONE64_OTHER";

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.end(Signal::SIGKILL);
        let _ = nix::mount::umount(&self.run_directory());
        let _ = fs::remove_dir_all(&self.directory);
    }
}
