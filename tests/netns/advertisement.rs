//! Advertisements, read strictly: rules.md "An answer" line by line.

use std::net::Ipv6Addr;

use crate::frame::{ADVERTISEMENT, ICMP, IP, Mac, address, checksum, receiver, sender};
use crate::solicitation::Solicitation;

/// What may differ between two right answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertisement {
    pub(crate) eth_dst: Mac,
    pub(crate) eth_src: Mac,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) router: bool,
    pub(crate) solicited: bool,
    pub(crate) override_flag: bool,
    pub(crate) target: Ipv6Addr,
}

impl Advertisement {
    /// Reads one, and says what is wrong with it.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, String> {
        let holds = |truth: bool, what: &str| match truth {
            true => Ok(()),
            false => Err(format!("{what}: {frame:02x?}")),
        };
        holds(frame.len() == ICMP + 32, "a header, an NA and one option of 8 bytes, nothing behind")?;
        holds(frame[12..14] == [0x86, 0xdd], "ethertype is IPv6")?;
        holds(frame[IP] >> 4 == 6, "version is 6")?;
        holds(frame[IP + 4..IP + 6] == [0, 32], "payload length is 32")?;
        holds(frame[IP + 6] == 58, "next header is ICMPv6")?;
        holds(frame[IP + 7] == 255, "hop limit is 255")?;
        let (source, destination) = (address(frame, IP + 8), address(frame, IP + 24));
        holds(frame[ICMP] == ADVERTISEMENT, "type is NA")?;
        holds(frame[ICMP + 1] == 0, "code is 0")?;
        holds(checksum(source, destination, &frame[ICMP..]) == 0, "checksum is right")?;
        holds(frame[ICMP + 4] & 0x1f == 0 && frame[ICMP + 5..ICMP + 8] == [0; 3], "reserved bits are zero")?;
        let option = &frame[ICMP + 24..];
        holds(option[..2] == [2, 1], "the option is a target link-layer address")?;
        holds(option[2..] == frame[6..12], "the option holds the MAC of the frame's source")?;
        Ok(Self {
            eth_dst: receiver(frame),
            eth_src: sender(frame),
            source,
            destination,
            router: frame[ICMP + 4] & 0x80 != 0,
            solicited: frame[ICMP + 4] & 0x40 != 0,
            override_flag: frame[ICMP + 4] & 0x20 != 0,
            target: address(frame, ICMP + 8),
        })
    }

    /// Whether this is the answer of `upstream`, with the default policy, to that question. Where the target itself is
    /// among the sources that there may be, the source need not be of the asker's scope.
    pub(crate) fn check(&self, question: &Solicitation, upstream: Mac, own: &[Ipv6Addr]) {
        let (mac, address) = question.answer_to();
        let wanted = Self {
            eth_dst: mac,
            eth_src: upstream,
            source: self.source,
            destination: address,
            router: false,
            solicited: !question.source.is_unspecified(),
            override_flag: false,
            target: question.target,
        };
        assert_eq!(*self, wanted, "the answer to {question:?}");
        assert!(own.contains(&self.source), "{} is no address of the upstream", self.source);
        if !question.source.is_unspecified() && !own.contains(&question.target) {
            assert_eq!(
                self.source.is_unicast_link_local(),
                question.source.is_unicast_link_local(),
                "the answer's source {} has the scope of the asker {}",
                self.source,
                question.source
            );
        }
    }
}
