//! One lone64 in a network namespace: a second does not start, whatever its control socket is.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::client::status;
use crate::daemon::{BINARY, Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    starts_no_second_in_one_namespace_and_names_the_first,
    starts_one_in_each_of_two_namespaces,
    starts_at_once_where_the_first_was_killed,
    starts_where_a_child_of_a_killed_one_still_holds_the_name,
    is_kept_out_by_no_stranger,
    keeps_no_demo_out,
];

fn starts_no_second_in_one_namespace_and_names_the_first() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let routes = || lab.host.show("-o route show table all proto 64");
    let before = routes();
    // Each has a control socket of its own.
    let said = Daemon::refusal(&lab, &[], Settings::default().range(D, "gv1", ""));
    let pid = daemon.pid();
    assert!(
        said.contains(&format!("another lone64 is running (pid {pid}) in this network namespace")),
        "{said}"
    );
    assert!(said.contains(&format!("`kill {pid}`")), "the remedy: {said}");
    assert_eq!(routes(), before, "the second takes nothing along");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    daemon.stop();
    Daemon::start(&lab, Settings::default().range(D, "gv1", "")).stop();
}

fn starts_one_in_each_of_two_namespaces() {
    let (one, other) = (Lab::veth(), Lab::veth());
    let settings = || Settings::default().range(C, "br0", "");
    let (first, second) = (Daemon::start(&one, settings()), Daemon::start(&other, settings()));
    for lab in [&one, &other] {
        Link::open(lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    }
    first.stop();
    second.stop();
}

fn starts_at_once_where_the_first_was_killed() {
    let lab = Lab::veth();
    Daemon::start(&lab, Settings::default().range(D, "gv1", "")).kill();
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", ""));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    daemon.stop();
}

/// Between fork and exec a child has copies of everything. Perl's lets go of them when this closes its input.
fn starts_where_a_child_of_a_killed_one_still_holds_the_name() {
    let lab = Lab::veth();
    let script = r#"use Socket; $| = 1;
        socket(my $name, AF_UNIX, SOCK_STREAM, 0) or die; bind($name, pack_sockaddr_un("\0lone64")) or die;
        listen($name, 64) or die; if (fork) { exit } print "held\n"; <STDIN>;"#;
    let mut perl = Command::new("perl");
    perl.args(["-e", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parent = lab.host.spawn(&mut perl);
    let mut line = String::new();
    BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line).expect("it says so");
    assert_eq!(line, "held\n");
    let input = parent.stdin.take();
    assert!(parent.wait().expect("our child").success());
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", ""));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    drop(input);
    daemon.stop();
}

/// Any local user may take such a name. One that may not answer solicitations is no lone64.
fn is_kept_out_by_no_stranger() {
    let lab = Lab::veth();
    let mut command = Command::new("socat");
    command.args(["ABSTRACT-LISTEN:lone64,fork", "/dev/null"]).stderr(Stdio::null());
    // An ordinary user has no other user to be, and then the stranger is one of ours.
    let is_other =
        std::fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().nth(2) != Some("1");
    if is_other {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut stranger = lab.host.spawn(&mut command);
    eventually("the stranger has the name", PATIENCE, || {
        let names = lab.host.run(|| std::fs::read_to_string("/proc/thread-self/net/unix").unwrap());
        names.lines().any(|line| line.ends_with(" @lone64")).then_some(())
    });
    let settings = || Settings::default().range(C, "br0", "");
    if is_other {
        let daemon = Daemon::start(&lab, settings());
        // Those that passed over the stranger still know of each other, also when he has gone.
        let first = format!("another lone64 is running (pid {})", daemon.pid());
        let said = Daemon::refusal(&lab, &[], settings());
        assert!(said.contains(&first), "{said}");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        let said = Daemon::refusal(&lab, &[], settings());
        assert!(said.contains(&first), "{said}");
        Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
        let said = daemon.stop();
        let word = format!("a process of user {NOBODY} (pid {}) has the socket name @lone64", stranger.id());
        assert!(said.contains(&word), "{said}");
    } else {
        let said = Daemon::refusal(&lab, &[], settings());
        assert!(said.contains(&format!("(pid {})", stranger.id())), "{said}");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

/// It makes namespaces of its own.
fn keeps_no_demo_out() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let said = lab.host.output(BINARY, "demo");
    assert!(said.contains("Nothing is left behind"), "{said}");
    assert_eq!(status(&daemon)["pid"], daemon.pid());
    daemon.stop();
}

/// Nobody's number, where there is one.
const NOBODY: u32 = 65_534;
