//! A keeper alone: what is wanted against what is there.

use super::super::outcome::Verdict;
use super::*;
use crate::engine::change::Outcome;
use std::time::Duration;

fn keeper(manner: Manner) -> Keeper<u8, char> {
    Keeper::new(manner, Seed([1, 2]))
}

fn at(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

fn refused() -> Outcome {
    Outcome::Failed("no".to_owned())
}

#[test]
fn adds_what_is_missing_once_and_removes_what_is_unwanted_once() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.want(1, Some('a'));
    keeper.found(2, Found::Ours('b'));
    assert_eq!(keeper.steps(), [(1, Step::Add('a')), (2, Step::Remove('b'))]);
    keeper.want(1, Some('a'));
    assert_eq!(keeper.steps(), [], "they are under way");
    assert!(keeper.is_pending(&1, &'a'));
    assert_eq!(keeper.outcome(1, true, &Outcome::Done, at(0)), Verdict::Made);
    assert_eq!(keeper.outcome(2, false, &Outcome::Done, at(0)), Verdict::Made);
    assert_eq!(keeper.steps(), []);
    assert_eq!((keeper.keeping(&1), keeper.knows(&2)), (Some(Keeping::Kept), false));
}

#[test]
fn adopts_what_is_there_and_puts_back_what_somebody_removed() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.found(1, Found::Ours('a'));
    keeper.want(1, Some('a'));
    assert_eq!(keeper.steps(), []);
    keeper.found(1, Found::Nothing);
    assert_eq!(keeper.steps(), [(1, Step::Add('a'))]);
}

#[test]
fn one_thing_makes_way_for_another_or_is_changed_in_its_place() {
    let mut confirmed = keeper(Manner::Confirmed);
    confirmed.found(1, Found::Ours('a'));
    confirmed.want(1, Some('b'));
    assert_eq!(confirmed.steps(), [(1, Step::Remove('a'))]);
    assert_eq!(confirmed.steps(), []);
    confirmed.outcome(1, false, &Outcome::Done, at(0));
    assert_eq!(confirmed.steps(), [(1, Step::Add('b'))]);
    let mut assumed = keeper(Manner::Assumed);
    assumed.want(1, Some('a'));
    assert_eq!(assumed.steps(), [(1, Step::Add('a'))]);
    assumed.want(1, Some('b'));
    assert_eq!(assumed.steps(), [(1, Step::Add('b'))]);
    assumed.want(1, None);
    assert_eq!(assumed.steps(), [(1, Step::Remove('b'))]);
}

#[test]
fn waits_for_what_is_in_the_way_and_tries_again_when_it_goes() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.want(1, Some('a'));
    keeper.steps();
    assert_eq!(keeper.outcome(1, true, &Outcome::Exists, at(0)), Verdict::KeptOut);
    keeper.found(1, Found::Other);
    assert_eq!(keeper.keeping(&1), Some(Keeping::Pending), "what is there is another thing than was thought");
    assert_eq!(keeper.steps(), [(1, Step::Add('a'))]);
    keeper.outcome(1, true, &Outcome::Exists, at(0));
    keeper.found(1, Found::Other);
    assert_eq!((keeper.steps().len(), keeper.keeping(&1)), (0, Some(Keeping::KeptOut)));
    keeper.found(1, Found::Nothing);
    assert_eq!(keeper.steps(), [(1, Step::Add('a'))]);
}

#[test]
fn what_is_refused_is_tried_again_later_and_later_and_told_once() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.want(1, Some('a'));
    let mut now = at(0);
    for (round, pause) in [1, 2, 4, 8, 16, 32, 64, 64].into_iter().enumerate() {
        assert_eq!(keeper.steps(), [(1, Step::Add('a'))], "{round}");
        let news = if round == 0 { Verdict::Refused } else { Verdict::NoNews };
        assert_eq!(keeper.outcome(1, true, &refused(), now), news);
        assert_eq!((keeper.steps().len(), keeper.keeping(&1)), (0, Some(Keeping::Refused)));
        let due = keeper.next_due().expect("it is tried again");
        assert_eq!(due, now + Duration::from_secs(pause));
        keeper.tick(due);
        now = due;
    }
    assert_eq!(keeper.steps().len(), 1);
    keeper.outcome(1, true, &refused(), now);
    keeper.retry_refused();
    assert_eq!(keeper.steps().len(), 1, "something happened that may have helped");
}

#[test]
fn a_removal_that_fails_while_it_is_wanted_again_leaves_it_kept() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.found(1, Found::Ours('a'));
    assert_eq!(keeper.steps(), [(1, Step::Remove('a'))]);
    keeper.want(1, Some('a'));
    keeper.outcome(1, false, &refused(), at(0));
    assert_eq!((keeper.steps(), keeper.keeping(&1)), (Vec::new(), Some(Keeping::Kept)));
}

#[test]
fn word_that_overtakes_an_outcome_counts() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.want(1, Some('a'));
    keeper.steps();
    keeper.found(1, Found::Ours('a'));
    keeper.found(1, Found::Nothing);
    keeper.outcome(1, true, &Outcome::Done, at(0));
    assert_eq!(keeper.steps(), [(1, Step::Add('a'))], "somebody has removed it at once");
    keeper.found(1, Found::Nothing);
    keeper.outcome(1, true, &Outcome::Done, at(0));
    assert_eq!(keeper.steps(), [], "word of the one before was only late");
}

#[test]
fn what_is_assumed_and_fails_is_tried_again_unless_it_is_not_wanted_any_more() {
    let mut keeper = keeper(Manner::Assumed);
    keeper.want(1, Some('a'));
    keeper.want(2, Some('b'));
    assert_eq!(keeper.steps().len(), 2);
    keeper.outcome(1, true, &refused(), at(0));
    keeper.want(2, None);
    keeper.steps();
    keeper.outcome(2, true, &refused(), at(0));
    assert_eq!(keeper.steps(), []);
    keeper.tick(at(1));
    assert_eq!(keeper.steps(), [(1, Step::Add('a'))]);
    keeper.outcome(1, true, &Outcome::Done, at(1));
    keeper.lost(1);
    assert_eq!(keeper.steps(), [(1, Step::Add('a'))], "somebody has removed it");
}

#[test]
fn counts_and_lists_what_is_wanted() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.want(1, Some('a'));
    keeper.found(1, Found::Ours('a'));
    keeper.want(2, Some('b'));
    keeper.found(3, Found::Ours('c'));
    keeper.steps();
    assert_eq!(keeper.count(|keeping| keeping == Keeping::Kept), 1);
    assert_eq!(keeper.count(|keeping| keeping == Keeping::Pending), 1);
    assert_eq!(keeper.iter().count(), 2);
    assert_eq!(keeper.adding().collect::<Vec<_>>(), [(&2, &'b')]);
    assert_eq!(keeper.want_less(1), 1);
    keeper.want_nothing_open();
    assert_eq!(keeper.steps(), [(1, Step::Remove('a'))]);
}

#[test]
fn what_is_ours_is_counted_at_rest_and_open() {
    let mut keeper = keeper(Manner::Confirmed);
    for key in 1..=3 {
        keeper.found(key, Found::Ours('a'));
        keeper.want(key, Some('a'));
    }
    keeper.want(4, Some('a'));
    assert_eq!(keeper.steps(), [(4, Step::Add('a'))]);
    assert_eq!((keeper.count_ours(), keeper.open_and_there().count()), (3, 0));
    // One is to be another, and is there until it is.
    keeper.want(3, Some('b'));
    assert_eq!((keeper.count_ours(), keeper.found_ours().count()), (3, 3));
    assert!(keeper.open_and_there().eq([(&3, &'b')]));
}

#[test]
fn what_is_assumed_and_not_wanted_any_more_is_not_put_back_when_it_fails() {
    let mut keeper = keeper(Manner::Assumed);
    keeper.want(1, Some('a'));
    keeper.steps();
    keeper.want(1, None);
    assert_eq!(keeper.steps(), [(1, Step::Remove('a'))]);
    assert_eq!(keeper.outcome(1, true, &refused(), at(0)), Verdict::NoNews);
    assert_eq!((keeper.next_due(), keeper.keys().count()), (None, 0));
}

#[test]
fn what_nobody_has_asked_for_or_is_known_already_changes_nothing() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.want(1, Some('a'));
    keeper.steps();
    assert_eq!(
        keeper.outcome(1, false, &Outcome::Done, at(0)),
        Verdict::NoNews,
        "a removal was not asked for"
    );
    assert_eq!((keeper.steps().len(), keeper.keeping(&1)), (0, Some(Keeping::Pending)), "it is under way");
    keeper.found(1, Found::Ours('a'));
    assert_eq!(
        keeper.outcome(1, true, &Outcome::Exists, at(0)),
        Verdict::NoNews,
        "it is our own that exists"
    );
    assert_eq!((keeper.steps().len(), keeper.keeping(&1)), (0, Some(Keeping::Kept)));
}

#[test]
fn another_of_ours_in_the_place_of_one_at_rest_makes_way_for_it() {
    let mut keeper = keeper(Manner::Confirmed);
    keeper.found(1, Found::Ours('a'));
    keeper.want(1, Some('a'));
    keeper.steps();
    keeper.found(1, Found::Ours('b'));
    assert_eq!(keeper.steps(), [(1, Step::Remove('b'))]);
}
