//! The responders: which there are, what each needs, and one of them running.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fmt, fs, io, process};

use lone64::kernel::bpf::{LoadedProgram, Table, TcxLink};
use lone64::kernel::sysctl;
use lone64::wire::program::{self, Sources};
use nix::unistd::Pid;

use super::cpu;
use super::lab::{DOWNSTREAM, HOST_MAC, Lab, UPSTREAM, index, within};
use super::unit::as_the_unit;

/// Whoever answers, or nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responder {
    /// A host without responder.
    Nobody,
    /// A loop that answers everything without a thought: the floor.
    Bare,
    /// lone64, answering for every address of the range.
    Lone64Always,
    /// lone64, answering for live guests.
    Lone64Live,
    /// As `Lone64Always`, with metrics, which nobody scrapes.
    Lone64Metrics,
    /// Another build of lone64, as `Lone64Always`.
    Lone64Other,
    /// ndppd with a `static` rule, which answers for every address of the range.
    NdppdStatic,
    /// ndppd with an `iface` rule, which asks the guests.
    NdppdIface,
    /// npd6, which answers for every address of the range.
    Npd6,
    /// The kernel's proxy, one entry for each address, without its delay.
    Kernel,
    /// lone64's program in the kernel, by itself: every address is in its map, and no daemon looks after it.
    Program,
}

impl Responder {
    /// In the order of the table.
    pub const ALL: [Self; 10] = [
        Self::Bare,
        Self::Lone64Always,
        Self::Lone64Live,
        Self::Lone64Metrics,
        Self::Lone64Other,
        Self::NdppdStatic,
        Self::NdppdIface,
        Self::Npd6,
        Self::Kernel,
        Self::Program,
    ];

    /// How many addresses are asked for, turn by turn: as many as it gets to know, and the kernel gives up again,
    /// within seconds.
    pub const fn addresses(self) -> &'static [u32] {
        match self {
            Self::Bare | Self::Lone64Always | Self::Lone64Other => &[1, 1_000, MANY, MOST],
            Self::Lone64Live | Self::NdppdStatic | Self::Npd6 | Self::Program => &[1, 1_000, MANY],
            Self::Kernel => &[1, 1_000, 4_096],
            Self::Nobody | Self::Lone64Metrics | Self::NdppdIface => &[1, 1_000],
        }
    }

    /// Whether it has to be asked for every address once before it answers for it at the speed that is measured. The
    /// others have no state for an address.
    pub const fn has_state(self) -> bool {
        matches!(self, Self::Lone64Live | Self::NdppdStatic | Self::NdppdIface)
    }

    /// Whether it asks the guests, so that the first answer for each takes longer.
    pub const fn asks_guests(self) -> bool {
        matches!(self, Self::Lone64Live | Self::NdppdIface)
    }

    /// Whether it answers in the kernel alone, so that there is no process to charge.
    pub const fn has_no_process(self) -> bool {
        matches!(self, Self::Kernel | Self::Program)
    }

    /// As the table names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Bare => "bare loop",
            Self::Lone64Always => "lone64 always",
            Self::Lone64Live => "lone64 live",
            Self::Lone64Metrics => "lone64 metrics",
            Self::Lone64Other => "lone64 other",
            Self::NdppdStatic => "ndppd static",
            Self::NdppdIface => "ndppd iface",
            Self::Npd6 => "npd6",
            Self::Kernel => "kernel, delay 0",
            Self::Program => "kernel program",
        }
    }

    /// What is to be started, if it is there; empty if there is nothing to start.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Nobody | Self::Kernel | Self::Program => Some(PathBuf::new()),
            Self::Bare => env::current_exe().ok(),
            Self::Lone64Always | Self::Lone64Live | Self::Lone64Metrics => {
                Some(env!("CARGO_BIN_EXE_lone64").into())
            }
            Self::Lone64Other => env::var_os(OTHER).map(PathBuf::from),
            Self::NdppdStatic | Self::NdppdIface => find("ndppd"),
            Self::Npd6 => find("npd6"),
        }
    }

    /// What to do if the program is missing.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NdppdStatic | Self::NdppdIface => "apt-get install ndppd",
            Self::Npd6 => "apt-get install npd6",
            _ => "",
        }
    }

    fn configuration(self) -> String {
        // All other keys are at their defaults.
        let lone64 = |answer| {
            format!(
                "[[upstream]]\ninterface = \"{UPSTREAM}\"\n\n[[range]]\nprefix = \"{RANGE}\"\n\
                 interface = \"{DOWNSTREAM}\"\nanswer = \"{answer}\"\n\n[log]\nlevel = \"error\"\n"
            )
        };
        let ndppd =
            |rule| format!("proxy {UPSTREAM} {{\n  router no\n  rule {RANGE} {{\n    {rule}\n  }}\n}}\n");
        match self {
            Self::Lone64Always | Self::Lone64Other => lone64("always"),
            Self::Lone64Live => lone64("live"),
            Self::Lone64Metrics => lone64("always") + "\n[control]\nmetrics = \"[::]:9164\"\n",
            Self::NdppdStatic => ndppd("static".to_owned()),
            Self::NdppdIface => ndppd(format!("iface {DOWNSTREAM}")),
            Self::Npd6 => format!("prefix = {RANGE}\ninterface = {UPSTREAM}\n"),
            Self::Nobody | Self::Bare | Self::Kernel | Self::Program => String::new(),
        }
    }

    fn command(self, program: PathBuf, configuration: &PathBuf) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Bare => command.arg("--bare"),
            Self::Lone64Always | Self::Lone64Live | Self::Lone64Metrics => {
                // Of its own, because there may be a lone64 at work on this machine.
                let socket = configuration.with_extension("sock");
                command.args(["run", "--config"]).arg(configuration).arg("--socket").arg(socket)
            }
            Self::Lone64Other => command.args(["run", "--config"]).arg(configuration),
            Self::Npd6 => command.args(["-f", "-l", "/dev/null", "-c"]).arg(configuration),
            _ => command.arg("-c").arg(configuration),
        };
        command
    }
}

impl fmt::Display for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An address inside the range.
pub fn target(number: u32) -> Ipv6Addr {
    Ipv6Addr::from(FIRST | u128::from(number))
}

/// Which of the range's addresses it is.
pub fn number(target: Ipv6Addr) -> Option<u32> {
    u32::try_from(u128::from(target).checked_sub(FIRST)?).ok()
}

/// A responder at work; stopped when dropped.
pub struct Running {
    child: Option<Child>,
    /// Detached when dropped.
    program: Option<(Table, TcxLink)>,
    directory: PathBuf,
}

impl Running {
    /// Starts it in the host of this lab, on this CPU. It need not answer yet.
    pub fn start(responder: Responder, lab: &Lab, targets: &[Ipv6Addr], cpu: usize) -> io::Result<Self> {
        let directory = env::temp_dir().join(format!("lone64-flood-{}", process::id()));
        fs::create_dir_all(&directory)?;
        let mut running = Self { child: None, program: None, directory };
        match responder {
            Responder::Nobody => return Ok(running),
            Responder::Kernel => return proxy_in_kernel(lab, targets).map(|()| running),
            Responder::Program => {
                running.program = Some(program_in_kernel(lab, targets)?);
                return Ok(running);
            }
            _ => {}
        }
        let configuration = running.directory.join("configuration");
        fs::write(&configuration, responder.configuration())?;
        let program = responder.program().ok_or_else(|| io::Error::other("it is not installed"))?;
        let mut command = responder.command(program, &configuration);
        let stderr = if matches!(
            responder,
            Responder::Bare | Responder::Lone64Always | Responder::Lone64Live | Responder::Lone64Metrics
        ) {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = running.child.insert(lab.host.run(|| command.spawn())?);
        cpu::pin(pid(child), cpu)?;
        Ok(running)
    }

    /// What it has used of its CPU, if it is a process.
    pub fn cpu_time(&self) -> io::Result<Option<Duration>> {
        self.child.as_ref().map(|child| cpu::time_of(child.id())).transpose()
    }

    /// What it has spent since it had spent `before`.
    pub fn cpu_time_since(&self, before: Option<Duration>) -> io::Result<Option<Duration>> {
        Ok(self.cpu_time()?.zip(before).map(|(after, before)| after.saturating_sub(before)))
    }

    /// Its resident memory in KiB (VmRSS), if it is a process.
    pub fn resident(&self) -> io::Result<Option<u64>> {
        let Some(child) = &self.child else { return Ok(None) };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Not gently: what it has in the kernel goes with the lab. It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        // Only a file of our own is in it, and leaving that behind does no harm.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn proxy_in_kernel(lab: &Lab, targets: &[Ipv6Addr]) -> io::Result<()> {
    within(&lab.host, async |requests| {
        for target in targets {
            requests.add_proxy(index(UPSTREAM), *target).await?;
        }
        Ok(())
    })?;
    lab.host.run(|| {
        let set = |key: String, value| sysctl::write(&key, value).map_err(io::Error::other);
        set(format!("conf/{UPSTREAM}/proxy_ndp"), "1")?;
        set(format!("neigh/{UPSTREAM}/proxy_delay"), "0")
    })
}

/// Needs root: bpf(2) is not to be had in a user namespace.
fn program_in_kernel(lab: &Lab, targets: &[Ipv6Addr]) -> io::Result<(Table, TcxLink)> {
    let mut table = Table::create(MANY, 1).map_err(io::Error::other)?;
    let all: Vec<_> = targets.iter().map(|target| (*target, Some(u64::MAX))).collect();
    if let Some(error) = table.change(&all).error {
        return Err(io::Error::other(error));
    }
    let responder = program::Responder {
        station: HOST_MAC,
        router: false,
        override_entry: false,
        sources: Sources::Target,
        within: vec![RANGE.parse().expect("a prefix")],
        learns: false,
        askers: Vec::new(),
    };
    let maps = table.maps();
    let instructions = responder.program(maps.rows()).map_err(io::Error::other)?;
    let loaded = as_the_unit(|| LoadedProgram::load(&instructions, maps))?;
    let program = loaded.map_err(io::Error::other)?;
    let link = lab.host.run(|| TcxLink::attach(&program, index(UPSTREAM))).map_err(io::Error::other)?;
    Ok((table, link))
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process number is positive and small"))
}

/// Daemons are often outside an ordinary user's search path.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Names another build of lone64, to be measured beside this one.
const OTHER: &str = "LONE64_OTHER";
/// What is answered for.
pub const RANGE: &str = "2001:db8:1:2:c::/104";
/// As many addresses as a /112 has.
pub const MANY: u32 = 65_536;
/// More than any host has guests.
pub const MOST: u32 = 1_000_000;
const FIRST: u128 = 0x2001_0db8_0001_0002_000c << 48;
