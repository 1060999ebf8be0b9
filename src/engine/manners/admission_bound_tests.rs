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

#[test]
fn those_that_were_not_answered_within_half_a_second_share_the_questions_from_the_host() {
    let mut lab = Lab::new();
    lab.announce(1..2, &mut |_| false);
    lab.now = lab.now + Duration::from_millis(300);
    lab.announce(2..3, &mut |_| false);
    lab.pass(2, &mut |question| is_hosts(question));
    assert_eq!(lab.asked.iter().filter(|question| is_hosts(question)).count(), 2);
}

#[test]
fn one_that_is_being_asked_for_is_left_alone_by_those_that_come_later_and_by_its_own_announcements() {
    let mut lab = Lab::new();
    lab.announce(1..2, &mut |_| false);
    lab.pass(2, &mut |question| is_hosts(question));
    lab.announce(2..3, &mut |_| false);
    lab.pass(10, &mut |question| is_hosts(question));
    let count = |is_it: &dyn Fn(&Solicitation) -> bool| lab.asked.iter().filter(|it| is_it(it)).count();
    assert_eq!(count(&|asked| asked.source == guest(1)), 3);
    assert_eq!(count(&|asked| asked.is_dad() && asked.target == guest(1)), 1);
    let refused = [1, 2].map(|number| News::Refused(guest(number), UP, GATEWAY));
    assert_eq!(lab.told, refused);
    lab.announce(1..2, &mut |_| false);
    lab.pass(10, &mut |question| is_hosts(question));
    assert_eq!(lab.told, refused, "it was refused before");
}

#[test]
fn one_that_is_refused_is_tried_again_also_after_its_gateway_was_down() {
    let mut lab = Lab::new();
    lab.announce(1..2, &mut |_| false);
    lab.pass(10, &mut |question| is_hosts(question));
    assert_eq!(lab.admission.count_refused(), 1);
    lab.pass(60, &mut |_| false);
    lab.pass(60, &mut |_| true);
    assert_eq!(lab.admission.count_refused(), 0);
}

#[test]
fn two_that_were_admitted_and_are_not_any_more_are_both_told() {
    let mut lab = Lab::new();
    lab.announce(1..3, &mut |_| true);
    lab.pass(5, &mut |_| true);
    lab.announce(1..3, &mut |_| false);
    lab.pass(10, &mut |question| is_hosts(question));
    assert_eq!(lab.told, [1, 2].map(|number| News::Refused(guest(number), UP, GATEWAY)));
}
