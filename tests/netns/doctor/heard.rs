//! What only a running daemon can have heard.

use super::Patient;
use super::traveller::{Traveller, bridge};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::frame::mac;
use crate::hostile::claims;
use crate::lab::{C, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::own_bridge::{self, MUTE, NO_REDIRECTS, nft};
use crate::solicitation::Solicitation;

crate::cases![
    finds_a_guest_whose_mask_is_too_short,
    is_content_with_such_a_guest_where_its_range_answers_it,
    finds_somebody_else_with_an_address_of_a_guest,
    finds_a_router_that_takes_no_answer,
    finds_a_router_that_is_behind_no_port,
    finds_guests_that_a_switch_cannot_be_told_of,
];

/// The host is healthy but for what was heard.
fn healthy() -> Traveller {
    let settings: Settings = bridge().upstream("announce = false\n");
    Traveller::new(Lab::veth(), &settings)
}

fn finds_a_guest_whose_mask_is_too_short() {
    let traveller = healthy();
    let patient = &traveller.patient;
    patient.is_well();
    patient.lab.guest.ip(&format!("addr del {GUEST}/112 dev eth0\naddr add {GUEST}/64 dev eth0 nodad"));
    let finding = eventually("it was heard", PATIENCE, || {
        let mut ping = std::process::Command::new("ping");
        ping.args(["-c", "1", "-W", "0.1", "2001:db8:1:2::1"]).stdout(std::process::Stdio::null());
        let _ = patient.lab.guest.spawn(&mut ping).wait();
        let (findings, _) = patient.examine();
        findings.first().filter(|finding| finding.check == "guest-masks").cloned()
    });
    assert!(finding.text.contains("takes 2001:db8:1:2::1 for a neighbor on br0"), "{finding:?}");
    let lines = &finding.remedies[1].text;
    assert!(lines.contains("interface = \"br0\"\nproxy-downstream = true"), "{lines}");
    // What it says is to be done in the guest.
    let remedy = &finding.remedies[0].text;
    let command = remedy.split('`').nth(1).expect("a command");
    for line in command.split("&&") {
        patient.lab.guest.output("ip", line.trim().strip_prefix("ip ").expect("ip"));
    }
    patient.lab.guest.ip(&format!("route replace default via {} dev eth0", crate::lab::GATEWAY));
    assert_eq!(finding.severity, "fault");
    patient.lab.guest.ping("2001:db8:1:2::1");
}

fn is_content_with_such_a_guest_where_its_range_answers_it() {
    let settings = Settings::default().without_sentinels().range(C, "br0", "proxy-downstream = true");
    let traveller = Traveller::new(Lab::veth(), &settings.upstream("announce = false\n"));
    let patient = &traveller.patient;
    patient.lab.guest.ip(&format!("addr del {GUEST}/112 dev eth0\naddr add {GUEST}/64 dev eth0 nodad"));
    patient.lab.guest.ping("2001:db8:1:2::1");
    patient.is_well();
}

fn finds_somebody_else_with_an_address_of_a_guest() {
    let traveller = healthy();
    let patient = &traveller.patient;
    let mut link = Link::open(&patient.lab);
    eventually("the guest is known", PATIENCE, || {
        link.send(&Solicitation::multicast(ROUTER, GUEST));
        let deadline = std::time::Instant::now() + std::time::Duration::from_millis(50);
        std::iter::from_fn(|| link.receive(deadline))
            .any(|frame| crate::frame::target_of(&frame, crate::frame::ADVERTISEMENT) == Some(GUEST))
            .then_some(())
    });
    let [rival, ..] = claims(mac(3), GUEST);
    let finding = eventually("he was heard", PATIENCE, || {
        link.send(&rival);
        let (findings, _) = patient.examine();
        findings.first().filter(|finding| finding.check == "rivals").cloned()
    });
    assert!(finding.text.contains("02:00:00:00:00:03"), "{finding:?}");
    assert!(finding.text.contains(&GUEST.to_string()), "{finding:?}");
}

fn finds_a_router_that_takes_no_answer() {
    let traveller = healthy();
    let patient = &traveller.patient;
    let router = &patient.lab.router;
    nft(router, "add table ip6 provider");
    nft(router, "add chain ip6 provider in { type filter hook prerouting priority -300 ; }");
    nft(router, "add rule ip6 provider in icmpv6 type nd-neighbor-advert drop");
    let finding = eventually("it was told", PATIENCE, || {
        let mut ping = std::process::Command::new("ping");
        ping.args(["-c", "1", "-W", "1", &GUEST.to_string()]).stdout(std::process::Stdio::null());
        let _ = router.spawn(&mut ping).wait();
        patient.examine().0.into_iter().find(|finding| finding.check == "answers-taken")
    });
    assert!(finding.text.contains("takes no answer, whatever its source"), "{finding:?}");
    assert!(finding.text.contains(&GUEST.to_string()), "{finding:?}");
    nft(router, "delete table ip6 provider");
    // Its silence behind the last question of a row says nothing, so it forgets what it knows, and asks once.
    eventually("that is over", PATIENCE, || {
        router.ping(&format!("-c 4 {GUEST}"));
        let is_over = patient.examine().0.iter().all(|finding| finding.check != "answers-taken");
        if !is_over {
            router.ip("neigh flush dev rt0");
        }
        is_over.then_some(())
    });
}

/// A host that serves guests on the upstream's own bridge.
fn on_its_own_bridge(lab: Lab) -> Traveller {
    let settings = own_bridge::settings();
    let daemon = Some(Daemon::start(&lab, settings.clone()));
    let world = Namespace::new();
    let traveller = Traveller { patient: Patient::with(lab, ""), daemon, world };
    traveller.configure(&settings);
    traveller
}

fn finds_a_router_that_is_behind_no_port() {
    let lab = own_bridge::lab();
    nft(&lab.host, NO_REDIRECTS);
    nft(&lab.host, MUTE);
    let traveller = on_its_own_bridge(lab);
    let patient = &traveller.patient;
    let finding = eventually("it was told", PATIENCE, || {
        patient.examine().0.into_iter().find(|finding| finding.check == "upstream-bridge")
    });
    assert!(finding.text.contains("not known behind which port of vmbr0"), "{finding:?}");
    assert!(finding.remedies[0].text.contains("ping -c 3 fe80::1%vmbr0"), "{finding:?}");
    nft(&patient.lab.host, "delete table netdev mute");
    patient.lab.router.ping(&GUEST.to_string());
    assert!(patient.examine().0.iter().all(|finding| finding.check != "upstream-bridge"));
}

fn finds_guests_that_a_switch_cannot_be_told_of() {
    let settings = || bridge().rest("[limits]\ngroups = 2\n");
    let mut traveller = Traveller::new(Lab::switched(), &settings().upstream("announce = false\n"));
    let found = |patient: &Patient| -> Vec<_> {
        let (findings, status) = patient.examine();
        let found: Vec<_> = findings.into_iter().filter(|finding| finding.check == "reports").collect();
        assert!(found.iter().all(|finding| finding.severity == "warning") && status == 0, "{found:?}");
        found
    };
    let querier = eventually("the querier is heard", PATIENCE, || found(&traveller.patient).pop());
    assert!(querier.text.contains("on up0 there is an MLD querier"), "{querier:?}");
    let guests = (0x100..0x104).map(|number| crate::switch::neighbor(crate::lab::c(number), "br0"));
    traveller.patient.lab.host.ip(&guests.collect::<String>());
    let full = eventually("there is no room for all", PATIENCE, || {
        found(&traveller.patient).into_iter().find(|finding| finding.text.contains("2 multicast groups"))
    });
    let [remedy] = &full.remedies[..] else { panic!("{full:?}") };
    assert_eq!(
        (remedy.kind.as_str(), remedy.text.as_str()),
        ("config", "[[upstream]]\ninterface = \"up0\"\nmld = \"router\"\n")
    );
    traveller.restart(&settings().upstream("announce = false\nmld = \"router\"\n"));
    assert!(found(&traveller.patient).is_empty());
}
