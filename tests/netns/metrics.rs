//! Metrics: the numbers are those of what happened, and no client disturbs an answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::client;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Checksum, Solicitation};

crate::cases![
    counts_what_becomes_of_every_question,
    counts_the_networks_that_nobody_serves,
    serves_get_and_head_of_metrics_and_nothing_else,
    serves_the_format_that_the_client_prefers,
    is_off_unless_it_is_asked_for,
    answers_although_metrics_cannot_be_served,
    is_disturbed_by_no_client_of_the_metrics,
    counts_the_frames_that_it_could_not_read,
    moves_its_metrics_with_a_reload,
];

const PORT: u16 = 9164;
const METRICS: &str = "[control]\nmetrics = \"[::1]:9164\"\n";

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::LOCALHOST, port))
}

fn settings() -> Settings {
    settings_at(PORT)
}

fn settings_at(port: u16) -> Settings {
    Settings::default().range(C, "br0", "").rest(&format!("[control]\nmetrics = \"{}\"\n", address(port)))
}

fn connect(lab: &Lab) -> TcpStream {
    connect_to(lab, PORT)
}

fn connect_to(lab: &Lab, port: u16) -> TcpStream {
    let stream = lab.host.run(|| TcpStream::connect(address(port))).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Sends a request as it is, and returns all of the response.
fn ask(lab: &Lab, port: u16, request: &str) -> String {
    let mut stream = connect_to(lab, port);
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("it answers and ends");
    response
}

fn scrape(lab: &Lab) -> String {
    scrape_at(lab, PORT)
}

fn scrape_at(lab: &Lab, port: u16) -> String {
    let (head, text) = scrape_as(lab, port, "GET", "application/openmetrics-text; version=1.0.0");
    assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// Head and body of what a client gets that accepts this.
fn scrape_as(lab: &Lab, port: u16, method: &str, accept: &str) -> (String, String) {
    let request = format!("{method} /metrics HTTP/1.1\r\nHost: [::1]:9164\r\nAccept: {accept}\r\n\r\n");
    let response = ask(lab, port, &request);
    let (head, text) = response.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    if method == "GET" {
        assert!(head.contains(&format!("Content-Length: {}\r\n", text.len())), "{head}");
    }
    (head.to_owned(), text.to_owned())
}

/// Whether nobody listens there.
fn is_free(lab: &Lab, port: u16) -> bool {
    let tried = lab.host.run(|| TcpStream::connect(address(port)));
    tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// The number of one series.
fn number(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().expect("a number")
}

fn verdict(text: &str, verdict: &str) -> f64 {
    number(text, &format!("lone64_solicitations_total{{upstream=\"up0\",verdict=\"{verdict}\"}}"))
}

fn counts_what_becomes_of_every_question() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    // The first is answered after a probe; what follows, at once.
    link.answered(&question);
    let before = scrape(&lab);
    for _ in 0..5 {
        link.send(&question);
    }
    link.send(&question.clone().with(|q| q.code = 1));
    link.send(&question.clone().with(|q| q.code = 1));
    link.send(&question.clone().with(|q| q.checksum = Checksum::Zero));
    link.send(&Solicitation::multicast(ROUTER, c(0xdead)));
    // Two sentinels, each answered at once.
    let heard = link.settle();
    assert_eq!(heard.len(), 5, "{heard:02x?}");
    let after = scrape(&lab);
    let more = |name: &str| verdict(&after, name) - verdict(&before, name);
    assert_eq!((more("answered"), more("code"), more("checksum")), (7.0, 2.0, 1.0));
    assert_eq!((more("option_truncated"), more("no_range")), (0.0, 0.0));
    let answers = |text| number(text, "lone64_answer_seconds_count");
    assert_eq!(answers(&after) - answers(&before), 7.0, "each answer is timed once");
    let sum = number(&after, "lone64_answer_seconds_sum") - number(&before, "lone64_answer_seconds_sum");
    assert!(sum > 0.0, "{sum} seconds for seven answers");
    println!("{sum} seconds for seven answers");
    assert_eq!(
        number(&after, "lone64_answer_seconds_bucket{le=\"+Inf\"}"),
        number(&after, "lone64_answer_seconds_count")
    );
    assert!(number(&after, "lone64_probes_total") > number(&before, "lone64_probes_total"), "{after}");
    assert_eq!(number(&after, "lone64_targets{state=\"live\"}"), 1.0, "{after}");
    assert_eq!(number(&after, "lone64_targets{state=\"probing\"}"), 1.0, "{after}");
    // The backstop; the bridge has its own route to the range.
    assert_eq!(number(&after, "lone64_routes{state=\"installed\"}"), 1.0, "{after}");
    assert_eq!(number(&after, "lone64_packet_drops_total{interface=\"up0\"}"), 0.0);
    assert_eq!(number(&after, "lone64_problems"), 0.0);
    assert!(after.contains(concat!("lone64_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
}

fn counts_the_networks_that_nobody_serves() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, settings().without_upstream().without_sentinels());
    let unserved = || number(&scrape(&lab), "lone64_unserved_networks");
    assert_eq!(unserved(), 0.0);
    let _container = crate::unserved::make_docker(&lab);
    eventually("it is counted", PATIENCE, || (unserved() == 1.0).then_some(()));
    lab.host.ip("link del docker0");
    eventually("it is gone", PATIENCE, || (unserved() == 0.0).then_some(()));
}

fn serves_get_and_head_of_metrics_and_nothing_else() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, settings());
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "405 Method Not Allowed"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", "400 Bad Request"),
    ] {
        let response = ask(&lab, PORT, request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response}");
        assert!(response.ends_with("only GET and HEAD of /metrics are served here\n"), "{response}");
        assert_eq!(response.contains("\r\nAllow: GET, HEAD\r\n"), status.starts_with("405"), "{response}");
    }
    let (head, body) = scrape_as(&lab, PORT, "HEAD", "*/*");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    assert!(length.parse::<usize>().unwrap() > 1_000 && body.is_empty(), "{head}\n{body}");
    assert!(ask(&lab, PORT, "HEAD / HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    // One byte at a time, as a terminal might.
    let mut slow = connect(&lab);
    slow.set_nodelay(true).unwrap();
    for byte in b"GET /metrics HTTP/1.1\r\n\r\n" {
        slow.write_all(&[*byte]).unwrap();
    }
    let mut response = String::new();
    slow.read_to_string(&mut response).unwrap();
    assert!(response.contains("\nprocess_start_time_seconds "), "{response}");
}

fn serves_the_format_that_the_client_prefers() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, settings());
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    for accept in ["*/*", "text/plain; version=0.0.4", "application/openmetrics-text;q=0.1,text/plain"] {
        let (head, text) = scrape_as(&lab, PORT, "GET", accept);
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("\r\nVary: Accept\r\n"), "{head}");
        assert!(verdict(&text, "answered") > 0.0 && !text.contains("# EOF"), "{text}");
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool, of Debian's package prometheus");
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        assert!(said.status.success() && words.is_empty(), "{words}\n{text}");
    }
    assert!(scrape(&lab).contains("# TYPE lone64_solicitations counter\n"));
}

fn is_off_unless_it_is_asked_for() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    assert!(is_free(&lab, PORT));
    let listening = lab.host.output("ss", "-Hltn");
    assert!(listening.is_empty(), "{listening}");
}

fn answers_although_metrics_cannot_be_served() {
    let lab = Lab::veth();
    let _taken = lab.host.run(|| TcpListener::bind(address(PORT))).unwrap();
    let daemon = Daemon::start(&lab, settings());
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let said = daemon.stop();
    assert!(
        said.contains("no metrics: cannot listen on [::1]:9164: Address already in use; choose"),
        "{said}"
    );
}

fn is_disturbed_by_no_client_of_the_metrics() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    link.answered(&question);
    scrape(&lab);
    let memory = daemon.memory();
    // A header without an end.
    let mut endless = connect(&lab);
    endless.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let mut sent = 0;
    eventually("an endless header is refused", PATIENCE, || {
        link.answered(&question);
        sent += 1;
        assert!(sent < 2_000, "it reads on and on");
        endless.write_all(&[b'x'; 4096]).err()
    });
    // Those who say nothing, or half of it, or ask and never read, more of them than are let in.
    let mut held: Vec<TcpStream> = (0..100).map(|_| connect(&lab)).collect();
    for (number, client) in held.iter_mut().enumerate() {
        let said: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /metr",
            2 => b"GET /metrics HTTP/1.1\r\n\r\n",
            _ => b"\0\xff\r\n\r\n",
        };
        // Who has been put out cannot say anything any more.
        let _ = client.write_all(said);
        if number % 10 == 0 {
            link.answered(&question);
        }
    }
    // While they hold on, whoever scrapes is served.
    let text = scrape(&lab);
    assert!(verdict(&text, "answered") > 0.0, "{text}");
    // Connections as fast as they are taken, each with a scrape that nobody reads.
    for number in 0..1_500 {
        let mut client = connect(&lab);
        let _ = client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
        if number % 3 == 0 {
            let _ = client.shutdown(Shutdown::Both);
        }
        if number % 100 == 0 {
            link.answered(&question);
        }
    }
    link.answered(&question);
    drop(held);
    let grown = daemon.memory().saturating_sub(memory);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    scrape(&lab);
    daemon.stop();
}

fn counts_the_frames_that_it_could_not_read() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    link.answered(&question);
    let before = verdict(&scrape(&lab), "answered");
    let drops = |text: &str| number(text, "lone64_packet_drops_total{interface=\"up0\"}");
    daemon.signal(Signal::SIGSTOP);
    for _ in 0..5_000 {
        link.send(&question);
    }
    daemon.signal(Signal::SIGCONT);
    eventually("it has read what there was room for", PATIENCE, || {
        let text = scrape(&lab);
        (verdict(&text, "answered") - before + drops(&text) >= 5_000.0).then_some(())
    });
    // It listens elsewhere, and then here again, on another socket.
    let elsewhere = Settings::default().without_sentinels().upstream_named("gv1").range(C, "br0", "");
    for settings in [elsewhere.rest(METRICS), settings()] {
        settings.write(&daemon.config());
        let reply = client::ask(&daemon.socket(), r#"{"method":"reload"}"#);
        assert!(reply["result"]["changes"].as_array().is_some_and(|changes| !changes.is_empty()), "{reply}");
    }
    let text = scrape(&lab);
    let (answered, dropped) = (verdict(&text, "answered") - before, drops(&text));
    assert_eq!(
        (answered + dropped, dropped > 0.0),
        (5_000.0, true),
        "{answered} answered, {dropped} dropped"
    );
    // The kernel tells it once, a scrape as often as it is asked.
    assert_eq!(drops(&scrape(&lab)), drops(&text));
    daemon.stop();
}

fn moves_its_metrics_with_a_reload() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let mut link = Link::open(&lab);
    let reload = |settings: &Settings| {
        settings.write(&daemon.config());
        client::ask(&daemon.socket(), r#"{"method":"reload"}"#)
    };
    let key = |reply: serde_json::Value| {
        assert_eq!(reply["result"]["keys"].as_array().map(Vec::len), Some(1), "{reply}");
        reply["result"]["keys"][0]["key"].clone()
    };
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    // On: also for the sockets that are open already.
    assert_eq!(key(reload(&settings())), "metrics");
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let timed = number(&scrape(&lab), "lone64_answer_seconds_count");
    assert_eq!(timed, 3.0, "one question and two sentinels since");
    // Elsewhere: what was measured goes along.
    assert_eq!(key(reload(&settings_at(9165))), "metrics");
    assert_eq!(number(&scrape_at(&lab, 9165), "lone64_answer_seconds_count"), timed);
    eventually("the old port is free", PATIENCE, || is_free(&lab, PORT).then_some(()));
    // Where somebody else is: nothing of it is taken.
    let taken = lab.host.run(|| TcpListener::bind(address(9166))).unwrap();
    let reply = reload(&settings_at(9166).range(D, "gv1", ""));
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.contains("cannot listen on [::1]:9166: Address already in use; choose"), "{reply}");
    drop(taken);
    scrape_at(&lab, 9165);
    link.unanswered(&Solicitation::multicast(ROUTER, PLAIN));
    // Off.
    assert_eq!(key(reload(&Settings::default().range(C, "br0", ""))), "metrics");
    eventually("the port is free", PATIENCE, || is_free(&lab, 9165).then_some(()));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    daemon.stop();
}
