//! What others do to the program, and that nothing is done to theirs; what is missing; interfaces that come and go.

use std::path::Path;
use std::process::Command;

use lone64::kernel::bpf::{LoadedProgram, Maps, Pins, TcxLink};
use lone64::wire::program::Verdict;

use super::{hits, index, maps, pins, settings, until_known, upstream};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::ingress::{PASS_ON, scene_of_lab};
use crate::lab::{C, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    leaves_the_programs_of_others_alone,
    is_put_back_when_somebody_takes_it_away,
    follows_its_interface,
    an_upstream_without_link_layer_has_none,
    pins_of_a_namespace_that_has_ended_go_and_no_others,
    two_network_namespaces_have_nothing_in_common,
    says_which_capability_is_missing_or_does_without,
];

fn question() -> Solicitation {
    Solicitation::multicast(ROUTER, GUEST)
}

fn leaves_the_programs_of_others_alone() {
    let lab = Lab::veth();
    lab.host.output("tc", "qdisc add dev up0 clsact");
    for preference in ["1", "60000"] {
        let arguments =
            ["filter", "add", "dev", "up0", "ingress", "pref", preference, "bpf", "da", "bytecode", PASS_ON];
        assert!(lab.host.spawn(Command::new("tc").args(arguments)).wait().unwrap().success());
    }
    let filters = || lab.host.output("tc", "filter show dev up0 ingress");
    let before = filters();
    let others_maps = Maps::create(1, 1).unwrap();
    let other = LoadedProgram::load(&scene_of_lab().program_for(others_maps.rows()), &others_maps).unwrap();
    let up0 = index(&lab, "up0");
    let others = lab.host.run(|| TcxLink::attach(&other, up0)).unwrap();
    let unknown = || others_maps.verdicts.verdicts().unwrap()[Verdict::Unknown as usize];
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    let seen = unknown();
    link.answered(&question());
    assert!(unknown() > seen, "the other's program sees every question");
    assert_eq!(filters(), before);
    daemon.kill();
    let daemon = Daemon::start(&lab, settings());
    link.answered(&question());
    daemon.stop();
    assert_eq!((filters(), others.interface().unwrap()), (before, Some(up0)));
}

fn is_put_back_when_somebody_takes_it_away() {
    let lab = Lab::veth();
    // With a written source, no question is left to the daemon because it comes again.
    let settings = Settings::default().upstream("backend = \"tc\"\nsource = \"scope\"\n").range(C, "br0", "");
    let daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    for _ in 0..2 {
        pins(&lab, "up0").link().unwrap().expect("it is pinned").detach().unwrap();
        // The daemon answers, or the program that it has put back by then.
        link.answered(&question());
        eventually("it is back", PATIENCE, || {
            let attached = pins(&lab, "up0").link().unwrap()?.interface().unwrap();
            (attached == Some(index(&lab, "up0"))).then_some(())
        });
        until_known(&lab, &mut link, GUEST);
        let before = hits(&lab, GUEST).unwrap();
        link.answered(&question());
        assert_eq!(hits(&lab, GUEST), Some(before + 1));
    }
    let log = daemon.stop();
    assert_eq!(log.matches("another program removed the program of lone64 from up0").count(), 1, "{log}");
}

fn follows_its_interface() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    until_known(&lab, &mut Link::open(&lab), GUEST);
    let before = pins(&lab, "up0");
    // Its MAC changes.
    lab.host.ip("link set up0 address 02:00:00:00:00:77");
    let mut link = Link::open(&lab);
    eventually("the answer names the other MAC", PATIENCE, || {
        link.send(&question());
        let heard = link.settle();
        heard.iter().any(|frame| frame.ends_with(&[2, 0, 0, 0, 0, 0x77])).then_some(())
    });
    lab.host.ip("link set up0 address 02:00:00:00:00:02");
    // It goes, and another of its name comes.
    lab.host.ip("link del up0");
    eventually("nothing is pinned", PATIENCE, || before.maps().unwrap().is_none().then_some(()));
    lab.router.ip(&format!(
        "link add rt0 address 02:00:00:00:00:01 type veth peer name up0 address 02:00:00:00:00:02 netns {}",
        lab.host.path()
    ));
    lab.router.ip("link set rt0 up
         addr add fe80::1/64 dev rt0 nodad
         addr add 2001:db8:1:2::1/64 dev rt0 nodad");
    lab.host.ip("link set up0 up
         addr add fe80::2/64 dev up0 nodad
         addr add 2001:db8:1:2::2/64 dev up0 nodad
         route add default via fe80::1 dev up0");
    let mut link = Link::open(&lab);
    eventually("the program knows the guest", PATIENCE, || {
        link.send(&question());
        link.settle();
        hits(&lab, GUEST)
    });
    assert_ne!(pins(&lab, "up0"), before);
    let hits_before = hits(&lab, GUEST).unwrap();
    link.answered(&question());
    assert_eq!(hits(&lab, GUEST), Some(hits_before + 1));
    // Down, it has none.
    lab.host.ip("link set up0 down");
    eventually("nothing is pinned", PATIENCE, || maps(&lab, "up0").is_none().then_some(()));
    daemon.stop();
}

fn two_network_namespaces_have_nothing_in_common() {
    let labs = [Lab::veth(), Lab::veth()];
    let [one, two] = &labs;
    assert_eq!(index(one, "up0"), index(two, "up0"));
    let daemons = labs.each_ref().map(|lab| {
        let daemon = Daemon::start(lab, settings());
        until_known(lab, &mut Link::open(lab), GUEST);
        daemon
    });
    assert_ne!(pins(one, "up0"), pins(two, "up0"));
    let [first, second] = daemons;
    first.stop();
    let before = hits(two, GUEST).unwrap();
    Link::open(two).answered(&question());
    assert_eq!((hits(two, GUEST), maps(one, "up0").is_none()), (Some(before + 1), true));
    // One that sweeps finds its own.
    Daemon::start(one, Settings::default().range(C, "br0", "")).stop();
    assert!(hits(two, GUEST).is_some());
    second.stop();
    assert!(two.host.run(|| Pins::all(Path::new(Pins::FILE_SYSTEM))).unwrap().is_empty());
}

fn says_which_capability_is_missing_or_does_without() {
    let lab = Lab::veth();
    let with = |bounds: &'static str| ["setpriv", "--bounding-set", bounds, "--inh-caps", "-all", "--"];
    let bare = with("-all,+net_admin,+net_raw");
    let said = Daemon::refusal(&lab, &bare, settings());
    assert!(said.contains("CAP_BPF") && said.contains("backend = \"auto\""), "{said}");
    // CAP_BPF, which setpriv may not know by its name.
    let enough = with("-all,+net_admin,+net_raw,+cap_39");
    let daemon = Daemon::start_under(&lab, &enough, settings());
    until_known(&lab, &mut Link::open(&lab), GUEST);
    daemon.stop();

    let auto = || Settings::default().upstream("backend = \"auto\"\n").range(C, "br0", "");
    let daemon = Daemon::start_under(&lab, &bare, auto());
    let mut link = Link::open(&lab);
    link.answered(&question());
    link.answered(&question());
    let known = upstream(&daemon);
    assert_eq!(known["backend"], "packet");
    assert!(known["no_program"].as_str().unwrap().contains("CAP_BPF"), "{known}");
    let log = daemon.stop();
    assert_eq!(log.matches("no program answers in the kernel on up0").count(), 1, "{log}");
    let daemon = Daemon::start(&lab, auto());
    until_known(&lab, &mut link, GUEST);
    daemon.stop();
}

/// Nobody asks there, so there is no program either, whatever the configuration wants.
fn an_upstream_without_link_layer_has_none() {
    let lab = Lab::veth();
    lab.host.ip("tuntap add dev tun7 mode tun\nlink set tun7 up");
    for backend in ["tc", "auto"] {
        let settings = Settings::default().upstream(&format!("backend = \"{backend}\"\n"));
        let mut daemon = Daemon::start_unready(&lab, settings.upstream_named("tun7").range(C, "br0", ""));
        let ready = daemon.notified("READY=1");
        assert!(ready.contains("STATUS=waiting for a link layer on tun7"), "{ready}");
        assert!(maps(&lab, "tun7").is_none());
        let said = daemon.stop();
        assert_eq!(said.matches("tun7 has no link layer").count(), 1, "{said}");
        assert!(!said.contains("program"), "{said}");
    }
}

/// A lab takes its own pins along. So its interface goes here as it would with the namespace, and the lab stays.
fn pins_of_a_namespace_that_has_ended_go_and_no_others() {
    let labs = [Lab::veth(), Lab::veth(), Lab::veth(), Lab::veth()];
    let folders = labs.each_ref().map(|lab| pins(lab, "up0"));
    let left = || folders.each_ref().map(|pins| pins.folder().exists());
    let [gone, gone_lately, there, here] = &labs;
    for (lab, lease) in [(gone, "10s"), (gone_lately, "1h"), (there, "10s")] {
        let settings = settings().upstream(&format!("on-crash-answer = \"{lease}\"\n"));
        let daemon = Daemon::start(lab, settings);
        until_known(lab, &mut Link::open(lab), GUEST);
        daemon.kill();
    }
    gone.host.ip("link del up0");
    gone_lately.host.ip("link del up0");
    assert_eq!(left(), [true, true, true, false]);
    eventually("the pins of the namespace that has ended are gone", PATIENCE, || {
        Daemon::start(here, settings()).stop();
        (!left()[0]).then_some(())
    });
    // One had answered for an hour, and a namespace that is there still has what its next daemon takes over.
    assert_eq!(left(), [false, true, true, false]);
    let daemon = Daemon::start(there, settings());
    until_known(there, &mut Link::open(there), GUEST);
    daemon.stop();
    assert_eq!(left(), [false, true, false, false]);
}
