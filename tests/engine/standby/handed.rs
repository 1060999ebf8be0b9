//! What was known of a range, when it is claimed or released.

use std::sync::Arc;

use lone64::engine::policy::{Answer, Backend};
use lone64::engine::{Input, Outcome, Output};
use lone64::wire::{Advertisement, Flags, Mac};

use super::{RANGE, announced, claim, object, policy, release};
use crate::host::{Host, UP, address, guest, guest_mac, probes, reply, seconds};

const OTHER: Mac = Mac([2, 9, 9, 9, 9, 9]);

fn of_all() -> Host {
    let mut policy = policy();
    policy.ranges[0].answer = Answer::Always;
    policy.guests.clear();
    Host::new(policy)
}

/// Another station says that it has an address of a claimed range. Then the range is another host's, and comes back.
#[test]
fn who_was_a_rival_before_is_none_after() {
    let mut host = of_all();
    claim(&mut host, &[object(RANGE)]);
    host.input(Input::Advertisement(UP, reply(guest(5), OTHER)));
    assert!(!host.answers_for(guest(5)) && host.answers_for(guest(6)));
    assert_eq!(host.engine.conflicts().count(), 1);
    release(&mut host, object(RANGE));
    assert_eq!(host.engine.conflicts().count(), 0, "it is right while this host stands by");
    claim(&mut host, &[object(RANGE)]);
    assert!(host.answers_for(guest(5)));
}

/// Who does not reply may be on the other host.
#[test]
fn of_a_part_that_is_claimed_only_guests_that_are_there_are_announced() {
    let mut host = Host::new(policy()).with_guest(guest(0x105), guest_mac(5));
    host.advertise(guest(0x105), guest_mac(5));
    host.pass(seconds(10));
    claim(&mut host, &[object("2001:db8:1:2:c::100/120")]);
    host.pass(seconds(3));
    let link = host.engine.identified().claims().next().and_then(|claim| claim.link);
    assert_eq!(link, Some(crate::host::BRIDGE));
    let said: Vec<_> = announced(&host.take()).into_iter().collect();
    assert_eq!(said, [guest(0x105)]);
}

/// A guest that is told by its MAC is asked where another host announces it, but not here: the other host has its range.
#[test]
fn a_guest_with_a_mac_that_another_host_announces_is_not_asked_either() {
    let mut policy = policy();
    Arc::make_mut(&mut policy.guests[0]).mac = Some(guest_mac(7));
    let mut host = Host::new(policy);
    host.pass(seconds(10));
    assert!(host.is_live(guest(0x1000)));
    host.take();
    host.input(Input::Advertisement(
        UP,
        Advertisement {
            destination: address("ff02::1"),
            flags: Flags { router: false, solicited: false, override_entry: true },
            ..reply(guest(0x1000), OTHER)
        },
    ));
    host.pass(seconds(5));
    assert!(probes(&host.take()).iter().all(|probe| probe.target != guest(0x1000)));
}

/// The other host answers for it then.
#[test]
fn the_program_forgets_the_guests_of_a_range_that_is_released() {
    let mut policy = policy();
    policy.upstreams[0].backend = Backend::Tc;
    policy.guests.clear();
    let mut host = Host::new(policy).with_guest(guest(5), guest_mac(5));
    host.input(Input::ProgramChanged(UP, Outcome::Done));
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(2));
    assert_eq!(host.engine.program_of(guest(5)), None);
    claim(&mut host, &[object(RANGE)]);
    host.pass(seconds(2));
    assert_eq!(host.engine.program_of(guest(5)), Some(UP));
    host.take();
    release(&mut host, object(RANGE));
    assert_eq!(host.engine.program_of(guest(5)), None);
    let is_told =
        |output: &Output| matches!(output, Output::Mirror(UP, told) if told.contains(&(guest(5), None)));
    assert!(host.take().iter().any(is_told));
}
