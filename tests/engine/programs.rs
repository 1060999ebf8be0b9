//! Programs in the kernel: what a predecessor's knows, what they have answered, why there is none.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use lone64::engine::facts::Fact;
use lone64::engine::policy::{RangeRoutes, Source};
use lone64::engine::{Input, NoProgram, Note, Outcome, Output, State, Time};

use crate::host::{BRIDGE, Host, UP, guest, guest_mac, has, live, millis, probes, seconds};
use crate::mirror::{changes, mirrored, programs, with_guests};

/// Without a route for each guest.
fn on_one_route() -> Host {
    let policy = mirrored(|policy| policy.ranges[0].routes = RangeRoutes::Range);
    let (mut host, _) = with_guests(policy, 0);
    host.take();
    host
}

#[test]
fn the_guests_of_a_predecessor_are_answered_for_at_once_and_asked() {
    let mut host = on_one_route();
    host.guests.insert(guest(1), guest_mac(1));
    let soon = host.now + seconds(100);
    let stranger = "2001:db8:9::1".parse().unwrap();
    host.input(Input::Mirrored(UP, vec![(guest(1), soon), (guest(2), soon), (stranger, soon)]));
    let outputs = host.take();
    // What is no guest's is unknown from here on; the others are for as long as any guest.
    let told = changes(&outputs);
    let until = |address| told.iter().find(|(known, _)| *known == address).map(|(_, until)| *until);
    assert_eq!(until(stranger), Some(None));
    assert!(until(guest(1)).is_some_and(|until| until > Some(soon)));
    assert!(matches!(host.engine.target(guest(2)), Some(State::Live(live)) if live.link == BRIDGE));
    // One replies, and the other does not.
    host.pass(seconds(10));
    assert_eq!(changes(&host.take()).last(), Some(&(guest(2), None)));
    assert_eq!(host.engine.count_mirrored_on(UP), 1);
    assert_eq!((host.engine.program_of(guest(1)), host.engine.program_of(guest(2))), (Some(UP), None));
}

#[test]
fn where_a_guest_has_a_route_of_its_own_that_says_whether_it_is_one() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 1);
    let soon = host.now + seconds(100);
    host.take();
    host.input(Input::Mirrored(UP, vec![(guest(1), soon), (guest(2), soon)]));
    let told = changes(&host.take());
    assert!(told.contains(&(guest(2), None)) && !told.contains(&(guest(1), None)), "{told:?}");
    assert_eq!(host.engine.target(guest(2)), None);
}

#[test]
fn what_the_kernel_has_answered_counts_and_an_old_guest_is_asked() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 2);
    let before = host.engine.counters().of(UP).answered;
    host.pass(seconds(31));
    host.take();
    host.input(Input::AnsweredThere(UP, 7, Vec::new()));
    host.input(Input::AnsweredThere(UP, 0, vec![(guest(1), 5), (guest(9), 2)]));
    assert_eq!(host.engine.counters().of(UP).answered, before + 7);
    assert_eq!((host.engine.answered_for(guest(1)), host.engine.answered_for(guest(9))), (6, 0));
    let asked: Vec<_> = probes(&host.take()).into_iter().map(|probe| probe.target).collect();
    assert_eq!(asked, [guest(1)]);
}

#[test]
fn one_that_somebody_removes_is_put_back_at_once_and_told_of_everyone() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 2);
    host.take();
    assert_eq!((host.engine.count_mirrored_on(UP), host.engine.count_mirrored_on(BRIDGE)), (2, 0));
    host.input(Input::ProgramLost(UP));
    host.pass(millis(1));
    let outputs = host.take();
    assert_eq!((programs(&outputs).len(), changes(&outputs).len()), (1, 2));
    assert_eq!(host.engine.notes(), []);
}

#[test]
fn a_guest_is_known_for_as_long_as_the_policy_says() {
    for (written, known) in [(60, 60), (3_600, 3_600), (0, 10)] {
        let (mut host, _) =
            with_guests(mirrored(|policy| policy.upstreams[0].on_crash_answer = seconds(written)), 0);
        host.guests.insert(guest(1), guest_mac(1));
        let mut until = Time::ORIGIN;
        for step in 0..20 {
            let outputs = if step == 0 { host.ask(guest(1)) } else { host.take() };
            until = changes(&outputs).last().and_then(|(_, until)| *until).unwrap_or(until);
            let left = until.since(host.now);
            assert!(left <= seconds(known) && left >= seconds(known) * 2 / 3, "{written}: {left:?}");
            host.pass(seconds(known.min(300) / 10));
        }
    }
}

#[test]
fn a_note_says_why_there_is_none() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 1);
    let why = |host: &Host| match host.engine.notes() {
        [Note::NoProgram(name, why)] if name.as_str() == "up0" => Some(why.clone()),
        [] => None,
        notes => panic!("{notes:?}"),
    };
    assert_eq!((why(&host), host.engine.has_program(UP)), (None, true));
    host.input(Input::ProgramChanged(UP, Outcome::Failed("no room".to_owned())));
    assert_eq!(why(&host), Some(NoProgram::Refused("no room".to_owned())));
    assert!(!host.engine.has_program(UP));
    host.pass(millis(1_100));
    assert_eq!((why(&host), host.engine.has_program(UP)), (None, true));
}

/// What the daemon does without a program depends on why there is none.
#[test]
fn a_note_says_that_the_daemon_answers_only_where_it_can() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 1);
    let addresses: Vec<_> = host.engine.links().addresses_of(UP).map(|known| known.address).collect();
    let gone = addresses.iter().map(|address| Fact::AddressGone { link: UP, address: *address });
    host.facts(gone.collect());
    assert!(!host.engine.has_program(UP));
    assert_eq!(host.engine.notes(), [], "it answers nothing, which is a problem");
    host.facts(vec![has(UP, "2001:db8:1:2::2/64"), has(UP, "2001:db8:1:2::3/64")]);
    let name = "up0".parse().unwrap();
    assert_eq!(host.engine.notes(), [Note::NoProgram(name, NoProgram::SeveralAddresses)]);
    host.facts(vec![has(UP, "fe80::2/64")]);
    assert_eq!(host.engine.notes(), []);
}

/// The program answers for them meanwhile, and for none that is found to be gone.
#[test]
fn many_guests_of_a_predecessor_are_met_in_slices() {
    let mut host = on_one_route();
    let soon = host.now + seconds(100);
    let all: Vec<_> = (1..=1_000).map(guest).collect();
    let known = all.iter().map(|guest| (*guest, soon)).collect();
    let mut in_kernel: BTreeMap<_, _> = all.iter().map(|guest| (*guest, soon)).collect();
    let mut hear = |host: &mut Host, input| {
        host.engine.handle(input, host.now);
        let outputs: Vec<_> = std::iter::from_fn(|| host.engine.poll_output()).collect();
        let told = changes(&outputs);
        for (guest, until) in &told {
            match until {
                Some(until) => in_kernel.insert(*guest, *until),
                None => in_kernel.remove(guest),
            };
        }
        (told.len(), in_kernel.len())
    };
    let (told, left) = hear(&mut host, Input::Mirrored(UP, known));
    assert!((1..200).contains(&told) && left == 1_000, "{told} {left}");
    assert!(host.engine.is_behind());
    // A reload excludes half of them: none of these is answered for when it has been taken in.
    let mut policy = mirrored(|policy| policy.ranges[0].routes = RangeRoutes::Range);
    policy.ranges[0].exclude = vec!["2001:db8:1:2:c::200/119".parse().unwrap()];
    let excluded = |guest: &Ipv6Addr| policy.ranges[0].exclude[0].contains(guest);
    let count = all.iter().filter(|guest| excluded(guest)).count();
    assert_eq!(count, 489);
    hear(&mut host, Input::Reload(Box::new(policy.clone())));
    let mut slices = 0;
    while host.engine.is_behind() {
        let (told, _) = hear(&mut host, Input::Timeout);
        assert!(told < 400, "{told} at once");
        slices += 1;
    }
    assert!(slices > 10, "{slices}");
    assert_eq!(hear(&mut host, Input::Timeout).1, 1_000 - count);
    assert!(in_kernel.iter().all(|(guest, until)| !excluded(guest) && *until > soon));
}

/// A program is told when what it knows grows old, and not at every word of a guest.
#[test]
fn a_guest_that_is_heard_all_the_time_is_told_of_once_in_a_while() {
    let mut host = Host::new(mirrored(|_| {}));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(1));
    host.take();
    let mut told = 0;
    for number in 0..200 {
        // It has another MAC each time, which may matter to a program.
        host.advertise(guest(5), guest_mac(5 + number % 2));
        host.pass(millis(10));
        told += host.take().iter().filter(|output| matches!(output, Output::Mirror(..))).count();
    }
    assert!(told <= 1, "{told}");
}

/// Which of several global addresses answers come from does not matter where they do not come from one.
#[test]
fn without_the_address_that_answers_come_from_several_others_are_not_the_reason() {
    for (source, why) in
        [(Source::LinkLocal, Some(NoProgram::NoAddress)), (Source::Global, Some(NoProgram::SeveralAddresses))]
    {
        let (mut host, _) = with_guests(mirrored(|policy| policy.upstreams[0].source = source), 0);
        let gone = "fe80::5054:ff:fe00:1".parse().unwrap();
        host.facts(vec![has(UP, "2001:db8:1:2::3/64"), Fact::AddressGone { link: UP, address: gone }]);
        assert_eq!(host.engine.no_program(UP), why);
    }
}

/// A recording of an older version has no such key.
#[test]
fn a_policy_without_a_word_of_it_has_a_program_answer_for_five_minutes_after_a_crash() {
    let written = live().upstreams[0].clone();
    let mut recorded = serde_json::to_value(&written).unwrap();
    assert!(recorded.as_object_mut().unwrap().remove("on_crash_answer").is_some());
    let read: lone64::engine::policy::UpstreamPolicy = serde_json::from_value(recorded).unwrap();
    assert_eq!((read.on_crash_answer, &read), (seconds(300), &written));
}

#[test]
fn one_global_address_is_not_several() {
    let (host, _) = with_guests(mirrored(|policy| policy.upstreams[0].source = Source::Global), 1);
    assert_eq!(host.engine.no_program(UP), None);
    assert_eq!(host.engine.count_mirrored_on(UP), 1);
}
