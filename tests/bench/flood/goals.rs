//! What lone64 is to reach, against the numbers of this run: ratios, because the machine moves the numbers themselves.

use super::figures::{Figures, What, addresses};
use super::guests::Manner;
use super::numbers::text;
use super::responder::{MANY, Responder};
use super::scan::{RATES, Scan};

/// One goal, and how far it is.
struct Goal {
    what: String,
    value: Option<f64>,
    target: f64,
    /// Whether more is better.
    is_floor: bool,
}

/// Prints those that this run can tell.
pub fn print(figures: &Figures) {
    println!("\ngoals");
    for goal in goals(figures) {
        let Some(value) = goal.value else { continue };
        let reached = if goal.is_floor { value >= goal.target } else { value <= goal.target };
        println!(
            "{:<76} {:>9} ({} {}: {})",
            goal.what,
            short(value),
            if goal.is_floor { "at least" } else { "at most" },
            short(goal.target),
            if reached { "reached" } else { "missed" }
        );
    }
}

fn goals(figures: &Figures) -> Vec<Goal> {
    use Responder::{Bare, Lone64Live, NdppdIface, NdppdStatic};
    let (one, many) = (addresses(1), addresses(MANY));
    let live = |what, case: &str| figures.of(Lone64Live, what, case);
    let over = |what, case: &str, other| ratio(live(what, case), figures.of(other, what, case));
    let at_one = live(What::AnswersPerCpuSecond, &one);
    let most = |what: &str, value, target| Goal { what: what.to_owned(), value, target, is_floor: false };
    let least = |what: &str, value, target| Goal { what: what.to_owned(), value, target, is_floor: true };
    let mut goals = vec![
        most(
            "CPU per answer, 1,000 addresses over 1",
            ratio(at_one, live(What::AnswersPerCpuSecond, &addresses(1_000))),
            1.1,
        ),
        most(
            "CPU per answer, 65,536 addresses over 1",
            ratio(at_one, live(What::AnswersPerCpuSecond, &many)),
            1.1,
        ),
        least(
            "answers per CPU second over ndppd static, 1 address",
            over(What::AnswersPerCpuSecond, &one, NdppdStatic),
            7.0,
        ),
        least("the same over the bare loop", over(What::AnswersPerCpuSecond, &one, Bare), 0.9),
        most(
            "first answer of a cold guest, p50, over ndppd iface",
            over(What::ColdMedian, "", NdppdIface),
            0.65,
        ),
        least("cold guests resolved per second", live(What::ColdPerSecond, ""), 50_000.0),
        most("CPU of one lone question over the bare loop", over(What::LoneCpu, &one, Bare), 1.2),
        most("its p50 over the bare loop", over(What::LoneMedian, &one, Bare), 1.1),
        most("solicitation outside the range, ns", live(What::Outside, ""), 100.0),
        most("foreign UDP packet over the bare loop's filter", over(What::Udp, "", Bare), 1.0),
        most(
            "resident at 65,536 live targets, MB",
            live(What::Resident, &many).map(|kib| kib / 1024.0),
            12.0,
        ),
    ];
    let program = |what, case: &str| figures.of(Responder::Program, what, case);
    let program_over = |what, other| ratio(program(what, &one), figures.of(other, what, &one));
    let at_one = program(What::AnswersPerCpuSecond, &one);
    goals.extend([
        least(
            "kernel program: answers per CPU second over the kernel's proxy",
            program_over(What::AnswersPerCpuSecond, Responder::Kernel),
            3.3,
        ),
        least("the same over ndppd static", program_over(What::AnswersPerCpuSecond, NdppdStatic), 20.0),
        least(
            "its answers/s over the kernel's proxy, asker included",
            program_over(What::AnswersPerSecond, Responder::Kernel),
            2.0,
        ),
        most(
            "its CPU per answer, 1,000 addresses over 1",
            ratio(at_one, program(What::AnswersPerCpuSecond, &addresses(1_000))),
            1.25,
        ),
        most(
            "its CPU per answer, 65,536 addresses over 1",
            ratio(at_one, program(What::AnswersPerCpuSecond, &many)),
            1.25,
        ),
        most("its p50 over the kernel's proxy", program_over(What::LoneMedian, Responder::Kernel), 1.0),
        most("its solicitation outside the range, ns", program(What::Outside, ""), 150.0),
        most("its foreign UDP packet, ns", program(What::Udp, ""), 100.0),
    ]);
    for rate in RATES {
        let share = live(What::ScanFirst, &Scan::case(rate, Manner::Reporting));
        let rate = text(Some(f64::from(rate)), 0);
        goals.push(least(
            &format!("reporting guests answered at the first question, {rate} dead/s"),
            share,
            1.0,
        ));
    }
    let share = live(What::ScanInTime, &Scan::case(5_000, Manner::Silent));
    goals.push(least("silent guests answered within 1 s, 5,000 dead/s", share, 0.9));
    goals
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    Some(ours? / theirs?)
}

fn short(number: f64) -> String {
    text(Some(number), if number < 100.0 { 2 } else { 0 })
}
