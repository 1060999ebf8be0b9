//! Metrics on a Unix socket: whose it is, what becomes of its path, and where no other host could read a port.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::client;
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    has_the_permissions_of_the_control_socket_and_goes_at_the_stop,
    takes_the_place_of_a_socket_that_a_killed_one_left,
    leaves_alone_what_is_not_its_own,
    moves_from_a_port_to_a_path_and_back,
    is_read_by_a_scraper_behind_socat,
    is_made_again_at_a_reload_where_somebody_has_removed_it,
];

/// A directory of its own, gone with this.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        Self(directory())
    }

    fn socket(&self) -> PathBuf {
        self.0.join("metrics.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(endpoint: &str) -> Settings {
    Settings::default().range(C, "br0", "").rest(&format!("[control]\nmetrics = \"{endpoint}\"\n"))
}

fn at(path: &Path) -> Settings {
    settings(&path.display().to_string())
}

/// What curl gets from the socket, in Prometheus' own format.
fn scrape(path: &Path) -> String {
    let output = Command::new("curl")
        .args(["-sf", "--max-time", "60", "--unix-socket"])
        .arg(path)
        .arg("http://localhost/metrics")
        .output()
        .expect("curl, of Debian's package curl");
    assert!(output.status.success(), "{}: {output:?}", path.display());
    String::from_utf8(output.stdout).expect("text")
}

fn answers(lab: &Lab) {
    Link::open(lab).answered(&Solicitation::multicast(ROUTER, GUEST));
}

fn has_the_permissions_of_the_control_socket_and_goes_at_the_stop() {
    let (lab, place) = (Lab::veth(), Place::new());
    let daemon = Daemon::start(&lab, at(&place.socket()));
    answers(&lab);
    assert!(scrape(&place.socket()).contains("lone64_targets{state=\"live\"} 1\n"));
    let of = |path: &Path| {
        let metadata = fs::metadata(path).expect("it is there");
        assert!(metadata.file_type().is_socket());
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    assert_eq!(of(&place.socket()), of(&daemon.socket()));
    assert_eq!(of(&place.socket()).0, 0o660);
    let listening = lab.host.output("ss", "-Hltn");
    assert!(listening.is_empty(), "no port is open: {listening}");
    let path = place.socket();
    let said = daemon.stop();
    assert!(said.contains(&format!("on the socket {}", path.display())), "{said}");
    assert!(!path.exists());
}

fn takes_the_place_of_a_socket_that_a_killed_one_left() {
    let (lab, place) = (Lab::veth(), Place::new());
    Daemon::start(&lab, at(&place.socket())).kill();
    assert!(place.socket().exists(), "nobody could remove it");
    let daemon = Daemon::start(&lab, at(&place.socket()));
    assert!(scrape(&place.socket()).contains("lone64_build_info"));
    daemon.stop();
}

fn leaves_alone_what_is_not_its_own() {
    let (lab, place) = (Lab::veth(), Place::new());
    let path = place.socket();
    fs::write(&path, "precious").expect("our directory");
    let daemon = Daemon::start(&lab, at(&path));
    answers(&lab);
    let said = daemon.stop();
    let sentence = format!("no metrics: {} exists and is not a socket; remove it, or", path.display());
    assert!(said.contains(&sentence) && said.contains("runs without metrics"), "{said}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
    // A socket at which somebody answers.
    fs::remove_file(&path).expect("our file");
    let _other = UnixListener::bind(&path).expect("a free path");
    let daemon = Daemon::start(&lab, at(&path));
    answers(&lab);
    let said = daemon.stop();
    assert!(said.contains("it has") && said.contains("its own `metrics` in [control]"), "{said}");
    assert!(path.exists());
}

fn moves_from_a_port_to_a_path_and_back() {
    let (lab, place) = (Lab::veth(), Place::new());
    let daemon = Daemon::start(&lab, settings("[::1]:9164"));
    let reload = |settings: Settings| {
        settings.write(&daemon.config());
        client::ask(&daemon.socket(), r#"{"method":"reload"}"#)
    };
    // Only below the directories that it had at the start may it make files: its own and the control socket's.
    let (first, second) =
        (daemon.socket().with_file_name("m1.sock"), daemon.socket().with_file_name("m2.sock"));
    for path in [&first, &second] {
        let reply = reload(at(path));
        assert_eq!(reply["result"]["keys"][0]["key"], "metrics", "{reply}");
        assert!(scrape(path).contains("lone64_build_info"));
    }
    assert!(!first.exists(), "the old path is free");
    let listening = || lab.host.output("ss", "-Hltn");
    eventually("the port is free", PATIENCE, || listening().is_empty().then_some(()));
    // Where it may make none: nothing of it is taken.
    let reply = reload(at(&place.socket()));
    let message = reply["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("if `metrics` in [control] names another directory"), "{reply}");
    assert!(scrape(&second).contains("lone64_build_info"));
    reload(settings("[::1]:9164"));
    assert!(!second.exists() && !listening().is_empty());
    reload(Settings::default().range(C, "br0", ""));
    eventually("nobody listens", PATIENCE, || listening().is_empty().then_some(()));
    answers(&lab);
    daemon.stop();
}

fn is_made_again_at_a_reload_where_somebody_has_removed_it() {
    let (lab, place) = (Lab::veth(), Place::new());
    let (socket, lock) = (place.socket(), place.0.join("metrics.sock.lock"));
    let daemon = Daemon::start(&lab, at(&socket));
    let gone = || client::status(&daemon)["config"]["metrics_gone"].clone();
    for removed in [vec![&socket], vec![&socket, &lock]] {
        assert!(gone().is_null(), "{}", gone());
        removed.into_iter().for_each(|path| fs::remove_file(path).expect("it is there"));
        assert_eq!(gone(), socket.display().to_string());
        let said = client::lone64(&daemon.socket(), "status");
        let said = String::from_utf8_lossy(&said.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        let sentence =
            format!("metrics: the socket {} is gone: `lone64 reload` has it made", socket.display());
        assert!(said.contains(&sentence), "{said}");
        daemon.signal(Signal::SIGHUP);
        eventually("the socket is there again", PATIENCE, || socket.exists().then_some(()));
        assert!(scrape(&socket).contains("lone64_build_info") && lock.exists());
    }
    // What another has put there stays.
    fs::remove_file(&socket).expect("it is there");
    fs::write(&socket, "precious").expect("our directory");
    client::ask(&daemon.socket(), r#"{"method":"reload"}"#);
    let said = daemon.stop();
    assert!(said.contains("exists and is not a socket; remove it, or set another `metrics`"), "{said}");
    assert_eq!(fs::read_to_string(&socket).expect("it is there"), "precious");
}

/// As contrib/docs/metrics.md has it.
fn is_read_by_a_scraper_behind_socat() {
    let (lab, place) = (Lab::veth(), Place::new());
    let daemon = Daemon::start(&lab, at(&place.socket()));
    let page = include_str!("../../contrib/docs/metrics.md");
    let line =
        page.lines().map(str::trim).find(|line| line.starts_with("socat ")).expect("it is in the page");
    let line = line.replace("/run/lone64/metrics.sock", &place.socket().display().to_string());
    let mut socat = lab.host.spawn(Command::new("socat").args(line.split(' ').skip(1)).stdin(Stdio::null()));
    let read = || {
        let mut curl = Command::new("curl");
        let output = lab.host.run(|| curl.args(["-sf", "http://[::1]:9164/metrics"]).output()).expect("curl");
        String::from_utf8(output.stdout).expect("text")
    };
    eventually("socat listens", PATIENCE, || read().contains("lone64_build_info").then_some(()));
    socat.kill().expect("our child");
    socat.wait().expect("our child");
    daemon.stop();
}
