//! Which mutant is on: not a part of this project. tests/mutants/run adds it to its copy of the tree.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

static ACTIVE: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = u32::MAX;
const RECORD: u32 = u32::MAX - 1;
const MOST: usize = 20_000;

static REACHED: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];
static RECORD_TO: OnceLock<Mutex<std::fs::File>> = OnceLock::new();

/// Whether that mutant is the one that is on.
#[inline]
pub fn on(number: u32) -> bool {
    match ACTIVE.load(Ordering::Relaxed) {
        UNKNOWN | RECORD => ask(number),
        active => active == number,
    }
}

#[cold]
#[inline(never)]
fn ask(number: u32) -> bool {
    if ACTIVE.load(Ordering::Relaxed) == UNKNOWN {
        if let Some(path) = std::env::var_os("LONE64_REACHED") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            let _ = RECORD_TO.set(Mutex::new(file));
            ACTIVE.store(RECORD, Ordering::SeqCst);
        } else {
            let active = std::env::var("LONE64_MUTANT").ok().and_then(|text| text.parse().ok());
            ACTIVE.store(active.unwrap_or(0), Ordering::SeqCst);
            return on(number);
        }
    }
    if !REACHED[number as usize].swap(true, Ordering::SeqCst)
        && let Some(file) = RECORD_TO.get()
    {
        let _ = file.lock().unwrap().write_all(format!("{number}\n").as_bytes());
    }
    false
}

/// What a function returns that has to return one type of iterator.
pub enum Returned<A: Iterator> {
    Real(A),
    Other(std::vec::IntoIter<A::Item>),
}

impl<A: Iterator> Iterator for Returned<A> {
    type Item = A::Item;

    fn next(&mut self) -> Option<A::Item> {
        match self {
            Self::Real(items) => items.next(),
            Self::Other(items) => items.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Real(items) => items.size_hint(),
            Self::Other(items) => items.size_hint(),
        }
    }
}
