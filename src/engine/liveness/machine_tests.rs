//! The machine alone: no engine, no plan, no host.

use super::*;
use crate::engine::seed::Seed;

const LINK: IfIndex = IfIndex(3);
const OTHER: IfIndex = IfIndex(4);
const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Links that are up, or not.
struct Links {
    behind: Vec<IfIndex>,
    down: Vec<IfIndex>,
}

impl Ground for Links {
    fn behind(&self, _: Ipv6Addr) -> Option<Behind<'_>> {
        Some(Behind::Named(&self.behind))
    }

    fn has_source(&self, _: IfIndex) -> bool {
        true
    }

    fn is_up(&self, link: IfIndex) -> bool {
        !self.down.contains(&link)
    }

    fn why_not_asked(&self, _: Ipv6Addr) -> DropReason {
        DropReason::NoDownstream
    }
}

/// A machine with all that it is handed.
struct Room {
    machine: Liveness,
    ground: Links,
    budget: Budget,
    now: Time,
}

impl Room {
    fn new(subject: Subject, most: usize) -> Self {
        let (behind, down) = (vec![LINK, OTHER], Vec::new());
        Self {
            machine: Liveness::new(subject, most, Timers::default(), 8, [1, 2]),
            ground: Links { behind, down },
            budget: Budget::new(1_000, Seed::default()),
            now: Time::at(Duration::from_secs(1_000)),
        }
    }

    fn hear(&mut self, target: Ipv6Addr, link: IfIndex, sign: Sign) -> Vec<Out> {
        self.hear_from(MAC, target, link, sign)
    }

    fn hear_from(&mut self, mac: Mac, target: Ipv6Addr, link: IfIndex, sign: Sign) -> Vec<Out> {
        let heard = Heard { link, mac, sign };
        self.machine.hear(target, heard, &self.ground, &mut self.budget, self.now);
        self.machine.take_out()
    }

    fn doubt(&mut self, doubt: Doubt) -> Vec<Out> {
        self.machine.doubt(TARGET, doubt, &self.ground, &mut self.budget, self.now);
        self.machine.take_out()
    }

    fn end_on(&mut self, link: IfIndex) -> bool {
        self.machine.end_on(link, 6, &self.ground, &mut self.budget, self.now)
    }

    /// Where the target is, how often it was asked in vain, and where it is claimed.
    fn live(&self) -> Option<(IfIndex, u8, Option<IfIndex>)> {
        let live = self.machine.live(TARGET)?;
        Some((live.link, live.unanswered, live.claim.map(|claim| claim.link)))
    }

    fn ask(&mut self, target: Ipv6Addr, asker: Asker) -> Result<Vec<Out>, DropReason> {
        let asking = Asking { askers: vec![asker], share: 0 };
        self.machine.ask(target, asking, &self.ground, &mut self.budget, self.now)?;
        Ok(self.machine.take_out())
    }

    fn pass(&mut self, time: Duration) -> Vec<Out> {
        let end = self.now + time;
        while let Some(due) = self.machine.next_due().filter(|due| *due <= end) {
            self.now = due;
            assert!(self.machine.tick(1_000, &self.ground, &mut self.budget, self.now));
        }
        self.now = end;
        self.machine.take_out()
    }
}

fn asker() -> Asker {
    Asker { link: IfIndex(2), mac: Mac([2, 0, 0, 0, 9, 9]), address: Ipv6Addr::LOCALHOST }
}

fn target(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn asked(outs: &[Out]) -> Vec<(IfIndex, Option<Mac>)> {
    let ask = |out: &Out| match out {
        Out::Ask(_, link, known) => Some((*link, *known)),
        _ => None,
    };
    outs.iter().filter_map(ask).collect()
}

fn transitions(outs: &[Out]) -> Vec<(Standing, Why)> {
    let changed = |out: &Out| match out {
        Out::Changed(transition, ..) => Some((transition.after, transition.why)),
        _ => None,
    };
    outs.iter().filter_map(changed).collect()
}

#[test]
fn a_target_is_asked_for_on_every_link_three_times_and_is_then_absent() {
    let mut room = Room::new(Subject::Guests, 9);
    let outs = room.ask(TARGET, asker()).expect("there is room");
    assert_eq!(asked(&outs), [(LINK, None), (OTHER, None)]);
    let outs = room.pass(Duration::from_secs(3));
    assert_eq!(asked(&outs).len(), 4);
    let Some(Out::Changed(transition, _, waited)) = outs.last() else { panic!("{outs:?}") };
    assert_eq!((transition.after, transition.why), (Standing::Absent, Why::Unanswered));
    assert_eq!(waited, &[asker()]);
    assert_eq!(transitions(&room.pass(Duration::from_secs(3))), [(Standing::Unknown, Why::Forgotten)]);
}

#[test]
fn a_reply_makes_it_live_and_gives_those_who_wait_their_answer() {
    let mut room = Room::new(Subject::Guests, 9);
    room.ask(TARGET, asker()).expect("there is room");
    let outs = room.hear(TARGET, OTHER, Sign::Advertised);
    let [Out::Changed(transition, _, waited)] = &outs[..] else { panic!("{outs:?}") };
    let place = transition.is().expect("it is live");
    assert_eq!((place.link, place.proof, place.was_proved), (OTHER, Proof::Replied, true));
    assert_eq!(waited, &[asker()]);
}

#[test]
fn the_word_of_a_guest_alone_takes_no_place_from_another() {
    let mut room = Room::new(Subject::Guests, 9);
    room.hear(TARGET, LINK, Sign::Found);
    let outs = room.hear(TARGET, OTHER, Sign::Advertised);
    assert_eq!((asked(&outs), transitions(&outs).len()), (vec![(LINK, Some(MAC))], 0));
    let outs = room.hear(TARGET, LINK, Sign::Advertised);
    assert!(matches!(outs[0], Out::Contested(TARGET, LINK, _)), "the claim came to nothing");
    room.hear(TARGET, OTHER, Sign::Advertised);
    let outs = room.pass(Duration::from_millis(500));
    assert_eq!((asked(&outs), transitions(&outs).len()), (vec![(LINK, None)], 0), "its group is asked, too");
    let outs = room.pass(Duration::from_millis(500));
    let moved = outs.iter().any(|out| matches!(out, Out::Changed(t, ..) if t.why == Why::Moved));
    assert!(moved, "where it was it is silent: {outs:?}");
}

#[test]
fn a_link_that_goes_ends_its_targets_a_slice_at_a_time() {
    let mut room = Room::new(Subject::Guests, 99);
    for last in 0..10 {
        room.hear(target(last), LINK, Sign::Found);
    }
    room.ground = Links { behind: vec![LINK], down: vec![LINK] };
    assert!(!room.machine.end_on(LINK, 6, &room.ground, &mut room.budget, room.now));
    assert_eq!(room.machine.len(), 4);
    assert!(room.machine.end_on(LINK, 6, &room.ground, &mut room.budget, room.now));
    let outs = room.machine.take_out();
    assert_eq!(transitions(&outs), vec![(Standing::Unknown, Why::Downstream); 10]);
}

#[test]
fn a_guest_that_is_not_where_it_was_is_looked_for_on_the_other_link() {
    let mut room = Room::new(Subject::Guests, 99);
    room.hear(TARGET, LINK, Sign::Found);
    room.ground.down = vec![LINK];
    room.machine.end_on(LINK, 6, &room.ground, &mut room.budget, room.now);
    assert_eq!(asked(&room.machine.take_out()), [(OTHER, None)]);
    let outs = room.hear(TARGET, OTHER, Sign::Found);
    assert!(matches!(&outs[0], Out::Changed(t, ..) if matches!(t.after, Standing::Live(_))), "{outs:?}");

    // With a bridge that others hold up nothing but silence tells it.
    room.ground.down = Vec::new();
    room.machine.doubt(TARGET, Doubt::StationGone, &room.ground, &mut room.budget, room.now);
    let outs = room.pass(Duration::from_secs(1));
    assert_eq!(asked(&outs).first(), Some(&(OTHER, None)), "where it was: {outs:?}");
    assert!(asked(&outs)[1..].contains(&(LINK, None)), "and then elsewhere: {outs:?}");
}

#[test]
fn gives_up_the_absent_then_the_probed_then_the_announced_and_never_the_proved() {
    let mut room = Room::new(Subject::Guests, 3);
    room.hear(target(1), LINK, Sign::Found);
    room.hear(target(2), LINK, Sign::Asked);
    room.ask(target(3), asker()).expect("there is room");
    let outs = room.hear(target(4), LINK, Sign::Found);
    let Some(Out::Changed(gone, _, waited)) = outs.first() else { panic!("{outs:?}") };
    assert_eq!((gone.target, gone.why, waited.len()), (target(3), Why::NoRoom, 1));
    let outs = room.hear(target(5), LINK, Sign::Found);
    assert!(matches!(&outs[0], Out::Changed(gone, ..) if gone.target == target(2)));
    assert_eq!(room.hear(target(6), LINK, Sign::Found), [], "all are proved");
    assert_eq!(room.ask(target(7), asker()), Err(DropReason::TargetsFull));
}

#[test]
fn a_neighbor_is_forgotten_when_nobody_asks_and_gives_way_to_a_newer_one() {
    let mut room = Room::new(Subject::Neighbors, 2);
    room.hear(target(1), LINK, Sign::Advertised);
    room.pass(Duration::from_secs(1));
    room.hear(target(2), LINK, Sign::Advertised);
    let outs = room.hear(target(3), LINK, Sign::Advertised);
    assert!(matches!(&outs[0], Out::Changed(gone, ..) if gone.target == target(1)));
    let outs = room.pass(Duration::from_secs(61));
    assert_eq!((transitions(&outs).len(), asked(&outs).len(), room.machine.len()), (2, 0, 0));
}

#[test]
fn where_no_link_can_be_asked_it_says_why() {
    let mut room = Room::new(Subject::Guests, 9);
    room.ground.down = vec![LINK, OTHER];
    assert_eq!(room.ask(TARGET, asker()), Err(DropReason::NoDownstream));
}

#[test]
fn more_than_a_slice_of_what_is_due_is_left_over() {
    let mut room = Room::new(Subject::Guests, 99);
    for last in 0..10 {
        room.hear(target(last), LINK, Sign::Found);
    }
    room.now = room.now + Duration::from_secs(60);
    assert!(!room.machine.tick(4, &room.ground, &mut room.budget, room.now));
    assert_eq!(asked(&room.machine.take_out()).len(), 4);
    assert!(room.machine.tick(9, &room.ground, &mut room.budget, room.now));
}

/// Where less than half of the probes is left.
#[test]
fn where_probes_are_scarce_each_link_is_asked_once_and_again_only_after_new_questions() {
    let mut room = Room::new(Subject::Guests, 9);
    room.budget = Budget::new(100, Seed::default());
    (0..60).for_each(|_| assert!(room.budget.take(room.now)));
    let outs = room.ask(TARGET, asker()).expect("there is room");
    assert_eq!(asked(&outs), [(LINK, None), (OTHER, None)]);
    room.pass(Duration::from_millis(900));
    while room.budget.take(room.now) {}
    assert_eq!(asked(&room.pass(Duration::from_millis(100))), [], "there are some, which others may need");
    let outs = room.ask(target(2), asker()).expect("there is room");
    assert_eq!(asked(&outs), [(LINK, None), (OTHER, None)]);
}

#[test]
fn a_round_that_waits_for_probes_on_its_way_counts_once() {
    let mut room = Room::new(Subject::Guests, 9);
    room.ask(TARGET, asker()).expect("there is room");
    room.pass(Duration::from_millis(990));
    // One, and the other half a second later.
    room.budget = Budget::new(2, Seed::default());
    assert!(room.budget.take(room.now));
    assert_eq!(asked(&room.pass(Duration::from_millis(20))), [(LINK, None)]);
    let outs = room.pass(Duration::from_secs(10));
    assert_eq!(asked(&outs), [(OTHER, None), (LINK, None), (OTHER, None)], "three rounds in all");
}

/// A container that is started again meanwhile has another MAC.
#[test]
fn a_check_by_a_stranger_waits_for_a_guest_that_checks_the_address_itself() {
    let mut room = Room::new(Subject::Guests, 9);
    room.hear(TARGET, LINK, Sign::Found);
    room.pass(Duration::from_secs(5));
    let (ground, now) = (&room.ground, room.now);
    let waits = room.machine.ask_before_defending(TARGET, asker(), 0, ground, &mut room.budget, now);
    assert_eq!(waits, Ok(true));
    room.machine.take_out();
    room.hear_from(OTHER_MAC, TARGET, LINK, Sign::Dad);
    let outs = room.pass(Duration::from_millis(1_100));
    assert!(
        !asked(&outs).is_empty() && !outs.iter().any(|out| matches!(out, Out::Unconfirmed(..))),
        "{outs:?}"
    );
    let outs = room.hear_from(OTHER_MAC, TARGET, LINK, Sign::Advertised);
    assert!(outs.contains(&Out::Confirmed(TARGET, vec![asker()])), "{outs:?}");
}

#[path = "claim_tests.rs"]
mod claims;
