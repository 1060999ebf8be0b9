//! The way out: whatever ends a daemon, what the kernel holds for us is given back.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use futures_util::stream;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::sync::oneshot;

use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;
use crate::veths::{Veths, e};

crate::cases![
    gives_everything_back_when_the_loop_fails,
    tells_the_service_manager_while_it_gives_back_and_ends_at_once_at_a_second_signal,
    removes_as_many_routes_as_there_are,
    answers_and_ends_while_nobody_reads_its_log,
    takes_two_signals_that_come_together_for_one,
];

/// In this process, because only a broken runtime makes the loop fail: what tells it to stop says so.
fn gives_everything_back_when_the_loop_fails() {
    let lab = Lab::veth();
    let settings =
        Settings::default().range(D, "gv1", "gateway = \"fe80::64\"").upstream("suppress-kernel = true\n");
    let config = lone64::config::parse(&settings.text(), "lone64.toml").unwrap();
    let state = || {
        (
            lab.host.show("-o route show table all proto 64"),
            lab.host.show("-o addr show to fe80::64"),
            tables(&lab),
        )
    };
    let before = state();
    let during = lab.host.run(|| {
        let run = lone64::daemon::threads::run(async |queue| {
            let daemon = lone64::daemon::Daemon::start(&config, queue).await.unwrap();
            let during = state();
            let (fail, failed) = oneshot::channel();
            fail.send(()).unwrap();
            let stop = stream::once(async {
                failed.await.map_err(io::Error::other)?;
                Err(io::Error::other("this is a test"))
            });
            let ended = daemon.serve(stop).await;
            assert!(matches!(ended, Err(lone64::daemon::Error::Deaf(_))), "the reason: {ended:?}");
            during
        });
        run.unwrap()
    });
    assert!(
        during.0.contains(D) && during.1.contains("fe80::64") && during.2.contains("lone64"),
        "{during:?}"
    );
    assert_eq!(state(), before);
}

fn tables(lab: &Lab) -> String {
    lab.host.output("nft", "list tables")
}

/// An nft that hangs once it is told to holds up the way out.
fn tells_the_service_manager_while_it_gives_back_and_ends_at_once_at_a_second_signal() {
    let (lab, place) = (Lab::veth(), directory());
    let (fake, real, hang) = (place.join("fake"), place.join("nft"), place.join("hang"));
    fs::copy("/usr/sbin/nft", &real).unwrap();
    let script =
        format!("#!/bin/sh\n[ -e {} ] && exec sleep 1000\nexec {} \"$@\"\n", hang.display(), real.display());
    fs::write(&fake, script).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let mount = format!("mount --bind {} /usr/sbin/nft && exec \"$0\" \"$@\"", fake.display());
    let settings = Settings::default().range(D, "gv1", "").upstream("suppress-kernel = true\n");
    let mut daemon = Daemon::start_under(&lab, &["unshare", "--mount", "sh", "-c", &mount], settings);
    fs::write(&hang, "").unwrap();
    daemon.signal(Signal::SIGTERM);
    let told = daemon.notified("STOPPING=1");
    assert!(told.contains("EXTEND_TIMEOUT_USEC="), "{told}");
    eventually("its routes are gone", PATIENCE, || {
        lab.host.show("route show table all proto 64").is_empty().then_some(())
    });
    eventually("it has read that the kernel has removed them", PATIENCE, || daemon.is_asleep().then_some(()));
    // One that comes together with the first says no more than that.
    eventually("it ends", PATIENCE, || {
        daemon.signal(Signal::SIGTERM);
        daemon.has_ended().then_some(())
    });
    let said = daemon.failed();
    assert!(said.contains("SIGTERM: stopping at once"), "{said}");
    assert!(said.contains("`nft delete table ip6 lone64`"), "what is left, and what to do: {said}");
    fs::remove_dir_all(place).unwrap();
}

/// With `LONE64_ROUTES=20000`, this is the measure of what an exit has to remove.
fn removes_as_many_routes_as_there_are() {
    let count = std::env::var("LONE64_ROUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_u16);
    let veths = Veths::new(1);
    // Guests that an administrator has pinned; entries of his are not counted against the table's limit.
    let pinned = (0..count).fold(String::new(), |mut batch, n| {
        writeln!(batch, "neigh add {} lladdr 02:00:00:00:00:a0 dev vg0 nud permanent", e(0x1000 + n))
            .unwrap();
        batch
    });
    veths.lab.host.ip(&pinned);
    let clock = Instant::now();
    let daemon = Daemon::start(&veths.lab, Veths::settings().upstream("announce = false\n"));
    eprintln!("{count} routes: ready after {:.1?}", clock.elapsed());
    let ours = || veths.lab.host.show("-o route show table all proto 64").matches(" dev vg0 ").count();
    eventually("every guest has its route", PATIENCE, || (ours() == usize::from(count)).then_some(()));
    let clock = Instant::now();
    let said = daemon.stop();
    eprintln!("{count} routes: out after {:.1?}", clock.elapsed());
    assert_eq!(veths.lab.host.show("-o route show table all proto 64"), "", "{said}");
}

/// Standard error is a pipe that is full after some hundred lines, and that nobody reads.
fn answers_and_ends_while_nobody_reads_its_log() {
    let (lab, place) = (Lab::veth(), directory());
    let path = place.join("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let pipe = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let script = format!("exec \"$0\" \"$@\" 2>{}", path.display());
    let settings = Settings::default().range(C, "br0", "").rest("[log]\nlevel = \"trace\"\n");
    let daemon = Daemon::start_under(&lab, &["sh", "-c", &script], settings);
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    // Each is two lines of a hundred bytes. The pipe holds 64 KiB, and the daemon some thousand lines.
    for _ in 0..4_000 {
        link.send(&question);
        link.hear(&question, PATIENCE);
    }
    daemon.stop();
    assert_eq!(lab.host.show("route show table all proto 64"), "");
    drop(pipe);
    fs::remove_dir_all(place).unwrap();
}

/// timeout(1) sends its signal to the program, and then once more to its whole group.
fn takes_two_signals_that_come_together_for_one() {
    let lab = Lab::veth();
    let settings =
        Settings::default().range(D, "gv1", "gateway = \"fe80::64\"").upstream("suppress-kernel = true\n");
    let daemon = Daemon::start(&lab, settings);
    assert!(tables(&lab).contains("lone64"));
    // Both wait for it, however busy the machine is.
    daemon.freeze();
    daemon.signal(Signal::SIGINT);
    daemon.signal(Signal::SIGTERM);
    daemon.thaw();
    let said = daemon.stopped();
    assert!(said.contains("SIG") && !said.contains("at once"), "{said}");
    assert!(!tables(&lab).contains("lone64"));
}
