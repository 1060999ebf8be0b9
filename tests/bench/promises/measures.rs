//! The promises of shared/rules.md and the README that name a time, or say "at once".

use std::collections::HashSet;
use std::fmt::Write;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::Promise;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, c, d};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;
use crate::veths::{VETH_GATEWAY, Veths, e};

/// In the order of the table.
pub(crate) const PROMISES: &[Promise] = &[
    Promise { name: "the first answer for a guest that nobody knew", within: SECOND, measure: first_answer },
    Promise { name: "the answer for a known guest", within: SECOND, measure: known_answer },
    Promise { name: "the last of 1,000 answers to one burst of questions", within: TRIES, measure: burst },
    Promise { name: "a removed route is back", within: SECOND, measure: route_back },
    Promise { name: "the guests' gateway is back", within: SECOND, measure: gateway_back },
    Promise { name: "a guest is withdrawn whose veth is deleted", within: SECOND, measure: withdrawn },
    Promise { name: "a guest's route follows it to another veth", within: SECOND, measure: moved },
    Promise { name: "answers after the upstream was down", within: SECOND, measure: upstream_back },
    Promise { name: "answers after a downstream was made anew", within: SECOND, measure: downstream_back },
    Promise { name: "the longest silence over a restart (three tries)", within: TRIES, measure: restart },
    Promise { name: "out after SIGTERM: two downstreams", within: STOP, measure: stop },
    Promise {
        name: "out after SIGTERM: 2,000 downstreams, a guest each",
        within: STOP,
        measure: crowded_stop,
    },
];

const SECOND: Duration = Duration::from_secs(1);
/// A router asks three times, a second apart.
const TRIES: Duration = Duration::from_secs(3);
const STOP: Duration = Duration::from_secs(2);

fn first_answer(_: bool) -> Duration {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both());
    answer_after(&mut Link::open(&lab), GUEST)
}

fn known_answer(_: bool) -> Duration {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both());
    let mut link = Link::open(&lab);
    answer_after(&mut link, GUEST);
    answer_after(&mut link, GUEST)
}

fn burst(_: bool) -> Duration {
    let lab = Lab::veth();
    let targets: Vec<Ipv6Addr> = (0x1000..0x1000 + 1000).map(c).collect();
    let batch = targets.iter().map(|target| format!("addr add {target}/128 dev eth0 nodad\n"));
    lab.guest.ip(&batch.collect::<String>());
    let _daemon = Daemon::start(&lab, both());
    let mut link = Link::open(&lab);
    let mut missing: HashSet<Ipv6Addr> = targets.into_iter().collect();
    let start = Instant::now();
    while !missing.is_empty() {
        assert!(start.elapsed() < PATIENCE, "{} are not answered", missing.len());
        for target in missing.clone() {
            link.send(&Solicitation::multicast(ROUTER, target));
            collect(&mut link, Instant::now(), &mut missing);
        }
        collect(&mut link, Instant::now() + SECOND, &mut missing);
    }
    start.elapsed()
}

fn collect(link: &mut Link, deadline: Instant, missing: &mut HashSet<Ipv6Addr>) {
    while !missing.is_empty()
        && let Some(frame) = link.receive(deadline)
    {
        if let Some(target) = target_of(&frame, ADVERTISEMENT) {
            missing.remove(&target);
        }
    }
}

fn route_back(_: bool) -> Duration {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both());
    let ours = || lab.host.show("-o route show table all proto 64");
    let before = ours();
    lab.host.ip("route flush proto 64");
    time("the routes are back", || (ours() == before).then_some(()))
}

fn gateway_back(_: bool) -> Duration {
    let lab = Lab::veth();
    let settings = Settings::default().range(D, "gv1", "gateway = \"fe80::1\"");
    let _daemon = Daemon::start(&lab, settings);
    let is_there = || lab.host.show("addr show dev gv1").contains("fe80::1/64");
    assert!(is_there());
    lab.host.ip("addr del fe80::1/64 dev gv1");
    time("the gateway is back", || is_there().then_some(()))
}

fn withdrawn(_: bool) -> Duration {
    let veths = Veths::new(2);
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    veths.give(0, e(5));
    answer_after(&mut link, e(5));
    veths.routed(&[(e(5), 0)]);
    veths.lab.host.ip("link del vg0");
    time("the guest is without answer and route", || {
        let answers = link.advertisements(&Solicitation::multicast(ROUTER, e(5)));
        (answers.is_empty() && veths.routes() == Veths::wanted(&[])).then_some(())
    })
}

fn moved(_: bool) -> Duration {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    answer_after(&mut Link::open(&veths.lab), e(5));
    veths.routed(&[(e(5), 0)]);
    veths.take(0, e(5));
    veths.give_with_dad(1, e(5));
    time("its route has followed", || (veths.routes() == Veths::wanted(&[(e(5), 1)])).then_some(()))
}

fn upstream_back(_: bool) -> Duration {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both());
    let mut link = Link::open(&lab);
    answer_after(&mut link, PLAIN);
    lab.host.ip("link set up0 down");
    lab.host.ip("link set up0 up\naddr add fe80::2/64 dev up0 nodad");
    answered_again(&mut link, PLAIN)
}

fn downstream_back(_: bool) -> Duration {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, both());
    let mut link = Link::open(&lab);
    answer_after(&mut link, PLAIN);
    lab.host.ip("link del gv1");
    lab.host.ip(&format!("link add gv1 type veth peer name eth0 netns {}", lab.plain.path()));
    lab.plain.ip("link set eth0 up");
    lab.host.ip(&format!(
        "link set gv1 up\naddr add fe80::b1/64 dev gv1 nodad\naddr add {}/128 dev gv1 nodad",
        d(1)
    ));
    lab.plain.ip(&format!("addr add {PLAIN}/128 dev eth0 nodad\nroute add default via fe80::b1 dev eth0"));
    answered_again(&mut link, PLAIN)
}

/// As `systemctl restart` does it; the routes are kept meanwhile.
fn restart(_: bool) -> Duration {
    let lab = Lab::veth();
    let settings = || both().rest("[routes]\non-stop = \"keep\"\n");
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    answer_after(&mut link, GUEST);
    let start = Instant::now();
    daemon.stop();
    let _daemon = Daemon::start(&lab, settings());
    answered_again(&mut link, GUEST);
    start.elapsed()
}

fn stop(_: bool) -> Duration {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both());
    answer_after(&mut Link::open(&lab), GUEST);
    stopped(daemon)
}

fn crowded_stop(is_quick: bool) -> Duration {
    let count: u16 = if is_quick { 100 } else { 2000 };
    let (lab, guests) = (Lab::veth(), Namespace::new());
    let mut links = String::new();
    for n in 0..count {
        writeln!(links, "link add vg{n} type veth peer name g{n} netns {}", guests.path()).unwrap();
        writeln!(links, "link set vg{n} up").unwrap();
    }
    lab.host.ip(&links);
    guests.ip(&(0..count).map(|n| format!("link set g{n} up\n")).collect::<String>());
    let gateways = (0..count).map(|n| format!("addr add {VETH_GATEWAY}/64 dev vg{n} nodad\n"));
    lab.host.ip(&gateways.collect::<String>());
    let daemon = Daemon::start(&lab, Veths::settings().rest("[timers]\nretransmit = \"1h\"\n"));
    // An administrator knows where they are; how they are found is another matter.
    let known = (0..count)
        .map(|n| format!("neigh add {} lladdr 02:00:00:00:01:05 dev vg{n} nud permanent\n", e(0x1000 + n)));
    lab.host.ip(&known.collect::<String>());
    eventually("every guest has its route", PATIENCE, || {
        let routes = lab.host.show("-o route show table all proto 64");
        (routes.matches(" dev vg").count() == usize::from(count)).then_some(())
    });
    let time = stopped(daemon);
    assert_eq!(lab.host.show("route show table all proto 64"), "", "everything is given back");
    time
}

fn both() -> Settings {
    Settings::default().range(C, "br0", "").range(D, "gv1", "")
}

/// From one question to its answer.
fn answer_after(link: &mut Link, target: Ipv6Addr) -> Duration {
    let question = Solicitation::multicast(ROUTER, target);
    let start = Instant::now();
    link.send(&question);
    link.hear(&question, PATIENCE);
    let time = start.elapsed();
    link.settle();
    time
}

/// From now to the first answer, of somebody who asks without pause.
fn answered_again(link: &mut Link, target: Ipv6Addr) -> Duration {
    let question = Solicitation::multicast(ROUTER, target);
    time("it is answered for again", || {
        link.send(&question);
        let deadline = Instant::now() + Duration::from_millis(20);
        std::iter::from_fn(|| link.receive(deadline))
            .any(|frame| target_of(&frame, ADVERTISEMENT) == Some(target))
            .then_some(())
    })
}

fn time(what: &str, look: impl FnMut() -> Option<()>) -> Duration {
    let start = Instant::now();
    eventually(what, PATIENCE, look);
    start.elapsed()
}

fn stopped(daemon: Daemon) -> Duration {
    let start = Instant::now();
    daemon.stop();
    start.elapsed()
}
