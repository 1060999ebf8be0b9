//! Announcements alone: what is sent, and when.

use super::*;
use crate::engine::host::links::Links;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::{GatewaySource, Override, Source};

const UP: IfIndex = IfIndex(2);
const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// An upstream on which everything may be announced, or nothing.
struct Link {
    links: Links,
    announce: Option<Announce>,
    is_free: bool,
    is_route_under_way: bool,
}

impl Link {
    fn new(announce: Option<Announce>, is_free: bool) -> Self {
        Self { links: Links::default(), announce, is_free, is_route_under_way: false }
    }
}

impl Announced for Link {
    fn footing(&self, _: Ipv6Addr, _: Time) -> Option<Footing> {
        let upstream = Upstream {
            link: UP,
            policy: 0,
            mac: MAC,
            router: false,
            override_flag: Override::Takeover,
            source: Source::Target,
            announce: self.announce?,
            gateway_source: GatewaySource::Kernel,
            mld: crate::engine::policy::Mld::Reports,
            suppress_kernel: false,
            link_local: None,
            global: None,
            has_several: false,
            fixed: None,
        };
        Some(Footing {
            upstream,
            is_free: self.is_free,
            is_disputed: false,
            is_kept: false,
            is_announced: true,
            is_shared: false,
        })
    }

    fn is_route_under_way(&self, _: Ipv6Addr) -> bool {
        self.is_route_under_way
    }

    fn routers(&self, _: IfIndex) -> Vec<Ipv6Addr> {
        vec![Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)]
    }

    fn links(&self) -> &Links {
        &self.links
    }

    fn live_at(&self, _: u32) -> Option<(u32, Option<Ipv6Addr>)> {
        None
    }

    fn guest(&self, _: u32) -> Option<Ipv6Addr> {
        None
    }

    fn number(&self, _: Ipv6Addr) -> Option<u32> {
        None
    }
}

fn at(millis: u64) -> Time {
    Time::ORIGIN + Duration::from_millis(millis)
}

fn other(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, last)
}

/// Does what is due next, and says when that was.
fn step(announcements: &mut Announcements, ground: &Link) -> Time {
    let due = announcements.next_due().expect("something is due");
    announcements.tick(9, ground, &mut Vec::new(), due);
    due
}

/// What is sent until nothing is due any more, with the milliseconds at which it is.
fn run(announcements: &mut Announcements, announce: Option<Announce>, is_free: bool) -> Vec<(u128, bool)> {
    let ground = Link::new(announce, is_free);
    let mut sent = Vec::new();
    while let Some(due) = announcements.next_due() {
        let mut out = Vec::new();
        announcements.tick(9, &ground, &mut out, due);
        let at = due.since(Time::ORIGIN).as_millis();
        sent.extend(out.iter().map(|output| (at, matches!(output, Output::Advertise(..)))));
    }
    sent
}

#[test]
fn a_target_is_advertised_three_times_and_the_router_solicited_once() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    let expected = [(1, true), (1, false), (1_001, true), (2_001, true)];
    assert_eq!(run(&mut announcements, Some(Announce::Yes), true), expected);
}

#[test]
fn duplicate_address_detection_comes_a_second_before() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    let sent = run(&mut announcements, Some(Announce::Dad), true);
    assert_eq!(sent[..2], [(1, false), (1_001, true)]);
}

#[test]
fn what_may_not_be_announced_any_more_is_forgotten() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    assert_eq!(run(&mut announcements, None, true), []);
}

#[test]
fn an_upstream_that_is_new_or_has_another_address_is_told_of() {
    let mut announcements = Announcements::new(&Limits::default());
    let mut new = |mac| announcements.new_stations(BTreeMap::from([(UP, mac)]), Time::ORIGIN).len();
    assert_eq!((new(MAC), new(MAC), new(Mac([2, 0, 0, 0, 0, 2]))), (1, 0, 1));
    announcements.set_own(TARGET, Some(UP), Time::ORIGIN);
    assert!(announcements.next_due().is_some(), "the host's own address is announced");
    announcements.stop(TARGET, None);
    announcements.set_own(TARGET, Some(UP), Time::ORIGIN);
    assert_eq!(announcements.next_due(), None, "once");
}

#[test]
fn the_link_is_asked_before_and_told_nothing_where_it_has_an_owner() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    let sent = run(&mut announcements, Some(Announce::Yes), false);
    assert_eq!(sent, [(1, false), (1_001, true), (1_001, false), (2_001, true), (3_001, true)]);
    assert_eq!(announcements.take_free(), [TARGET]);
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    let (ground, mut out) = (Link::new(Some(Announce::Yes), false), Vec::new());
    let begins = announcements.next_due().expect("it waits for its turn");
    announcements.tick(9, &ground, &mut out, begins);
    assert!(announcements.is_asking(TARGET));
    announcements.stop(TARGET, None);
    assert_eq!((announcements.next_due(), announcements.take_free()), (None, vec![]));
}

#[test]
fn a_strangers_question_is_ours_too() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.listen(TARGET, None, Time::ORIGIN);
    assert_eq!(run(&mut announcements, Some(Announce::Yes), false)[0], (500, true));
    assert_eq!(announcements.take_free(), [TARGET]);
}

#[test]
fn a_strangers_question_hastens_ours_and_never_puts_it_off() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.listen(TARGET, None, Time::ORIGIN);
    announcements.listen(TARGET, None, at(400));
    assert_eq!(announcements.next_due(), Some(at(500)), "however often strangers ask");
    let mut ours = Announcements::new(&Limits::default());
    ours.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    assert_eq!(step(&mut ours, &Link::new(Some(Announce::Yes), false)), at(1));
    assert_eq!(ours.next_due(), Some(at(1_001)));
    ours.listen(TARGET, None, at(2));
    assert_eq!(ours.next_due(), Some(at(502)));
}

#[test]
fn other_limits_count_from_then_on() {
    let mut announcements = Announcements::new(&Limits::default());
    let limits = Limits { targets: 2, announcements_per_second: 1, ..Limits::default() };
    announcements.change(&limits, Time::ORIGIN);
    (0..5).for_each(|last| announcements.begin(other(last), None, Time::ORIGIN, Time::ORIGIN));
    assert_eq!(announcements.len(), 2);
    let sent = run(&mut announcements, Some(Announce::Yes), true);
    let begun: Vec<_> = sent.iter().filter(|(_, is_advertisement)| !is_advertisement).collect();
    assert_eq!(begun.len(), 2, "each solicits the router once");
    assert!(begun[1].0 >= 1_000, "{sent:?}");
}

#[test]
fn all_advertisements_but_the_last_may_be_spared() {
    let ground = Link::new(Some(Announce::Yes), true);
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    assert!(!announcements.spare(UP, TARGET), "it has not begun");
    step(&mut announcements, &ground);
    assert!(announcements.spare(UP, TARGET));
    assert!(!announcements.spare(UP, TARGET));
    assert_eq!(run(&mut announcements, Some(Announce::Yes), true), [(1_001, true)]);
    // Where it is announced again anyway, none is.
    let station = BTreeMap::from([(UP, MAC)]);
    let new = announcements.new_stations(station, at(2_000));
    let upstream = ground.footing(TARGET, at(2_000)).expect("it is announced").upstream;
    let period = |_| Some(Duration::from_secs(600));
    announcements.settle_rounds([upstream].iter(), period, &new, at(2_000));
    announcements.begin(TARGET, None, at(2_000), at(2_000));
    step(&mut announcements, &ground);
    assert!(!announcements.spare(UP, TARGET));
}

#[test]
fn what_is_claimed_goes_first_and_takes_no_more_room_than_there_is() {
    let limits = Limits { targets: 1, ..Limits::default() };
    let mut announcements = Announcements::new(&limits);
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    announcements.begin_claimed(TARGET, None, Time::ORIGIN);
    assert_eq!((announcements.next_due(), announcements.len()), (Some(Time::ORIGIN), 1));
    announcements.begin_claimed(other(1), None, Time::ORIGIN);
    assert_eq!((announcements.next_due(), announcements.len()), (Some(Time::ORIGIN), 1), "others wait");
    let mut announcements = Announcements::new(&limits);
    announcements.begin(TARGET, None, Time::ORIGIN, Time::ORIGIN);
    announcements.begin_claimed(other(1), None, Time::ORIGIN);
    assert_eq!(
        (announcements.next_due(), announcements.len()),
        (Some(at(1)), 1),
        "in the place of the oldest"
    );
}

#[test]
fn another_that_announces_it_too_is_contradicted_once_and_only_right_after_the_first() {
    let ground = Link::new(Some(Announce::Yes), true);
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin_claimed(TARGET, None, Time::ORIGIN);
    assert!(announcements.insist(TARGET, Time::ORIGIN), "it is about to");
    assert_eq!(step(&mut announcements, &ground), Time::ORIGIN);
    assert!(!announcements.insist(TARGET, at(500)));
    assert!(announcements.insist(TARGET, at(499)));
    assert_eq!(step(&mut announcements, &ground), at(499));
    assert!(!announcements.insist(TARGET, at(500)));
}

#[test]
fn a_route_that_is_there_ends_the_wait_for_it_and_no_other() {
    let (ground, mut out) =
        (Link { is_route_under_way: true, ..Link::new(Some(Announce::Yes), true) }, Vec::new());
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin_claimed(TARGET, None, Time::ORIGIN);
    announcements.tick(9, &ground, &mut out, Time::ORIGIN);
    assert_eq!((announcements.next_due(), out.len()), (Some(at(20)), 0));
    announcements.routed(TARGET, at(5));
    assert_eq!(announcements.next_due(), Some(at(5)));
    announcements.routed(TARGET, at(6));
    assert_eq!(announcements.next_due(), Some(at(5)), "it is not put off");
    // One that waits for its place among many keeps it.
    let mut many = Announcements::new(&Limits::default());
    (0..100).for_each(|last| many.begin_claimed(other(last), None, Time::ORIGIN));
    many.stop(other(0), None);
    many.routed(other(99), Time::ORIGIN);
    assert_eq!(many.next_due(), Some(Time::ORIGIN + Duration::from_micros(500)));
}

/// What is sent by then, with the milliseconds at which it is.
fn sent(announcements: &mut Announcements, ground: &Link, until: Time) -> Vec<(u128, bool)> {
    let mut sent = Vec::new();
    while let Some(due) = announcements.next_due().filter(|due| *due <= until) {
        let mut out = Vec::new();
        announcements.tick(9, ground, &mut out, due);
        let at = due.since(Time::ORIGIN).as_millis();
        sent.extend(out.iter().map(|output| (at, matches!(output, Output::Advertise(..)))));
    }
    sent
}

/// The host has the target itself, and it is announced again every minute.
fn rounds(is_free: bool) -> (Announcements, Link) {
    let ground = Link::new(Some(Announce::Every(Duration::from_secs(60))), is_free);
    let mut announcements = Announcements::new(&Limits::default());
    let new = announcements.new_stations(BTreeMap::from([(UP, MAC)]), Time::ORIGIN);
    announcements.set_own(TARGET, Some(UP), Time::ORIGIN);
    announcements.stop(TARGET, None);
    let upstream = ground.footing(TARGET, Time::ORIGIN).expect("it has one").upstream;
    announcements.settle_rounds([&upstream].into_iter(), |_| None, &new, Time::ORIGIN);
    (announcements, ground)
}

#[test]
fn each_round_asks_the_link_and_that_it_is_silent_is_known_then() {
    for is_free in [true, false] {
        let (mut announcements, ground) = rounds(is_free);
        let expected = [(60_000, false), (61_000, true), (61_000, false)];
        assert_eq!(sent(&mut announcements, &ground, at(62_000)), expected);
        assert_eq!(announcements.take_free().is_empty(), is_free);
    }
}

#[test]
fn a_round_leaves_out_what_is_being_announced_anyway_and_what_has_no_route_yet() {
    let (mut announcements, mut ground) = rounds(true);
    assert_eq!(sent(&mut announcements, &ground, at(58_500)), []);
    announcements.begin(TARGET, None, at(58_500), at(58_500));
    let expected = [(58_501, true), (58_501, false), (59_501, true), (60_501, true)];
    assert_eq!(sent(&mut announcements, &ground, at(119_000)), expected);
    ground.is_route_under_way = true;
    assert_eq!(sent(&mut announcements, &ground, at(130_000)), []);
}

#[test]
fn what_is_claimed_is_announced_unasked_only_where_that_is_known_and_no_switch_wants_the_question() {
    for (announce, is_free) in [(Announce::Dad, true), (Announce::Yes, false)] {
        let mut announcements = Announcements::new(&Limits::default());
        announcements.begin_claimed(TARGET, None, Time::ORIGIN);
        let sent = run(&mut announcements, Some(announce), is_free);
        assert_eq!(sent[..2], [(0, false), (1_000, true)], "{announce:?}");
    }
}

#[test]
fn a_guest_that_is_claimed_or_gone_does_not_wait_any_more() {
    let mut announcements = Announcements::new(&Limits::default());
    announcements.begin(TARGET, Some(3), Time::ORIGIN, Time::ORIGIN);
    announcements.begin_claimed(TARGET, Some(3), Time::ORIGIN);
    assert_eq!(announcements.len(), 1, "it is announced once");
    announcements.begin(other(1), Some(4), Time::ORIGIN, Time::ORIGIN);
    assert!(announcements.will_ask(other(1), Some(4)));
    announcements.forget(4);
    assert!(announcements.len() == 1 && !announcements.will_ask(other(1), Some(4)));
}
