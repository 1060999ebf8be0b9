//! What proves a filter of link-local questions, and what does not.

use super::*;
use crate::wire::Flags;

const UP: IfIndex = IfIndex(2);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const OWN: Own = Own {
    link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
    global: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
};
const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn at(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

fn watched() -> Filtered {
    let mut filtered = Filtered::default();
    filtered.watch(&BTreeMap::from([((UP, ROUTER), STATION)]), at(0));
    filtered
}

fn answer_to(destination: Ipv6Addr) -> Advertisement {
    Advertisement {
        source_mac: MAC,
        destination_mac: STATION,
        source: ROUTER,
        destination,
        target: ROUTER,
        flags: Flags { router: true, solicited: true, override_entry: true },
        target_link_layer: Some(MAC),
    }
}

/// When a question was sent, and from where.
type Asked = Vec<(u64, Ipv6Addr)>;

/// From then on the kernel fails every three seconds, and the router answers questions from such sources. What was
/// asked, and what came of it.
fn run(
    filtered: &mut Filtered,
    seconds: std::ops::Range<u64>,
    answers: impl Fn(Ipv6Addr) -> bool,
) -> (Asked, Vec<(u64, Verdict)>) {
    let (mut asked, mut all) = (Vec::new(), Vec::new());
    for second in seconds {
        if second % 3 == 0 && !filtered.is_proved(UP, ROUTER) && !answers(OWN.link_local) {
            filtered.entry(UP, ROUTER, NeighborState::Failed, at(second));
        }
        let (questions, verdicts) = filtered.tick(|_| Some(OWN), at(second));
        all.extend(verdicts.into_iter().map(|verdict| (second, verdict)));
        for (_, question) in questions {
            asked.push((second, question.source));
            assert_eq!((question.target, question.source_link_layer), (ROUTER, Some(STATION)));
            if answers(question.source) {
                let verdict = filtered.heard(UP, OWN, &answer_to(question.source), at(second));
                all.extend(verdict.map(|verdict| (second, verdict)));
            }
        }
        assert!(filtered.next_due().is_none_or(|due| due > at(second)));
    }
    (asked, all)
}

#[test]
fn a_router_that_answers_global_questions_alone_twice_is_behind_a_filter() {
    let mut filtered = watched();
    let (asked, verdicts) = run(&mut filtered, 0..20, |source| source == OWN.global);
    let both = |second| [(second, OWN.link_local), (second, OWN.global)];
    assert_eq!(asked, [both(3), both(4)].concat());
    assert_eq!(verdicts, [(5, Verdict::Proved(UP, ROUTER))]);
    assert!(filtered.is_proved(UP, ROUTER));
}

#[test]
fn a_filter_that_goes_is_noticed() {
    let mut filtered = watched();
    run(&mut filtered, 0..20, |source| source == OWN.global);
    let (asked, verdicts) = run(&mut filtered, 20..200, |source| source == OWN.global);
    assert_eq!(asked, [(35, OWN.link_local), (95, OWN.link_local)], "it is tested, ever less often");
    assert_eq!(verdicts, []);
    let (_, verdicts) = run(&mut filtered, 200..1_000, |_| true);
    assert_eq!(verdicts, [(215, Verdict::Over(UP, ROUTER))]);
    assert!(!filtered.is_proved(UP, ROUTER) && filtered.next_due().is_none());
}

#[test]
fn a_router_that_answers_both_or_is_down_proves_nothing() {
    let mut filtered = watched();
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(0));
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(1));
    let (asked, verdicts) = run(&mut filtered, 2..60, |_| true);
    assert_eq!((asked.len(), verdicts), (2, vec![]), "one round says it");
    // One that starts again answers neither, and then both.
    let mut filtered = watched();
    run(&mut filtered, 0..5, |_| false);
    let (_, verdicts) = run(&mut filtered, 5..60, |_| true);
    assert_eq!(verdicts, []);
}

#[test]
fn a_router_that_is_down_is_asked_ever_less_often() {
    let mut filtered = watched();
    let (asked, verdicts) = run(&mut filtered, 0..3_600, |_| false);
    assert_eq!(verdicts, []);
    let rounds: Vec<u64> = asked.iter().map(|(second, _)| *second).collect();
    assert!(asked.len() <= 2 * 4 * 10, "{rounds:?}");
    let (first, last) = (rounds[0], rounds[rounds.len() - 1]);
    assert!(first < 10 && last > 3_000, "{rounds:?}");
}

#[test]
fn one_failure_is_none_and_nothing_is_asked() {
    let mut filtered = watched();
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(0));
    for state in [NeighborState::Stale, NeighborState::Reachable, NeighborState::Incomplete] {
        filtered.entry(UP, ROUTER, state, at(1));
    }
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(700));
    filtered.entry(UP, OWN.global, NeighborState::Failed, at(701));
    assert_eq!(filtered.next_due(), None);
    // The kernel's own question was answered meanwhile.
    filtered.heard(UP, OWN, &answer_to(OWN.link_local), at(702));
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(703));
    assert_eq!(filtered.next_due(), None);
}

#[test]
fn an_upstream_without_both_addresses_asks_nothing() {
    let mut filtered = watched();
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(0));
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(1));
    assert_eq!(filtered.tick(|_| None, at(1)), (vec![], vec![]));
    assert_eq!(filtered.next_due(), None);
}

#[test]
fn what_is_no_answer_of_the_router_says_nothing() {
    for said in [
        Advertisement {
            flags: Flags { solicited: false, ..answer_to(OWN.global).flags },
            ..answer_to(OWN.global)
        },
        Advertisement { target_link_layer: Some(STATION), ..answer_to(OWN.global) },
        Advertisement { target: OWN.global, ..answer_to(OWN.global) },
        answer_to(ROUTER),
    ] {
        let mut filtered = watched();
        filtered.entry(UP, ROUTER, NeighborState::Failed, at(0));
        filtered.entry(UP, ROUTER, NeighborState::Failed, at(1));
        for second in 1..10 {
            let (_, verdicts) = filtered.tick(|_| Some(OWN), at(second));
            assert_eq!(verdicts, []);
            filtered.heard(UP, OWN, &said, at(second));
        }
    }
}

#[test]
fn an_answer_to_a_question_from_elsewhere_says_nothing_of_the_kernels_own() {
    let asked = |destination| {
        let mut filtered = watched();
        filtered.entry(UP, ROUTER, NeighborState::Failed, at(0));
        filtered.heard(UP, OWN, &answer_to(destination), at(1));
        filtered.entry(UP, ROUTER, NeighborState::Failed, at(2));
        filtered.next_due().is_some()
    };
    assert!(asked(OWN.global) && !asked(OWN.link_local));
}

#[test]
fn a_station_that_has_another_address_by_now_asks_with_that_one() {
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    let mut filtered = watched();
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(0));
    filtered.watch(&BTreeMap::from([((UP, ROUTER), OTHER)]), at(1));
    filtered.entry(UP, ROUTER, NeighborState::Failed, at(2));
    let (questions, _) = filtered.tick(|_| Some(OWN), at(2));
    assert!(questions.iter().all(|(_, question)| question.source_link_layer == Some(OTHER)), "{questions:?}");
    assert_eq!(questions.len(), 2, "what was known of its router is not forgotten");
}
