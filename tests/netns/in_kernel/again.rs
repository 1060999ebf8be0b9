//! Tests of other rooms once more, with a program in the kernel.

use std::panic::{catch_unwind, resume_unwind};

use libtest_mimic::Trial;

use crate::daemon::WITH_A_PROGRAM;
use crate::trials::{Case, trials_by};

/// Every case, by the room that it is in, with a program in the kernel wherever its configuration allows for one.
pub(crate) fn with_a_program(
    cases: impl Iterator<Item = (&'static str, &'static Case)>,
    refused: Option<&String>,
) -> Vec<Trial> {
    trials_by(" with a program", run, cases, refused)
}

/// Other cases follow on the same thread, also after one that fails.
fn run(case: fn()) {
    WITH_A_PROGRAM.set(true);
    let ended = catch_unwind(case);
    WITH_A_PROGRAM.set(false);
    ended.unwrap_or_else(|panic| resume_unwind(panic));
}
