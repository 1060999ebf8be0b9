//! What an answer looks like, and which unusual questions get one.

use super::{Case, Level, Verdict};
use crate::bench::{ALL_NODES, Bench};
use crate::frame::{ADVERTISEMENT, ICMP, IP, address, checksum, mac, receiver, sender};
use crate::lab::{GUEST, ROUTER_MAC, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL, UPSTREAM_MAC};
use crate::solicitation::{Solicitation, option, source_link_layer};

pub(super) const CASES: &[Case] = &[
    Case {
        section: "RFC 4861 §7.2.4",
        level: Level::Said,
        about: "a multicast solicitation for a guest is answered",
        clause: "A node sends a Neighbor Advertisement in response to a valid Neighbor Solicitation targeting one of the \
                 node's assigned addresses.",
        judge: |bench| {
            let question = bench.question(GUEST);
            bench.answers_so(&question, |_| Ok(()))
        },
    },
    Case {
        section: "RFC 4861 §7.2.4",
        level: Level::Must,
        about: "each asker gets an answer of its own",
        clause: "Otherwise, the node MUST set the Solicited flag to one and unicast the advertisement to the Source \
                 Address of the solicitation.",
        judge: |bench| match bench.answers_each {
            true => Verdict::Kept,
            false => Verdict::Broken("a second asker gets none while the first one's is known".to_owned()),
        },
    },
    Case {
        section: "RFC 4861 §7.1.2",
        level: Level::Must,
        about: "an answer is a valid advertisement",
        clause: "A node MUST silently discard any received Neighbor Advertisement messages that do not satisfy all of the \
                 following validity checks",
        judge: |bench| of_plain(bench, is_valid),
    },
    Case {
        section: "RFC 4861 §4.4",
        level: Level::Must,
        about: "the reserved field of an answer is zero",
        clause: "This field is unused. It MUST be initialized to zero by the sender",
        judge: |bench| {
            of_plain(bench, |answer| {
                holds(answer[ICMP + 4] & 0x1f == 0 && answer[ICMP + 5..ICMP + 8] == [0; 3], "bits are set")
            })
        },
    },
    Case {
        section: "RFC 4861 §4.4",
        level: Level::Said,
        about: "an answer comes from an address of the upstream",
        clause: "Source Address: An address assigned to the interface from which the advertisement is sent.",
        judge: |bench| {
            of_plain(bench, |answer| {
                let source = address(answer, IP + 8);
                holds(
                    [UPSTREAM_LINK_LOCAL, UPSTREAM_GLOBAL].contains(&source),
                    &format!("it comes from {source}"),
                )
            })
        },
    },
    Case {
        section: "RFC 4861 §4.4",
        level: Level::Must,
        about: "the answer to a multicast solicitation has the link-layer address",
        clause: "This option MUST be included on link layers that have addresses when responding to multicast \
                 solicitations.",
        judge: |bench| of_plain(bench, has_link_layer),
    },
    Case {
        section: "RFC 4861 §4.4",
        level: Level::Should,
        about: "so has the answer to a unicast solicitation",
        clause: "When responding to a unicast Neighbor Solicitation this option SHOULD be included.",
        judge: |bench| {
            let asker = bench.asker();
            bench.answers_so(&Solicitation::unicast(asker, GUEST, UPSTREAM_MAC), has_link_layer)
        },
    },
    Case {
        section: "RFC 4861 §7.2.4",
        level: Level::Must,
        about: "an answer to an address is unicast, with the Solicited flag",
        clause: "Otherwise, the node MUST set the Solicited flag to one and unicast the advertisement to the Source \
                 Address of the solicitation.",
        judge: |bench| {
            of_plain(bench, |answer| {
                holds(answer[ICMP + 4] & 0x40 != 0, "the Solicited flag is zero")?;
                holds(receiver(answer) == ROUTER_MAC, "the frame is not addressed to the asker")
            })
        },
    },
    Case {
        section: "RFC 4861 §7.2.8",
        level: Level::Must,
        about: "the Override flag of an answer is zero",
        clause: "All solicited proxy Neighbor Advertisement messages MUST have the Override flag set to zero.",
        judge: |bench| of_plain(bench, |answer| holds(answer[ICMP + 4] & 0x20 == 0, "it is one")),
    },
    Case {
        section: "RFC 4861 §7.2.4",
        level: Level::Said,
        about: "a unicast solicitation without a link-layer option is answered",
        clause: "Because unicast Neighbor Solicitations are not required to include a Source Link-Layer Address, it is \
                 possible that a node sending a solicited Neighbor Advertisement does not have a corresponding \
                 link-layer address for its neighbor in its Neighbor Cache.",
        judge: |bench| {
            let asker = bench.asker();
            let question = Solicitation::unicast(asker, GUEST, UPSTREAM_MAC).with(|q| q.options.clear());
            bench.answers_so(&question, |_| Ok(()))
        },
    },
    Case {
        section: "RFC 4861 §7.1.1",
        level: Level::Must,
        about: "the reserved field of a solicitation is ignored",
        clause: "The contents of the Reserved field, and of any unrecognized options, MUST be ignored.",
        judge: |bench| {
            let question = bench.question(GUEST).with(|q| q.reserved = 0xffff_ffff);
            bench.answers_so(&question, |_| Ok(()))
        },
    },
    Case {
        section: "RFC 4861 §7.1.1",
        level: Level::Must,
        about: "unrecognized options are ignored",
        clause: "The contents of the Reserved field, and of any unrecognized options, MUST be ignored.",
        judge: |bench| {
            let question = bench.question(GUEST).with(|q| {
                let known = std::mem::take(&mut q.options);
                q.options = [option(253, &[0xaa; 22]), known, option(138, &[7; 6])].concat();
            });
            bench.answers_so(&question, |_| Ok(()))
        },
    },
    Case {
        section: "RFC 4861 §7.1.1",
        level: Level::Must,
        about: "options of other messages are ignored",
        clause: "The contents of any defined options that are not specified to be used with Neighbor Solicitation \
                 messages MUST be ignored and the packet processed as normal.",
        judge: |bench| {
            let question = bench.question(GUEST).with(|q| {
                // Target link-layer address, MTU.
                let others = [option(2, &mac(0x99)), option(5, &[0, 0, 0, 0, 5, 220])].concat();
                q.options.splice(0..0, others);
            });
            bench.answers_so(&question, |_| Ok(()))
        },
    },
    Case {
        section: "RFC 4862 §5.4.3",
        level: Level::Must,
        about: "a stranger's check for a guest's address is answered, to all nodes, without the Solicited flag",
        clause: "If the source of the solicitation is the unspecified address, the node MUST set the Solicited flag to \
                 zero and multicast the advertisement to the all-nodes address. (RFC 4861 §7.2.4)",
        judge: |bench| {
            bench.answers_so(&Solicitation::dad(mac(0x77), GUEST), |answer| {
                holds(address(answer, IP + 24) == ALL_NODES, "it does not go to all nodes")?;
                holds(answer[ICMP + 4] & 0x40 == 0, "the Solicited flag is one")
            })
        },
    },
    Case {
        section: "RFC 4862 §5.4.3",
        level: Level::Said,
        about: "a check with a nonce (RFC 7527) is answered as one without",
        clause: "If the target address is not tentative (i.e., it is assigned to the receiving interface), the \
                 solicitation is processed as described in [RFC4861].",
        judge: |bench| {
            let question =
                Solicitation::dad(mac(0x77), GUEST).with(|q| q.options = option(14, &[1, 2, 3, 4, 5, 6]));
            bench.answers_so(&question, |_| Ok(()))
        },
    },
    Case {
        section: "RFC 6980 §5",
        level: Level::Must,
        about: "an answer has no fragment header",
        clause: "Nodes MUST NOT employ IPv6 fragmentation for sending any of the following Neighbor Discovery and SEcure \
                 Neighbor Discovery messages",
        judge: |bench| {
            of_plain(bench, |answer| holds(answer[IP + 6] == 58, "ICMPv6 does not follow the IPv6 header"))
        },
    },
];

/// Judges the answer to a plain question.
fn of_plain(bench: &mut Bench, judge: fn(&[u8]) -> Result<(), String>) -> Verdict {
    let question = bench.question(GUEST);
    bench.answers_so(&question, judge)
}

/// RFC 4861 §7.1.2.
fn is_valid(answer: &[u8]) -> Result<(), String> {
    holds(answer[IP + 7] == 255, "the hop limit is not 255")?;
    holds(answer[ICMP] == ADVERTISEMENT && answer[ICMP + 1] == 0, "the code is not 0")?;
    let payload = usize::from(u16::from_be_bytes([answer[IP + 4], answer[IP + 5]]));
    let message = answer.get(ICMP..ICMP + payload).ok_or("the payload is longer than the frame")?;
    let sum = checksum(address(answer, IP + 8), address(answer, IP + 24), message);
    holds(sum == 0, "the checksum is wrong")?;
    let mut rest = message.get(24..).ok_or("it is shorter than 24 bytes")?;
    while let [_, length, ..] = *rest {
        holds(length > 0, "an option has length 0")?;
        rest = rest.get(usize::from(length) * 8..).ok_or("an option is longer than the message")?;
    }
    Ok(())
}

fn has_link_layer(answer: &[u8]) -> Result<(), String> {
    let is_upstreams = source_link_layer(UPSTREAM_MAC)[2..] == sender(answer);
    let named = answer.get(ICMP + 24..ICMP + 32).ok_or("there is no option")?;
    holds(named[..2] == [2, 1], "the option is another one")?;
    holds(is_upstreams && named[2..] == UPSTREAM_MAC, "it is not the upstream's")
}

fn holds(truth: bool, otherwise: &str) -> Result<(), String> {
    if truth { Ok(()) } else { Err(otherwise.to_owned()) }
}
