//! Guests of `[[guest]]` that are not what their lines say, each with a remedy that heals.

use std::fs;

use super::served::Served;
use crate::daemon::Settings;
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab};
use crate::namespace::eventually;

crate::cases![
    finds_a_guest_that_was_never_heard,
    finds_an_address_of_a_guest_with_another_mac,
    finds_a_prefix_without_a_next_hop,
    finds_a_file_of_a_guest_that_is_refused,
    finds_pins_that_are_overwritten_or_kept_out,
];

const CHECK: &str = "named-guests";

fn served(guest: &str) -> Served {
    let settings =
        Settings::default().without_sentinels().upstream("automatic = false\n").range(C, "br0", "");
    Served::start(Lab::veth(), settings.rest(&format!("[[guest]]\nname = \"web1\"\n{guest}")))
}

fn finds_a_guest_that_was_never_heard() {
    let served = served(&format!("mac = \"02:00:00:00:00:77\"\naddresses = [\"{GUEST}\"]\n"));
    let patient = &served.patient;
    let words = ["web1 is not here", "02:00:00:00:00:77"];
    let finding = patient.suffers_from(CHECK, "warning", &words);
    assert!(finding.remedies[0].text.contains("start the guest"), "{finding:#?}");
    // It is started.
    patient.lab.guest.ip("link set eth0 down\nlink set eth0 address 02:00:00:00:00:77\nlink set eth0 up");
    patient
        .lab
        .guest
        .ip(&format!("addr replace fe80::5/64 dev eth0 nodad\naddr replace {GUEST}/112 dev eth0 nodad"));
    patient.lab.guest.ping("fe80::b0%eth0");
    eventually("it is heard", PATIENCE, || {
        patient.examine().0.iter().all(|finding| finding.check != CHECK).then_some(())
    });
}

fn finds_an_address_of_a_guest_with_another_mac() {
    let guest = |mac| format!("mac = \"{mac}\"\ninterface = \"br0\"\naddresses = [\"{GUEST}\"]\n");
    let served = served(&guest("02:00:00:00:00:77"));
    let patient = &served.patient;
    patient.lab.host.ping(&GUEST.to_string());
    let (findings, _) = patient.examine();
    let finding = findings.iter().find(|finding| finding.check == CHECK).expect("it is found");
    assert_eq!(finding.severity, "fault");
    assert!(finding.text.contains("is used by 02:00:00:00:00:05 on br0"), "{finding:#?}");
    let correct = finding.remedies[0].text.split('"').nth(1).expect("a MAC").to_owned();
    let file = served.daemon.config();
    let text = fs::read_to_string(&file).expect("the configuration").replace("02:00:00:00:00:77", &correct);
    fs::write(&file, text).expect("the configuration");
    crate::client::lone64(&served.daemon.config().with_file_name("control.sock"), "reload");
    let (left, _) = patient.examine();
    assert!(left.iter().all(|finding| finding.check != CHECK), "{left:#?}");
}

fn finds_a_prefix_without_a_next_hop() {
    let served = served(
        "mac = \"02:00:00:00:00:05\"\ninterface = \"br0\"\naddresses = []\n\
         delegate = [\"2001:db8:1:2:c::1000/116\"]\n",
    );
    let words = ["the prefixes of the guest web1 are not routed", "02:00:00:00:00:05 on br0"];
    served.patient.is_healed_in_time(CHECK, "warning", &words);
    let shown = served.patient.lab.host.show("route show 2001:db8:1:2:c::1000/116");
    assert!(shown.contains("via fe80::5 dev br0"), "{shown}");
}

fn finds_a_file_of_a_guest_that_is_refused() {
    let served = served(&format!("interface = \"br0\"\naddresses = [\"{GUEST}\"]\n"));
    let folder = served.daemon.config().with_file_name("guests.d");
    fs::create_dir(&folder).expect("our directory");
    fs::write(folder.join("web2.toml"), "[[guest]]\nname = \"web2\"\ninterface = \"br0\"\nadresses = []\n")
        .expect("our file");
    let finding = eventually("it is refused", PATIENCE, || {
        let (findings, _) = served.patient.examine();
        findings.into_iter().find(|finding| finding.check == "guest-files")
    });
    assert!(finding.text.contains("web2.toml:4") && finding.text.contains("adresses"), "{finding:#?}");
    assert!(finding.remedies[0].text.contains("did you mean `addresses`"), "{finding:#?}");
    fs::remove_file(folder.join("web2.toml")).expect("our file");
    eventually("it is content", PATIENCE, || {
        let (findings, _) = served.patient.examine();
        findings.iter().all(|finding| finding.check != "guest-files").then_some(())
    });
}

fn finds_pins_that_are_overwritten_or_kept_out() {
    let lab = Lab::veth();
    let wrong = "lladdr 02:00:00:00:00:99 dev br0";
    lab.host.ip(&format!("neigh replace {GUEST} {wrong} nud permanent"));
    let settings =
        Settings::default().without_sentinels().upstream("automatic = false\n").range(C, "br0", "");
    let served = Served::start(
        lab,
        settings.rest(&format!(
            "[[guest]]\nname = \"web1\"\nmac = \"02:00:00:00:00:05\"\ninterface = \"br0\"\naddresses = [\"{GUEST}\"]\n\
             pin = true\n"
        )),
    );
    let patient = &served.patient;
    let warning = |words: &'static str| {
        eventually(words, PATIENCE, || {
            let (findings, _) = patient.examine();
            findings.into_iter().find(|finding| finding.check == CHECK && finding.text.contains(words))
        })
    };
    let finding = warning("is not pinned to 02:00:00:00:00:05");
    patient.shell(&finding.remedies[0].text);
    eventually("it is pinned", PATIENCE, || {
        // The kernel may have learned the same MAC by itself meanwhile.
        let shown = patient.lab.host.show(&format!("neigh show {GUEST} dev br0"));
        shown.contains("02:00:00:00:00:05 PERMANENT proto 64").then_some(())
    });
    patient.lab.host.ip(&format!("neigh replace {GUEST} {wrong} nud noarp extern_learn proto zebra"));
    let finding = warning("overwrites the permanent neighbor entries of the guest web1");
    assert!(finding.remedies[0].text.contains("ip -6 monitor neigh dev br0"), "{finding:#?}");
}
