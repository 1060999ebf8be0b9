//! Who has room among those that are known, and what is said of them meanwhile.

use super::super::seen::WINDOW;
use super::*;

fn knows(sources: &Sources, number: u16) -> bool {
    sources.askers.iter().any(|(known, _)| *known == asker(number))
}

fn asks_once(sources: &mut Sources, number: u16, now: Time) {
    sources.ask(asker(number), target(5), (Cast::Multicast, Sight::All), || ALL.to_vec(), now);
    sources.answer(asker(number), target(5), &Upstream, now);
}

/// As many as there is room for, each heard a millisecond after the one before.
fn full() -> Sources {
    let mut sources = Sources::new(Seed::default());
    (0..64).for_each(|n| asks_once(&mut sources, 100 + n, at(n.into())));
    assert_eq!(sources.askers.len(), MOST_ASKERS);
    sources
}

#[test]
fn a_newcomer_has_the_place_of_one_that_was_not_heard_for_a_while_and_no_others() {
    let mut sources = full();
    asks_once(&mut sources, 900, at(1_000));
    assert!(!knows(&sources, 900), "all were heard just now");
    // A gateway has it at once.
    asks_once(&mut sources, 1, at(1_000));
    assert!(knows(&sources, 1) && !knows(&sources, 100));
    let later = at(1_100) + WINDOW;
    asks_once(&mut sources, 900, later);
    assert!(knows(&sources, 900) && !knows(&sources, 101) && knows(&sources, 102));
}

#[test]
fn one_that_has_asked_again_keeps_its_place_before_others_that_were_heard_later() {
    let mut sources = full();
    // The last two, and then nobody for a while.
    asks_once(&mut sources, 100, at(1_000));
    let later = at(2_000) + WINDOW;
    for number in [100, 101, 102] {
        asks_once(&mut sources, number, at(1_100));
    }
    for (number, newcomer) in [(103, 900), (104, 901), (105, 902)] {
        asks_once(&mut sources, newcomer, later);
        assert!(!knows(&sources, number) && knows(&sources, 100), "{number}");
    }
    // A gateway, too, takes the place of one that nothing is to be said of.
    asks_once(&mut sources, 1, later);
    assert!(knows(&sources, 1) && knows(&sources, 100));
}

#[test]
fn those_that_take_nothing_keep_their_places_for_ten_minutes() {
    let mut sources = Sources::new(Seed::default());
    for n in 100..164 {
        let mut stranger = Router::new(asker(n), |_, _| false);
        pass(&mut sources, &mut stranger, &[target(5)], 0..1);
    }
    let mut strangers: Vec<_> = (100..164).map(|n| Router::new(asker(n), |_, _| false)).collect();
    for second in 1..20 {
        for stranger in &mut strangers {
            stranger.ask(&mut sources, &[target(5)], at(second * 1_000));
        }
        sources.tick(at(second * 1_000 + 500));
    }
    asks_once(&mut sources, 900, at(320_000));
    assert!(!knows(&sources, 900));
    asks_once(&mut sources, 900, at(700_000));
    assert!(knows(&sources, 900));
}

#[test]
fn what_is_not_taken_is_told_of_and_forgotten_when_nobody_asks_for_it() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    pass(&mut sources, &mut router, &[target(5), target(6)], 0..5);
    assert_eq!(
        router.ask(&mut sources, &[target(5), target(6)], at(5_000)),
        [Source::Target; 2],
        "both are tried"
    );
    asks_once(&mut sources, 1, at(5_100));
    router.ask(&mut sources, &[target(7)], at(5_200));
    let notable = sources.notable(at(5_200));
    assert_eq!((notable[0].is_tried, &notable[0].refused[..]), (true, &[target(6)][..]));
    let told = pass(&mut sources, &mut router, &[target(5), target(6)], 6..40);
    assert_eq!(told.iter().filter(|(_, news)| news.outcome == Outcome::NotTaken).count(), 1);
    assert!(!sources.notable(at(40_000))[0].is_tried);
    let told = pass(&mut sources, &mut router, &[], 40..700);
    assert_eq!(
        outcomes(&told).iter().map(|(_, outcome)| outcome.clone()).collect::<Vec<_>>(),
        [Outcome::Over]
    );
    assert_eq!(sources.notable(at(700_000)), []);
}

#[test]
fn with_a_source_that_helps_nothing_is_refused_any_more() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, source| source == Source::Global);
    let told = pass(&mut sources, &mut router, &[target(5), target(6)], 0..30);
    let found = told.iter().find(|(_, news)| news.outcome == Outcome::Found(Source::Global));
    assert!(found.is_some_and(|(_, news)| news.taking.refused.is_empty()), "{told:?}");
}

#[test]
fn a_router_with_more_targets_than_there_is_room_for_is_tried_with_those_that_it_asks_for_now() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| true);
    for n in 0..1_000 {
        router.ask(&mut sources, &[target(n)], at(u64::from(n) * 100));
    }
    router.takes = Box::new(|_, source| source == Source::Target);
    let told = pass(&mut sources, &mut router, &[target(5_000)], 200..220);
    assert_eq!(outcomes(&told), [(205, Outcome::Found(Source::Target))]);
}

/// The last question of a row, after which it would be silent anyway.
#[test]
fn what_is_not_taken_and_not_asked_for_any_more_is_forgotten_after_ten_minutes() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    let told = pass(&mut sources, &mut router, &[target(5)], 0..18);
    assert_eq!(outcomes(&told), [(14, Outcome::NotTaken)]);
    let told = pass(&mut sources, &mut router, &[], 18..700);
    assert_eq!(outcomes(&told), [(617, Outcome::Over)]);
}

#[test]
fn with_a_source_that_helps_others_begin_anew_and_what_is_taken_stays_so() {
    let mut sources = Sources::new(Seed::default());
    let mut router =
        Router::new(asker(1), |target, source| target == self::target(7) || source == Source::Global);
    pass(&mut sources, &mut router, &[target(7)], 0..4);
    // After the last of three checks it would be silent anyway.
    for now in [60, 61, 62].map(|second| at(second * 1_000)) {
        sources.ask(asker(1), target(7), (Cast::Unicast, Sight::All), || ALL.to_vec(), now);
        sources.answer(asker(1), target(7), &Upstream, now);
    }
    // Nobody sends to the second any more, after the last question of a row.
    pass(&mut sources, &mut router, &[target(5), target(6)], 70..76);
    let told = pass(&mut sources, &mut router, &[target(5)], 76..90);
    assert_eq!(outcomes(&told), [(78, Outcome::Found(Source::Global))]);
    assert_eq!(told[0].1.taking, Taking { taken: 2, refused: vec![] });
}

#[test]
fn while_sources_are_tried_other_targets_find_room_among_those_that_nothing_is_to_be_said_of() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| true);
    for n in 1_000..2_000 {
        router.ask(&mut sources, &[target(n)], at(u64::from(n)));
    }
    router.takes = Box::new(|_, _| false);
    pass(&mut sources, &mut router, &[target(5)], 10..14);
    assert!(sources.notable(at(14_000))[0].is_tried);
    pass(&mut sources, &mut router, &[target(5), target(6)], 14..18);
    assert_eq!(sources.notable(at(18_000))[0].refused, [target(6)]);
}

#[test]
fn one_that_has_not_asked_twice_in_a_row_keeps_what_was_counted_of_its_target_before() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |target, _| target != self::target(5));
    pass(&mut sources, &mut router, &[target(5)], 0..3);
    for n in 1_000..1_200 {
        router.ask(&mut sources, &[target(n)], at(4_000 + u64::from(n)));
    }
    router.ask(&mut sources, &[target(5)], at(8_000));
    assert!(sources.notable(at(8_000)).iter().any(|notable| notable.is_tried));
}

#[test]
fn that_one_is_an_exception_now_is_news_and_that_it_still_is_one_is_none() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    sources.take_excepted();
    let mut news = |second: u64| {
        router.ask(&mut sources, &[target(5)], at(second * 1_000));
        sources.take_excepted()
    };
    assert_eq!([0, 1, 2, 3, 4].map(&mut news), [false, false, false, true, false]);
}

#[test]
fn a_source_is_found_with_the_check_that_shows_it_and_not_with_a_question_that_was_on_its_way() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    pass(&mut sources, &mut router, &[target(5)], 0..4);
    let mut ask = |cast, millis| {
        sources.ask(asker(1), target(5), (cast, Sight::All), || ALL.to_vec(), at(millis));
        sources.answer(asker(1), target(5), &Upstream, at(millis));
        sources.take_news().into_iter().map(|news| news.outcome).collect::<Vec<_>>()
    };
    assert_eq!(ask(Cast::Multicast, 3_100), []);
    assert_eq!(ask(Cast::Unicast, 4_500), [Outcome::Found(Source::Target)]);
}

#[test]
fn that_nothing_is_taken_is_told_also_where_silence_would_say_nothing() {
    let mut sources = Sources::new(Seed::default());
    for now in (0..10).map(|second| at(second * 1_000)) {
        sources.ask(asker(1), target(5), (Cast::Multicast, Sight::All), || ALL.to_vec(), now);
        sources.answer(asker(1), target(5), &Upstream, now);
        // Its router knows it from its own word.
        sources.tell(target(5), now);
    }
    assert_eq!(sources.next_due(), Some(at(14_000)));
}

#[test]
fn a_station_that_asks_from_another_address_for_the_first_time_has_not_fallen_silent() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    pass(&mut sources, &mut router, &[target(5)], 0..4);
    assert!(sources.notable(at(4_000))[0].is_tried);
    let other = Asker { address: target(0xff), ..asker(1) };
    let mut ask = |cast, second: u64| {
        sources.ask(other, target(5), (cast, Sight::All), || ALL.to_vec(), at(second * 1_000));
        sources.tick(at(second * 1_000 + 9_000));
        sources.take_news()
    };
    assert_eq!(ask(Cast::Multicast, 4), []);
}

#[test]
fn a_check_from_another_address_of_the_station_says_nothing_of_what_the_first_one_has_learned() {
    let mut sources = Sources::new(Seed::default());
    let mut router = Router::new(asker(1), |_, _| false);
    let other = Asker { address: target(0xff), ..asker(1) };
    asks_once(&mut sources, 2, at(0));
    pass(&mut sources, &mut router, &[target(5)], 0..4);
    sources.ask(other, target(5), (Cast::Unicast, Sight::All), || ALL.to_vec(), at(4_000));
    sources.tick(at(13_000));
    let told: Vec<_> = sources.take_news().into_iter().map(|news| news.outcome).collect();
    assert_eq!(told, [Outcome::Found(Source::Target)]);
}

#[test]
fn what_is_sent_to_all_has_the_source_that_the_gateway_of_the_upstream_takes_and_no_others() {
    use crate::engine::policy::{Announce, GatewaySource, Mld, Override};
    let upstream = crate::engine::plan::bindings::Upstream {
        link: UP,
        policy: 0,
        mac: Mac([2, 0, 0, 0, 0, 9]),
        router: false,
        override_flag: Override::Never,
        source: Source::Auto,
        announce: Announce::No,
        gateway_source: GatewaySource::Kernel,
        mld: Mld::No,
        suppress_kernel: false,
        link_local: None,
        global: None,
        has_several: false,
        fixed: None,
    };
    let face = |number, upstream: &crate::engine::plan::bindings::Upstream| {
        let mut sources = Sources::new(Seed::default());
        let mut router = Router::new(asker(number), |_, source| source == Source::Global);
        pass(&mut sources, &mut router, &[target(5)], 0..20);
        sources.face(upstream, &Links::default()).source
    };
    let elsewhere = crate::engine::plan::bindings::Upstream { link: IfIndex(3), ..upstream };
    let fixed = crate::engine::plan::bindings::Upstream { source: Source::Scope, ..upstream };
    assert_eq!((face(1, &upstream), face(2, &upstream)), (Source::Global, Source::Auto));
    assert_eq!((face(1, &elsewhere), face(1, &fixed)), (Source::Auto, Source::Scope));
}
