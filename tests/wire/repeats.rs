//! Questions that come again, and what the kernel's program makes of them, run by a machine of our own.

use super::frames::{Frame, STATION, address};
use super::machine::judge::Scene;
use super::machine::{Machine, bytes};

/// RFC 4861 §7.2.2: an asker that has not taken an answer asks again after RetransTimer.
#[test]
fn passes_on_a_question_for_a_group_that_comes_again_within_two_seconds() {
    let multicast = Frame::solicitation();
    let unicast = Frame { destination_mac: STATION, destination: multicast.target, ..Frame::solicitation() };
    let run_until = |daemon: u64, scene: &Scene, questions: &[(u64, &Frame)]| -> Vec<i32> {
        let mut machine = Machine::new(0);
        machine.insert_target(multicast.target, u64::MAX);
        machine.insert_range("::/128".parse().unwrap(), daemon * 1_000_000_000);
        let program = bytes(&scene.program());
        questions
            .iter()
            .map(|(millis, frame)| {
                machine.now = (100_000 + millis) * 1_000_000;
                machine.run(&program, &mut frame.bytes(), false)
            })
            .collect()
    };
    let run = |scene: &Scene, questions: &[(u64, &Frame)]| run_until(1_000, scene, questions);
    let usual = Scene::usual();
    let all = |times: &[u64]| run(&usual, &times.iter().map(|at| (*at, &multicast)).collect::<Vec<_>>());
    assert_eq!(all(&[0, 1_000, 2_000, 3_000]), [7, -1, -1, -1]);
    // It counts in units of a millisecond and a bit.
    assert_eq!(all(&[0, 499, 998, 1_497, 1_999]), [7, 7, 7, 7, -1], "many ask, or a queue was long");
    assert_eq!(all(&[0, 2_000, 4_003, 60_000]), [7, -1, 7, 7]);
    // It knows the target, and checks that it is there; then it does not.
    let checks =
        [(0, &unicast), (1_000, &unicast), (2_000, &unicast), (3_000, &multicast), (4_000, &multicast)];
    assert_eq!(run(&usual, &checks), [7, 7, 7, -1, -1]);
    // Without a daemon nobody would answer those: it was to be there until the second question.
    let row = [0, 1_000, 2_000, 3_000].map(|at| (at, &multicast));
    assert_eq!(run_until(101, &usual, &row), [7, -1, 7, 7]);
    // Where the source is given nothing is learned from that.
    assert_eq!(run(&Scene::by_scope(), &[(0, &multicast), (1_000, &multicast)]), [7, 7]);
}

/// The same for an address of a range of which every address is answered for: who asks for what is kept for a while.
#[test]
fn passes_on_a_question_that_comes_again_for_an_address_of_a_range() {
    let asks = |asker: &str, target: &str| Frame {
        source: address(asker),
        target: address(target),
        ..Frame::solicitation()
    };
    let [nine, ten] = ["2001:db8:1:2:a::9", "2001:db8:1:2:a::a"];
    let run_until = |daemon: u64, scene: &Scene, questions: &[(u64, Frame)]| -> Vec<i32> {
        let mut machine = Machine::new(0);
        machine.insert_range("2001:db8:1:2:a::/80".parse().unwrap(), u64::MAX);
        machine.insert_range("::/128".parse().unwrap(), daemon * 1_000_000_000);
        let program = bytes(&scene.program());
        questions
            .iter()
            .map(|(millis, frame)| {
                machine.now = (100_000 + millis) * 1_000_000;
                machine.run(&program, &mut frame.bytes(), false)
            })
            .collect()
    };
    let usual = Scene::usual();
    let row = |times: &[u64]| times.iter().map(|at| (*at, asks("fe80::99", nine))).collect::<Vec<_>>();
    assert_eq!(run_until(1_000, &usual, &row(&[0, 1_000, 2_000, 3_000])), [7, -1, -1, -1]);
    assert_eq!(run_until(1_000, &usual, &row(&[0, 499, 2_500, 60_000])), [7, 7, 7, 7]);
    assert_eq!(run_until(101, &usual, &row(&[0, 1_000, 2_000])), [7, -1, 7], "without a daemon");
    assert_eq!(run_until(1_000, &Scene::by_scope(), &row(&[0, 1_000])), [7, 7], "nothing is learned");
    // Others asked meanwhile, for this and for another.
    let between = [
        (0, asks("fe80::99", nine)),
        (500, asks("fe80::98", nine)),
        (900, asks("fe80::99", ten)),
        (1_000, asks("fe80::99", nine)),
        (1_500, asks("fe80::98", nine)),
    ];
    assert_eq!(run_until(1_000, &usual, &between), [7, 7, 7, -1, -1]);
    // One that is watched, and nobody watches.
    let watched = [(0, asks("fe80::a1", nine)), (3_000, asks("fe80::a1", nine))];
    assert_eq!(run_until(1_000, &usual, &watched), [-1, -1]);
    assert_eq!(run_until(99, &usual, &watched), [7, 7]);
}
