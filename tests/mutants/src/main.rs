//! Mutants of the pure rooms: all in one build, each behind a switch. `tests/mutants/run` says how it is called.

mod copy;
mod list;
mod results;
mod switches;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use list::Mutant;
use results::Results;

/// What the command line says.
struct Options {
    files: Vec<String>,
    /// Only mutants whose name contains one of these are tried, in this order; all are in the build.
    only: Vec<String>,
    /// Only tests whose name contains one of these.
    tests: Vec<String>,
    /// How long the tests of one mutant may take.
    seconds: u64,
    jobs: usize,
    /// Tries what survived or was undecided, and nothing else.
    again: bool,
    place: PathBuf,
}

fn main() {
    let tree = std::env::current_dir().expect("there is a current directory");
    let options = options();
    std::fs::create_dir_all(&options.place).expect("the place can be written");
    let mutants = list::list(&tree, &options.place, &options.files);
    let path = options.place.join("results.jsonl");
    let results = Results::open(&path, &tree, &mutants);
    let refused = mutants.iter().filter(|mutant| results.of(mutant).is_some_and(|known| known == "refused"));
    let refused: BTreeSet<u32> = refused.map(|mutant| mutant.number).collect();
    println!("{} mutants", mutants.len());
    let built = copy::build(&tree, &options.place, &mutants, refused);
    for mutant in mutants.iter().filter(|mutant| results.of(mutant).is_none()) {
        if built.unplaced.contains(&mutant.number) {
            results.note(mutant, "constant", "");
        } else if built.refused.contains(&mutant.number) {
            results.note(mutant, "refused", "");
        }
    }
    let is_left = |mutant: &&Mutant| {
        let can_be = !built.unplaced.contains(&mutant.number) && !built.refused.contains(&mutant.number);
        let is_meant = options.only.is_empty() || options.only.iter().any(|word| mutant.name.contains(word));
        let is_due = match results.of(mutant) {
            Some(known) => options.again && ["survives", "undecided"].contains(&known),
            None => !options.again,
        };
        can_be && is_meant && is_due
    };
    let mut left: Vec<&Mutant> = mutants.iter().filter(is_left).collect();
    left.sort_by_key(|mutant| options.only.iter().position(|word| mutant.name.contains(word)));
    println!("{} to be tried", left.len());
    if !left.is_empty() {
        try_all(&options, &left, &results, &built.programs);
    }
    report(&mutants, &Results::open(&path, &tree, &mutants));
}

fn try_all(options: &Options, left: &[&Mutant], results: &Results, programs: &[PathBuf]) {
    let tree = options.place.join("tree");
    // The programs of its own: what is built meanwhile, for another run, is none of its business.
    let place = options.place.join(format!("run-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("the place can be written");
    let copy = |program: &PathBuf| {
        let own = place.join(program.file_name().expect("it is a file"));
        std::fs::copy(program, &own).expect("the place can be written");
        own
    };
    let programs: Vec<PathBuf> = programs.iter().map(copy).collect();
    let tests = trial::measure(&programs, &options.tests, &tree, &place, options.jobs);
    let all: Duration = tests.iter().map(|test| test.usual).sum();
    println!("{} tests take {} s", tests.len(), all.as_secs());
    let judge = trial::Judge::new(&tests, &tree, &place, Duration::from_secs(options.seconds));
    let done = AtomicUsize::new(0);
    trial::in_parallel(options.jobs, left.len(), |worker, index| {
        let mutant = left[index];
        let (outcome, by) = results::words(&judge.judge(mutant.number, &mutant.file, worker));
        // A part of the tests does not say that a mutant survives.
        if options.tests.is_empty() || outcome == "found" {
            results.note(mutant, outcome, &by);
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome != "found" {
            println!("{done}/{} {outcome}: {} ({by})", left.len(), mutant.name);
        }
    });
    let _ = std::fs::remove_dir_all(&place);
}

/// A line for each folder, and for each file beside them.
fn report(mutants: &[Mutant], results: &Results) {
    const OUTCOMES: [&str; 6] = ["refused", "constant", "found", "slow", "survives", "undecided"];
    let mut parts: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for mutant in mutants {
        let outcome = results.of(mutant);
        let outcome = OUTCOMES.into_iter().find(|name| Some(*name) == outcome).unwrap_or("left");
        let part = mutant.file.strip_prefix("src/").unwrap_or(&mutant.file);
        let part: Vec<&str> = part.split('/').take(2).collect();
        *parts.entry(part.join("/")).or_default().entry(outcome).or_default() += 1;
    }
    print!("{:24} {:>8}", "part", "mutants");
    OUTCOMES.iter().for_each(|name| print!(" {name:>9}"));
    println!();
    for (part, counts) in &parts {
        print!("{part:24} {:>8}", counts.values().sum::<usize>());
        OUTCOMES.iter().for_each(|name| print!(" {:>9}", counts.get(name).unwrap_or(&0)));
        println!();
    }
}

fn options() -> Options {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let place = std::path::absolute(target.join("mutants")).expect("there is a current directory");
    let mut options = Options {
        files: Vec::new(),
        only: Vec::new(),
        tests: Vec::new(),
        seconds: 30,
        jobs,
        again: false,
        place,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| usage());
        match &*word {
            "--file" => options.files.push(value()),
            "--only" => options.only.push(value()),
            "--tests" => options.tests.push(value()),
            "--seconds" => options.seconds = value().parse().unwrap_or_else(|_| usage()),
            "--jobs" => options.jobs = value().parse().unwrap_or_else(|_| usage()),
            "--again" => options.again = true,
            _ => usage(),
        }
    }
    options
}

fn usage() -> ! {
    eprintln!(
        "tests/mutants/run [--file GLOB]... [--only WORD]... [--tests WORD]... [--seconds N] [--jobs N] [--again]"
    );
    std::process::exit(2);
}
