//! Tests as trials of the runner: a sentence each, ignored with the reason where they cannot run.

use libtest_mimic::{Completion, Trial};

/// A test: a sentence, and what shows it.
pub(crate) type Case = (&'static str, fn());

/// Lists tests by their function names.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[crate::trials::Case] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use cases;

/// Every case, by the room that it is in. Where all are refused, none is run.
pub(crate) fn trials(
    cases: impl Iterator<Item = (&'static str, &'static Case)>,
    refused: Option<&String>,
) -> Vec<Trial> {
    trials_by("", |case| case(), cases, refused)
}

/// The same, where each case is run by something, which the name of its room tells.
pub(crate) fn trials_by(
    kind: &'static str,
    run: fn(fn()),
    cases: impl Iterator<Item = (&'static str, &'static Case)>,
    refused: Option<&String>,
) -> Vec<Trial> {
    cases
        .map(|(room, &(name, case))| {
            let refused = refused.cloned();
            Trial::ignorable_test(format!("{room}{kind}::{name}"), move || match refused {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => {
                    run(case);
                    Ok(Completion::Completed)
                }
            })
        })
        .collect()
}

/// The cases of rooms, each with the name of its room.
pub(crate) fn in_rooms(
    rooms: &'static [(&'static str, &'static [Case])],
) -> impl Iterator<Item = (&'static str, &'static Case)> {
    rooms.iter().flat_map(|(room, cases)| cases.iter().map(move |case| (*room, case)))
}
