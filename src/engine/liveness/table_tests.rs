//! The table of targets: what is due, what is on a link, and nothing lost on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::engine::liveness::state::{Evidence, Proof};
use crate::wire::Mac;

fn address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn live(proof: Proof, link: u32) -> State {
    State::Live(Live {
        link: IfIndex(link),
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        evidence: Evidence::Probe,
        proof,
        was_proved: proof == Proof::Replied,
        since: Time::ORIGIN,
        seen: Time::ORIGIN,
        unanswered: 0,
        claim: None,
    })
}

fn probing(share: usize) -> State {
    State::Probing(Probing { left: 2, asked: 1, share, ..Probing::default() })
}

fn seconds(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

fn asker(last: u8) -> Asker {
    Asker { link: IfIndex(2), mac: Mac([2, 0, 0, 0, 1, last]), address: address(last.into()) }
}

/// The live targets on a link, as the list has them.
fn on_link(table: &Table, link: u32) -> Vec<Ipv6Addr> {
    let mut found = Vec::new();
    let mut next = table.by_link.get(&IfIndex(link)).map_or(NONE, |on| on.first);
    while next != NONE {
        found.push(table.entry(next).address);
        next = table.entry(next).next;
    }
    found
}

#[test]
fn tells_what_is_due_in_order() {
    let mut table = Table::new(9, [1, 2]);
    table.set(address(1), Some(live(Proof::Replied, 3)), seconds(5));
    table.set(address(2), Some(State::Absent), seconds(3));
    assert_eq!((table.next_due(), table.first_due(seconds(2))), (Some(seconds(3)), None));
    let first = table.first_due(seconds(4)).expect("one is due");
    assert_eq!(table.address(first), address(2));
    table.postpone(first, seconds(7));
    assert_eq!(table.first_due(seconds(9)).map(|id| table.address(id)), Some(address(1)));
    table.set(address(1), None, seconds(9));
    table.set(address(2), None, seconds(9));
    assert_eq!((table.next_due(), table.len()), (None, 0));
}

#[test]
fn knows_who_lives_on_a_link() {
    let mut table = Table::new(9, [1, 2]);
    table.set(address(1), Some(live(Proof::Replied, 3)), seconds(5));
    table.set(address(2), Some(live(Proof::Announced, 3)), seconds(5));
    table.set(address(3), Some(live(Proof::Announced, 3)), seconds(5));
    assert_eq!((on_link(&table, 3), table.announced_on(IfIndex(3))), ([1, 2, 3].map(address).into(), 2));
    table.set(address(2), Some(State::Absent), seconds(5));
    table.set(address(1), Some(live(Proof::Replied, 4)), seconds(5));
    assert_eq!((on_link(&table, 3), on_link(&table, 4)), (vec![address(3)], vec![address(1)]));
    table.set(address(3), None, seconds(5));
    assert_eq!((table.first_on(IfIndex(3)), table.announced_on(IfIndex(3))), (None, 0));
}

#[test]
fn counts_the_probed_by_share() {
    let mut table = Table::new(9, [1, 2]);
    table.set(address(1), Some(probing(5)), seconds(5));
    table.set(address(2), Some(probing(5)), seconds(5));
    table.set(address(2), Some(State::Absent), seconds(5));
    assert_eq!((table.count(Kind::Probing), table.probing_for(5), table.probing_for(6)), (1, 1, 0));
}

#[test]
fn those_who_wait_stay_while_it_is_probed_or_live_and_are_given_back_when_that_changes() {
    let mut table = Table::new(9, [1, 2]);
    table.set(address(1), Some(probing(0)), seconds(5));
    let id = table.find(address(1)).expect("it is known");
    table.askers_mut(id).push(asker(1));
    let (before, waited) = table.set(address(1), Some(probing(0)), seconds(6));
    assert_eq!((before, waited.len()), (Standing::Probing, 0));
    let (_, waited) = table.set(address(1), Some(live(Proof::Replied, 3)), seconds(6));
    assert_eq!(waited, [asker(1)]);
    table.askers_mut(id).push(asker(2));
    let (_, waited) = table.set(address(1), Some(live(Proof::Replied, 3)), seconds(7));
    assert_eq!(waited, [], "its next word is still to come");
    let (_, waited) = table.set(address(1), Some(State::Absent), seconds(7));
    assert_eq!(waited, [asker(2)]);
}

#[test]
fn an_entry_that_is_free_is_used_again_and_tells_nothing_of_the_one_before() {
    let mut table = Table::new(2, [1, 2]);
    table.set(address(1), Some(live(Proof::Replied, 3)), seconds(5));
    let id = table.find(address(1)).expect("it is known");
    table.count_answers(id, 1);
    table.set(address(1), None, seconds(5));
    table.set(address(2), Some(probing(0)), seconds(5));
    let again = table.find(address(2)).expect("it is known");
    assert_eq!((again, table.answered(again)), (id, 0));
    assert_eq!(table.known_from(0).map(|(next, id)| (next, table.address(id))), Some((1, address(2))));
    assert_eq!(table.known_from(1), None);
}

#[test]
fn to_look_ahead_changes_nothing_whoever_is_looked_for() {
    let mut table = Table::new(MANY + 9, [1, 2]);
    let many = MANY as u16;
    (0..many).for_each(|n| _ = table.set(address(n), Some(live(Proof::Replied, 3)), seconds(5)));
    table.set(address(7), None, seconds(5));
    table.set(address(many), Some(State::Absent), seconds(9));
    table.look_ahead((0..many + 9).map(address));
    table.look_ahead((many..many + 9).chain([7, 8]).map(address));
    let known = |last| table.find(address(last)).map(|id| table.standing(id));
    assert_eq!((known(7), known(many), known(many + 1)), (None, Some(Standing::Absent), None));
    assert!(matches!(known(8), Some(Standing::Live(_))) && table.len() == MANY);
}

/// Against a plain map: a long run of changes, and whatever is asked has the same answer.
#[test]
fn is_a_map_with_an_order_by_what_is_due() {
    let mut table = Table::new(64, [1, 2]);
    let mut plain: BTreeMap<Ipv6Addr, (Standing, Time)> = BTreeMap::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (target, due) = (address((random % 50) as u16), seconds(random >> 8 & 0xff));
        let state = match random >> 16 & 7 {
            0 | 1 => Some(live(Proof::Replied, 3 + (random >> 20 & 3) as u32)),
            2 => Some(live(Proof::Announced, 3)),
            3 | 4 => Some(probing((random >> 24) as usize % (UNASKED + 1))),
            5 => Some(State::Absent),
            6 => None,
            _ => {
                if let Some(id) = table.find(target) {
                    table.postpone(id, due);
                    plain.entry(target).and_modify(|known| known.1 = due);
                }
                continue;
            }
        };
        let after = state.as_ref().map(State::standing);
        let (before, _) = table.set(target, state, due);
        let known = match after {
            Some(after) => plain.insert(target, (after, due)),
            None => plain.remove(&target),
        };
        assert_eq!(before, known.map_or(Standing::Unknown, |(standing, _)| standing));
        assert_eq!(table.len(), plain.len());
        let first = plain.iter().map(|(target, (_, due))| (*due, *target)).min();
        assert_eq!(table.first().map(|id| (table.entry(id).due, table.entry(id).address)), first);
        for link in 3..7 {
            let mut here = on_link(&table, link);
            here.sort_unstable();
            let is_here = |(_, (standing, _)): &(&Ipv6Addr, &(Standing, Time))| {
                standing.live().is_some_and(|place| place.link == IfIndex(link))
            };
            assert_eq!(here, plain.iter().filter(is_here).map(|(target, _)| *target).collect::<Vec<_>>());
        }
    }
    let probed = plain.values().filter(|(standing, _)| *standing == Standing::Probing).count();
    assert_eq!((0..=UNASKED).map(|share| table.probing_for(share)).sum::<usize>(), probed);
    assert_eq!(table.iter().count(), plain.len());
}
