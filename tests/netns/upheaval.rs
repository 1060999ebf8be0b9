//! What must not matter in the end: being killed at any moment, guests that come and go by the
//! thousand, and more changes at once than the kernel's queue holds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{Lab, ROUTER};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;
use crate::veths::{E, VETH_GATEWAY, Veths, e};

crate::cases![
    leaves_nothing_wrong_however_often_it_is_killed,
    is_as_it_was_after_a_thousand_guests_came_and_went,
    finds_out_what_happened_when_changes_were_lost,
    answers_while_ten_thousand_routes_come_and_go,
];

/// A number that somebody who has time can make larger.
fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn leaves_nothing_wrong_however_often_it_is_killed() {
    let veths = Veths::new(3);
    // What others have there, around ours: another metric, another table, inside, around.
    veths.lab.host.ip(&format!(
        "route add {}/128 dev vg2 proto static metric 2000
         route add {}/128 dev vg2 proto static table 77
         route add 2001:db8:1:2:e::8000/120 dev vg2 proto static
         route add unreachable 2001:db8:1:2:e::/96 proto static",
        e(5),
        e(5)
    ));
    let foreign = || {
        let routes = veths.lab.host.show("-o route show table all");
        routes.lines().filter(|line| !line.contains("proto 64")).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let before = foreign();
    let live = [(e(5), 0), (e(6), 1), (e(7), 2)];
    for (address, number) in live {
        veths.give(number, address);
    }
    let mut link = Link::open(&veths.lab);
    let mut seen = BTreeSet::new();
    for round in 0..number("LONE64_KILLS", 30) {
        let daemon = Daemon::start_unready(&veths.lab, Veths::settings());
        // It is killed while it starts, while it learns of its guests, or while it serves.
        for step in 0..round % 6 {
            for (address, _) in live.iter().take(step as usize) {
                link.send(&Solicitation::multicast(ROUTER, *address));
            }
            // Looking takes some milliseconds each time, and tells what a successor will find.
            seen.insert(veths.routes());
        }
        daemon.kill();
        assert_eq!(foreign(), before, "after {round} kills");
    }
    eprintln!("killed in {} different states of its routes", seen.len());
    let clock = Instant::now();
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    let ready = clock.elapsed();
    link.advertisements(&Solicitation::multicast(ROUTER, e(0x999)));
    for (address, _) in live {
        link.answered(&Solicitation::multicast(ROUTER, address));
    }
    veths.routed(&live);
    eprintln!("ready {ready:.1?} after its start, the guests answered {:.1?} after it", clock.elapsed());
    daemon.stop();
    assert_eq!(veths.lab.host.show("route show table all proto 64"), "");
    assert_eq!(foreign(), before);
}

/// Sockets and groups of the host's namespace, and what the daemon holds.
fn held(veths: &Veths, daemon: &Daemon) -> (Vec<String>, usize, usize, usize) {
    let count = |file: &str| {
        let path = format!("/proc/thread-self/net/{file}");
        veths.lab.host.run(|| std::fs::read_to_string(path).expect("/proc is mounted").lines().count())
    };
    (veths.routes(), count("packet"), count("igmp6"), daemon.descriptors())
}

fn is_as_it_was_after_a_thousand_guests_came_and_went() {
    let cycles = u16::try_from(number("LONE64_CYCLES", 1000) / 4).expect("fits the range");
    let veths = Veths::new(0);
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    let guests: Vec<_> = (0..4).map(|_| Namespace::new()).collect();
    let stream = |stream: u16, cycles: u16| {
        let mut router = Endpoint::open(&veths.lab.router, "rt0");
        for cycle in 0..cycles {
            one_guest(&veths.lab, &guests[usize::from(stream)], stream, e(stream << 12 | cycle), &mut router);
        }
    };
    let all = |cycles: u16| {
        thread::scope(|scope| (0..4).for_each(|n| _ = scope.spawn(move || stream(n, cycles))));
    };
    // What is allocated once, is.
    all(10);
    let settled = || {
        eventually("every guest is forgotten", PATIENCE, || {
            let now = held(&veths, &daemon);
            (now.0 == Veths::wanted(&[])).then_some(now)
        })
    };
    let before = settled();
    let (memory, clock) = (daemon.memory(), Instant::now());
    all(cycles);
    eventually("it holds what it held", PATIENCE, || (held(&veths, &daemon) == before).then_some(()));
    let grown = daemon.memory().saturating_sub(memory);
    eprintln!("4 x {cycles} guests in {:.1?}, memory grew by {grown} KiB", clock.elapsed());
    // Less than any leak of so many. The index of targets is one piece for as many as may be known, of which each
    // new address touches another page, until all of its 640 KiB are in use.
    assert!(grown < 2 << 10, "memory grew by {grown} KiB");
    daemon.stop();
}

/// A guest appears, is reached, and is gone.
fn one_guest(lab: &Lab, guest: &Namespace, stream: u16, address: Ipv6Addr, router: &mut Endpoint) {
    lab.host.ip(&format!(
        "link add vg{stream} type veth peer name g{stream} netns {}
         link set vg{stream} up
         addr add {VETH_GATEWAY}/64 dev vg{stream} nodad",
        guest.path()
    ));
    guest.ip(&format!("link set g{stream} up\naddr add {address}/128 dev g{stream} nodad"));
    let question = Solicitation::multicast(ROUTER, address);
    eventually("the guest is answered for", PATIENCE, || {
        router.send(&question.frame());
        let deadline = Instant::now() + Duration::from_millis(20);
        while let Some(frame) = router.receive(deadline) {
            if target_of(&frame, ADVERTISEMENT) == Some(address) {
                return Some(());
            }
        }
        None
    });
    lab.host.ip(&format!("link del vg{stream}"));
}

fn finds_out_what_happened_when_changes_were_lost() {
    let count = number("LONE64_STORM_LINKS", 5000) / 2;
    let veths = Veths::new(3);
    let live = [(e(5), 0), (e(6), 1)];
    for (address, number) in live {
        veths.give(number, address);
    }
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    for (address, _) in live {
        link.answered(&Solicitation::multicast(ROUTER, address));
    }
    veths.routed(&live);
    // While it cannot read, links appear by the thousand, and other things happen that it will have
    // to find out: a guest is gone with its veth, another's route is removed, a third one appears.
    daemon.freeze();
    let mut batch = String::new();
    for n in 0..count {
        writeln!(batch, "link add s{n} type veth peer name t{n}").unwrap();
    }
    veths.lab.host.ip(&batch);
    veths.lab.host.ip(&format!(
        "link del vg0
         route del {}/128 dev vg1 proto 64
         route add {}/128 dev vg2 proto 64 metric 1024
         route del unreachable {E} dev lo proto 64",
        e(6),
        e(0x77)
    ));
    veths.give(2, e(7));
    daemon.thaw();
    // The third one's report may have been heard by then.
    let wanted = [Veths::wanted(&[(e(6), 1)]), Veths::wanted(&[(e(6), 1), (e(7), 2)])];
    eventually("it knows again", PATIENCE, || wanted.contains(&veths.routes()).then_some(()));
    link.unanswered(&Solicitation::multicast(ROUTER, e(5)));
    link.answered(&Solicitation::multicast(ROUTER, e(6)));
    link.answered(&Solicitation::multicast(ROUTER, e(7)));
    veths.routed(&[(e(6), 1), (e(7), 2)]);
    // Some go while it reads: whether changes are lost now or not must not matter either.
    let batch: String = (0..count.min(100)).map(|n| format!("link del s{n}\n")).collect();
    veths.lab.host.ip(&batch);
    veths.lab.router.ping(&format!("{}", e(6)));
    let said = daemon.stop();
    assert!(said.contains("some were lost"), "changes were lost, and it noticed: {said}");
    assert_eq!(veths.routes(), Vec::<String>::new());
}

fn answers_while_ten_thousand_routes_come_and_go() {
    let count = u16::try_from(number("LONE64_ROUTES", 10_000)).expect("fits the range");
    let veths = Veths::new(2);
    veths.give(1, e(5));
    let daemon = Daemon::start(&veths.lab, Veths::settings().upstream("announce = false\n"));
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    // Guests that an administrator has pinned; entries of his are not counted against the table's limit.
    let pinned: String = (0..count)
        .map(|n| format!("neigh add {} lladdr 02:00:00:00:00:a0 dev vg0 nud permanent\n", e(0x1000 + n)))
        .collect();
    let ours = || veths.lab.host.show("-o route show table all proto 64").matches(" dev vg0 ").count();
    for (batch, wanted) in [(pinned.as_str(), usize::from(count)), ("link set vg0 down", 0)] {
        let clock = Instant::now();
        let waits = thread::scope(|scope| {
            let change = scope.spawn(|| {
                veths.lab.host.ip(batch);
                eventually("the routes have followed", 3 * PATIENCE, || (ours() == wanted).then_some(()));
            });
            let mut waits = Vec::new();
            while !change.is_finished() {
                let question = Solicitation::multicast(ROUTER, e(5));
                let sent = Instant::now();
                link.send(&question);
                // How late is for whoever runs it alone to read; that it comes is what counts.
                link.hear(&question, PATIENCE);
                waits.push(sent.elapsed());
            }
            waits
        });
        let worst = waits.iter().max().expect("a batch takes longer than an answer");
        eprintln!(
            "{wanted} routes after {:.1?}; {} answers meanwhile, the latest after {worst:.1?}",
            clock.elapsed(),
            waits.len()
        );
    }
    daemon.stop();
}
