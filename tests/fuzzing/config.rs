//! The configuration, and a file of `guests.d` behind a line of three dashes.
//!
//! Held to: no panic. Every problem and every notice names its file, a place that the text has, where it has one, and says
//! what is wrong in one short line that cannot steer a terminal; they come in the order of the text. A
//! configuration without mistakes means the same when it is read again, and so does what `check --effective` prints of it.

use std::sync::Arc;

use lone64::config::{self, Config, GuestFiles, Overrides, Problem, Read};
use lone64::engine::policy::{GuestPolicy, LeftOut, Policy};

/// One input.
pub fn run(bytes: &[u8]) {
    let Ok(all) = std::str::from_utf8(bytes) else {
        // Not even text; what says so is held to the same.
        let problems = config::read(bytes, ORIGIN).expect_err("it is not UTF-8");
        return whole(problems.as_slice());
    };
    let (text, guests) = all.split_once(BREAK).unwrap_or((all, ""));
    let mut policy = Overrides::default().config().expect("a configuration without a word").policy;
    match Overrides::default().read(text.as_bytes(), ORIGIN) {
        Err(problems) => {
            assert!(config::parse(text, ORIGIN).is_err() || is_utf_16(text));
            check(problems.as_slice(), text);
        }
        Ok(read) => {
            check_notices(&read.notices, text);
            assert_eq!(config::parse(text, ORIGIN).as_ref(), Ok(&read.config));
            effective(&read);
            policy = read.config.policy;
        }
    }
    match GuestFiles::parse(guests, ORIGIN, &policy) {
        Err(problems) => check(problems.as_slice(), guests),
        Ok(new) => beside(&policy, &new),
    }
}

/// What is printed of a configuration means the same, and the same is printed of that.
fn effective(read: &Read) {
    let text = read.effective.text();
    let again = Overrides::default().parse(&text, ORIGIN);
    let again = again.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(bare(&again.config), bare(&read.config), "{text}");
    let values = |read: &Read| {
        let keys = read.effective.keys().into_iter();
        keys.map(|key| (key.table, key.of, key.key, key.value)).collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(read), "{text}");
}

/// Without what tells who has written something, and not what it means.
fn bare(config: &Config) -> Config {
    let mut config = config.clone();
    let policy = &mut config.policy;
    policy.ranges.iter_mut().chain(&mut policy.suffixes).for_each(|range| range.has_written_routes = false);
    policy.upstreams.iter_mut().for_each(|upstream| upstream.left_out = LeftOut::OnPurpose);
    config
}

/// No guest of a file has the name or the MAC of another.
fn beside(policy: &Policy, new: &[Arc<GuestPolicy>]) {
    assert!(!new.is_empty());
    for (at, guest) in new.iter().enumerate() {
        let others = || policy.guests.iter().chain(&new[..at]);
        assert!(others().all(|other| other.name != guest.name), "{guest:?}");
        assert!(guest.mac.is_none() || others().all(|other| other.mac != guest.mac), "{guest:?}");
    }
}

/// A mark of UTF-16, or zeros where letters are: seen before the text is.
fn is_utf_16(text: &str) -> bool {
    matches!(*text.as_bytes(), [first, second, ..] if (first == 0) != (second == 0))
}

fn check(problems: &[Problem], text: &str) {
    assert!(!problems.is_empty());
    check_notices(problems, text);
}

fn check_notices(problems: &[Problem], text: &str) {
    let mut before = (0, 0);
    for problem in problems {
        sentence(problem);
        let (Some(line), Some(column)) = (problem.line, problem.column) else {
            assert_eq!((problem.line, problem.column), (None, None));
            // What has no place comes last.
            before = (usize::MAX, usize::MAX);
            continue;
        };
        assert!(before <= (line, column), "{problems:#?}");
        before = (line, column);
        // The byte order mark is no part of it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let of_text = text.split('\n').nth(line - 1);
        let of_text = of_text.unwrap_or_else(|| panic!("there is no line {line}: {problem}"));
        assert!((1..=of_text.chars().count() + 1).contains(&column), "{problem}");
    }
}

/// About the file as a whole.
fn whole(problems: &[Problem]) {
    assert_eq!(problems.len(), 1);
    problems.iter().for_each(sentence);
}

fn sentence(problem: &Problem) {
    assert_eq!(problem.origin, ORIGIN);
    let is_line = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    assert!(is_line(&problem.message), "{problem:?}");
    assert!(!problem.message.ends_with('.'), "{problem:?}");
    let shown = problem.to_string();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    assert!(shown.chars().count() < MOST_SHOWN, "{shown}");
}

const ORIGIN: &str = "f";
/// Between both texts.
const BREAK: &str = "\n---\n";
/// A sentence and a remedy of 600 characters each, and a line of 300 with as many carets.
const MOST_SHOWN: usize = 3_000;
