//! The other sides: groups on the upstream, probes on the guests' link, and the guests' own checks.

use std::time::{Duration, Instant};

use super::{Case, Level, Verdict};
use crate::bench::{Bench, probes};
use crate::frame::{ADVERTISEMENT, IP, address, mac, sender, solicited_node, target_of};
use crate::lab::{BRIDGE_MAC, GUEST, GUEST_MAC, c};
use crate::solicitation::{Asker, Solicitation};

pub(super) const CASES: &[Case] = &[
    Case {
        section: "RFC 4861 §7.2.8",
        level: Level::Must,
        about: "the solicited-node group of the guest is reported on the upstream",
        clause: "A proxy MUST join the solicited-node multicast address(es) that correspond to the IP address(es) assigned \
                 to the node for which it is proxying. This SHOULD be done using a multicast listener discovery protocol",
        judge: |bench| {
            // A report may be sent up to ten seconds after the group was joined (RFC 3810 §9.3 has the interval).
            let start = Instant::now();
            loop {
                if bench.heard.iter().any(|frame| is_report(frame)) {
                    return Verdict::Kept;
                }
                if start.elapsed() > Duration::from_secs(10) {
                    return Verdict::Broken("there is no report of it within 10 seconds".to_owned());
                }
                bench.listen(Duration::from_millis(200));
            }
        },
    },
    Case {
        section: "RFC 4861 §7.2.2",
        level: Level::Must,
        about: "a multicast probe has the source link-layer option",
        clause: "If the solicitation is being sent to a solicited-node multicast address, the sender MUST include its \
                 link-layer address (if it has one) as a Source Link-Layer Address option.",
        judge: |bench| {
            let probes = probed(bench, 0xd1);
            let Some((_, first)) = probes.first() else { return nobody() };
            match first.get(78..86) {
                Some([1, 1, named @ ..]) if named == sender(first) => Verdict::Kept,
                _ => Verdict::Broken("it has none, or another one's".to_owned()),
            }
        },
    },
    Case {
        section: "RFC 4861 §4.3",
        level: Level::Said,
        about: "a probe has hop limit 255 and an address of its interface as source",
        clause: "Source Address: Either an address assigned to the interface from which this message is sent or (if \
                 Duplicate Address Detection is in progress [ADDRCONF]) the unspecified address.",
        judge: |bench| {
            let probes = probed(bench, 0xd2);
            let Some((_, first)) = probes.first() else { return nobody() };
            let source = address(first, IP + 8);
            let is_own = [c(1), "fe80::b0".parse().expect("an address")].contains(&source);
            if first[IP + 7] == 255 && is_own {
                Verdict::Kept
            } else {
                Verdict::Broken(format!("hop limit {}, from {source}", first[IP + 7]))
            }
        },
    },
    Case {
        section: "RFC 4861 §7.2.2",
        level: Level::Must,
        about: "probes for a neighbor are a second apart, also where five ask",
        clause: "Retransmissions MUST be rate-limited to at most one solicitation per neighbor every RetransTimer \
                 milliseconds.",
        judge: |bench| {
            let probes = probed(bench, 0xd3);
            if probes.is_empty() {
                return nobody();
            }
            // A machine under load sends one late, and the next in time.
            let nearest = probes.windows(2).map(|pair| pair[1].0 - pair[0].0).min();
            match nearest {
                Some(gap) if gap < Duration::from_millis(700) => {
                    Verdict::Broken(format!("two of {} are {} ms apart", probes.len(), gap.as_millis()))
                }
                _ => Verdict::Kept,
            }
        },
    },
    Case {
        section: "RFC 4862 §5.4.3",
        level: Level::Must,
        about: "a guest's own check is not answered on its link, also while the router asks for that address",
        clause: "In all cases, a node MUST NOT respond to a Neighbor Solicitation for a tentative address.",
        judge: |bench| {
            let tentative = c(0xd4);
            let question = bench.question(tentative);
            bench.send(&question);
            bench.drain_downstream();
            bench.send_downstream(&Solicitation::dad(GUEST_MAC, tentative));
            bench.send(&question);
            is_not_answered_downstream(bench, tentative)
        },
    },
    Case {
        section: "RFC 4389 §4.1",
        level: Level::Said,
        about: "a guest is not answered for on its own link",
        clause: "A packet is passed on to other interfaces than the one on which it arrived: so what is asked on a link is \
                 not answered for there on account of the same link.",
        judge: |bench| {
            bench.drain_downstream();
            let neighbor = Asker { mac: mac(0x55), address: c(0x55) };
            bench.send_downstream(&Solicitation::multicast(neighbor, GUEST));
            is_not_answered_downstream(bench, GUEST)
        },
    },
];

/// The probes that five questions for an address that nobody has bring about.
fn probed(bench: &mut Bench, last: u16) -> Vec<(Instant, Vec<u8>)> {
    bench.drain_downstream();
    for _ in 0..5 {
        let question = bench.question(c(last));
        bench.send(&question);
    }
    probes(&bench.listen_downstream(Duration::from_millis(3_500)), c(last))
}

fn nobody() -> Verdict {
    Verdict::Unseen("it asks no guest".to_owned())
}

fn is_not_answered_downstream(bench: &mut Bench, target: std::net::Ipv6Addr) -> Verdict {
    if let Err(verdict) = bench.settle() {
        return verdict;
    }
    let heard = bench.listen_downstream(Duration::from_millis(300));
    let answered = heard
        .iter()
        .any(|(_, frame)| target_of(frame, ADVERTISEMENT) == Some(target) && sender(frame) == BRIDGE_MAC);
    if answered { Verdict::Broken("the host answers".to_owned()) } else { Verdict::Kept }
}

/// Whether a frame is a multicast listener report of the guest's group (RFC 3810 §5.2, RFC 2710 §3).
fn is_report(frame: &[u8]) -> bool {
    let group = solicited_node(GUEST).octets();
    // Behind a hop-by-hop header with a router alert.
    let message = frame.get(IP + 48..).unwrap_or_default();
    frame.get(IP + 6) == Some(&0)
        && matches!(message.first(), Some(143 | 131))
        && message.windows(16).any(|window| window == group)
}
