//! What is known of a live target, and what of that stays when others claim it and its link goes.

use super::*;

fn room(subject: Subject) -> Room {
    Room::new(subject, 9)
}

#[test]
fn a_claim_from_a_link_that_has_gone_is_not_followed_when_the_link_is_there_again() {
    let mut room = room(Subject::Guests);
    room.hear(TARGET, LINK, Sign::Found);
    room.hear(TARGET, OTHER, Sign::Advertised);
    assert_eq!(room.live(), Some((LINK, 1, Some(OTHER))));
    room.ground.down = vec![OTHER];
    assert!(room.end_on(OTHER));
    assert_eq!(room.live(), Some((LINK, 0, None)));
    // Both are down: it is nowhere.
    room.ground.down = Vec::new();
    room.hear(TARGET, OTHER, Sign::Advertised);
    room.ground.down = vec![LINK, OTHER];
    assert!(room.end_on(LINK) && room.live().is_none());
}

#[test]
fn one_whose_station_has_gone_stays_where_the_link_that_claims_it_is_down() {
    let mut room = room(Subject::Guests);
    room.hear(TARGET, LINK, Sign::Found);
    room.hear(TARGET, OTHER, Sign::Advertised);
    room.ground.down = vec![OTHER];
    room.doubt(Doubt::StationGone);
    assert_eq!(room.live(), Some((LINK, 0, None)));
}

#[test]
fn one_whose_station_has_gone_is_where_it_is_claimed_and_a_neighbor_is_not() {
    let mut guests = room(Subject::Guests);
    guests.hear(TARGET, LINK, Sign::Found);
    guests.hear(TARGET, OTHER, Sign::Advertised);
    guests.doubt(Doubt::StationGone);
    assert_eq!(guests.live(), Some((OTHER, 0, None)));

    let mut neighbors = room(Subject::Neighbors);
    neighbors.hear(TARGET, LINK, Sign::Found);
    let claim = Claim { link: OTHER, mac: OTHER_MAC, evidence: Evidence::Guest };
    let Room { machine, ground, budget, now, .. } = &mut neighbors;
    machine.doubt(TARGET, Doubt::StationGone, ground, budget, *now);
    assert!(machine.live(TARGET).is_some_and(|live| live.unanswered > 1));
    machine.take_out();
    assert!(machine.contest(TARGET, claim, ground, budget, *now));
    assert_eq!(
        asked(&machine.take_out()),
        [(LINK, Some(MAC))],
        "its station first, whatever it was asked before"
    );
    assert_eq!(neighbors.doubt(Doubt::StationGone), [], "a guest says so, and it is being asked");
    assert_eq!(neighbors.live(), Some((LINK, 1, Some(OTHER))));
}

#[test]
fn one_that_the_kernel_could_not_reach_on_another_link_is_not_asked_nor_twice_who_is_wanted() {
    let mut room = room(Subject::Guests);
    room.hear(TARGET, LINK, Sign::Found);
    room.pass(Duration::from_secs(5));
    assert_eq!(room.doubt(Doubt::Failed(OTHER)), []);
    assert_eq!(asked(&room.doubt(Doubt::Wanted)), [(LINK, Some(MAC))]);
    assert_eq!(room.doubt(Doubt::Wanted), [], "it is being asked");
    room.hear(TARGET, LINK, Sign::Advertised);
    room.pass(Duration::from_secs(5));
    assert_eq!(asked(&room.doubt(Doubt::Failed(LINK))), [(LINK, Some(MAC))]);
}

#[test]
fn who_waits_for_a_live_target_is_told_when_its_station_talks_and_not_when_another_does() {
    let mut room = room(Subject::Guests);
    room.hear(TARGET, LINK, Sign::Found);
    room.pass(Duration::from_secs(5));
    let Room { machine, ground, budget, now, .. } = &mut room;
    assert_eq!(machine.ask_before_defending(TARGET, asker(), 0, ground, budget, *now), Ok(true));
    assert_eq!(asked(&machine.take_out()), [(LINK, Some(MAC))]);
    assert_eq!(room.hear_from(OTHER_MAC, TARGET, LINK, Sign::Asked), []);
    assert_eq!(room.live(), Some((LINK, 1, None)));
    assert!(room.hear(TARGET, LINK, Sign::Asked).contains(&Out::Confirmed(TARGET, vec![asker()])));
    // Where nobody waits, its station may be another one from one word to the next.
    room.hear_from(OTHER_MAC, TARGET, LINK, Sign::Asked);
    assert_eq!(room.machine.live(TARGET).and_then(|live| live.mac), Some(OTHER_MAC));
}

#[test]
fn one_that_checks_its_address_with_another_mac_has_as_much_time_as_one_that_was_just_heard() {
    let mut room = room(Subject::Guests);
    room.hear(TARGET, LINK, Sign::Found);
    room.pass(Duration::from_secs(5));
    room.doubt(Doubt::StationGone);
    let outs = room.hear_from(OTHER_MAC, TARGET, LINK, Sign::Dad);
    assert_eq!(outs.first(), Some(&Out::Forget(TARGET, LINK, Some(OTHER_MAC))));
    let live = room.machine.live(TARGET).expect("it is live");
    assert_eq!((live.mac, live.seen, live.unanswered), (None, room.now, 0));
}

#[test]
fn the_administrators_word_takes_the_mac_that_was_heard_on_that_link() {
    for (link, mac) in [(LINK, Some(MAC)), (OTHER, None)] {
        let mut room = room(Subject::Guests);
        room.hear(TARGET, LINK, Sign::Found);
        room.machine.vouch(TARGET, Vouched { link, mac: None, evidence: Evidence::Claim }, room.now);
        assert_eq!(room.machine.live(TARGET).map(|live| (live.link, live.mac)), Some((link, mac)));
    }
}

#[test]
fn a_neighbor_is_known_since_it_was_first_heard() {
    let mut room = room(Subject::Neighbors);
    let first = room.now;
    room.hear(TARGET, LINK, Sign::Found);
    room.pass(Duration::from_secs(5));
    room.hear(TARGET, LINK, Sign::Advertised);
    let live = room.machine.live(TARGET).expect("it is live");
    assert_eq!(live.seen, room.now);
    assert!(live.since <= first, "{live:?}");
}

#[test]
fn where_there_may_be_fewer_as_many_go_as_are_too_many() {
    let mut room = room(Subject::Guests);
    for last in 0..6 {
        room.hear(target(last), LINK, Sign::Found);
    }
    room.machine.change(3, Timers::default(), &Limits::default());
    assert!(!room.machine.shrink(2) && room.machine.len() == 4);
    assert!(room.machine.shrink(9) && room.machine.len() == 3);
    assert!(room.machine.shrink(9) && room.machine.len() == 3);
}

#[test]
fn one_that_there_was_no_probe_for_comes_back_within_a_quarter_of_the_time_between_two() {
    let mut room = room(Subject::Guests);
    let timers = Timers { retransmit: Duration::from_millis(400), ..Timers::default() };
    room.machine.change(9, timers, &Limits::default());
    room.budget = Budget::new(1, Seed::default());
    room.ask(TARGET, asker()).expect("there is one probe");
    assert_eq!(room.machine.next_due(), Some(room.now + Duration::from_millis(100)));
}
