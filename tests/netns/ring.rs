//! The ring in which the frames of an upstream arrive: frames of any length, once around it, and a daemon that inherits it.

use std::fs;
use std::net::Ipv6Addr;

use nix::unistd::close;

use crate::client::lone64;
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Solicitation, option};

crate::cases![
    answers_long_questions_between_short_ones,
    answers_more_questions_than_the_ring_has_room_for,
    inherits_the_ring_with_the_questions_in_it,
];

/// The daemon has mapped the memory of a socket.
fn has_ring(daemon: &Daemon) -> bool {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("it runs");
    maps.lines().any(|line| line.contains("socket:"))
}

fn always() -> Settings {
    Settings::default().range(C, "br0", "").range(D, "gv1", "answer = \"always\"")
}

fn target(number: u16) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, _] = D.split('/').next().unwrap().parse::<Ipv6Addr>().unwrap().segments();
    Ipv6Addr::new(a, b, c, d, e, f, g, number)
}

fn answers_long_questions_between_short_ones() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, always());
    assert!(has_ring(&daemon));
    let mut link = Link::open(&lab);
    // A slot holds 190 bytes, and a frame of the link 1,514.
    for (number, length) in (1..).zip([0, 88, 96, 104, 112, 400, 1_416]) {
        for target in [target(number), GUEST] {
            let long = Solicitation::multicast(ROUTER, target);
            let unknown = match length {
                0 => Vec::new(),
                length => option(253, &vec![0xaa; length - 2]),
            };
            link.answered(&long.with(|question| question.options.extend(unknown)));
            link.answered(&Solicitation::multicast(ROUTER, target));
        }
    }
    // The socket tells that once, when its queue is read, and the queue has the long ones.
    lab.host.sysctls(&[("net/ipv6/conf/up0/keep_addr_on_down", "1")]);
    lab.host.ip("link set up0 down");
    lab.host.ip("link set up0 up");
    let short = Solicitation::multicast(ROUTER, target(9));
    eventually("it answers again", PATIENCE, || (!link.advertisements(&short).is_empty()).then_some(()));
    let long = |number| Solicitation::multicast(ROUTER, target(number));
    for number in 10..13 {
        link.answer(&long(number).with(|question| question.options.extend(option(253, &[0xaa; 398]))));
    }
}

fn answers_more_questions_than_the_ring_has_room_for() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, always());
    assert!(has_ring(&daemon));
    let mut link = Link::open(&lab);
    let numbers: Vec<u16> = (1..=9_000).collect();
    for some in numbers.chunks(60) {
        some.iter().for_each(|number| link.send(&Solicitation::multicast(ROUTER, target(*number))));
        assert_eq!(link.settle().len(), some.len());
    }
}

fn inherits_the_ring_with_the_questions_in_it() {
    let (lab, place) = (Lab::veth(), directory());
    let socket = place.join("control.sock");
    let settings = || always().rest(&format!("[control]\nsocket = \"{}\"\n", socket.display()));
    let mut daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    for first in [1, 1_001, 2_001] {
        assert!(has_ring(&daemon));
        link.answered(&Solicitation::multicast(ROUTER, target(first)));
        assert!(lone64(&socket, "hand-over").status.success());
        let (said, mut stored) = daemon.stop_and_keep();
        let Some((name, passed)) = stored.pop().filter(|_| stored.is_empty()) else { panic!("{said}") };
        assert_eq!(name, "lone64-upstream-ring");
        let questions = first + 1..first + 900;
        let questions: Vec<_> = questions.map(|n| Solicitation::multicast(ROUTER, target(n))).collect();
        questions.iter().for_each(|question| link.send(question));
        let pass = format!(
            "exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name} exec \"$0\" \"$@\"",
            passed
        );
        daemon = Daemon::start_under(&lab, &["bash", "-c", &pass], settings());
        close(passed).unwrap();
        let answered = link.settle();
        assert_eq!(answered.len(), questions.len());
    }
    fs::remove_dir_all(place).unwrap();
}
