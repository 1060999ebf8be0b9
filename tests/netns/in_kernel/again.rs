//! Tests of other rooms once more, with a program in the kernel.

use libtest_mimic::{Completion, Trial};

use crate::daemon::WITH_A_PROGRAM;
use crate::trials::Case;

/// Every case, by the room that it is in, with a program in the kernel wherever its configuration allows for one.
pub(crate) fn with_a_program(
    cases: impl Iterator<Item = (&'static str, &'static Case)>,
    refused: Option<&String>,
) -> Vec<Trial> {
    cases
        .map(|(room, &(name, case))| {
            let refused = refused.cloned();
            Trial::ignorable_test(format!("{room} with a program::{name}"), move || match refused {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => {
                    WITH_A_PROGRAM.set(true);
                    case();
                    WITH_A_PROGRAM.set(false);
                    Ok(Completion::Completed)
                }
            })
        })
        .collect()
}
