//! The kernel's settings, and the files that set them.

use std::path::Path;

use crate::lab::Lab;

use super::Patient;

crate::cases![
    finds_nothing_on_a_healthy_host,
    finds_that_forwarding_is_off,
    finds_that_forwarding_is_off_towards_guests,
    is_content_with_forwarding_by_interface,
    asks_for_no_forwarding_where_the_host_owns_the_range,
    applies_what_is_safe,
    changes_nothing_unasked_for_a_program,
    finds_that_the_kernel_has_no_ipv6,
    finds_that_it_may_not_do_its_work,
    finds_that_the_neighbor_table_is_small,
    finds_a_file_whose_name_is_misspelt,
    finds_a_setting_that_only_the_next_boot_loses,
    finds_a_setting_that_was_set_back,
    finds_a_later_file_that_wins,
    finds_a_misspelt_key,
    finds_a_name_with_a_dot_written_with_dots,
    finds_that_all_accept_ra_does_nothing,
    is_content_with_files_that_say_what_is,
];

/// What needs a limit of a namespace's own.
pub(crate) const BY_LIMIT: &[crate::Case] =
    &[("finds_that_the_filter_does_not_fit", finds_that_the_filter_does_not_fit)];

const ANYIP: &str = "[[range]]\nprefix = \"2001:db8:1:2:a::/80\"\ninterface = \"lo\"\n";
const FORWARDING: &str = "net/ipv6/conf/all/forwarding";

fn finds_nothing_on_a_healthy_host() {
    Patient::healthy().is_well();
}

fn finds_that_forwarding_is_off() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    patient.is_healed("forwarding", "fault", &["forwarding is off", "net/ipv6/conf/all/forwarding = 0"]);
    // Where the default route came by an advertisement, it must not be lost for it.
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    patient.lab.host.ip("route replace default via fe80::1 dev up0 proto ra");
    patient.is_healed("forwarding", "fault", &["forwarding is off"]);
    assert!(patient.lab.host.show("route show default").contains("proto ra"));
}

fn finds_that_forwarding_is_off_towards_guests() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/ipv6/conf/br0/forwarding", "0")]);
    let words = ["towards br0 the host calls itself no router", "net/ipv6/conf/br0/forwarding = 0"];
    patient.is_healed("forwarding", "warning", &words);
    patient.is_well();
}

fn is_content_with_forwarding_by_interface() {
    let patient = Patient::healthy();
    let links = ["up0", "br0", "gv1"].map(|link| format!("net/ipv6/conf/{link}/force_forwarding"));
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    if Path::new("/proc/sys/net/ipv6/conf/all/force_forwarding").exists() {
        patient.lab.host.sysctls(&links.each_ref().map(|link| (link.as_str(), "1")));
        patient.is_well();
    } else {
        // Before Linux 6.17 nothing else forwards.
        patient.suffers_from("forwarding", "fault", &["forwarding is off"]);
    }
}

fn asks_for_no_forwarding_where_the_host_owns_the_range() {
    let patient = Patient::with(Lab::veth(), ANYIP);
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    // Guests that nobody serves would be named.
    patient.lab.host.ip("addr flush dev br0 scope global");
    patient.is_well();
}

fn applies_what_is_safe() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    // What is printed is the state after it.
    let (findings, status) = patient.doctor(&["--fix", "--yes"]);
    assert!(findings.is_empty() && status == 0, "{findings:#?}");
    patient.shell("test \"$(cat /proc/sys/net/ipv6/conf/all/forwarding)\" = 1");
    // It lasts: the next boot reads this.
    let kept =
        std::fs::read_to_string(patient.directory().join("etc/sysctl.d/zz-lone64.conf")).expect("a file");
    assert!(kept.lines().any(|line| line == "net/ipv6/conf/all/forwarding = 1"), "{kept}");
    patient.is_well();
}

fn changes_nothing_unasked_for_a_program() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    let output = patient.output(&["--json", "--fix"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("add --yes"), "{said}");
    patient.shell("test \"$(cat /proc/sys/net/ipv6/conf/all/forwarding)\" = 0");
    assert!(!patient.directory().join("etc/sysctl.d").exists());
}

fn finds_that_the_kernel_has_no_ipv6() {
    let patient = Patient::healthy();
    patient.file("proc/cmdline", "root=/dev/vda1 ipv6.disable=1 quiet\n");
    // As it looks to whoever reads the settings; nothing else can be had without a boot.
    let hidden = "mount -t tmpfs none /proc/sys/net/ipv6";
    let (findings, status) = patient.doctor_after(hidden);
    assert_eq!((findings[0].check.as_str(), status), ("kernel", 1), "{findings:#?}");
    assert!(findings[0].text.contains("without IPv6") && findings[0].text.contains("ipv6.disable=1"));
    patient.is_well();
}

fn finds_that_it_may_not_do_its_work() {
    let patient = Patient::healthy();
    let (findings, status) = patient.doctor_under(&["setpriv", "--bounding-set", "-net_raw,-net_admin"]);
    assert_eq!((findings[0].check.as_str(), status), ("privileges", 0), "{findings:#?}");
    assert!(findings[0].text.contains("CAP_NET_ADMIN and CAP_NET_RAW"), "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.severity == "warning"), "no false fault: {findings:#?}");
    assert_eq!(findings[0].remedies[0].text, "sudo lone64 doctor");
}

fn finds_that_the_filter_does_not_fit() {
    let patient = Patient::healthy();
    patient.lab.host.sysctls(&[("net/core/optmem_max", "1000")]);
    patient.is_healed("limits", "fault", &["the daemon hears no question", "net/core/optmem_max = 1000"]);
    patient.lab.host.sysctls(&[("net/core/optmem_max", "1600")]);
    patient.is_healed("limits", "warning", &["scans cost more", "net/core/optmem_max = 1600"]);
    patient.is_well();
}

fn finds_that_the_neighbor_table_is_small() {
    let patient = Patient::healthy();
    // The table is the whole machine's, and its limit is to be seen in the first namespace only.
    let limited = |limit: &str| {
        format!(
            "mount -t tmpfs none /proc/sys/net/ipv6/neigh; mkdir /proc/sys/net/ipv6/neigh/default
                 echo {limit} > /proc/sys/net/ipv6/neigh/default/gc_thresh3"
        )
    };
    patient.lab.host.ip("neigh add 2001:db8:1:2:c::5 lladdr 02:00:00:00:00:05 dev br0 nud stale");
    let (findings, status) = patient.doctor_after(&limited("1"));
    assert_eq!((findings[0].check.as_str(), status), ("neighbor-table", 1), "{findings:#?}");
    assert!(findings[0].text.contains("gc_thresh3 = 1"), "{findings:#?}");
    let (findings, status) = patient.doctor_after(&limited("7"));
    assert_eq!((findings[0].check.as_str(), status), ("neighbor-table", 0), "{findings:#?}");
    let remedy = &findings[0].remedies[0].text;
    let (key, value) =
        remedy.strip_prefix("sysctl -w ").and_then(|text| text.split_once('=')).expect("a sysctl");
    assert_eq!(key, "net/ipv6/neigh/default/gc_thresh3");
    let (findings, status) = patient.doctor_after(&limited(value));
    assert!(findings.is_empty() && status == 0, "{findings:#?}");
}

fn finds_a_file_whose_name_is_misspelt() {
    let patient = Patient::healthy();
    patient.file("etc/sysctl.d/60-ipv6.cnf", "# routers\nnet.ipv6.conf.all.forwarding = 1\n");
    patient.file("etc/sysctl.d/README.sysctl", "# what is here\n");
    patient.file("etc/sysctl.d/50-old.conf.bak", "net.ipv6.conf.all.forwarding = 1\n");
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    patient.is_healed("sysctl-files", "fault", &["60-ipv6.cnf is never read", "60-ipv6.cnf:2: net.ipv6"]);
    patient.is_well();
}

fn finds_a_setting_that_only_the_next_boot_loses() {
    let patient = Patient::healthy();
    patient.file("etc/sysctl.d/60-ipv6", "-net/ipv6/conf/all/forwarding=1\n");
    patient.is_healed("sysctl-files", "warning", &["60-ipv6 is never read"]);
    patient.file("etc/sysctl.d/70-hardening.conf", "net.ipv6.conf.all.forwarding = 0\n");
    patient.is_healed("sysctl-files", "warning", &["70-hardening.conf:1", "60-ipv6.conf:1", "the last wins"]);
    patient.is_well();
}

fn finds_a_setting_that_was_set_back() {
    let patient = Patient::healthy();
    patient.file("etc/sysctl.conf", "net.ipv6.conf.all.forwarding=1\n");
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    patient.is_healed("sysctl-files", "fault", &["is 0, though a file sets it to 1", "sysctl.conf:1"]);
    patient.is_well();
}

fn finds_a_later_file_that_wins() {
    let patient = Patient::healthy();
    patient.file("etc/sysctl.d/10-router.conf", "net.ipv6.conf.all.forwarding = 1\n");
    patient.file("usr/lib/sysctl.d/90-cloud.conf", "net.ipv6.conf.*.forwarding = 0\n");
    patient.file("etc/sysctl.d/95-late.conf", "; a comment\nnet.ipv6.conf.all.forwarding = 0\n");
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    patient.is_healed("sysctl-files", "fault", &["10-router.conf:1", "95-late.conf:2", "the last wins"]);
    patient.is_well();
}

fn finds_a_misspelt_key() {
    let patient = Patient::healthy();
    patient.file("etc/sysctl.d/60-ipv6.conf", "net.ipv6.conf.all.fowarding = 1\n");
    patient.lab.host.sysctls(&[(FORWARDING, "0")]);
    let words =
        ["there is no sysctl net/ipv6/conf/all/fowarding", "net/ipv6/conf/all/forwarding is probably meant"];
    patient.is_healed("sysctl-files", "fault", &words);
    patient.is_well();
}

fn finds_a_name_with_a_dot_written_with_dots() {
    let lab = Lab::veth();
    lab.host.ip(
        "link set up0 down\nlink set up0 name up.0\nlink set up.0 up\naddr add fe80::2/64 dev up.0 nodad
                 addr add 2001:db8:1:2::2/64 dev up.0 nodad\nroute add default via fe80::1 dev up.0 proto ra",
    );
    let patient = Patient::with(lab, super::RANGES);
    patient.lab.host.sysctls(&[("net/ipv6/conf/up.0/accept_ra", "1")]);
    patient.file("etc/sysctl.d/60-ipv6.conf", "net.ipv6.conf.up.0.accept_ra = 2\n");
    patient.is_healed("sysctl-files", "fault", &["there is no sysctl net/ipv6/conf/up/0/accept_ra"]);
    patient.is_well();
}

fn finds_that_all_accept_ra_does_nothing() {
    let patient = Patient::healthy();
    patient.file("etc/sysctl.d/60-ipv6.conf", "net.ipv6.conf.all.accept_ra = 2\n");
    patient.is_healed(
        "sysctl-files",
        "warning",
        &["does nothing for interfaces that exist", "60-ipv6.conf:1"],
    );
    patient.is_well();
}

fn is_content_with_files_that_say_what_is() {
    let patient = Patient::healthy();
    patient.file(
        "etc/sysctl.d/60-ipv6.conf",
        "net.ipv6.conf.all.forwarding = 1\nnet.ipv6.conf.*.accept_dad = 0\nnet.ipv6.conf.all.mc_forwarding = 0\n\
         net.ipv6.conf.up0.accept_ra = 0\nnet.ipv4.ip_forward = 1\nkernel.printk = 4 4 1 7\n",
    );
    patient.file("etc/sysctl.d/50-old.conf~", "net.ipv6.conf.all.disable_ipv6 = 0\n");
    patient.is_well();
}
