//! Whose turn it is: a flood on one interface holds up neither the other interfaces nor the kernel's word nor the
//! timers, and what happens to a socket loses no question and keeps no CPU busy.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{Lab, ROUTER, UPSTREAM_GLOBAL};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::{Asker, Solicitation};
use crate::veths::{VETH_GATEWAY, Veths, e, probes};

crate::cases![
    a_flood_holds_up_neither_other_interfaces_nor_the_kernels_word,
    a_flood_holds_up_no_timer,
    hears_every_question_again_whenever_its_upstream_goes_down_in_a_flood,
    computes_next_to_nothing_once_its_upstream_is_down,
];

/// Asks for a live guest as fast as it can until `work` is done. Returns how often it asked.
fn while_flooded(lab: &Lab, work: impl FnOnce()) -> u64 {
    let is_over = AtomicBool::new(false);
    let flood = || {
        let router = Endpoint::open(&lab.router, "rt0");
        let frame = Solicitation::multicast(ROUTER, e(5)).frame();
        let mut asked = 0_u64;
        while !is_over.load(Ordering::Relaxed) {
            // Refused while the other end is down.
            asked += u64::from(router.socket().send(&frame).is_ok());
        }
        asked
    };
    /// The flood ends also when the work fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        let flood = scope.spawn(flood);
        let over = Over(&is_over);
        work();
        drop(over);
        flood.join().expect("nothing in it fails")
    })
}

/// One live guest, who is asked for.
fn serving(count: usize) -> (Veths, Daemon, Link) {
    let veths = Veths::new(count);
    veths.give(0, e(5));
    let daemon = Daemon::start(&veths.lab, Veths::settings().upstream("announce = false\n"));
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    (veths, daemon, link)
}

fn a_flood_holds_up_neither_other_interfaces_nor_the_kernels_word() {
    let count = 200;
    let (veths, daemon, _link) = serving(1);
    let guests = Namespace::new();
    guests
        .sysctls(&[("net/ipv6/conf/default/accept_dad", "1"), ("net/ipv6/conf/default/dad_transmits", "1")]);
    let asked = while_flooded(&veths.lab, || {
        // Interfaces come, of which the kernel tells; and on each a guest checks its address, which is heard there.
        let mut batch = String::new();
        for n in 0..count {
            writeln!(batch, "link add vgm{n} type veth peer name m{n} netns {}", guests.path()).unwrap();
            writeln!(batch, "link set vgm{n} up\naddr add {VETH_GATEWAY}/64 dev vgm{n} nodad").unwrap();
        }
        veths.lab.host.ip(&batch);
        let batch: String = (0..count)
            .map(|n| format!("link set m{n} up\naddr add {}/128 dev m{n}\n", e(0x1000 + n)))
            .collect();
        guests.ip(&batch);
        let routed = || {
            let routes = veths.lab.host.show("-o route show table all proto 64");
            routes.lines().filter(|line| line.contains(" dev vgm")).count()
        };
        eventually("every guest has its route", 3 * PATIENCE, || {
            (routed() == usize::from(count)).then_some(())
        });
        let batch: String = (0..count).map(|n| format!("link del vgm{n}\n")).collect();
        veths.lab.host.ip(&batch);
        eventually("no guest has one", 3 * PATIENCE, || {
            (veths.routes() == Veths::wanted(&[(e(5), 0)])).then_some(())
        });
    });
    eprintln!("{asked} questions meanwhile");
    daemon.stop();
}

fn a_flood_holds_up_no_timer() {
    let (veths, daemon, mut link) = serving(2);
    let mut guest = Endpoint::open(&veths.guests[1], "eth0");
    let asked = while_flooded(&veths.lab, || {
        // Nobody has it: it is looked for three times, a second apart.
        link.send(&Solicitation::multicast(ROUTER, e(0x77)));
        let mut seen = 0;
        eventually("three probes", 3 * PATIENCE, || {
            seen += probes(&mut guest, 1, e(0x77)).len();
            (seen >= 3).then_some(())
        });
    });
    eprintln!("{asked} questions meanwhile");
    daemon.stop();
}

/// Asks until the guest is answered for again. The asker is another than that of the flood.
fn answered_again(link: &mut Link) {
    let asker = Asker { address: "fe80::77".parse().unwrap(), ..ROUTER };
    let question = Solicitation::multicast(asker, e(5));
    eventually("answered for again", PATIENCE, || {
        link.send(&question);
        let deadline = Instant::now() + Duration::from_millis(20);
        while let Some(frame) = link.receive(deadline) {
            let is_ours =
                target_of(&frame, ADVERTISEMENT) == Some(e(5)) && frame[38..54] == asker.address.octets();
            if is_ours {
                return Some(());
            }
        }
        None
    });
}

fn up_again(lab: &Lab) {
    lab.host.ip(&format!(
        "link set up0 up
         addr add fe80::2/64 dev up0 nodad
         addr add {UPSTREAM_GLOBAL}/64 dev up0 nodad
         route replace default via fe80::1 dev up0"
    ));
}

fn hears_every_question_again_whenever_its_upstream_goes_down_in_a_flood() {
    let (veths, daemon, mut link) = serving(1);
    let asked = while_flooded(&veths.lab, || {
        for _ in 0..10 {
            // The socket says so once, at whatever moment: before a batch, within one, or behind it.
            veths.lab.host.ip("link set up0 down");
            up_again(&veths.lab);
            answered_again(&mut link);
        }
    });
    eprintln!("{asked} questions meanwhile");
    answered_again(&mut link);
    daemon.stop();
}

fn computes_next_to_nothing_once_its_upstream_is_down() {
    let (veths, daemon, mut link) = serving(1);
    while_flooded(&veths.lab, || veths.lab.host.ip("link set up0 down"));
    let (cpu, clock) = (daemon.cpu(), Instant::now());
    // Somebody else's pings take as long as they take; the host's clock runs meanwhile.
    veths.lab.router.output("ping", "-c 4 -i 1 ::1");
    let (cpu, lived) = (daemon.cpu() - cpu, clock.elapsed());
    eprintln!("with its upstream down: {cpu:.1?} of CPU in {lived:.1?}");
    // A loop that never rests takes all that it gets, and gets a good part also where others want it too.
    assert!(cpu <= lived / 10 + Duration::from_millis(100), "{cpu:?} in {lived:?}");
    up_again(&veths.lab);
    answered_again(&mut link);
    daemon.stop();
}
