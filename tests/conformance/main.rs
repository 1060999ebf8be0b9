//! The conformance suite as a program of its own: what RFC 4861, 4862, 4389 and 6980 ask of a responder, as far as it
//! can be seen from outside, tried with any responder.
//!
//!     cargo test --test conformance                                  lone64; fails where it breaks a clause
//!     cargo test --test conformance -- --all                         lone64, ndppd, npd6 and the kernel's proxy, as a table
//!     cargo test --test conformance -- --write                       the same, into contrib/docs/conformance.md
//!     cargo test --test conformance -- --responder 'COMMAND'         another one; exit status 1 if it breaks a MUST
//!     cargo test --test conformance -- --list                        the clauses
//!
//! COMMAND is run by the shell in the network namespace of a host between a router and a guest, and goes on until it is
//! killed. The variables UPSTREAM, DOWNSTREAM, PREFIX, GUEST and DIRECTORY (an empty one) tell it what to serve. A command
//! that ends by itself with status 0 has set up something in the kernel.
//!
//! * `bench`: host, router and guest, and what is heard
//! * `responders`: those that are known, and how each is started
//! * `cases`: the clauses, each with what shows whether it is kept
//! * `page`: the table

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the verdict")]
#![allow(clippy::disallowed_methods, reason = "this is no pure room")]

mod bench;
mod cases;
mod page;
mod responders;

#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/endpoint.rs"]
mod endpoint;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/frame.rs"]
mod frame;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/lab.rs"]
mod lab;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "shared with tests/netns")]
#[path = "../netns/solicitation.rs"]
mod solicitation;

use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};

use cases::{Case, Level, Verdict};
use responders::Responder;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--list"] = words[..] {
        for case in cases::all() {
            println!("{:<18} {:<6} {}", case.section, case.level.word(), case.about);
        }
        return ExitCode::SUCCESS;
    }
    // A fresh one, in which nobody serves.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        println!("conformance: ignored: only root can make network namespaces here ({error})");
        return ExitCode::SUCCESS;
    }
    match words[..] {
        [] | ["--nocapture"] => own(),
        ["--all"] => {
            print!("{}", page::table(&columns()));
            ExitCode::SUCCESS
        }
        ["--write"] => {
            std::fs::write(page::PATH, page::page(&columns())).expect("contrib/docs is there");
            println!("conformance: {} is written", page::PATH);
            ExitCode::SUCCESS
        }
        ["--responder", command] => foreign(command),
        _ => {
            eprintln!("conformance: usage: [--all | --write | --list | --responder 'COMMAND']");
            ExitCode::from(2)
        }
    }
}

/// What one responder makes of every clause.
type Column = (Responder, Vec<(Case, Verdict)>);

fn columns() -> Vec<Column> {
    Responder::known().into_iter().map(|responder| (responder.clone(), bench::examine(&responder))).collect()
}

/// lone64 keeps what it is asked, as the page says.
fn own() -> ExitCode {
    let lone64 = Responder::lone64();
    let results = bench::examine(&lone64);
    let broken = tell(&results);
    let told = std::fs::read_to_string(page::PATH).unwrap_or_default();
    let mut is_told = true;
    for (case, _) in &results {
        if !told.contains(case.about) {
            println!("conformance: {} is older than `{}`: write it with --write", page::PATH, case.about);
            is_told = false;
        }
    }
    if broken.is_empty() && is_told { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn foreign(command: &str) -> ExitCode {
    let broken = tell(&bench::examine(&Responder::of_command(command)));
    if broken.contains(&Level::Must) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints one line for each clause; the levels of those that are broken come back.
fn tell(results: &[(Case, Verdict)]) -> Vec<Level> {
    let mut broken = Vec::new();
    for (case, verdict) in results {
        let head = format!("{:<18} {:<6} {}", case.section, case.level.word(), case.about);
        match verdict {
            Verdict::Kept => println!("kept    {head}"),
            Verdict::Unseen(why) => println!("unseen  {head}\n        {why}"),
            Verdict::Broken(why) => {
                println!("BROKEN  {head}\n        {why}\n        \"{}\"", case.clause);
                broken.push(case.level);
            }
        }
    }
    let count = |wanted: fn(&Verdict) -> bool| results.iter().filter(|(_, verdict)| wanted(verdict)).count();
    println!(
        "conformance: {} kept, {} broken, {} not seen",
        count(|verdict| matches!(verdict, Verdict::Kept)),
        broken.len(),
        count(|verdict| matches!(verdict, Verdict::Unseen(_)))
    );
    broken
}
