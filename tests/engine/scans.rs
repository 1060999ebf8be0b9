//! Guests that nobody has asked for before, while somebody scans the range through the same router.

use std::time::Duration;

use lone64::engine::Output;
use lone64::engine::policy::Policy;

use crate::host::{Host, UP, guest, guest_mac, live, question, with};

/// How many of fifty silent guests, each asked for once, are answered for at the first question.
fn found_during_a_scan(policy: Policy, per_second: u32) -> usize {
    let mut host = Host::new(policy);
    let guests: Vec<u16> = (60_000..60_050).collect();
    for number in &guests {
        host.guests.insert(guest(*number), guest_mac(*number));
    }
    let (start, step) = (host.now, Duration::from_secs(1) / per_second);
    let (mut scanned, mut waiting, mut found) = (0_u16, guests.iter(), 0);
    // Whatever there is of probes and room has gone by then.
    let mut next = start + Duration::from_secs(3);
    while waiting.len() > 0 {
        scanned = scanned % 50_000 + 1;
        host.solicit(question(guest(scanned)));
        if host.now >= next {
            next = next + Duration::from_millis(50);
            let number = *waiting.next().expect("one more");
            host.take();
            host.solicit(question(guest(number)));
            let is_answer =
                |output: &Output| matches!(output, Output::Advertise(UP, a) if a.target == guest(number));
            found += usize::from(host.take().iter().any(is_answer));
        }
        host.pass(step);
        host.take();
    }
    found
}

#[test]
fn every_guest_is_found_at_the_first_question_while_thousands_of_dead_addresses_are_asked_for() {
    for per_second in [1_000, 5_000] {
        assert_eq!(found_during_a_scan(live(), per_second), 50, "{per_second} a second");
    }
}

#[test]
fn a_scan_that_is_faster_than_probes_is_held_to_them() {
    let slow = with(|policy| policy.limits.probes_per_second = 500);
    assert!(found_during_a_scan(slow, 5_000) < 25);
}
