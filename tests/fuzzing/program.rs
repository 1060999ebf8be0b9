//! The kernel's program against what the packet path would do, byte for byte.
//!
//! Each input is changes of a frame that is nearly right: which frame, whether its checksum is written again, then pairs
//! of a place and a byte. What is left over is put behind it.

use std::sync::LazyLock;

use super::frames::checksum;
use super::machine::judge::Scene;
use super::machine::{bytes, vectors};

/// What is the same for every input.
struct Usual {
    scene: Scene,
    program: Vec<[u8; 8]>,
    frames: Vec<Vec<u8>>,
}

static USUAL: LazyLock<Usual> = LazyLock::new(|| {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    Usual { scene, program, frames: vectors::all().into_iter().map(|(_, frame)| frame).collect() }
});

/// One input.
pub fn run(input: &[u8]) {
    let Usual { scene, program, frames } = &*USUAL;
    scene.check(program, input);
    let [which, is_sealed, changes @ ..] = input else { return };
    let mut frame = frames[usize::from(*which) % frames.len()].clone();
    let (changes, rest) = changes.split_at(changes.len().min(8) & !1);
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) % frame.len();
        frame[at] = change[1];
    }
    frame.extend(rest.iter().take(16));
    if is_sealed & 1 == 1 && frame.len() >= 78 {
        seal(&mut frame);
    }
    scene.check(program, &frame);
}

/// Writes the checksum again, over all that is behind the headers, so that a change is seen by the checks behind it.
fn seal(frame: &mut [u8]) {
    let at = |from: usize| -> [u8; 16] { frame[from..from + 16].try_into().unwrap() };
    let (source, destination) = (at(22).into(), at(38).into());
    frame[56..58].fill(0);
    let sum = checksum(source, destination, &frame[54..]);
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
}
