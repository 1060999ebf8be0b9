//! What askers make of answers, and what strangers cannot bring about.

use std::time::Duration;

use super::*;

const UP: IfIndex = IfIndex(2);
const ALL: [Source; 3] = [Source::Scope, Source::Target, Source::Global];

fn at(millis: u64) -> Time {
    Time::at(Duration::from_millis(millis))
}

fn target(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0xc, 0, 0, last)
}

fn asker(last: u16) -> Asker {
    let [high, low] = last.to_be_bytes();
    let mac = Mac([2, 0, 0, 0, high, low]);
    Asker { link: UP, mac, address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last) }
}

/// Everybody asks on one interface; the gateway is asker 1.
struct Upstream;

impl Acquaintance for Upstream {
    fn interface(&self, _: &Asker) -> Option<IfName> {
        "eth0".parse().ok()
    }

    fn is_gateway(&self, asker: &Asker) -> bool {
        *asker == self::asker(1)
    }
}

/// One that asks as RFC 4861 §7.2.2 has it, while packets come for its targets all the time.
struct Router {
    asker: Asker,
    takes: Box<dyn Fn(Ipv6Addr, Source) -> bool>,
    /// Those that it has an entry for.
    known: Vec<Ipv6Addr>,
}

impl Router {
    fn new(asker: Asker, takes: impl Fn(Ipv6Addr, Source) -> bool + 'static) -> Self {
        Self { asker, takes: Box::new(takes), known: Vec::new() }
    }

    /// Asks for what it has no entry for, and gets an answer. From which sources these came.
    fn ask(&mut self, sources: &mut Sources, targets: &[Ipv6Addr], now: Time) -> Vec<Source> {
        let mut from = Vec::new();
        for target in targets {
            if self.known.contains(target) {
                continue;
            }
            sources.ask(self.asker, *target, (Cast::Multicast, Sight::All), || ALL.to_vec(), now);
            let source = sources.answer(self.asker, *target, &Upstream, now);
            if (self.takes)(*target, source) {
                self.known.push(*target);
            }
            from.push(source);
        }
        from
    }
}

/// So many seconds, each with a question for what is not taken. What was told.
fn pass(
    sources: &mut Sources,
    router: &mut Router,
    targets: &[Ipv6Addr],
    seconds: std::ops::Range<u64>,
) -> Vec<(u64, News)> {
    let mut told = Vec::new();
    for second in seconds {
        router.ask(sources, targets, at(second * 1_000));
        while let Some(due) = sources.next_due().filter(|due| *due < at((second + 1) * 1_000)) {
            sources.tick(due);
            assert!(sources.next_due().is_none_or(|next| next > due));
            told.extend(sources.take_news().into_iter().map(|news| (second, news)));
        }
    }
    told
}

fn outcomes(told: &[(u64, News)]) -> Vec<(u64, Outcome)> {
    told.iter().map(|(second, news)| (*second, news.outcome.clone())).collect()
}

#[test]
fn the_source_after_which_a_router_falls_silent_is_kept_for_it() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, source| source == Source::Global);
    let from: Vec<_> =
        (0..8).flat_map(|second| router.ask(&mut sources, &[target(5)], at(second * 1_000))).collect();
    let [scope, of_target, global] = ALL;
    assert_eq!(from, [scope, scope, scope, of_target, of_target, of_target, global]);
    let told = pass(&mut sources, &mut router, &[target(5)], 8..20);
    assert_eq!(outcomes(&told), [(8, Outcome::Found(global))]);
    assert_eq!(router.ask(&mut sources, &[target(6)], at(20_000)), [global]);
    // Others are answered as before.
    let mut other = Router::new(asker(2), |_, _| false);
    assert_eq!(other.ask(&mut sources, &[target(5)], at(20_000)), [scope]);
}

#[test]
fn one_that_takes_everything_is_never_looked_at() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| true);
    for minute in 0..600 {
        router.known.clear();
        router.ask(&mut sources, &[target(minute % 50)], at(u64::from(minute) * 7_000));
        assert_eq!(sources.next_due(), None);
    }
    assert_eq!(sources.notable(at(5_000_000)), []);
}

#[test]
fn one_that_takes_nothing_is_told_once_and_its_source_is_what_it_was() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    let told = pass(&mut sources, &mut router, &[target(5), target(6)], 0..300);
    assert_eq!(outcomes(&told), [(14, Outcome::NotTaken)]);
    assert_eq!(told[0].1.taking, Taking { taken: 0, refused: vec![target(5), target(6)] });
    assert_eq!(router.ask(&mut sources, &[target(5)], at(300_000)), [Source::Scope]);
    // The administrator has seen to it.
    router.takes = Box::new(|_, _| true);
    let told = pass(&mut sources, &mut router, &[target(5), target(6)], 301..330);
    assert_eq!(outcomes(&told), [(303, Outcome::Over)]);
    assert_eq!(sources.notable(at(330_000)), []);
}

#[test]
fn a_limit_of_addresses_is_no_matter_of_the_source_and_those_that_are_taken_keep_theirs() {
    let mut sources = Sources::new(Seed::default());
    let targets: Vec<_> = (1..=6).map(target).collect();
    let mut router =
        Router::new(asker(1), |target, source| target <= self::target(3) && source == Source::Scope);
    let mut told = pass(&mut sources, &mut router, &targets[..3], 0..5);
    for second in 5..40 {
        told.extend(pass(&mut sources, &mut router, &targets, second..second + 1));
        // The router checks what it knows.
        let checked = targets[usize::try_from(second % 3).unwrap()];
        if second % 4 == 0 {
            let now = at(second * 1_000 + 500);
            sources.ask(asker(1), checked, (Cast::Unicast, Sight::All), || ALL.to_vec(), now);
            assert_eq!(sources.answer(asker(1), checked, &Upstream, now), Source::Scope, "{second}");
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1.outcome, Outcome::NotTaken);
    assert_eq!(told[0].1.taking, Taking { taken: 3, refused: targets[3..].to_vec() });
    let notable = sources.notable(at(40_000));
    assert_eq!((notable.len(), notable[0].taken, notable[0].refused.len()), (1, 3, 3));
}

#[test]
fn a_trial_goes_on_with_another_target_when_its_own_is_not_asked_for_any_more() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, source| source == Source::Global);
    pass(&mut sources, &mut router, &[target(5)], 0..6);
    assert!(sources.notable(at(6_000))[0].is_tried);
    let told = pass(&mut sources, &mut router, &[target(6)], 30..60);
    assert_eq!(
        outcomes(&told),
        [(38, Outcome::Found(Source::Global))],
        "it goes on with the source that is next"
    );
}

#[test]
fn silence_proves_nothing_where_the_router_was_told_of_the_target_in_another_way() {
    let mut sources = Sources::new(Seed::default());
    let takes = |source| source == Source::Global;
    let mut told = Vec::new();
    let ask = |sources: &mut Sources, cast, millis| {
        sources.ask(asker(1), target(5), (cast, Sight::All), || ALL.to_vec(), at(millis));
        sources.answer(asker(1), target(5), &Upstream, at(millis))
    };
    // The router checks its entry, gives it up, asks once, and has the target's own question for it by then.
    for millis in (0..20).map(|cycle| cycle * 10_000) {
        let casts = [Cast::Unicast, Cast::Unicast, Cast::Unicast, Cast::Multicast];
        for (second, cast) in (0..).zip(casts) {
            if takes(ask(&mut sources, cast, millis + second * 1_000)) {
                break;
            }
            if cast == Cast::Multicast {
                sources.tell(target(5), at(millis + second * 1_000));
            }
        }
        sources.tick(at(millis + 9_000));
        told.extend(sources.take_news().into_iter().map(|news| news.outcome));
    }
    assert_eq!(told, [Outcome::Found(Source::Global)]);
}

#[test]
fn an_asker_that_gives_up_proves_nothing() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, source| source == Source::Global);
    // Rows of three questions, once a minute: the packets of somebody who tries again now and then.
    let mut told = Vec::new();
    for start in (0..4).map(|minute| minute * 60) {
        told.extend(pass(&mut sources, &mut router, &[target(5)], start..start + 3));
        sources.tick(at((start + 30) * 1_000));
        told.extend(sources.take_news().into_iter().map(|news| (start + 30, news)));
    }
    let found = Outcome::Found(Source::Global);
    assert_eq!(
        outcomes(&told),
        [(182, found)],
        "not the target's own address, after which it was silent first"
    );
}

#[test]
fn no_source_is_tried_with_the_answer_to_the_last_question_of_a_row() {
    let mut sources = Sources::new(Seed::default());
    let mut ask = |second: u64, cast| {
        sources.ask(asker(1), target(5), (cast, Sight::All), || ALL.to_vec(), at(second * 1_000));
        sources.answer(asker(1), target(5), &Upstream, at(second * 1_000))
    };
    let [scope, of_target, global] = ALL;
    let checks = [0, 60, 61].map(|second| ask(second, Cast::Unicast));
    let rows = [62, 63, 64, 65, 66].map(|second| ask(second, Cast::Multicast));
    assert_eq!((checks, rows), ([scope; 3], [scope, of_target, of_target, of_target, global]));
}

#[test]
fn questions_that_had_to_wait_for_their_guest_count_from_the_answer_on() {
    let mut sources = Sources::new(Seed::default());
    for second in 0..5 {
        sources.ask(asker(1), target(5), (Cast::Multicast, Sight::All), || ALL.to_vec(), at(second * 1_000));
    }
    assert_eq!(sources.answer(asker(1), target(5), &Upstream, at(4_500)), Source::Scope);
    // One more was on its way, and then it is silent.
    sources.ask(asker(1), target(5), (Cast::Multicast, Sight::All), || ALL.to_vec(), at(4_600));
    assert_eq!(sources.answer(asker(1), target(5), &Upstream, at(4_600)), Source::Scope);
    assert_eq!((sources.next_due(), sources.notable(at(10_000))), (None, vec![]));
}

#[test]
fn an_answer_that_was_not_sent_is_none() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    for second in 0..20 {
        assert_eq!(router.ask(&mut sources, &[target(5)], at(second * 1_000)), [Source::Scope]);
        sources.unsend(&asker(1), target(5));
    }
    assert_eq!(sources.notable(at(20_000)), []);
}

#[test]
fn duplicate_address_detection_never_counts() {
    let mut sources = Sources::new(Seed::default());
    let nobody = Asker { address: Ipv6Addr::UNSPECIFIED, ..asker(1) };
    let mut flood = Router::new(nobody, |_, _| false);
    for second in 0..100 {
        assert_eq!(flood.ask(&mut sources, &[target(5)], at(second * 1_000)), [Source::Scope]);
    }
    assert!(sources.askers.is_empty());
}

#[test]
fn several_askers_behind_one_station_are_told_apart() {
    let mut sources = Sources::new(Seed::default());
    let second = Asker { address: target(0xff), ..asker(1) };
    let mut one = Router::new(asker(1), |_, source| source == Source::Target);
    let mut other = Router::new(second, |_, source| source == Source::Scope);
    for second in 0..20 {
        one.ask(&mut sources, &[target(5)], at(second * 1_000));
        other.known.clear();
        // It asks for one after the other, and takes each answer.
        let asked = target(100 + u16::try_from(second).unwrap());
        assert_eq!(other.ask(&mut sources, &[asked], at(second * 1_000 + 500)), [Source::Scope]);
        sources.tick(at(second * 1_000 + 900));
    }
    assert_eq!(
        outcomes(&sources.take_news().into_iter().map(|n| (0, n)).collect::<Vec<_>>()),
        [(0, Outcome::Found(Source::Target))]
    );
}

#[test]
fn a_station_that_learns_the_target_at_another_address_has_not_taken_the_answers_at_the_first() {
    let mut sources = Sources::new(Seed::default());
    let global = Asker { address: target(0xff), ..asker(1) };
    // It checks its entry from the first address, and asks everybody from the second, which is taken.
    let [check, all] = [(asker(1), Cast::Unicast), (global, Cast::Multicast)];
    for cycle in (0..4).map(|cycle| cycle * 40_000) {
        for (second, (from, cast)) in (0..).zip([check, check, check, all]) {
            let now = at(cycle + second * 1_000);
            sources.ask(from, target(5), (cast, Sight::All), || ALL.to_vec(), now);
            if sources.answer(from, target(5), &Upstream, now) == Source::Global {
                break;
            }
        }
        sources.tick(at(cycle + 39_000));
    }
    let told: Vec<_> = sources.take_news().into_iter().map(|news| (0, news)).collect();
    assert_eq!(outcomes(&told), [(0, Outcome::Found(Source::Global))]);
}

#[test]
fn strangers_with_many_stations_change_nothing_for_a_router_and_take_no_more_room() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, source| source == Source::Global);
    let mut strangers: Vec<_> = (100..1_100).map(|n| Router::new(asker(n), |_, _| false)).collect();
    let mut told = Vec::new();
    for second in 0..60 {
        // The router is one of many, and seldom the first.
        for stranger in &mut strangers {
            stranger.ask(&mut sources, &[target(5), target(6)], at(second * 1_000));
        }
        told.extend(pass(&mut sources, &mut router, &[target(5)], second..second + 1));
        assert!(sources.askers.len() <= MOST_ASKERS);
        assert!(sources.kept.len() <= Remembered::MOST);
    }
    let of_router: Vec<_> = told.iter().filter(|(_, news)| news.asker == asker(1)).cloned().collect();
    assert_eq!(outcomes(&of_router), [(8, Outcome::Found(Source::Global))]);
    // And when they have been there for long.
    router.known.clear();
    assert_eq!(router.ask(&mut sources, &[target(7)], at(70_000)), [Source::Global]);
}

#[test]
fn strangers_that_were_there_first_and_complain_do_not_keep_the_router_out() {
    let mut sources = Sources::new(Seed::default());
    let mut strangers: Vec<_> = (100..300).map(|n| Router::new(asker(n), |_, _| false)).collect();
    let mut router = Router::new(asker(1), |_, source| source == Source::Global);
    let mut told = Vec::new();
    for second in 0..60 {
        for stranger in &mut strangers {
            stranger.ask(&mut sources, &[target(5), target(6)], at(second * 1_000));
        }
        if second >= 30 {
            told.extend(pass(&mut sources, &mut router, &[target(5)], second..second + 1));
        }
        assert!(sources.askers.len() <= MOST_ASKERS);
    }
    let of_router: Vec<_> = told.iter().filter(|(_, news)| news.asker == asker(1)).cloned().collect();
    assert_eq!(outcomes(&of_router), [(38, Outcome::Found(Source::Global))]);
}

#[test]
fn one_that_is_tried_is_not_pushed_out_by_those_that_are_seldom_seen() {
    let mut sources = Sources::new(Seed::default());
    let mut other = Router::new(asker(2), |_, source| source == Source::Global);
    pass(&mut sources, &mut other, &[target(5)], 0..6);
    for n in 100..1_000 {
        Router::new(asker(n), |_, _| true).ask(&mut sources, &[target(5)], at(20_000 + u64::from(n) * 100));
    }
    assert!(sources.notable(at(120_000))[0].is_tried);
    let told = pass(&mut sources, &mut other, &[target(5)], 121..140);
    assert_eq!(outcomes(&told)[0].1, Outcome::Found(Source::Global));
}

#[test]
fn strangers_do_not_fill_what_is_remembered() {
    let mut sources = Sources::new(Seed::default());
    let name: IfName = "eth0".parse().unwrap();
    for n in 100..300 {
        sources.keep(&asker(n), name, Source::Target, false);
    }
    assert_eq!(sources.take_changed().map(|all| all.len()), Some(Remembered::MOST / 2));
    assert_eq!(sources.take_changed(), None);
    sources.keep(&asker(1), name, Source::Global, true);
    assert_eq!(sources.take_changed().map(|all| all.len()), Some(Remembered::MOST / 2 + 1));
    sources.keep(&asker(1), name, Source::Scope, true);
    assert_eq!(sources.take_changed().map(|all| all.len()), Some(Remembered::MOST / 2));
}

#[test]
fn what_was_remembered_is_the_source_of_the_first_answer() {
    let (interface, Asker { mac, address, .. }) = ("eth0".parse().unwrap(), asker(1));
    let mut sources = Sources::new(Seed::default());
    sources.remember(vec![Remembered { interface, mac, address, source: Source::Target }]);
    let mut router = Router::new(asker(1), |_, _| true);
    assert_eq!(router.ask(&mut sources, &[target(5)], at(0)), [Source::Target]);
    assert_eq!(sources.take_changed(), None);
    // It is another provider's router meanwhile.
    let mut router = Router::new(asker(1), |_, source| source == Source::Scope);
    let told = pass(&mut sources, &mut router, &[target(6)], 10..30);
    assert_eq!(outcomes(&told), [(15, Outcome::Found(Source::Scope))]);
    sources.keep(&asker(1), interface, Source::Scope, true);
    assert_eq!(sources.take_changed(), Some(vec![]));
}

#[path = "room_tests.rs"]
mod room;
