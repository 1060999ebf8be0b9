//! What the administrator wants to know of a target: it is asked for at once.

use lone64::engine::{Input, Outcome};
use lone64::wire::{MldRecord, MldRecordKind, MldReport, MldVersion, solicited_node};

use crate::host::{BRIDGE, Host, address, guest, guest_mac, live, millis, seconds};

fn wanted(host: &mut Host) -> usize {
    host.take();
    host.input(Input::Ask(guest(5)));
    host.probes().len()
}

#[test]
fn one_that_is_live_is_answered_for_meanwhile() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(5));
    assert_eq!(wanted(&mut host), 1);
    assert!(host.is_live(guest(5)) && host.answers_for(guest(5)));
}

#[test]
fn who_waits_for_one_that_is_being_asked_waits_on() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    assert_eq!(wanted(&mut host), 0, "it is being asked");
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn one_that_nobody_has_asked_for_yet_is_asked_once_more() {
    let mut host = Host::new(live());
    host.input(Input::EarChanged(BRIDGE, Outcome::Done));
    let record = MldRecord { kind: MldRecordKind::Begin, group: solicited_node(guest(5)) };
    host.input(Input::Report(
        BRIDGE,
        MldReport {
            source_mac: guest_mac(5),
            source: address("fe80::99"),
            version: MldVersion::V2,
            records: vec![record],
        },
    ));
    host.pass(millis(500));
    assert_eq!(host.probes().len(), 1, "it has reported its group");
    assert_eq!(wanted(&mut host), 1);
    host.pass(seconds(10));
    assert_eq!(host.probes().len(), 2, "three in all, as for any other");
}
