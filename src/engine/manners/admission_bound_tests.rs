//! What is known of verdicts is bounded, and goes with its interface.

use super::super::exam::Occasion;
use super::*;

const OTHER: IfIndex = IfIndex(9);

fn at(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

#[test]
fn an_interface_that_goes_takes_along_what_was_asked_there_and_nothing_of_another() {
    let mut admission = Admission::default();
    for link in [UP, OTHER] {
        admission.hosts.insert((link, GATEWAY, at(1)), false);
        let exam = Exam::new(link, Occasion::New, vec![GATEWAY], at(1));
        admission.exams.insert(guest(link.0), exam);
        admission.later.push(Later { link, router: GATEWAY, target: guest(link.0), due: Some(at(2)) });
    }
    admission.end_link(UP);
    assert!(admission.hosts.keys().map(|(link, ..)| *link).eq([OTHER]));
    assert!(admission.exams.keys().eq(&[guest(OTHER.0)]));
    assert!(admission.later.iter().map(|later| later.link).eq([OTHER]));
}

#[test]
fn of_what_switches_know_the_last_ones_are_remembered_each_once() {
    let mut admission = Admission::default();
    for number in (0..100).chain([99]) {
        admission.note_bound(guest(number), at(number.into()));
    }
    let last = (100 - u32::try_from(MOST_BOUND).unwrap()..100).map(guest);
    assert!(admission.bound.iter().map(|(_, target)| *target).eq(last));
}

#[test]
fn a_provider_that_forgets_sooner_is_told_of_and_one_that_forgets_as_before_is_not() {
    let mut admission = Admission::default();
    let mut forgets = |bound: u64, after: u64| {
        admission.note_bound(guest(5), at(bound));
        admission.forgets(UP, guest(5), at(bound + after));
        std::mem::take(&mut admission.news)
    };
    let period = |seconds| News::Forgets(UP, Duration::from_secs(seconds));
    assert_eq!(forgets(0, 300), [period(100), News::Forgot(UP)]);
    assert_eq!(forgets(1_000, 300), [News::Forgot(UP)], "as before");
    assert_eq!(forgets(2_000, 600), [News::Forgot(UP)], "later");
    assert_eq!(forgets(3_000, 60), [period(20), News::Forgot(UP)]);
}

#[test]
fn a_question_that_was_not_waited_for_admits_only_what_was_refused() {
    let mut admission = Admission::default();
    let heard = |admission: &mut Admission| {
        let was_first = admission.heard(UP, GATEWAY, (guest(5), Some(5), false), at(1));
        (was_first, admission.standing(guest(5), Some(5)))
    };
    assert_eq!(heard(&mut admission), (false, Standing::Unknown));
    admission.standings.set(guest(5), Some(5), Standing::Refused);
    assert_eq!(heard(&mut admission), (false, Standing::Admitted));
}
