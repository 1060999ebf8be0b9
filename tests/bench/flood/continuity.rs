//! `--continuity`: the daemon with `backend = "tc"` is killed, restarted and upgraded during a flood for live guests; and
//! dead targets are asked for at random, as fast as the asker can, while some live guests are asked for too.
//!
//! Targets that the kernel answers for by itself are few enough for the host's neighbor table:
//! guests are one thread, and neither they nor the asker have an entry there.
//!
//! With `source = "auto"` the program leaves to the daemon what comes again half a second to two seconds after the question
//! before. At the rate that is wanted nothing does, but for an asker that is kept from its processor. What was lost of that
//! has a column of its own: for up to two seconds after `kill -9` nobody answers it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use lone64::kernel::packet::BATCH;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::asker::Asker;
use super::cpu::{self, Cpus};
use super::guests::{Guests, Manner};
use super::lab::{DOWNSTREAM, Lab, UPSTREAM};
use super::questions::{PacketSender, Questions};
use super::responder::{RANGE, target};

/// Prints both tables.
pub fn measure(duration: Duration, cpus: Cpus) -> io::Result<()> {
    println!("\nbackend = \"tc\", {GUESTS} live guests, {RATE} questions per second wanted");
    println!(
        "{:<40} {:>9} {:>9} {:>10} {:>10} {:>7} {:>7}",
        "while the daemon", "asked", "per s", "unanswered", "of again", "twice", "late ms"
    );
    flood(duration, cpus)?;
    println!("\nbackend = \"tc\", a scan of random dead targets in the range, {FEW} live guests");
    scan(duration * 10, cpus)
}

/// One after the other, each several times.
fn flood(duration: Duration, cpus: Cpus) -> io::Result<()> {
    let lab = Lab::build()?;
    let guests = Guests::start(&lab, cpus.asker, Manner::Silent)?;
    guests.wake(GUESTS)?;
    let targets: Vec<_> = (1..=GUESTS).map(target).collect();
    let here = PathBuf::from(env!("CARGO_BIN_EXE_lone64"));
    let mut daemon = Daemon::start(&lab, cpus.responder, here.clone(), GUESTS)?;
    Asker::open(&lab)?.ask_until_all_answer(&targets, PATIENCE)?;
    daemon.until_known()?;
    // Another build where there is one; else this one with something behind it, which is another file all the same.
    let other = env::var_os("LONE64_OTHER").map_or_else(|| daemon.another(&here), |path| Ok(path.into()))?;
    let phases: [(&str, Phase<'_>); 4] = [
        ("is left alone", &|_| Ok(())),
        ("is killed (-9) and started", &|daemon| daemon.replace(Signal::SIGKILL, here.clone())),
        ("is restarted (hand-over)", &|daemon| {
            daemon.hand_over()?;
            daemon.replace(Signal::SIGTERM, here.clone())
        }),
        ("is upgraded (hand-over, another binary)", &|daemon| {
            daemon.hand_over()?;
            let next = if daemon.program == here { other.clone() } else { here.clone() };
            daemon.replace(Signal::SIGTERM, next)
        }),
    ];
    for (name, phase) in phases {
        let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        let tally = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                cpu::pin_this_thread(cpus.asker)?;
                Questions::open(&lab)?.ask(&targets, RATE, &is_over, &asked)
            });
            let mut work = || {
                thread::sleep(duration / 2);
                for _ in 0..TIMES {
                    phase(&mut daemon)?;
                    daemon.until_known()?;
                    thread::sleep(duration / 2);
                }
                Ok::<_, io::Error>(())
            };
            let worked = work();
            is_over.store(true, Ordering::Relaxed);
            let tally = flood.join().map_err(|_| io::Error::other("the asker ended"))??;
            worked.map(|()| tally)
        })?;
        println!("{name:<40} {tally}");
    }
    Ok(())
}

/// What happens to the daemon.
type Phase<'a> = &'a dyn Fn(&mut Daemon<'_>) -> io::Result<()>;

/// Dead targets as fast as they can be asked for, and live ones among them.
fn scan(duration: Duration, cpus: Cpus) -> io::Result<()> {
    let lab = Lab::build()?;
    let guests = Guests::start(&lab, cpus.responder, Manner::Silent)?;
    guests.wake(FEW)?;
    let targets: Vec<_> = (1..=FEW).map(target).collect();
    let here = PathBuf::from(env!("CARGO_BIN_EXE_lone64"));
    let daemon = Daemon::start(&lab, cpus.responder, here, FEW)?;
    Asker::open(&lab)?.ask_until_all_answer(&targets, PATIENCE)?;
    daemon.until_known()?;
    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let (start, mut dead, mut state) = (Instant::now(), 0_u64, 0x9e37_79b9_7f4a_7c15_u64);
    let mut scanner = PacketSender::open(&lab)?;
    let tally = thread::scope(|scope| {
        let live = scope.spawn(|| {
            cpu::pin_this_thread(cpus.responder)?;
            Questions::open(&lab)?.ask(&targets, RATE_OF_FEW, &is_over, &asked)
        });
        let mut work = || {
            while start.elapsed() < duration {
                let batch = (0..BATCH).map(|_| {
                    // Xorshift; the range has 24 bits, and guests are the first few.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    target(0x10_0000 + (state as u32 & 0xdf_ffff))
                });
                scanner.send(batch)?;
                dead += BATCH as u64;
            }
            Ok::<_, io::Error>(())
        };
        let worked = work();
        is_over.store(true, Ordering::Relaxed);
        let tally = live.join().map_err(|_| io::Error::other("the asker ended"))??;
        worked.map(|()| tally)
    })?;
    println!(
        "{:.0} dead targets per second for {:.1} s",
        dead as f64 / duration.as_secs_f64(),
        duration.as_secs_f64()
    );
    println!(
        "{:<40} {:>9} {:>9} {:>10} {:>10} {:>7} {:>7}",
        "", "asked", "per s", "unanswered", "of again", "twice", "late ms"
    );
    println!("{:<40} {tally}", "live guests");
    Ok(())
}

/// The daemon, and what it is started with.
struct Daemon<'a> {
    lab: &'a Lab,
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    targets: u32,
    cpu: usize,
}

impl<'a> Daemon<'a> {
    fn start(lab: &'a Lab, cpu: usize, program: PathBuf, targets: u32) -> io::Result<Self> {
        let directory = env::temp_dir().join(format!("lone64-continuity-{}", process::id()));
        fs::create_dir_all(&directory)?;
        fs::write(
            directory.join("lone64.toml"),
            format!(
                "[[upstream]]\ninterface = \"{UPSTREAM}\"\nbackend = \"tc\"\n\n[[range]]\nprefix = \"{RANGE}\"\n\
                 interface = \"{DOWNSTREAM}\"\n\n[log]\nlevel = \"error\"\n"
            ),
        )?;
        let child = launch(lab, &program, &directory, cpu)?;
        Ok(Self { lab, child, program, directory, targets, cpu })
    }

    /// Ends it by this signal, and starts a program in its place.
    fn replace(&mut self, signal: Signal, program: PathBuf) -> io::Result<()> {
        kill(pid(&self.child), signal)?;
        self.child.wait()?;
        self.child = launch(self.lab, &program, &self.directory, self.cpu)?;
        self.program = program;
        Ok(())
    }

    fn hand_over(&self) -> io::Result<()> {
        let said = self.client(&["hand-over"])?;
        if said.contains("leaves everything") { Ok(()) } else { Err(io::Error::other(said)) }
    }

    /// Waits until the kernel answers for every guest by itself.
    fn until_known(&self) -> io::Result<()> {
        let wanted = format!("\"known_in_kernel\": {}", self.targets);
        let deadline = Instant::now() + PATIENCE;
        while !self.client(&["status", "--json"])?.contains(&wanted) {
            if Instant::now() > deadline {
                return Err(io::Error::other("the program does not know every guest"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn client(&self, words: &[&str]) -> io::Result<String> {
        let socket = self.directory.join("control.sock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lone64"));
        let output = command.args(words).arg("--socket").arg(socket).stderr(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn another(&self, program: &Path) -> io::Result<PathBuf> {
        let other = self.directory.join("lone64-other");
        let mut bytes = fs::read(program)?;
        bytes.extend(b"another build");
        fs::write(&other, bytes)?;
        fs::set_permissions(&other, fs::metadata(program)?.permissions())?;
        Ok(other)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // What is pinned is to go, too.
        let _ = kill(pid(&self.child), Signal::SIGTERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn launch(lab: &Lab, program: &Path, directory: &Path, cpu: usize) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(directory.join("lone64.toml"));
    command.arg("--socket").arg(directory.join("control.sock"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = lab.host.run(|| command.spawn())?;
    cpu::pin(pid(&child), cpu)?;
    Ok(child)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process number is positive and small"))
}

/// Live guests of the flood.
const GUESTS: u32 = 1_000;
/// Live guests of the scan.
const FEW: u32 = 10;
/// Questions per second.
const RATE: f64 = 100_000.0;
/// Of the live guests of the scan, all together.
const RATE_OF_FEW: f64 = 1_000.0;
/// How often each thing happens to the daemon.
const TIMES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(60);
