//! The search of the kernel's program in its table of targets, run by a machine of our own.

use std::net::Ipv6Addr;

use lone64::wire::program::{Room, Rows, Verdict};

use super::frames::{Frame, address};
use super::machine::judge::{NOW, Scene};
use super::machine::{Machine, bytes, rows};

/// Half of all rows are taken, so some searches are long, and some go over the end of the table to its beginning.
#[test]
fn finds_every_target_of_a_full_table_and_no_other() {
    let scene = Scene::by_scope();
    let program = bytes(&scene.program());
    let mut machine = Machine::new(NOW);
    let last = rows().count() - 1;
    let all = (0..).map(|n| Ipv6Addr::from(address("2001:db8:1:2:c::").to_bits() + n));
    let of_last = all.clone().filter(|guest| rows().of(*guest).next() == Some(last)).take(3);
    let guests: Vec<_> = of_last.chain(all.skip(100_000)).take(rows().capacity() as usize).collect();
    let ask = |machine: &mut Machine, target: Ipv6Addr| {
        machine.run(&program, &mut Frame { target, ..Frame::solicitation() }.bytes(), false)
    };
    guests.iter().for_each(|guest| machine.insert_target(*guest, u64::MAX));
    let steps = |machine: &Machine, guest: &Ipv6Addr| {
        rows().of(*guest).position(|row| machine.row(row).target == Some(*guest)).unwrap()
    };
    assert!(guests.iter().any(|guest| steps(&machine, guest) > 3));
    assert!(guests.iter().all(|guest| ask(&mut machine, *guest) == 7));
    // Without every other one the rest is found, and these are not.
    guests.iter().step_by(2).for_each(|guest| machine.remove_target(*guest));
    for (number, guest) in guests.iter().enumerate() {
        assert_eq!(ask(&mut machine, *guest) == 7, number % 2 == 1, "{guest}");
        let hits = machine.target(*guest).map(|row| row.hits);
        assert_eq!(hits, (number % 2 == 1).then_some(2));
    }
}

/// A table is never that full. A search would have an end all the same.
#[test]
fn a_search_has_an_end() {
    let scene = Scene::by_scope();
    let program = bytes(&scene.program());
    let mut machine = Machine::new(NOW);
    let target = Frame::solicitation().target;
    let other = |row: u32| Some((target.to_bits() + 1 + u128::from(row)).into());
    (0..rows().count()).for_each(|row| machine.write_row(row, other(row), u64::MAX));
    assert_eq!(machine.run(&program, &mut Frame::solicitation().bytes(), false), -1);
    assert_eq!(machine.count(Verdict::Unknown), 1);
    // It looks into the last of its rows, and not behind it.
    let last = rows().of(target).last().unwrap();
    machine.write_row(last, Some(target), u64::MAX);
    assert_eq!(machine.run(&program, &mut Frame::solicitation().bytes(), false), 7);
    machine.write_row(last, other(last), u64::MAX);
    machine.write_row((last + 1) % rows().count(), Some(target), u64::MAX);
    assert_eq!(machine.run(&program, &mut Frame::solicitation().bytes(), false), -1);
}

/// A target whose search begins at this row.
fn beginning_at(rows: &Rows, row: u32, number: u32) -> Ipv6Addr {
    let all = (0..).map(|n| Ipv6Addr::from(address("2001:db8:1:2:c::").to_bits() + n));
    all.filter(|target| rows.of(*target).next() == Some(row)).nth(number as usize).unwrap()
}

#[test]
fn of_two_targets_whose_search_begins_at_one_row_the_first_stays_there() {
    let rows = Rows::new(1, [3, 5]);
    let (first, second) = (beginning_at(&rows, 4, 0), beginning_at(&rows, 4, 1));
    let room = rows.room(second, |row| (row == 4).then_some(first));
    assert_eq!(room, Some(Room { row: 5, moved: Vec::new() }));
}

#[test]
fn no_target_is_moved_to_where_its_search_does_not_come() {
    let rows = Rows::new(1, [3, 5]);
    let steps = rows.of(Ipv6Addr::LOCALHOST).count() as u32;
    let new = beginning_at(&rows, 40, 1);
    let table = |begins_at: u32| {
        let rows = &rows;
        let others = [(40, 39), (41, 41), (42, begins_at)];
        let taken = others.map(|(row, begins_at)| (row, beginning_at(rows, begins_at, 0)));
        move |row| taken.iter().find(|(taken, _)| *taken == row).map(|(_, other)| *other)
    };
    // The one in row 42 may go one row on, or is in the last row that its search comes to.
    let room = rows.room(new, table(42 - (steps - 2)));
    assert_eq!(room, Some(Room { row: 41, moved: vec![42, 41] }));
    assert_eq!(rows.room(new, table(42 - (steps - 1))), None);
}

#[test]
fn a_table_without_an_empty_row_has_no_room() {
    let rows = Rows::new(1, [3, 5]);
    let all: Vec<_> = (0..rows.count()).map(|row| beginning_at(&rows, row, 0)).collect();
    assert_eq!(rows.room(beginning_at(&rows, 7, 1), |row| Some(all[row as usize])), None);
}
