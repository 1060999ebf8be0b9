//! A guest that may have gone to another host is asked before it is defended.
use crate::host::*;
use lone64::engine::Input;
use lone64::engine::policy::*;
use lone64::wire::{DropReason, Mac};

const OTHER_HOST: Mac = Mac([0x52, 0x54, 0, 0, 9, 9]);

#[test]
fn a_guest_that_moved_to_another_host_is_not_answered_for_here_again() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    // It leaves without a word; the other host announces it three times, a second apart.
    host.guests.clear();
    for _ in 0..3 {
        host.input(Input::Advertisement(UP, reply(guest(5), OTHER_HOST)));
        host.pass(seconds(1));
    }
    for second in 3..90 {
        assert!(!host.answers_for(guest(5)), "answered for, {second} s after it had moved");
        host.pass(seconds(1));
    }
}

#[test]
fn a_guest_that_a_rival_disputes_and_that_is_still_here_stays_live() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    host.take();
    host.input(Input::Advertisement(UP, reply(guest(5), OTHER_HOST)));
    assert_eq!(host.probes().len(), 1, "it is asked");
    assert!(!host.answers_for(guest(5)), "not while the rival speaks up");
    host.pass(seconds(33));
    assert!(host.answers_for(guest(5)), "the link was asked again, and the rival is silent");
}

#[test]
fn a_strangers_check_for_duplicates_is_not_defended_for_a_guest_that_has_gone() {
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    host.guests.clear();
    host.take();
    host.solicit(dad(OTHER_HOST, guest(5)));
    host.pass(seconds(2));
    assert_eq!(host.answers().len(), 0, "the check fails, for a guest that is not here any more");
    assert_eq!(host.dropped(DropReason::Absent), 1);
}

#[test]
fn a_strangers_check_for_duplicates_is_defended_when_the_guest_replies() {
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    host.take();
    host.solicit(dad(OTHER_HOST, guest(5)));
    let outputs = host.take();
    let (probes, answers) = (probes(&outputs), advertisements(&outputs));
    assert_eq!((probes.len(), answers.len()), (1, 1));
    assert!(answers[0].destination.is_multicast() && !answers[0].flags.solicited);
}

#[test]
fn a_guest_that_has_just_replied_is_defended_at_once_and_so_is_one_that_cannot_be_asked() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    assert!(host.answer_to(dad(OTHER_HOST, guest(5))).is_some());
    assert_eq!(host.probes().len(), 0, "it need not be asked");
    // Every probe is taken by somebody who scans.
    let mut policy = announcing();
    policy.limits.probes_per_second = 4;
    let mut host = Host::new(policy);
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    for number in 100..120 {
        host.solicit(question_from(address("fe80::2"), guest_mac(9), guest(number)));
    }
    assert!(host.answer_to(dad(guest_mac(9), guest(5))).is_some(), "silence would give its address away");
}

#[test]
fn many_checks_for_one_address_cost_one_probe() {
    let mut host = Host::new(announcing());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    host.take();
    for number in 0..20 {
        host.solicit(dad(guest_mac(100 + number), guest(5)));
    }
    assert_eq!(host.probes().len(), 1);
    assert!(host.dropped(DropReason::AskersFull) > 0);
}

#[test]
fn the_hosts_own_and_what_is_answered_as_a_whole_are_defended() {
    let mut own = Host::new(live());
    own.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert!(own.answer_to(dad(OTHER_HOST, guest(1))).is_some());
    let mut whole = Host::new(with(|policy| policy.ranges[0].answer = Answer::Always));
    assert!(whole.answer_to(dad(OTHER_HOST, guest(1))).is_some());
}

/// What has come in one go is handed in before what came out is looked at.
#[test]
fn a_check_that_comes_behind_a_question_is_answered_as_soon_as_one_that_comes_alone() {
    let mut host = Host::new(with(|policy| policy.ranges[0].answer = Answer::Always));
    host.ask(guest(5));
    host.pass(seconds(5));
    host.take();
    host.engine.handle(Input::Solicitation(UP, question(guest(5))), host.now);
    host.engine.next_timeout();
    host.engine.handle(Input::Solicitation(UP, dad(OTHER_HOST, guest(6))), host.now);
    host.pass(millis(600));
    let answered: Vec<_> = host.answers().iter().map(|answer| answer.target).collect();
    assert_eq!(answered, [guest(5), guest(6)]);
}

#[test]
fn with_a_range_go_the_rivals_for_its_addresses() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Advertisement(UP, reply(guest(5), OTHER_HOST)));
    assert_eq!(host.engine.conflicts().count(), 1);
    host.input(Input::Reload(Box::new(with(|policy| policy.ranges.clear()))));
    assert_eq!(host.engine.conflicts().count(), 0);
}

/// It is the guest's own station, and says by that that it is there.
#[test]
fn a_strangers_check_is_defended_as_soon_as_the_guest_says_anything() {
    let mut host = Host::new(announcing());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    host.take();
    host.solicit(dad(OTHER_HOST, guest(5)));
    assert_eq!(host.answers(), []);
    let gateway = address("fe80::5054:ff:fe00:b0");
    host.input(Input::Solicitation(BRIDGE, question_from(guest(5), guest_mac(6), gateway)));
    assert_eq!(host.answers(), [], "another has the address there");
    host.input(Input::Solicitation(BRIDGE, question_from(guest(5), guest_mac(5), gateway)));
    assert_eq!(host.answers().len(), 1);
}
