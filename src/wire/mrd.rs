//! Multicast Router Discovery (RFC 4286): a switch passes all multicast on to the port of a multicast router.

use core::net::Ipv6Addr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::mld::{ALL_ROUTERS, Opened, close};
use super::{Checksum, DropReason, Mac};

/// "There is a multicast router here", or "there is none any more", as one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MulticastRouter {
    /// Our station.
    pub source_mac: Mac,
    /// Our link-local address on the link: RFC 4286 §3.2 asks for one.
    pub source: Ipv6Addr,
    /// The time until the next one, in whole seconds. None: there is no router any more.
    pub interval: Option<Duration>,
}

/// "Which multicast routers are there?" A switch asks so when it starts (RFC 4286 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MulticastRouterSolicitation {
    /// The switch's station.
    pub source_mac: Mac,
    /// Its link-local address, or `::` while it has none.
    pub source: Ipv6Addr,
}

impl MulticastRouterSolicitation {
    /// ICMPv6 type.
    pub const TYPE: u8 = 152;

    /// RFC 4286 §4: it is for all routers of the link, with a hop limit of 1 and a Router Alert option.
    pub(super) fn parse(frame: &[u8], station: Mac, checksum: Checksum) -> Result<Self, DropReason> {
        let Opened { source_mac, source, destination, message } = Opened::open(frame, station, checksum)?;
        if !source.is_unicast_link_local() && !source.is_unspecified() {
            return Err(DropReason::SourceNotLinkLocal);
        }
        if message.len() < LENGTH {
            return Err(DropReason::MessageTruncated);
        }
        if destination != ALL_ROUTERS {
            return Err(DropReason::MessageType);
        }
        Ok(Self { source_mac, source })
    }

    /// Writes the whole frame and returns its length; for tests.
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let frame = &mut buffer[..14 + 40 + 8 + LENGTH];
        frame[14 + 40 + 8..].copy_from_slice(&[Self::TYPE, 0, 0, 0]);
        close(frame, (self.source_mac, Mac::multicast(ALL_ROUTERS)), (self.source, ALL_ROUTERS));
        frame.len()
    }
}

impl MulticastRouter {
    /// The frame of an advertisement, in bytes.
    pub const MAX_EMITTED: usize = 14 + 40 + 8 + 8;

    /// Writes the whole frame and returns its length.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`Self::MAX_EMITTED`].
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        // RFC 4286 §3.2: type, advertisement interval, checksum, query interval, robustness variable; 0 where the
        // sender is no querier. §5.2: a termination has no more than a reserved byte.
        let (kind, seconds, length) = match self.interval {
            Some(interval) => (ADVERTISEMENT, u8::try_from(interval.as_secs()).unwrap_or(u8::MAX), 8),
            None => (TERMINATION, 0, 4),
        };
        let frame = &mut buffer[..14 + 40 + 8 + length];
        let message = &mut frame[14 + 40 + 8..];
        message.fill(0);
        message[..2].copy_from_slice(&[kind, seconds]);
        close(frame, (self.source_mac, Mac::multicast(ALL_SNOOPERS)), (self.source, ALL_SNOOPERS));
        frame.len()
    }
}

/// RFC 4286 §9: "All-Snoopers".
const ALL_SNOOPERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x6a);
const ADVERTISEMENT: u8 = 151;
const TERMINATION: u8 = 153;
/// Bytes of a solicitation: type, a reserved byte, checksum.
const LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_a_switch_reads() {
        let mut router = MulticastRouter {
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            source: "fe80::1".parse().expect("an address"),
            interval: Some(Duration::from_secs(20)),
        };
        let mut frame = [0xff; MulticastRouter::MAX_EMITTED];
        assert_eq!(router.emit(&mut frame), 70);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x6a]);
        assert_eq!(frame[20..22], [0, 1], "behind a hop-by-hop header with a router alert");
        assert_eq!(frame[62..64], [151, 20]);
        assert_eq!(frame[66..], [0; 4]);
        router.interval = None;
        assert_eq!(router.emit(&mut frame), 66);
        assert_eq!(frame[62..64], [153, 0]);
    }

    #[test]
    fn a_switch_that_asks_is_understood_and_nothing_like_it() {
        let asked = MulticastRouterSolicitation {
            source_mac: Mac([2, 0, 0, 0, 0, 9]),
            source: "fe80::9".parse().expect("an address"),
        };
        let station = Mac([2, 0, 0, 0, 0, 1]);
        let parse = |frame: &[u8]| MulticastRouterSolicitation::parse(frame, station, Checksum::Written);
        let mut frame = [0xff; 66];
        assert_eq!(asked.emit(&mut frame), 66);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 2]);
        assert_eq!(parse(&frame), Ok(asked));
        let unnumbered = MulticastRouterSolicitation { source: Ipv6Addr::UNSPECIFIED, ..asked };
        unnumbered.emit(&mut frame);
        assert_eq!(parse(&frame), Ok(unnumbered));
        // To others than the routers, with a sum that is right.
        close(&mut frame, (asked.source_mac, Mac::multicast(ALL_SNOOPERS)), (asked.source, ALL_SNOOPERS));
        assert_eq!(parse(&frame), Err(DropReason::MessageType));
    }

    #[test]
    fn a_question_that_is_cut_is_refused() {
        let source = "fe80::9".parse().expect("an address");
        let asked = MulticastRouterSolicitation { source_mac: Mac([2, 0, 0, 0, 0, 9]), source };
        let mut frame = [0; 66];
        asked.emit(&mut frame);
        for length in 0..LENGTH {
            frame[19] = 8 + length as u8;
            let station = Mac([2, 0, 0, 0, 0, 1]);
            let read = MulticastRouterSolicitation::parse(&frame, station, Checksum::Pending);
            assert_eq!(read, Err(DropReason::MessageTruncated), "{length} bytes");
        }
    }
}
