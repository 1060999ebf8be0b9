//! Guests that move again before the move before is over, and more often than RFC 7432 §15.1 allows.

use super::*;

impl Cluster {
    /// Which of them say that the guest is here.
    fn having(&self) -> [bool; 2] {
        self.0.each_ref().map(|host| missing(host).is_none())
    }
}

#[test]
fn a_second_after_the_last_move_one_host_has_it_however_soon_it_came_after_the_one_before() {
    for gap in (10..1_500).step_by(35) {
        let mut cluster = Cluster::new();
        cluster.move_to(0);
        cluster.pass(seconds(5));
        for to in [1, 0, 1] {
            cluster.move_to(to);
            cluster.pass(millis(gap));
            assert!(cluster.having()[to], "{gap} ms: at once");
        }
        cluster.pass(millis(1_000_u64.saturating_sub(gap)));
        assert_eq!(cluster.having(), [false, true], "{gap} ms");
        assert_eq!(cluster.answering(), [false, true], "{gap} ms");
        cluster.pass(seconds(30));
        assert_eq!(cluster.answering(), [false, true], "{gap} ms: and it stays");
    }
}

#[test]
fn one_that_was_away_and_replies_is_announced_at_once_however_often_it_has_moved() {
    let mut cluster = Cluster::new();
    let mut flapping = 0;
    for turn in 0..60 {
        let to = turn % 2;
        cluster.move_to(to);
        let outputs = cluster.pass(millis(20));
        assert!(announcements(&outputs[to]) > 0, "turn {turn}: at once");
        assert!(cluster.answering()[to], "turn {turn}: at once");
        cluster.pass(seconds(1));
        assert_eq!(cluster.having(), [to == 0, to == 1], "turn {turn}");
        assert_eq!(cluster.answering(), [to == 0, to == 1], "turn {turn}");
        cluster.pass(millis(500));
        flapping +=
            cluster.0.each_ref().map(|host| host.engine.identified().count_moves().1).iter().sum::<usize>();
    }
    assert!(flapping > 80, "it is told all the same: {flapping}");
}

#[test]
fn one_that_was_away_and_does_not_reply_is_not_announced_before_the_link_was_asked() {
    let mut host = Host::new(policy());
    for turn in 0..8 {
        host.input(Input::Arrived(BRIDGE, MAC));
        host.pass(millis(900));
        let outputs = host.take();
        assert_eq!(announcements(&outputs) > 0, turn < 5, "turn {turn}");
        host.pass(seconds(4));
        assert!(host.answers_for(guest(5)), "turn {turn}: nobody else has it");
        host.take();
        host.input(Input::Advertisement(UP, announced_elsewhere()));
        host.pass(seconds(1));
        assert!(!host.is_live(guest(5)), "turn {turn}");
    }
}

#[test]
fn one_that_is_slow_to_reply_is_not_routed_until_it_does() {
    let is_routed = |host: &Host| host.kernel.iter().any(|route| route.destination.addr() == guest(5));
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.guests.clear();
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    host.pass(millis(49));
    assert!(is_routed(&host));
    host.pass(millis(2));
    assert!(!is_routed(&host) && host.is_live(guest(5)));
    host.input(Input::Advertisement(BRIDGE, reply(guest(5), MAC)));
    assert!(is_routed(&host) && missing(&host).is_none());
}

#[test]
fn one_that_comes_and_goes_too_often_is_told_and_announced_no_more_unasked() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    for turn in 0..8 {
        host.facts(vec![bridge(LinkState::Up)]);
        host.input(Input::Arrived(BRIDGE, MAC));
        host.pass(seconds(2));
        let outputs = host.take();
        let asked = probes(&outputs).iter().any(|probe| probe.is_dad() && probe.target == guest(5));
        let wanted = match turn {
            0..5 => (vec![GuestMove::Arrived(BRIDGE)], false),
            5 => (vec![GuestMove::Flaps(BRIDGE)], true),
            _ => (vec![], true),
        };
        assert_eq!((moves(&outputs), asked), wanted, "turn {turn}");
        assert!(
            host.answers_for(guest(5)) && host.engine.identified().count_moves().1 == usize::from(turn > 4)
        );
        host.facts(vec![bridge(LinkState::Down)]);
        host.pass(seconds(1));
        host.take();
    }
    host.facts(vec![bridge(LinkState::Up)]);
    host.pass(seconds(180));
    assert_eq!(moves(&host.take()), [GuestMove::Quiet]);
    host.input(Input::Arrived(BRIDGE, MAC));
    assert_eq!(moves(&host.take()), [GuestMove::Arrived(BRIDGE)]);
}

#[test]
fn one_that_flaps_is_found_where_it_stays() {
    let mut cluster = Cluster::new();
    for turn in 0..14 {
        cluster.move_to(turn % 2);
        cluster.pass(seconds(3));
    }
    assert!(cluster.0.iter().any(|host| host.engine.identified().count_moves().1 == 1));
    // Where it came last the link is asked, and the other host asks the guest before it defends it.
    cluster.pass(seconds(60));
    assert_eq!(cluster.answering(), [false, true]);
    cluster.pass(seconds(180));
    cluster.move_to(0);
    assert_eq!(announcements(&cluster.pass(millis(20))[0]), 1);
}
