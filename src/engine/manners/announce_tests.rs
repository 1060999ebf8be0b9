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
        false
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

/// What is sent until nothing is due any more, with the milliseconds at which it is.
fn run(announcements: &mut Announcements, announce: Option<Announce>, is_free: bool) -> Vec<(u128, bool)> {
    let ground = Link { links: Links::default(), announce, is_free };
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
    let (ground, mut out) =
        (Link { links: Links::default(), announce: Some(Announce::Yes), is_free: false }, Vec::new());
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
