//! `--continuity`: the daemon with `backend = "tc"` is killed, restarted and upgraded during a flood for live guests; and
//! dead targets are asked for at random, as fast as the asker can, while some live guests are asked for too.
//!
//! Each question for a live guest comes from an address of its own, which its answer names: so each is known to be answered
//! once, twice or not at all. Targets that the kernel answers for by itself are few enough for the host's neighbor table:
//! guests are one thread, and neither they nor the asker have an entry there.
//!
//! With `source = "auto"` the program leaves to the daemon what comes again half a second to two seconds after the question
//! before. At the rate that is wanted nothing does, but for an asker that is kept from its processor. What was lost of that
//! has a column of its own: for up to two seconds after `kill -9` nobody answers it.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use ipnet::Ipv6Net;
use lone64::kernel::packet::{BATCH, PacketSocket, RecvBatch, SendBatch};
use lone64::wire::{Advertisement, Mac, Solicitation, filter, solicited_node};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::asker::Asker;
use super::cpu::{self, Cpus};
use super::guests::{Guests, Manner};
use super::lab::{ASKER_MAC, ASKING, DOWNSTREAM, Lab, UPSTREAM, index};
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

/// What became of questions.
struct Tally {
    asked: usize,
    elapsed: Duration,
    unanswered: usize,
    /// Those of the unanswered that came again so late that a program leaves them to the daemon.
    again: usize,
    twice: usize,
    /// Of the answers that were waited for longest.
    latest: Duration,
    /// Frames that the asker's own socket had no room for.
    overrun: u32,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.asked as f64 / self.elapsed.as_secs_f64();
        let latest = self.latest.as_secs_f64() * 1_000.0;
        write!(
            f,
            "{:>9} {rate:>9.0} {:>10} {:>10} {:>7} {latest:>7.1}",
            self.asked, self.unanswered, self.again, self.twice
        )?;
        if self.overrun > 0 {
            write!(f, "  ({} answers did not fit into the asker's socket)", self.overrun)?;
        }
        Ok(())
    }
}

/// Questions each from an address of its own.
struct Questions {
    socket: PacketSocket,
    received: RecvBatch,
    /// By number: how often it was answered.
    answered: Vec<u8>,
    /// When each batch left, by the number of its first question.
    left: Vec<Instant>,
    /// Whether each batch came so late behind the last one for the same targets.
    is_again: Vec<bool>,
    latest: Duration,
}

impl Questions {
    fn open(lab: &Lab) -> io::Result<Self> {
        let socket = lab.asker.run(|| PacketSocket::open(index(ASKING), &filter::downstream()))?;
        let (answered, left, is_again) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { socket, received: RecvBatch::new(), answered, left, is_again, latest: Duration::ZERO })
    }

    /// Asks at this rate, as far as the answers follow, until it is over and the last answers have come.
    fn ask(
        mut self,
        targets: &[Ipv6Addr],
        rate: f64,
        is_over: &AtomicBool,
        asked: &AtomicU64,
    ) -> io::Result<Tally> {
        let mut questions = SendBatch::new();
        let mut turn = targets.iter().copied().cycle();
        let (start, mut waiting, mut last_sign) = (Instant::now(), 0_usize, Instant::now());
        while !is_over.load(Ordering::Relaxed) {
            let due = (start.elapsed().as_secs_f64() * rate) as usize;
            let more = due.saturating_sub(self.answered.len()).min(AT_ONCE);
            if more == AT_ONCE && waiting + AT_ONCE <= WINDOW {
                let now = Instant::now();
                let before = self.left.len().checked_sub(targets.len().div_ceil(AT_ONCE));
                self.is_again.push(before.is_some_and(|before| now - self.left[before] > NEARLY_AGAIN));
                self.left.push(now);
                for target in turn.by_ref().take(AT_ONCE) {
                    let question = question(target, self.answered.len() as u64);
                    questions.push(|buffer| question.emit(buffer));
                    self.answered.push(0);
                }
                self.socket.send_batch(&mut questions)?;
                waiting += AT_ONCE;
                asked.store(self.answered.len() as u64, Ordering::Relaxed);
            }
            match self.hear()? {
                0 if waiting > 0 && last_sign.elapsed() > LOST_AFTER => waiting = 0,
                0 => continue,
                heard => waiting = waiting.saturating_sub(heard),
            }
            last_sign = Instant::now();
        }
        let elapsed = start.elapsed();
        let end = Instant::now() + LOST_AFTER;
        while Instant::now() < end {
            self.hear()?;
        }
        let unanswered = || self.answered.iter().enumerate().filter(|(_, count)| **count == 0);
        Ok(Tally {
            asked: self.answered.len(),
            elapsed,
            unanswered: unanswered().count(),
            again: unanswered().filter(|(number, _)| self.is_again[number / AT_ONCE]).count(),
            twice: self.answered.iter().filter(|count| **count > 1).count(),
            latest: self.latest,
            overrun: self.socket.drops()?,
        })
    }

    fn hear(&mut self) -> io::Result<usize> {
        match self.socket.recv_batch(&mut self.received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            other => other?,
        }
        let (mut count, now) = (0, Instant::now());
        for (frame, _) in self.received.frames().flatten() {
            let Some(number) = number_of_answer(frame) else { continue };
            if let Some(answered) = self.answered.get_mut(number) {
                *answered += 1;
                count += 1;
                self.latest = self.latest.max(now - self.left[number / AT_ONCE]);
            }
        }
        Ok(count)
    }
}

/// Sends, and hears nothing.
struct PacketSender {
    socket: PacketSocket,
    batch: SendBatch,
}

impl PacketSender {
    fn open(lab: &Lab) -> io::Result<Self> {
        // Nothing passes this filter: no such target is asked for.
        let nothing = filter::upstream(&[Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)], &[]);
        let socket = lab.asker.run(|| PacketSocket::open(index(ASKING), &nothing))?;
        Ok(Self { socket, batch: SendBatch::new() })
    }

    fn send(&mut self, targets: impl Iterator<Item = Ipv6Addr>) -> io::Result<()> {
        targets.for_each(|target| self.batch.push(|buffer| question(target, 0).emit(buffer)));
        self.socket.send_batch(&mut self.batch).map(|_| ())
    }
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

/// From the address with this number.
fn question(target: Ipv6Addr, number: u64) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: ASKER_MAC,
        destination_mac: Mac::multicast(group),
        source: Ipv6Addr::from_bits(ASKERS | u128::from(number)),
        destination: group,
        target,
        source_link_layer: Some(ASKER_MAC),
    }
}

/// Of the question that this frame is the answer to.
fn number_of_answer(frame: &[u8]) -> Option<usize> {
    let destination: &[u8; 16] = frame.get(38..)?.first_chunk()?;
    let number = u128::from_be_bytes(*destination).checked_sub(ASKERS)?;
    let is_answer = frame.get(54) == Some(&Advertisement::TYPE) && frame[0] == ASKER_MAC.0[0];
    usize::try_from(number).ok().filter(|_| is_answer)
}

/// fe80:0:0:0:2::
const ASKERS: u128 = 0xfe80_0000_0000_0000_0002 << 48;
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
/// Half a second, as the asker sees it.
const NEARLY_AGAIN: Duration = Duration::from_millis(450);
/// Questions in one system call.
const AT_ONCE: usize = 20;
/// Questions that wait for an answer, at most.
const WINDOW: usize = 500;
/// An answer that has not come by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
