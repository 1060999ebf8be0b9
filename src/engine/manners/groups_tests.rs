//! Groups are counted, and there is room for so many of them.

use super::*;

const UP: IfIndex = IfIndex(2);
const OTHER: IfIndex = IfIndex(3);

fn target(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn joins(groups: &mut Groups) -> Vec<(IfIndex, bool)> {
    groups.take_wishes().into_iter().map(|(link, _, is_joined)| (link, is_joined)).collect()
}

#[test]
fn a_group_is_joined_for_the_first_and_left_with_the_last() {
    let mut groups = Groups::new(9);
    let same = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
    groups.count(0, target(1), Some(UP));
    groups.count(1, same, Some(UP));
    assert_eq!(joins(&mut groups), [(UP, true)]);
    groups.count(0, target(1), None);
    groups.count(0, target(1), None);
    assert_eq!(joins(&mut groups), []);
    groups.count(1, same, None);
    assert_eq!(joins(&mut groups), [(UP, false)]);
}

#[test]
fn a_target_that_is_counted_elsewhere_leaves_where_it_was() {
    let mut groups = Groups::new(9);
    groups.count(7, target(1), Some(UP));
    groups.take_wishes();
    groups.count(7, target(1), Some(OTHER));
    assert_eq!(joins(&mut groups), [(OTHER, true), (UP, false)]);
}

#[test]
fn one_that_waits_comes_when_there_is_room() {
    let mut groups = Groups::new(1);
    groups.count(0, target(1), Some(UP));
    groups.count(1, target(2), Some(UP));
    assert!(groups.take_news() && groups.full().eq([UP]) && groups.count_waiting(UP) == 1);
    assert_eq!(joins(&mut groups), [(UP, true)]);
    groups.count(2, target(3), Some(UP));
    groups.count(2, target(3), None);
    assert!(!groups.take_news(), "one waits before and behind");
    groups.count(0, target(1), None);
    assert!(groups.take_news() && groups.full().eq([]));
    assert_eq!(joins(&mut groups), [(UP, false), (UP, true)]);
    groups.change(0);
    assert_eq!(joins(&mut groups), [(UP, false)]);
}

#[test]
fn a_prefix_too_wide_is_remembered_as_long_as_it_is_too_wide() {
    let mut groups = Groups::new(9);
    let wide: Ipv6Net = "2001:db8::/124".parse().expect("a prefix");
    groups.stand_for_range(wide, UP, vec![wide]);
    assert!(groups.take_news() && groups.too_wide().eq([(wide, UP)]));
    groups.stand_for_range(wide, UP, vec![wide]);
    assert!(!groups.take_news());
    groups.change(16);
    groups.stand_for_range(wide, UP, vec![wide]);
    assert!(groups.take_news() && groups.too_wide().eq([]) && groups.count_joined(UP) == 16);
    groups.change(9);
    groups.stand_for_range(wide, UP, vec![wide]);
    groups.take_news();
    groups.end_range(wide);
    assert!(groups.take_news() && groups.too_wide().eq([]));
    groups.stand_for_range(wide, UP, vec![wide]);
    groups.stand_for_range(wide, UP, vec![wide]);
    assert!(groups.take_news(), "nobody has looked since it became too wide");
}

#[test]
fn with_more_room_as_many_come_as_there_is_room_for() {
    let mut groups = Groups::new(1);
    (0..3).for_each(|number| groups.count(number, target(1 + number as u16), Some(UP)));
    groups.take_wishes();
    assert!(groups.take_news() && groups.count_waiting(UP) == 2);
    groups.change(2);
    assert_eq!((joins(&mut groups), groups.count_waiting(UP)), (vec![(UP, true)], 1));
    assert!(groups.take_news());
    groups.change(2);
    assert!(groups.is_quiet());
    // What has happened is not forgotten because the limit is the same.
    groups.count(0, target(1), None);
    groups.count(1, target(2), None);
    groups.change(2);
    assert!(groups.take_news(), "nothing waits any more");
}

/// Guests' links come and go by the thousand, and as many are told apart as a byte can.
#[test]
fn links_that_count_nothing_any_more_make_room_for_others() {
    let mut groups = Groups::new(9);
    for index in 1..=1_000 {
        groups.count(0, target(1), Some(IfIndex(index)));
        assert_eq!(groups.count_joined(IfIndex(index)), 1, "{index}");
        groups.count(0, target(1), None);
        assert!(!groups.has(IfIndex(index)));
    }
    assert!(groups.known_links.len() <= MOST_LINKS);
    // Links that count something keep their place.
    groups.count(0, target(1), Some(UP));
    for index in 2_000..3_000 {
        groups.count(1, target(2), Some(IfIndex(index)));
        groups.count(1, target(2), None);
    }
    groups.count(0, target(1), None);
    assert!(!groups.has(UP));
}

#[test]
fn no_more_interfaces_are_known_than_may_be_counted_however_many_come_and_go() {
    let mut groups = Groups::new(9);
    let most = u32::try_from(MOST_LINKS).expect("a few");
    for number in 0..most {
        groups.count(number, target(1), Some(IfIndex(10 + number)));
    }
    (0..most).for_each(|number| groups.count(number, target(1), None));
    for number in 0..most {
        groups.count(number, target(1), Some(IfIndex(1_000 + number)));
    }
    assert_eq!(groups.known_links.len(), MOST_LINKS);
}
