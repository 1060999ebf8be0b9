//! Runs tests: each alone, to see which mutants it reaches, and then each mutant with the tests that reach it.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::results::digest;

/// A test, and what it does without a mutant.
#[derive(Clone)]
pub struct Test {
    pub program: PathBuf,
    pub name: String,
    /// How long it ran.
    pub usual: Duration,
    pub reached: Vec<u32>,
}

/// What a mutant came to.
#[derive(Debug)]
pub enum Outcome {
    /// This test failed.
    Found(String),
    /// These did not end in time.
    Slow(String),
    /// All of so many tests passed.
    Survives(usize),
    /// No test runs that line.
    Unreached,
    /// None of these failed, and so many are left.
    Undecided(usize, usize),
}

/// More than any test takes, in KiB.
const MEMORY: u32 = 6_000_000;

/// All tests of the programs whose name contains one of the words. What was measured of a program is kept beside it.
pub fn measure(programs: &[PathBuf], words: &[String], tree: &Path, place: &Path, jobs: usize) -> Vec<Test> {
    let mut all = Vec::new();
    for program in programs {
        let output = Command::new(program).args(["--list", "--format", "terse"]).current_dir(tree).output();
        let listed = String::from_utf8(output.expect("a test program can be run").stdout);
        let listed = listed.expect("names are text");
        let names: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
        let kept = place.with_file_name(format!("reached-{}", digest(program)));
        let known = fs::read_to_string(&kept).unwrap_or_default();
        let known: HashMap<&str, Test> =
            known.lines().filter_map(|line| Test::parse(program, line)).collect();
        let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
        let (old, new): (Vec<&str>, Vec<&str>) =
            names.into_iter().filter(|name| is_wanted(name)).partition(|name| known.contains_key(name));
        all.extend(old.iter().filter_map(|name| known.get(name).cloned()));
        let to = Mutex::new(fs::OpenOptions::new().create(true).append(true).open(&kept).ok());
        let found = Mutex::new(Vec::new());
        in_parallel(jobs, new.len(), |worker, index| {
            let Some(test) = reach(program, new[index], tree, place, worker) else { return };
            if let Some(file) = &mut *lock(&to) {
                let _ = file.write_all(test.line().as_bytes());
            }
            lock(&found).push(test);
        });
        all.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    all.sort_by(|a, b| (a.usual, &a.name).cmp(&(b.usual, &b.name)));
    all
}

/// Runs a test alone, without a mutant.
fn reach(program: &Path, name: &str, tree: &Path, place: &Path, worker: usize) -> Option<Test> {
    let reached = place.join(format!("reached-{worker}"));
    let _ = fs::remove_file(&reached);
    let mut run = Run::new(program, &[name], tree, &place.join(format!("printed-{worker}")));
    let (ended, usual) =
        run.set("LONE64_REACHED", &reached.to_string_lossy()).within(Duration::from_secs(600));
    if ended != Ended::Passed {
        println!("left out, as it fails without a mutant: {name}");
        return None;
    }
    let read = fs::read_to_string(&reached).unwrap_or_default();
    let reached = read.lines().filter_map(|line| line.parse().ok()).collect();
    Some(Test { program: program.to_owned(), name: name.to_owned(), usual, reached })
}

impl Test {
    fn line(&self) -> String {
        let reached: Vec<_> = self.reached.iter().map(u32::to_string).collect();
        format!("{}\t{}\t{}\n", self.name, self.usual.as_millis(), reached.join(","))
    }

    fn parse<'a>(program: &Path, line: &'a str) -> Option<(&'a str, Self)> {
        let [name, usual, reached] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let usual = Duration::from_millis(usual.parse().ok()?);
        let reached = reached.split(',').filter_map(|number| number.parse().ok()).collect();
        Some((name, Self { program: program.to_owned(), name: name.to_owned(), usual, reached }))
    }
}

/// Who finds the mutants, and where it does so.
pub struct Judge<'a> {
    tests: &'a [Test],
    /// The tests that reach a mutant, the quickest first.
    reaching: HashMap<u32, Vec<usize>>,
    /// Those that found the last mutants of a file: they are tried first in that file.
    finders: Mutex<HashMap<String, Vec<usize>>>,
    tree: &'a Path,
    place: &'a Path,
    /// How long the tests of one mutant may take.
    most: Duration,
}

impl<'a> Judge<'a> {
    pub fn new(tests: &'a [Test], tree: &'a Path, place: &'a Path, most: Duration) -> Self {
        let mut reaching: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, test) in tests.iter().enumerate() {
            for number in &test.reached {
                reaching.entry(*number).or_default().push(index);
            }
        }
        Self { tests, reaching, finders: Mutex::default(), tree, place, most }
    }

    pub fn judge(&self, number: u32, file: &str, worker: usize) -> Outcome {
        let Some(reaching) = self.reaching.get(&number) else { return Outcome::Unreached };
        let before = lock(&self.finders).get(file).cloned().unwrap_or_default();
        let first: Vec<usize> =
            before.into_iter().rev().filter(|index| reaching.contains(index)).take(4).collect();
        let mut order: Vec<Vec<usize>> = first.iter().map(|index| vec![*index]).collect();
        order.extend(self.together(reaching.iter().copied().filter(|index| !first.contains(index))));
        let (mut done, mut spent) = (0, Duration::ZERO);
        for chunk in order {
            if spent > self.most {
                return Outcome::Undecided(done, reaching.len() - done);
            }
            let names: Vec<&str> = chunk.iter().map(|index| &*self.tests[*index].name).collect();
            let usual: Duration = chunk.iter().map(|index| self.tests[*index].usual).sum();
            let printed = self.place.join(format!("printed-{worker}"));
            let mut run = Run::new(&self.tests[chunk[0]].program, &names, self.tree, &printed);
            let (ended, took) = run
                .set("LONE64_MUTANT", &number.to_string())
                .within(usual * 5 + Duration::from_millis(2_500));
            spent += took;
            match ended {
                Ended::Passed => done += chunk.len(),
                Ended::Slow => return Outcome::Slow(names.join(" ")),
                Ended::Failed => {
                    let found = failed(&printed);
                    let by = chunk
                        .iter()
                        .find(|index| found.contains(&self.tests[**index].name))
                        .unwrap_or(&chunk[0]);
                    let mut finders = lock(&self.finders);
                    let of_file = finders.entry(file.to_owned()).or_default();
                    of_file.retain(|index| index != by);
                    of_file.push(*by);
                    return Outcome::Found(self.tests[*by].name.clone());
                }
            }
        }
        Outcome::Survives(done)
    }

    /// Quick tests of one program run in one process.
    fn together(&self, indices: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut done = Vec::new();
        let mut open: HashMap<&Path, Vec<usize>> = HashMap::new();
        for index in indices {
            let chunk = open.entry(&self.tests[index].program).or_default();
            chunk.push(index);
            let usual: Duration = chunk.iter().map(|index| self.tests[*index].usual).sum();
            if usual > Duration::from_millis(60) {
                done.push(std::mem::take(chunk));
            }
        }
        done.extend(open.into_values().filter(|chunk| !chunk.is_empty()));
        done
    }
}

/// The tests that failed, as the test program has printed.
fn failed(printed: &Path) -> Vec<String> {
    let text = fs::read(printed).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let names = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    names.map(str::to_owned).collect()
}

/// Calls `work` with the worker and with each of the indices.
pub fn in_parallel(jobs: usize, count: usize, work: impl Fn(usize, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..jobs {
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    work(worker, index);
                }
            });
        }
    });
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    Slow,
}

/// Some tests of one program, in one process.
struct Run {
    command: Command,
}

impl Run {
    fn new(program: &Path, tests: &[&str], tree: &Path, printed: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c 0; ulimit -v $MEMORY; ulimit -t $SECONDS_OF_CPU; exec \"$@\"", "sh"]);
        command.arg(program).args(["--exact", "--test-threads", "1"]).args(tests).current_dir(tree);
        command
            .env("MEMORY", MEMORY.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command.stdout(fs::File::create(printed).expect("the copy can be written"));
        Self { command }
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.command.env(name, value);
        self
    }

    /// Runs for so much time of the processor, and for ten times that and half a minute of waiting. Time counts only while
    /// this program runs, so it does not matter if everything here is stopped for a while.
    fn within(&mut self, cpu: Duration) -> (Ended, Duration) {
        self.command.env("SECONDS_OF_CPU", cpu.as_secs().saturating_add(1).to_string());
        let mut child: Child = self.command.spawn().expect("sh can be run");
        let most = cpu * 10 + Duration::from_secs(30);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = child.try_wait().expect("it is a child") {
                // Killed for its time: SIGXCPU or SIGKILL.
                let is_slow = matches!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9 | 24));
                let ended = if status.success() {
                    Ended::Passed
                } else if is_slow {
                    Ended::Slow
                } else {
                    Ended::Failed
                };
                return (ended, waited);
            }
            if waited > most {
                let _ = child.kill();
                let _ = child.wait();
                return (Ended::Slow, waited);
            }
            let step = Duration::from_millis(if waited.as_millis() < 100 { 1 } else { 5 });
            std::thread::sleep(step);
            waited += step;
        }
    }
}
