//! The control socket: what it says, who may have it, and that no client disturbs an answer.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv6Addr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{ask, connect, ended, lone64, reply, start, status};
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    tells_everything_that_it_serves,
    is_unhealthy_with_a_problem,
    tells_what_happens_to_whoever_watches,
    tells_what_there_is_to_whoever_asks_for_something_else,
    lists_thousands_of_targets_page_by_page,
    is_disturbed_by_no_client,
    takes_over_the_socket_of_one_that_died,
    makes_its_socket_again_where_somebody_has_removed_it,
    makes_the_socket_that_it_could_not_make_at_its_start_when_it_is_told_to,
    leaves_a_file_alone_that_is_no_socket,
    has_no_socket_that_is_anothers,
];

fn tells_everything_that_it_serves() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.unanswered(&Solicitation::multicast(ROUTER, c(0xdead)));
    let known = status(&daemon);
    assert_eq!(known["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(known["pid"], daemon.pid());
    let upstream = &known["upstreams"][0];
    assert_eq!((&upstream["interface"], &upstream["mac"]), (&"up0".into(), &"02:00:00:00:00:02".into()));
    assert_eq!((&upstream["state"], &upstream["backend"]), (&"up".into(), &"packet".into()));
    assert!(upstream["counters"]["answered"].as_u64() >= Some(2), "{upstream}");
    let range = &known["ranges"][1];
    assert_eq!((&range["prefix"], &range["interfaces"][0]), (&C.into(), &"br0".into()));
    assert_eq!((&range["origin"], &range["state"]), (&"config".into(), &"serving".into()));
    let target = |address: Ipv6Addr| {
        let found = known["targets"].as_array().unwrap().iter().find(|t| t["address"] == address.to_string());
        found.unwrap_or_else(|| panic!("{address} is not in {known}")).clone()
    };
    let guest = target(GUEST);
    assert_eq!((&guest["state"], &guest["interface"]), (&"live".into(), &"br0".into()));
    assert_eq!((&guest["mac"], &guest["answered"]), (&"02:00:00:00:00:05".into(), &2.into()));
    assert_eq!((&guest["guest"], guest["last_seen_seconds"].is_u64()), (&Value::Null, true));
    assert_eq!(target(c(0xdead))["state"], "probing");
    let routes = known["routes"].as_array().unwrap();
    assert!(routes.iter().all(|route| route["state"] == "installed"), "{known}");
    assert!(routes.iter().any(|r| r["kind"] == "unreachable" && r["destination"] == C), "{known}");
    assert_eq!((&known["problems"], &known["totals"]["targets"]["live"]), (&Value::Array(vec![]), &1.into()));

    let output = lone64(&daemon.socket(), "status");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("upstream up0 02:00:00:00:00:02 up\n"), "{text}");
    assert!(text.contains("fe80::ff:fe00:5%br0 (EUI-64)"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80) && !text.contains('\x1b'), "{text}");
    let mode = fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let socket = daemon.socket();
    let _keep = fs::create_dir_all(socket.parent().unwrap());
    daemon.stop();
    assert!(!socket.exists(), "the socket is left behind");
}

fn is_unhealthy_with_a_problem() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "missing0", "").range(D, "gv1", ""));
    let output = lone64(&daemon.socket(), "status");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().nth(1).unwrap().starts_with("problem: range 2001:db8:1:2:c::/112: "), "{text}");
    let output = lone64(&daemon.socket(), "status --json");
    assert_eq!(output.status.code(), Some(1));
    let known: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(known["problems"][0]["scope"], "range");
    assert_eq!(known["ranges"][1]["state"], "waiting");
}

fn tells_what_happens_to_whoever_watches() {
    let lab = Lab::veth();
    let excluded = format!("exclude = [\"{}\"]", c(0x66));
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", &excluded));
    let mut link = Link::open(&lab);
    let mut watcher = start(&daemon.socket(), "watch --json");
    let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let first: Value = serde_json::from_str(&told.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(first["event"], "watching");
    let mut seen = Vec::new();
    let mut wanted = vec!["solicited", "live", "answered", "unanswered"];
    // The lab's own guest was found by its report, maybe before.
    let new = c(0x77);
    lab.guest.ip(&format!("addr add {new}/128 dev eth0 nodad"));
    link.answered(&Solicitation::multicast(ROUTER, new));
    link.unanswered(&Solicitation::multicast(ROUTER, c(0x66)));
    while !wanted.is_empty() {
        let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not of {wanted:?}: {seen:?}"));
        let event: Value = serde_json::from_str(&line).unwrap();
        let is_of_another = event["event"] == "live" && event["target"] != new.to_string();
        wanted.retain(|kind| is_of_another || event["event"] != *kind);
        seen.push(line);
    }
    let is_live = |line: &&String| line.contains("\"live\"") && line.contains(&new.to_string());
    let live = seen.iter().find(is_live).unwrap();
    assert!(live.contains("\"interface\":\"br0\""), "{live}");
    daemon.stop();
    assert_eq!(ended(watcher), Some(1));
    let _ = reader.join().unwrap();
}

fn tells_what_there_is_to_whoever_asks_for_something_else() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let reply = ask(&daemon.socket(), r#"{"method":"stats"}"#);
    assert_eq!(reply["version"], 1);
    assert_eq!(reply["error"]["code"], "unknown_method");
    assert!(reply["error"]["message"].as_str().unwrap().contains("`status`"), "{reply}");
    let reply = ask(&daemon.socket(), r#"{"method":"status","params":{"limt":1}}"#);
    assert!(reply["error"]["message"].as_str().unwrap().contains("`limit`"), "{reply}");
    // Without a new line at its end, but with an end.
    let mut stream = connect(&daemon.socket());
    stream.write_all(b"{\"method\":\"status\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(crate::client::reply(&stream)["result"]["pid"], daemon.pid());
}

fn lists_thousands_of_targets_page_by_page() {
    // By hand, with LONE64_TARGETS=65000 and --release, this is the promise of the issue.
    let count: u16 = std::env::var("LONE64_TARGETS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000);
    let lab = Lab::veth();
    // Without the lab's own guest, which is found by its report.
    let exclude = format!("exclude = [\"{GUEST}/128\"]");
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", &exclude));
    let mut batch = String::new();
    for n in 0..count {
        let (address, mac) = (c(0x100 + n), [n >> 8, n & 0xff]);
        writeln!(
            batch,
            "neigh add {address} lladdr 02:00:00:01:{:02x}:{:02x} dev br0 nud permanent",
            mac[0], mac[1]
        )
        .unwrap();
    }
    lab.host.ip(&batch);
    eventually("every neighbor is a target", PATIENCE, || {
        (status(&daemon)["totals"]["targets"]["live"] == count).then_some(())
    });
    let clock = Instant::now();
    let first = status(&daemon);
    let page = clock.elapsed();
    assert_eq!(first["targets"].as_array().unwrap().len(), 1000);
    let clock = Instant::now();
    let output = lone64(&daemon.socket(), "status --json");
    let all = clock.elapsed();
    let known: Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets = known["targets"].as_array().unwrap();
    let addresses: Vec<Ipv6Addr> =
        targets.iter().map(|target| target["address"].as_str().unwrap().parse().unwrap()).collect();
    assert!(addresses.iter().copied().eq((0..count).map(|n| c(0x100 + n))), "{} targets", addresses.len());
    eprintln!("{count} targets: the first page took {page:.1?}, all of them {all:.1?}");
    let text = String::from_utf8(lone64(&daemon.socket(), "status").stdout).unwrap();
    assert!(text.contains(&format!("{} more; ", count - 1000)), "{text}");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, c(0x100)));
}

fn is_disturbed_by_no_client() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    link.answered(&question);
    let (memory, descriptors) = (daemon.memory(), daemon.descriptors());
    let socket = daemon.socket();
    // A line without an end.
    let mut endless = connect(&socket);
    endless.set_nonblocking(true).unwrap();
    let chunk = [b'x'; 4096];
    let mut sent = 0;
    let hung_up = eventually("an endless line is refused", PATIENCE, || match endless.write(&chunk) {
        Ok(length) => {
            sent += length;
            assert!(sent < 8 << 20, "it reads on and on");
            None
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            link.answered(&question);
            None
        }
        Err(error) => Some(error.kind()),
    });
    assert!(matches!(hung_up, std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset));
    // Garbage, some of it without an end, and those who ask and never read.
    let mut clients: Vec<UnixStream> = (0..24).map(|_| connect(&socket)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.set_nonblocking(true).unwrap();
        let nonsense: &[u8] = match number % 4 {
            0 => b"\0\xff\n{}\n[[[[\n",
            1 => b"{\"method\":\"watch\"}\n",
            2 => b"{\"method\":",
            _ => b"{\"method\":\"status\"}\n",
        };
        // A client that has no room for more, on either side, is what it is.
        while client.write(nonsense).is_ok_and(|length| length > 0) && number % 4 != 1 {}
        link.answered(&question);
    }
    for _ in 0..50 {
        link.answered(&question);
    }
    drop(clients);
    // Ten thousand connections, as fast as they are taken; those that are not cost nothing.
    let mut held = Vec::new();
    for number in 0..10_000 {
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        if client.connect(&socket2::SockAddr::unix(&socket).unwrap()).is_ok() {
            held.push(client);
        }
        if held.len() > 500 {
            held.clear();
        }
        if number % 200 == 0 {
            link.answered(&question);
        }
    }
    let open = daemon.descriptors();
    assert!(open <= descriptors + 40, "{open} descriptors, {descriptors} before");
    drop(held);
    let grown = daemon.memory().saturating_sub(memory);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    // When they are gone, it is there for everybody else.
    eventually("it answers again", PATIENCE, || {
        (lone64(&socket, "status").status.code() == Some(0)).then_some(())
    });
    link.answered(&question);
}

fn takes_over_the_socket_of_one_that_died() {
    let lab = Lab::veth();
    let place = directory();
    let socket = place.join("deep/control.sock");
    let settings = Settings::default()
        .range(C, "br0", "")
        .rest(&format!("[control]\nsocket = \"{}\"\n", socket.display()));
    Daemon::start(&lab, settings.clone()).kill();
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket(), "left behind by a killed daemon");
    let daemon = Daemon::start(&lab, settings);
    assert_eq!(ask(&socket, r#"{"method":"status"}"#)["result"]["pid"], daemon.pid());
    daemon.stop();
    assert!(!socket.exists());
    fs::remove_dir_all(place).unwrap();
}

fn makes_its_socket_again_where_somebody_has_removed_it() {
    let lab = Lab::veth();
    let place = directory();
    let (socket, lock) = (place.join("control.sock"), place.join("control.sock.lock"));
    let settings = Settings::default()
        .range(C, "br0", "")
        .rest(&format!("[control]\nsocket = \"{}\"\n", socket.display()));
    let daemon = Daemon::start(&lab, settings);
    let watcher = connect(&socket);
    writeln!(&watcher, r#"{{"method":"watch"}}"#).unwrap();
    assert_eq!(reply(&watcher)["result"]["watching"], true);
    for removed in [vec![&socket], vec![&socket, &lock]] {
        let knows_who_runs = removed.len() == 1;
        removed.into_iter().for_each(|path| fs::remove_file(path).unwrap());
        if knows_who_runs {
            let output = lone64(&socket, "status");
            let said = String::from_utf8_lossy(&output.stderr);
            let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&format!("`kill -HUP {}` has it made again", daemon.pid())), "{said}");
        }
        daemon.signal(Signal::SIGHUP);
        eventually("its socket is there again", PATIENCE, || socket.exists().then_some(()));
        assert_eq!(ask(&socket, r#"{"method":"status"}"#)["result"]["pid"], daemon.pid());
        assert!(lock.exists());
    }
    // The client that was connected still is, and hears what happens.
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    assert!(reply(&watcher)["event"].is_string());
    // What another has put there stays.
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    daemon.stop();
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_dir_all(place).unwrap();
}

/// Whatever becomes of the reload: somebody has to be told of that.
fn makes_the_socket_that_it_could_not_make_at_its_start_when_it_is_told_to() {
    let lab = Lab::veth();
    let place = directory();
    let [socket, metrics] = ["control.sock", "metrics.sock"].map(|name| place.join(name));
    for path in [&socket, &metrics] {
        fs::write(path, "in the way").unwrap();
    }
    let keys = format!("socket = \"{}\"\nmetrics = \"{}\"\n", socket.display(), metrics.display());
    let settings = Settings::default().range(C, "br0", "").rest(&format!("[control]\n{keys}"));
    let daemon = Daemon::start(&lab, settings);
    for path in [&socket, &metrics] {
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(daemon.config()).unwrap();
    daemon.signal(Signal::SIGHUP);
    eventually("there is a socket", PATIENCE, || (socket.exists() && metrics.exists()).then_some(()));
    assert_eq!(ask(&socket, r#"{"method":"status"}"#)["result"]["config"]["unreadable"]["gone"], true);
    daemon.stop();
    fs::remove_dir_all(place).unwrap();
}

fn leaves_a_file_alone_that_is_no_socket() {
    let lab = Lab::veth();
    let place = directory();
    let socket = place.join("precious");
    fs::write(&socket, "precious").unwrap();
    let settings = Settings::default()
        .range(C, "br0", "")
        .rest(&format!("[control]\nsocket = \"{}\"\n", socket.display()));
    let daemon = Daemon::start(&lab, settings);
    // It answers all the same.
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let said = daemon.stop();
    assert!(said.contains("is not a socket"), "{said}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_dir_all(place).unwrap();
}

fn has_no_socket_that_is_anothers() {
    // Each has a network namespace of its own, and both have one /run.
    let (lab, other) = (Lab::veth(), Lab::veth());
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let settings = Settings::default()
        .range(C, "br0", "")
        .rest(&format!("[control]\nsocket = \"{}\"\n", daemon.socket().display()));
    let said = Daemon::refusal(&other, &[], settings);
    let who = format!("another lone64 is running (pid {}): it has ", daemon.pid());
    assert!(said.contains(&who) && said.contains("its own `socket`"), "{said}");
    assert_eq!(status(&daemon)["pid"], daemon.pid(), "the first is as it was");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    // Nor beside something that answers there and is no lone64.
    let place = directory();
    let socket = place.join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let settings = Settings::default()
        .range(D, "gv1", "")
        .rest(&format!("[control]\nsocket = \"{}\"\n", socket.display()));
    let said = Daemon::refusal(&other, &[], settings);
    assert!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "only asked whether somebody is there");
    fs::remove_dir_all(place).unwrap();
}
