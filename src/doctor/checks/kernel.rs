//! What no remedy of ours can add to a running kernel: IPv6, packet sockets.

use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};

/// The check.
pub static CHECK: Check =
    Check { name: "kernel", group: Group::Host, asks: "the kernel has IPv6 and packet sockets", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !host.settings.keys().any(|key| key.starts_with("net/ipv6/")) {
        let mut finding = Finding::fault("the kernel runs without IPv6, so there is nothing to answer for")
            .seen("there is no /proc/sys/net/ipv6");
        let command_line = host.files.iter().find(|file| file.path.ends_with("proc/cmdline"));
        let words = command_line.into_iter().flat_map(|file| file.content.split_whitespace());
        for word in words.filter(|word| word.starts_with("ipv6.disable=")) {
            finding = finding.seen(format!("/proc/cmdline: {word}"));
        }
        findings.push(finding.remedy(Remedy::Advice(
            "take ipv6.disable=1 off the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then \
             update-grub) and reboot"
                .to_owned(),
        )));
    }
    if !host.has_packet_sockets {
        let sentence = "the kernel has no packet sockets, so solicitations for guests cannot be heard";
        findings.push(
            Finding::fault(sentence).seen("socket(AF_PACKET): EAFNOSUPPORT").run(
                Command::new("modprobe af_packet")
                    .for_good(Some("`echo af_packet > /etc/modules-load.d/lone64.conf`".to_owned())),
            ),
        );
    }
    findings
}
