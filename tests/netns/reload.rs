//! Reload: all of a new configuration or none of it, and nobody notices who is not concerned.

use std::fs;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{ask, lone64, status};
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_MAC, SENTINELS};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Asker, Solicitation};

crate::cases![
    loses_no_answer_while_it_reloads,
    reports_five_mistakes_and_changes_nothing,
    reads_again_on_sighup_and_tells_the_service_manager,
    refuses_what_would_leave_nothing_served,
    says_that_there_is_nothing_to_read_again,
    moves_its_socket_and_its_log,
    tells_the_service_manager_how_it_is_and_that_it_is_there,
];

fn both() -> Settings {
    Settings::default().range(C, "br0", "").range(D, "gv1", "")
}

fn loses_no_answer_while_it_reloads() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both());
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let others = [
        Settings::default().range(C, "br0", "").rest("[timers]\nreachable = \"40s\"\n"),
        both().rest("[limits]\nprobes-per-second = 500\n"),
    ];
    // A debug build does a tenth of it; whatever it does, no more is under way than fits its queue.
    let (start, flood) = (Instant::now(), Duration::from_secs(2));
    let (mut sent, mut heard, mut reloads) = (0_u32, 0_u32, 0);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (config, socket) = (daemon.config(), daemon.socket());
        let others = &others;
        scope.spawn(move || {
            for round in 0.. {
                others[round % 2].write(&config);
                let reply = ask(&socket, r#"{"method":"reload"}"#);
                assert!(reply["result"]["changes"].as_array().is_some_and(|all| !all.is_empty()), "{reply}");
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        while start.elapsed() < flood || reloads < 4 {
            let due = 10 * start.elapsed().as_millis() as u32;
            while sent < due && sent - heard < 64 {
                let address = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(sent + 0x100));
                let asker = Asker { mac: ROUTER_MAC, address };
                link.send(&Solicitation::multicast(asker, GUEST));
                sent += 1;
            }
            let patience = if sent - heard < 64 { Duration::from_millis(1) } else { PATIENCE };
            let frame = link.receive(Instant::now() + patience);
            assert!(frame.is_some() || sent - heard < 64, "{} of {sent} are not answered", sent - heard);
            heard += u32::from(frame.is_some_and(|f| target_of(&f, ADVERTISEMENT) == Some(GUEST)));
            reloads += receiver.try_iter().count();
        }
        drop(receiver);
    });
    let deadline = Instant::now() + PATIENCE;
    while heard < sent {
        let Some(frame) = link.receive(deadline) else { break };
        heard += u32::from(target_of(&frame, ADVERTISEMENT) == Some(GUEST));
    }
    eprintln!("{sent} questions, {heard} answers, {reloads} reloads in {:.1?}", start.elapsed());
    assert_eq!(sent, heard);
    daemon.stop();
}

fn reports_five_mistakes_and_changes_nothing() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both());
    // The guests report their groups, so lone64 finds them anyway, at a moment that nobody knows.
    let mut link = Link::open(&lab);
    let mut answered = || [GUEST, PLAIN].map(|guest| link.answered(&Solicitation::multicast(ROUTER, guest)));
    answered();
    let before = status(&daemon);
    let mistakes = "[timers]\nabsent = \"0s\"\nkeepalvie = \"5s\"\n[routes]\nprotocol = 186\n\
                    [limits]\ntargets = 0\n[[range]]\nprefix = \"2001:db8:1:2:e::1/112\"\n";
    Settings::default().range(D, "gv1", "").rest(mistakes).write(&daemon.config());
    let output = lone64(&daemon.socket(), "reload");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for place in [":15:", ":16:", ":18:", ":20:", ":22:"] {
        assert!(said.contains(&format!("lone64.toml{place}")), "{place} {said}");
    }
    assert!(said.ends_with("not reloaded: 5 problems; the old configuration stays in force\n"), "{said}");
    let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
    assert_eq!(reply["error"]["problems"].as_array().map(Vec::len), Some(5), "{reply}");
    let after = status(&daemon);
    for part in ["ranges", "upstreams", "routes", "problems"] {
        assert_eq!(before[part], after[part]);
    }
    answered();
    let said = daemon.stop();
    assert!(said.contains("the old configuration stays in force") && said.contains("keepalvie"), "{said}");
}

fn reads_again_on_sighup_and_tells_the_service_manager() {
    let lab = Lab::veth();
    let mut daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.unanswered(&Solicitation::multicast(ROUTER, PLAIN));
    Settings::default().range(D, "gv1", "").write(&daemon.config());
    daemon.signal(Signal::SIGHUP);
    let reloading = daemon.notified("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let ready = daemon.notified("READY=1");
    assert!(ready.contains("STATUS="), "{ready}");
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    link.unanswered(&Solicitation::multicast(ROUTER, GUEST));
    let routes = || lab.host.show("-o route show table all proto 64");
    eventually("the routes are those of the other range", PATIENCE, || {
        (!routes().contains(C) && routes().contains(D)).then_some(())
    });
    let said = daemon.stop();
    assert!(said.contains("reloaded: range 2001:db8:1:2:d::/112 added, range"), "{said}");
}

fn refuses_what_would_leave_nothing_served() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both());
    both().upstream_named("missing0").write(&daemon.config());
    let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
    assert!(reply["error"]["message"].as_str().unwrap().contains("missing0"), "{reply}");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    // What is incomplete is taken.
    both().range("2001:db8:1:2:e::/112", "missing1", "").write(&daemon.config());
    let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
    assert_eq!(reply["result"]["changes"][0], "range 2001:db8:1:2:e::/112 added", "{reply}");
    assert!(status(&daemon)["problems"][0]["message"].as_str().unwrap().contains("missing1"));
}

fn says_that_there_is_nothing_to_read_again() {
    let lab = Lab::veth();
    let options = format!("--upstream up0 --range {D}=gv1 --range {SENTINELS}=br0");
    let daemon = Daemon::start_with_options(&lab, &options);
    let output = lone64(&daemon.socket(), "reload");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no /etc/lone64/lone64.toml; write it"), "{said}");
    daemon.signal(Signal::SIGHUP);
    eventually("it has heard the signal and goes on", PATIENCE, || {
        lab.router.ping(&PLAIN.to_string());
        (status(&daemon)["pid"] == daemon.pid()).then_some(())
    });
}

fn moves_its_socket_and_its_log() {
    let lab = Lab::veth();
    let place = directory();
    let settings = |name: &str, level: &str| {
        let socket = place.join(name);
        both().rest(&format!("[control]\nsocket = \"{}\"\n[log]\n{level}\n", socket.display()))
    };
    let reload = |name: &str| -> Value { ask(&place.join(name), r#"{"method":"reload"}"#) };
    let daemon = Daemon::start(&lab, settings("old.sock", ""));
    settings("new.sock", "format = \"json\"").write(&daemon.config());
    let reply = reload("old.sock");
    assert_eq!(reply["result"]["changes"].as_array().map(Vec::len), Some(2), "{reply}");
    assert!(!place.join("old.sock").exists());
    // A path that cannot be had: everything stays, the log too.
    fs::write(place.join("precious"), "precious").unwrap();
    settings("precious", "level = \"error\"").write(&daemon.config());
    let reply = reload("new.sock");
    assert!(reply["error"]["message"].as_str().unwrap().contains("is not a socket"), "{reply}");
    assert_eq!(reload("new.sock")["error"]["code"], "refused");
    let said = daemon.stop();
    let last = said.lines().last().unwrap();
    assert!(last.starts_with('{') && last.contains("\"stopped\""), "{said}");
    assert!(!place.join("new.sock").exists());
    fs::remove_dir_all(place).unwrap();
}

fn tells_the_service_manager_how_it_is_and_that_it_is_there() {
    let lab = Lab::veth();
    let settings = Settings::default().range(C, "br0", "").without_sentinels();
    let mut daemon = Daemon::start_under(&lab, &["env", "WATCHDOG_USEC=200000"], settings);
    daemon.notified("WATCHDOG=1");
    daemon.notified("WATCHDOG=1");
    lab.router.ping(&GUEST.to_string());
    daemon.notified("STATUS=1 range, 1 guest live\n");
}
