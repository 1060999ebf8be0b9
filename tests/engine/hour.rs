//! An hour of protocol with a thousand guests, in a moment.

use lone64::engine::Event;
use lone64::wire::DropReason;

use crate::host::{
    Host, UP, advertisements, events, guest, guest_mac, live, millis, probes, question, seconds,
};

const GUESTS: u16 = 1_000;

fn host_with_a_thousand_guests() -> Host {
    let mut host = Host::new(live());
    for number in 0..GUESTS {
        host.guests.insert(guest(number), guest_mac(number));
    }
    host
}

#[test]
fn a_thousand_guests_asked_for_in_one_burst_are_all_answered_for() {
    let mut host = host_with_a_thousand_guests();
    for number in 0..GUESTS {
        host.solicit(question(guest(number)));
    }
    let outputs = host.take();
    assert_eq!((advertisements(&outputs).len(), probes(&outputs).len()), (1_000, 1_000));
    for number in 0..GUESTS {
        host.solicit(question(guest(number)));
    }
    let outputs = host.take();
    assert_eq!(
        (advertisements(&outputs).len(), probes(&outputs).len()),
        (1_000, 0),
        "and now they are known"
    );
}

#[test]
fn an_hour_passes_without_an_answer_too_few_or_a_probe_too_many() {
    let mut host = host_with_a_thousand_guests();
    for number in 0..GUESTS {
        host.solicit(question(guest(number)));
    }
    assert_eq!(host.answers().len(), usize::from(GUESTS));
    // Every guest is asked for once in 30 s, as routers do; a scanner asks for dead targets besides.
    let (mut asked, mut answered, mut sent) = (0, 0, 0);
    for tick in 0u32..3_600 * 10 {
        for n in 0..3 {
            let number = u16::try_from((tick * 3 + n) % u32::from(GUESTS)).unwrap();
            host.solicit(question(guest(number)));
            asked += 1;
        }
        host.solicit(question(guest(2_000 + u16::try_from(tick % 50_000).unwrap())));
        host.pass(millis(100));
        let outputs = host.take();
        answered += advertisements(&outputs).len();
        sent += probes(&outputs).len();
        assert_eq!(events(&outputs), [], "nobody came or went");
    }
    assert_eq!(answered, asked);
    assert!((0..GUESTS).all(|number| host.is_live(guest(number))));
    // The dead cost three probes each, less those over the limit; the living one a minute at most.
    assert!(sent <= 3 * 36_000 + 1_000 * 125, "{sent} probes");
    assert!(host.engine.known_targets() <= 1_000 + 10 * 7, "the dead are forgotten");
}

#[test]
fn when_all_of_them_stop_all_are_gone_within_a_keepalive_and_its_retries() {
    let mut host = host_with_a_thousand_guests();
    for number in 0..GUESTS {
        host.solicit(question(guest(number)));
    }
    host.guests.clear();
    host.take();
    host.pass(seconds(66));
    let gone = host.events().iter().filter(|event| matches!(event, Event::Gone(..))).count();
    assert_eq!(gone, usize::from(GUESTS));
    host.pass(seconds(10));
    assert_eq!(host.engine.known_targets(), 0);
    assert_eq!(host.engine.next_timeout(), None);
}

#[test]
fn an_hour_of_silence_is_kept_with_one_probe_a_minute_for_each_guest() {
    let mut host = host_with_a_thousand_guests();
    for number in 0..GUESTS {
        host.solicit(question(guest(number)));
    }
    host.take();
    host.pass(seconds(3_600));
    assert_eq!(host.probes().len(), 60 * usize::from(GUESTS));
    assert!(host.engine.counters().of(UP).dropped(DropReason::Absent) == 0);
}
