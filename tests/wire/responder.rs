//! What goes into the kernel's program: whom it answers, where, and where its maps say that there is a daemon.

use std::net::Ipv6Addr;

use lone64::wire::Mac;
use lone64::wire::program::{Exception, Responder, Sources, Treatment, Verdict, daemon_key, range_key};

use super::frames::{Frame, SENDER, STATION, address};
use super::machine::bytes;
use super::machine::judge::Scene;

const OTHER: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x98]);

fn responder(sources: Sources, askers: &[(&str, Treatment)]) -> Responder {
    let askers = askers.iter().map(|(asker, treatment)| Exception {
        mac: SENDER,
        address: address(asker),
        treatment: *treatment,
    });
    Responder {
        station: STATION,
        router: false,
        override_entry: true,
        sources,
        within: Vec::new(),
        learns: false,
        askers: askers.collect(),
    }
}

#[test]
fn it_answers_those_for_whom_it_has_a_source() {
    let (link_local, global) = (address("fe80::99"), address("2001:db8:1:2::99"));
    let one = Some(address("2001:db8:1:2::1"));
    let by_scope = |to_link_local, to_others| Sources::ByScope { to_link_local, to_others };
    for (sources, wanted) in [
        (Sources::Target, [true, true]),
        (by_scope(one, one), [true, true]),
        (by_scope(one, None), [true, false]),
        (by_scope(None, one), [false, true]),
    ] {
        let responder = responder(sources, &[]);
        assert_eq!([link_local, global].map(|asker| responder.answers(SENDER, asker)), wanted, "{sources:?}");
    }
}

/// An asker is one station with one address.
#[test]
fn an_exception_is_for_one_asker_and_comes_before_the_usual_source() {
    let none = Sources::ByScope { to_link_local: None, to_others: None };
    let passed_on = responder(Sources::Target, &[("fe80::99", Treatment::PassOn)]);
    assert!(!passed_on.answers(SENDER, address("fe80::99")));
    assert!(passed_on.answers(OTHER, address("fe80::99")) && passed_on.answers(SENDER, address("fe80::98")));
    for treatment in [Treatment::Target, Treatment::Source(address("fe80::1"))] {
        let answered = responder(none, &[("fe80::99", treatment)]);
        assert!(answered.answers(SENDER, address("fe80::99")), "{treatment:?}");
        assert!(
            !answered.answers(OTHER, address("fe80::99")) && !answered.answers(SENDER, address("fe80::98"))
        );
    }
}

#[test]
fn a_program_whose_only_exception_passes_questions_on_does_so() {
    let mut scene = Scene::by_scope();
    scene.askers.retain(|asker| asker.treatment == Treatment::PassOn);
    let [asker] = scene.askers[..] else { panic!("{:?}", scene.askers) };
    let question = Frame { source: asker.address, source_mac: asker.mac, ..Frame::solicitation() };
    let mut machine = scene.machine();
    assert_eq!(machine.run(&bytes(&scene.program()), &mut question.bytes(), false), -1);
    assert_eq!(machine.count(Verdict::Asker), 1);
}

/// What lies between two prefixes is looked up for nothing, so those two are taken together that have least between them.
#[test]
fn of_too_many_prefixes_the_nearest_two_become_one() {
    let mut scene = Scene::by_scope();
    let far = (1..8).map(|n| format!("2001:db8:{n}00::/64"));
    let near = ["2001:db8:1:2::/64", "2001:db8:1:4::/64"].map(str::to_owned);
    scene.within = near.into_iter().chain(far).map(|prefix| prefix.parse().unwrap()).collect();
    let looked_up = |target: &str| {
        let mut machine = scene.machine();
        let question = Frame { target: address(target), ..Frame::solicitation() };
        machine.run(&bytes(&scene.program()), &mut question.bytes(), false);
        machine.count(Verdict::Unknown) == 1
    };
    assert!(looked_up("2001:db8:1:2::5") && looked_up("2001:db8:1:4::5") && looked_up("2001:db8:700::5"));
    assert!(looked_up("2001:db8:1:3::5"), "between the nearest two");
    for between in ["2001:db8:180::5", "2001:db8:280::5", "2001:db8:480::5", "2001:db8:680::5"] {
        assert!(!looked_up(between), "{between}");
    }
}

/// No question has `::` as its target, so this key is in nobody's way.
#[test]
fn the_daemon_says_that_it_is_there_under_the_unspecified_address() {
    let key = daemon_key();
    assert_eq!(key, range_key("::/128".parse().unwrap()));
    assert_eq!(key[..4], 128u32.to_ne_bytes());
    assert_eq!(key[4..], Ipv6Addr::UNSPECIFIED.octets());
}
