//! Inputs that are kept, and what becomes of them by small changes.
//!
//! `seeds/TARGET` has what once failed, and what reaches further than chance does: frames and messages of other tests, what a
//! kernel and nft have really said. Configurations are in the folders where they are kept anyway. tests/fuzz/run
//! begins with the same files.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Those of a target, each with its path.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let seeds = format!("tests/fuzzing/seeds/{target}");
    let folders = match target {
        "config" => vec![seeds.as_str(), "config", "tests/import"],
        "import" => vec![seeds.as_str(), "tests/import"],
        _ => vec![seeds.as_str()],
    };
    let mut all = Vec::new();
    for folder in folders {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            all.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    assert!(!all.is_empty(), "{target} has no seeds");
    all.sort();
    all
}

/// One of them, with some bytes changed, added or taken away, and pieces of it said twice.
pub fn nearly(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = of(target).into_iter().map(|(_, bytes)| bytes).collect();
    let piece = select(all.clone());
    let edit = (any::<Index>(), 0..5u8, 0..24usize, any::<[u8; 4]>(), piece, any::<Index>());
    (select(all), vec(edit, 0..6)).prop_map(|(mut bytes, edits)| {
        for (at, kind, length, new, piece, from) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            match kind {
                0 => {
                    bytes.iter_mut().skip(at).zip(&new[..1 + length % 4]).for_each(|(byte, new)| *byte = *new)
                }
                1 => drop(bytes.splice(at..at, new)),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(end..end, again);
                }
                _ => {
                    let from = from.index(piece.len() + 1);
                    let piece = &piece[from..(from + length).min(piece.len())];
                    bytes.splice(at..end, piece.iter().copied());
                }
            }
        }
        bytes
    })
}
