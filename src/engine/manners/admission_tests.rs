//! Verdicts alone: what is asked, and what is found out.

use super::*;
use crate::engine::effect::Output;
use crate::engine::host::links::Links;
use crate::engine::manners::footing::{Announced, Footing};
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::{Announce, GatewaySource, Mld, Override, Source};
use crate::wire::{Mac, Solicitation};

const UP: IfIndex = IfIndex(2);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// The host's gateways, and guests of any number.
struct Host {
    links: Links,
    routers: Vec<Ipv6Addr>,
    is_free: bool,
    is_announced: bool,
    is_disputed: bool,
    is_kept: bool,
}

fn guest(number: u32) -> Ipv6Addr {
    Ipv6Addr::from(0x2001_0db8_0000_0000_000c << 48 | u128::from(number))
}

fn number(target: Ipv6Addr) -> u32 {
    u32::try_from(target.to_bits() & 0xffff_ffff).unwrap()
}

impl Announced for Host {
    fn footing(&self, _: Ipv6Addr, _: Time) -> Option<Footing> {
        let upstream = Upstream {
            link: UP,
            policy: 0,
            mac: MAC,
            router: false,
            override_flag: Override::Takeover,
            source: Source::Auto,
            announce: Announce::Yes,
            gateway_source: GatewaySource::Auto,
            mld: Mld::Reports,
            suppress_kernel: false,
            link_local: Some(LINK_LOCAL),
            global: Some(GLOBAL),
            has_several: false,
            fixed: None,
        };
        let Self { is_free, is_announced, is_disputed, is_kept, .. } = *self;
        Some(Footing { upstream, is_free, is_disputed, is_kept, is_announced, is_shared: false })
    }

    fn is_route_under_way(&self, _: Ipv6Addr) -> bool {
        false
    }

    fn routers(&self, _: IfIndex) -> Vec<Ipv6Addr> {
        self.routers.clone()
    }

    fn links(&self) -> &Links {
        &self.links
    }

    fn live_at(&self, number: u32) -> Option<(u32, Option<Ipv6Addr>)> {
        Some((number + 1, Some(guest(number))))
    }

    fn guest(&self, number: u32) -> Option<Ipv6Addr> {
        Some(guest(number))
    }

    fn number(&self, target: Ipv6Addr) -> Option<u32> {
        (![LINK_LOCAL, GLOBAL].contains(&target)).then(|| number(target))
    }
}

/// The machine, its time, and a provider that says which questions its gateways answer.
struct Lab {
    admission: Admission,
    host: Host,
    now: Time,
    asked: Vec<Solicitation>,
    told: Vec<News>,
}

impl Lab {
    fn new() -> Self {
        let (is_free, is_announced, is_disputed, is_kept) = (true, true, false, false);
        let (links, routers) = (Links::default(), vec![GATEWAY]);
        let host = Host { links, routers, is_free, is_announced, is_disputed, is_kept };
        let (admission, now) = (Admission::default(), Time::at(Duration::from_secs(1_000)));
        Self { admission, host, now, asked: Vec::new(), told: Vec::new() }
    }

    /// An announcement asks for the gateways from each of these guests.
    fn announce(
        &mut self,
        guests: impl Iterator<Item = u32>,
        answers: &mut dyn FnMut(&Solicitation) -> bool,
    ) {
        for number in guests {
            for router in self.host.routers.clone() {
                self.admission.asked(guest(number), Some(number), router, self.now);
                self.send(&solicitation(guest(number), router), answers);
            }
        }
    }

    fn send(&mut self, question: &Solicitation, answers: &mut dyn FnMut(&Solicitation) -> bool) {
        let source = question.source;
        if answers(question) && !source.is_unspecified() {
            let is_hosts = [LINK_LOCAL, GLOBAL].contains(&source);
            let to = (source, self.host.number(source), is_hosts);
            if self.admission.heard(UP, question.target, to, self.now) {
                self.admission.look_later(UP, question.target, source, self.now);
            }
        }
    }

    fn pass(&mut self, seconds: u64, answers: &mut dyn FnMut(&Solicitation) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.admission.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let mut out = Vec::new();
            self.admission.tick(&self.host, &mut out, self.now);
            assert!(self.admission.next_due().is_none_or(|next| next > self.now), "what was due is done");
            assert!(self.admission.exams.len() <= MOST_EXAMS);
            for output in out {
                let Output::Solicit(UP, question) = output else { panic!("{output:?}") };
                self.asked.push(question);
                self.send(&question, answers);
            }
            self.told.extend(self.admission.take_news());
        }
        self.now = end;
        self.told.extend(self.admission.take_news());
    }
}

fn solicitation(source: Ipv6Addr, router: Ipv6Addr) -> Solicitation {
    let group = crate::wire::solicited_node(router);
    Solicitation {
        source_mac: MAC,
        destination_mac: Mac::multicast(group),
        source,
        destination: group,
        target: router,
        source_link_layer: Some(MAC),
    }
}

fn is_hosts(question: &Solicitation) -> bool {
    [LINK_LOCAL, GLOBAL].contains(&question.source)
}

#[test]
fn one_that_is_answered_is_asked_once_more_if_at_all() {
    let mut lab = Lab::new();
    lab.announce(0..100, &mut |_| true);
    lab.pass(36_000, &mut |_| true);
    let asked: Vec<_> = lab.asked.iter().map(|question| question.source).collect();
    assert_eq!(asked, [0, 1, 2, 3].map(guest));
    assert_eq!((lab.told, lab.admission.next_due()), (vec![], None));
}

#[test]
fn one_that_is_gone_before_the_later_look_makes_room_for_another() {
    let mut lab = Lab::new();
    lab.announce(0..2, &mut |_| true);
    lab.host.is_free = false;
    lab.pass(400, &mut |_| true);
    lab.host.is_free = true;
    lab.announce(2..5, &mut |_| true);
    lab.pass(400, &mut |_| true);
    assert_eq!(lab.asked.iter().map(|question| question.source).collect::<Vec<_>>(), [guest(2), guest(3)]);
}

#[test]
fn one_that_a_switch_has_not_learned_is_made_known() {
    let mut lab = Lab::new();
    let mut is_bound = false;
    let mut switch = |question: &Solicitation| {
        is_bound |= question.is_dad();
        is_hosts(question) || is_bound
    };
    lab.announce(7..8, &mut switch);
    lab.pass(10, &mut switch);
    let asked: Vec<_> = lab.asked.iter().map(|question| (question.source, question.target)).collect();
    let round = [guest(7), LINK_LOCAL, GLOBAL].map(|source| (source, GATEWAY));
    assert_eq!(asked, [&round[..], &[(Ipv6Addr::UNSPECIFIED, guest(7))], &round].concat());
    assert_eq!(lab.told, [News::Bound(guest(7))]);
    assert_eq!(lab.admission.standing(guest(7), Some(7)), Standing::Admitted);
    assert_eq!(lab.admission.period(UP), None, "nothing was forgotten");
}

#[test]
fn one_that_is_refused_is_told_within_seven_seconds_and_tried_again_until_it_is_admitted() {
    let mut lab = Lab::new();
    lab.announce(0..6, &mut |question| is_hosts(question) || number(question.source) < 3);
    lab.pass(7, &mut |question| is_hosts(question) || number(question.source) < 3);
    let refused = (3..6).map(|number| News::Refused(guest(number), UP, GATEWAY)).collect::<Vec<_>>();
    assert_eq!((&lab.told, lab.admission.count_refused()), (&refused, 3));
    assert_eq!(lab.admission.refusing(UP), Some(GATEWAY));
    lab.asked.clear();
    lab.pass(600, &mut |question| is_hosts(question) || number(question.source) < 3);
    assert_eq!(lab.told, refused, "told once");
    // Each time a detection, a question, and at most two from the host.
    assert!((3 * 20..=3 * 24 * 4).contains(&lab.asked.len()), "{}", lab.asked.len());
    lab.told.clear();
    lab.pass(30, &mut |_| true);
    let admitted = lab.told.iter().filter(|news| matches!(news, News::Admitted(..))).count();
    assert_eq!((admitted, lab.admission.count_refused()), (3, 0));
    lab.asked.clear();
    lab.pass(3_600, &mut |_| true);
    let asked: Vec<_> = lab.asked.iter().map(|question| question.source).collect();
    assert_eq!(asked, [guest(2)], "the first two have had their later looks");
    assert_eq!(lab.admission.next_due(), None);
}

#[test]
fn a_gateway_that_is_down_or_answers_nobody_says_nothing_and_is_waited_for() {
    let mut lab = Lab::new();
    lab.announce(0..1_000, &mut |_| false);
    lab.pass(3_600, &mut |_| false);
    assert_eq!(lab.told, []);
    assert!(lab.asked.len() <= 2 * MOST_EXAMS, "{}", lab.asked.len());
    // The kernel asks it, and is answered.
    lab.admission.heard(UP, GATEWAY, (GLOBAL, None, true), lab.now);
    lab.pass(600, &mut |question| is_hosts(question) || number(question.source) != 5);
    assert_eq!(lab.told, [News::Refused(guest(5), UP, GATEWAY)]);
}

#[test]
fn a_provider_that_forgets_is_found_out_by_the_later_look_and_told_again_in_time() {
    let mut lab = Lab::new();
    let mut bound = Some(lab.now);
    let mut now = lab.now;
    lab.announce(0..1, &mut |_| true);
    let start = lab.now;
    for second in 1..=120 {
        now = now.max(start + Duration::from_secs(second));
        let moment = now;
        lab.pass(1, &mut |question| {
            if question.is_dad() {
                bound = Some(moment);
            }
            let is_bound = bound.is_some_and(|since| moment.since(since) < Duration::from_secs(60));
            is_hosts(question) || is_bound
        });
    }
    let forgets = News::Forgets(UP, lab.admission.period(UP).unwrap());
    assert_eq!(lab.told, [News::Bound(guest(0)), forgets, News::Forgot(UP)]);
    let period = lab.admission.period(UP).unwrap().as_secs();
    assert!((20..30).contains(&period), "{period}");
}

#[test]
fn a_provider_that_forgets_after_twenty_minutes_is_found_out_within_the_next_twenty() {
    let mut lab = Lab::new();
    lab.announce(0..4, &mut |_| true);
    lab.pass(1_200, &mut |_| true);
    assert_eq!(lab.told, []);
    let mut bound = Vec::new();
    lab.pass(1_200, &mut |question| {
        if question.is_dad() {
            bound.push(question.target);
        }
        is_hosts(question) || bound.contains(&question.source)
    });
    assert!(lab.admission.period(UP).is_some_and(|period| period <= LONGEST), "{:?}", lab.told);
}

#[test]
fn two_routers_of_which_one_refuses_are_told_from_each_other() {
    let mut lab = Lab::new();
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xd);
    lab.host.routers.push(other);
    lab.announce(1..2, &mut |question| question.target == GATEWAY || is_hosts(question));
    lab.pass(10, &mut |question| question.target == GATEWAY || is_hosts(question));
    assert_eq!(lab.told, [News::Refused(guest(1), UP, other)]);
    // And one that is down is no reason.
    let mut lab = Lab::new();
    lab.host.routers.push(other);
    lab.announce(1..2, &mut |question| question.target == GATEWAY);
    lab.pass(10, &mut |question| question.target == GATEWAY);
    assert_eq!((lab.told, lab.admission.count_refused()), (vec![], 0));
}

#[test]
fn a_gateway_that_answers_so_many_questions_a_second_refuses_nobody() {
    for (rate, burst) in [(5, 5), (10, 2), (50, 20)] {
        let mut lab = Lab::new();
        let (mut tokens, mut filled) = (burst, lab.now);
        let now = std::cell::Cell::new(lab.now);
        let mut limit = |question: &Solicitation| {
            let new = now.get().since(filled).as_millis() as u64 * rate / 1_000;
            if new > 0 {
                (tokens, filled) = (burst.min(tokens + new), now.get());
            }
            let is_answered = !question.is_dad() && tokens > 0;
            tokens -= u64::from(is_answered);
            is_answered
        };
        for slice in 0..600 {
            // Guests come for a while.
            if slice < 60 {
                lab.announce(slice * 3..slice * 3 + 3, &mut limit);
            }
            while let Some(due) =
                lab.admission.next_due().filter(|due| *due <= lab.now + Duration::from_millis(70))
            {
                lab.now = lab.now.max(due);
                now.set(lab.now);
                lab.pass(0, &mut limit);
            }
            lab.now = lab.now + Duration::from_millis(70);
            now.set(lab.now);
            // The kernel's own questions.
            if slice % 100 == 0 {
                lab.admission.heard(UP, GATEWAY, (GLOBAL, None, true), lab.now);
            }
        }
        assert_eq!((lab.told, lab.admission.count_refused()), (vec![], 0), "{rate} {burst}");
    }
}

#[test]
fn nothing_is_asked_from_an_address_that_another_station_may_have() {
    let others: [fn(&mut Host); 4] = [
        |host| host.is_free = false,
        |host| host.is_announced = false,
        |host| host.is_disputed = true,
        |host| host.is_kept = true,
    ];
    for other in others {
        let mut lab = Lab::new();
        other(&mut lab.host);
        lab.announce(0..9, &mut |question| is_hosts(question));
        lab.pass(600, &mut |question| is_hosts(question));
        assert_eq!((lab.asked, lab.told), (vec![], vec![]));
    }
}

#[test]
fn whatever_is_doubted_what_is_known_and_sent_has_its_bound() {
    let mut lab = Lab::new();
    for number in 0..100_000 {
        lab.admission.doubt(guest(number), Some(number), lab.now);
        lab.admission.asked(guest(number), Some(number), GATEWAY, lab.now);
    }
    assert_eq!((lab.admission.doubted.len(), lab.admission.asked.len()), (MOST_DOUBTS, MOST_ASKED));
    lab.admission.asked.clear();
    lab.pass(9, &mut |_| true);
    assert!(lab.asked.len() <= MOST_DOUBTS * 3, "{}", lab.asked.len());
    assert!(lab.admission.exams.is_empty() && lab.admission.hosts.is_empty());
    // The same ones again.
    lab.asked.clear();
    (0..MOST_DOUBTS as u32).for_each(|number| lab.admission.doubt(guest(number), Some(number), lab.now));
    lab.pass(0, &mut |_| true);
    assert_eq!(lab.asked, []);
}

#[test]
fn a_doubt_that_came_to_nothing_is_not_raised_again_at_once() {
    let mut lab = Lab::new();
    for (pause, questions) in [(0, 3), (8, 0), (5, 3)] {
        lab.pass(pause, &mut |_| true);
        lab.asked.clear();
        lab.admission.doubt(guest(1), Some(1), lab.now);
        lab.pass(2, &mut |_| true);
        assert_eq!(lab.asked.len(), questions, "{pause}");
    }
}

#[test]
fn as_many_guests_as_there_may_be_are_refused_in_little_memory_and_few_frames_a_second() {
    let mut lab = Lab::new();
    for slice in 0..64_u32 {
        lab.announce(slice * 1_000..(slice + 1) * 1_000, &mut |_| false);
        lab.pass(1, &mut |question| is_hosts(question));
    }
    let (before, start) = (lab.asked.len(), lab.now);
    lab.pass(600, &mut |question| is_hosts(question));
    let rate = (lab.asked.len() - before) as u64 / lab.now.since(start).as_secs();
    assert!(rate <= 64, "{rate} a second");
    assert!(lab.admission.exams.len() <= MOST_EXAMS && lab.admission.count_refused() > 1_000);
}

#[path = "admission_bound_tests.rs"]
mod bounds;
