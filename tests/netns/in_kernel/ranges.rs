//! Ranges with `answer = "always"`: the program answers for them as a whole, but for what is others'.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lone64::kernel::bpf::Maps;
use lone64::wire::program::{Verdict, range_key};
use serde_json::Value;

use super::flood::Flood;
use super::{maps, on_tc};
use crate::client::{ask, lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::mac;
use crate::ingress::answers;
use crate::lab::{C, Lab, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Asker, Solicitation, option};

crate::cases![
    a_range_is_answered_in_the_kernel_and_counted,
    what_is_excluded_or_another_range_inside_the_program_passes_on,
    an_address_of_the_upstream_and_one_of_a_rival_are_passed_on,
    a_reload_tells_what_is_another_and_loses_no_question,
    a_killed_daemon_and_its_successor_lose_no_question_for_a_range,
    a_range_is_answered_for_until_its_time_is_over,
    a_range_whose_interface_goes_is_answered_for_no_more,
];

fn settings(keys: &str) -> Settings {
    on_tc().range(C, "br0", &format!("answer = \"always\"\n{keys}"))
}

fn question(target: Ipv6Addr) -> Solicitation {
    Solicitation::multicast(ROUTER, target)
}

/// How many questions the program has answered for ranges.
fn by_range(lab: &Lab) -> u64 {
    maps(lab, "up0").unwrap().verdicts.verdicts().unwrap()[Verdict::Range as usize]
}

/// Whether the program answers for this prefix; none where it knows nothing of it.
fn told(maps: &Maps, prefix: &str) -> Option<bool> {
    let until = maps.ranges.get(&range_key(prefix.parse().unwrap())).unwrap()?;
    Some(until > 0)
}

fn until_told(lab: &Lab, prefix: &str, is_answered: Option<bool>) {
    // The kernel looks for the longest prefix that holds this one: what it names is there by its own key alone.
    let key = range_key(prefix.parse().unwrap()).to_vec();
    eventually("the program is told", PATIENCE, || {
        let maps = maps(lab, "up0")?;
        let is_there = maps.ranges.keys().unwrap().contains(&key);
        (is_there.then(|| told(&maps, prefix).unwrap()) == is_answered).then_some(())
    });
}

fn started(lab: &Lab, settings: Settings) -> Daemon {
    let daemon = Daemon::start(lab, settings);
    until_told(lab, C, Some(true));
    daemon
}

fn answered(daemon: &Daemon) -> u64 {
    status(daemon)["upstreams"][0]["counters"]["answered"].as_u64().unwrap()
}

fn a_range_is_answered_in_the_kernel_and_counted() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings(""));
    let mut router = Endpoint::open(&lab.router, "rt0");
    let before = answered(&daemon);
    daemon.freeze();
    for n in 1..=50 {
        assert_eq!(answers(&mut router, &question(c(n))).len(), 1, "{n}");
    }
    assert_eq!(by_range(&lab), 50, "nobody else answers while the daemon is stopped");
    daemon.thaw();
    eventually("all are counted", PATIENCE, || (answered(&daemon) == before + 50).then_some(()));
    // What is asked for again the daemon sees and answers, and each is counted once.
    let mut link = Link::open(&lab);
    let nonce = question(c(7)).with(|q| q.options.extend(option(14, &[7; 6])));
    link.answered(&nonce);
    assert_eq!(by_range(&lab), 50);
    let explained = lone64(&daemon.socket(), &format!("explain {} --json", c(7)));
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("answers plain solicitations for its range"), "{explained}");
    daemon.stop();
    assert!(maps(&lab, "up0").is_none());
}

fn what_is_excluded_or_another_range_inside_the_program_passes_on() {
    let lab = Lab::veth();
    let live = "2001:db8:1:2:c::4400/120";
    let keys = "exclude = [\"2001:db8:1:2:c::7\", \"2001:db8:1:2:c::10/124\"]";
    let daemon = started(&lab, settings(keys).range(live, "br0", "answer = \"live\""));
    let mut link = Link::open(&lab);
    for last in [7, 0x10, 0x1f, 0x4401] {
        link.unanswered(&question(c(last)));
    }
    let before = by_range(&lab);
    for last in [6, 8, 0xf, 0x20, 0x43ff, 0x4500] {
        link.answered(&question(c(last)));
    }
    assert_eq!(by_range(&lab), before + 6);
    let maps = maps(&lab, "up0").unwrap();
    let prefixes = [C, "2001:db8:1:2:c::7/128", "2001:db8:1:2:c::10/124", live];
    assert_eq!(
        prefixes.map(|prefix| told(&maps, prefix)),
        [Some(true), Some(false), Some(false), Some(false)]
    );
    daemon.stop();
}

fn an_address_of_the_upstream_and_one_of_a_rival_are_passed_on() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings(""));
    let mut link = Link::open(&lab);
    let (own, rival) = (c(0x51), c(0x52));
    for target in [own, rival] {
        link.answered(&question(target));
    }
    // The kernel has it, and answers alone.
    lab.host.ip(&format!("addr add {own}/128 dev up0 nodad"));
    until_told(&lab, &format!("{own}/128"), Some(false));
    // A station on the link says that it has the other.
    let mut router = Endpoint::open(&lab.router, "rt0");
    let owner = Asker { mac: mac(0x77), address: rival };
    router.send(&Solicitation::defence(owner, rival, true).frame());
    until_told(&lab, &format!("{rival}/128"), Some(false));
    let before = by_range(&lab);
    link.unanswered(&question(rival));
    link.answered(&question(c(0x53)));
    assert_eq!(by_range(&lab), before + 1);
    lab.host.ip(&format!("addr del {own}/128 dev up0"));
    until_told(&lab, &format!("{own}/128"), None);
    link.answered(&question(own));
    daemon.stop();
}

fn a_reload_tells_what_is_another_and_loses_no_question() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings(""));
    let stable: Vec<_> = (0x100..0x110).map(c).collect();
    let fickle = [c(0x99)];
    let reload = |settings: Settings| {
        settings.write(&daemon.config());
        let reply: Value = ask(&daemon.socket(), r#"{"method":"reload"}"#);
        assert!(reply["result"].is_object(), "{reply}");
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &stable, &fickle).until(&is_over));
        for _ in 0..10 {
            reload(settings("exclude = [\"2001:db8:1:2:c::98/125\"]"));
            until_told(&lab, "2001:db8:1:2:c::98/125", Some(false));
            reload(settings("").upstream("router = true\n"));
            until_told(&lab, "2001:db8:1:2:c::98/125", None);
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    // And a range of which not every address is answered for any more.
    reload(on_tc().range(C, "br0", ""));
    until_told(&lab, C, None);
    Link::open(&lab).unanswered(&question(c(0x200)));
    daemon.stop();
}

fn a_killed_daemon_and_its_successor_lose_no_question_for_a_range() {
    let lab = Lab::veth();
    let keys = "exclude = [\"2001:db8:1:2:c::7\"]";
    let mut daemon = started(&lab, settings(keys));
    let stable: Vec<_> = (0x100..0x120).map(c).collect();
    let is_over = AtomicBool::new(false);
    let daemon = thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &stable, &[]).until(&is_over));
        for _ in 0..5 {
            let before = by_range(&lab);
            daemon.kill();
            eventually("the kernel goes on", PATIENCE, || (by_range(&lab) > before + 64).then_some(()));
            let mut router = Endpoint::open(&lab.router, "rt0");
            assert!(answers(&mut router, &question(c(7))).is_empty());
            daemon = Daemon::start(&lab, settings(keys));
            assert!(by_range(&lab) > before, "it has the same maps");
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        daemon
    });
    daemon.kill();
    // What the next one does not answer for as a whole is nobody's as soon as it is there.
    let daemon = Daemon::start(&lab, on_tc().range(C, "br0", ""));
    until_told(&lab, C, None);
    Link::open(&lab).unanswered(&question(c(0x200)));
    daemon.stop();
}

fn a_range_is_answered_for_until_its_time_is_over() {
    let lab = Lab::veth();
    let with_lease = || settings("").upstream("on-crash-answer = \"10s\"\n");
    started(&lab, with_lease()).kill();
    let mut router = Endpoint::open(&lab.router, "rt0");
    assert_eq!(answers(&mut router, &question(c(1))).len(), 1);
    // Another one each time, as what comes again soon is the daemon's; a fast machine comes round in some seconds.
    let after = |last: u16| last % 0x7fff + 1;
    let mut last = 1;
    eventually("the kernel is silent", PATIENCE, || {
        last = after(last);
        answers(&mut router, &question(c(last))).is_empty().then_some(())
    });
    let before = by_range(&lab);
    let daemon = started(&lab, with_lease());
    let mut link = Link::open(&lab);
    eventually("the program answers again", PATIENCE, || {
        last = after(last);
        link.answered(&question(c(last)));
        (by_range(&lab) > before).then_some(())
    });
    daemon.stop();
}

fn a_range_whose_interface_goes_is_answered_for_no_more() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings("").without_sentinels());
    let mut router = Endpoint::open(&lab.router, "rt0");
    assert_eq!(answers(&mut router, &question(c(1))).len(), 1);
    lab.host.ip("link set br0 down");
    until_told(&lab, C, None);
    assert!(answers(&mut router, &question(c(2))).is_empty());
    lab.host.ip("link set br0 up");
    until_told(&lab, C, Some(true));
    assert_eq!(answers(&mut router, &question(c(3))).len(), 1);
    daemon.stop();
}
