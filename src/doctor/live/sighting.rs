//! A frame, as far as it has to do with the journey. Touches nothing.

use std::net::Ipv6Addr;

use crate::wire::{Advertisement, Checksum, Mac, Message, Solicitation};

/// The packet that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Who sends it.
    pub(super) guest: Ipv6Addr,
    /// Where it is sent.
    pub(super) to: Ipv6Addr,
    /// By which it is known again.
    pub(super) identifier: [u8; 2],
}

/// A frame that has to do with the journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The station that sent it.
    pub(super) from: Mac,
    /// The station that it is for.
    pub(super) to: Mac,
    /// What it is.
    pub(super) what: What,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The request, from this address.
    Request(Ipv6Addr),
    /// What somebody says to it.
    Reply(Reply),
    /// A question.
    Solicitation(Solicitation),
    /// An answer.
    Advertisement(Advertisement),
}

/// What somebody says to the request (RFC 4443).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// Who says it, where that is known.
    pub(super) source: Ipv6Addr,
    /// ICMPv6 type.
    pub(super) kind: u8,
    /// ICMPv6 code.
    pub(super) code: u8,
    /// Which of the packets it is about; `None` where an error quotes too little of it.
    pub(super) sequence: Option<u16>,
}

impl Request {
    /// The ICMPv6 message, for a raw socket, which fills in the checksum.
    pub(super) fn message(&self, sequence: u16) -> [u8; 16] {
        let mut message = [0; 16];
        message[0] = ECHO_REQUEST;
        message[4..6].copy_from_slice(&self.identifier);
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message[8..].copy_from_slice(b"lone64.\n");
        message
    }

    /// What a frame is to the journey; `None` if nothing.
    pub(super) fn sighting(&self, frame: &[u8], checksum: Checksum) -> Option<Sighting> {
        let (to, from) = (mac(frame, 0)?, mac(frame, 6)?);
        // Both ways are looked at, so every frame counts as one for whom it is addressed to.
        let what = match Message::parse_with(checksum, frame, to) {
            Ok(Message::Solicitation(solicitation)) => What::Solicitation(solicitation),
            Ok(Message::Advertisement(advertisement)) => What::Advertisement(advertisement),
            // Of listeners and multicast routers nobody on the way asks.
            Ok(Message::Query(_) | Message::Report(_) | Message::RouterSolicitation(_)) => return None,
            Err(_) => {
                if frame.get(12..14)? != [0x86, 0xdd] || *frame.get(20)? != ICMPV6 {
                    return None;
                }
                let (source, destination) = (address(frame, 22)?, address(frame, 38)?);
                let message = frame.get(54..)?;
                if destination == self.to && self.is_request(message) {
                    What::Request(source)
                } else if destination == self.guest {
                    What::Reply(Reply { source, ..self.reply(message)? })
                } else {
                    return None;
                }
            }
        };
        Some(Sighting { from, to, what })
    }

    /// What an ICMPv6 message to the guest says to the request; `None` if it is about something else.
    pub(super) fn reply(&self, message: &[u8]) -> Option<Reply> {
        let (kind, code) = (*message.first()?, *message.get(1)?);
        let quoted = match kind {
            ECHO_REPLY => message,
            // An error quotes the packet that it is about: its header of 40 bytes, and what is in it.
            1..=4 if address(message, 16)? == self.guest && address(message, 32)? == self.to => {
                message.get(48..)?
            }
            _ => return None,
        };
        let is_ours = quoted.get(4..6).is_none_or(|identifier| identifier == self.identifier);
        if !is_ours || (kind == ECHO_REPLY && quoted.len() < 8) {
            return None;
        }
        let sequence = quoted.get(6..8).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        Some(Reply { source: Ipv6Addr::UNSPECIFIED, kind, code, sequence })
    }

    fn is_request(&self, message: &[u8]) -> bool {
        message.first() == Some(&ECHO_REQUEST) && message.get(4..6) == Some(&self.identifier)
    }
}

impl Reply {
    /// How many routers may touch the packet that it is about, as far as it was heard on the upstream.
    pub(super) fn hop_limit(self) -> Option<u32> {
        self.sequence.map(hop_limit)
    }

    /// Whether it comes from behind the first router, which had to forward it: that sends what it says itself from
    /// another address, and past its own filters of what it forwards.
    pub(super) fn is_from_beyond(self) -> bool {
        matches!(self.kind, TIME_EXCEEDED | ECHO_REPLY) && self.hop_limit().is_some_and(|hops| hops > 1)
    }

    /// The packet was refused on its way, by the station that says so.
    pub(super) fn is_refusal(self) -> bool {
        !matches!(self.kind, TIME_EXCEEDED | ECHO_REPLY)
    }

    /// It was refused for where it comes from, or on principle (RFC 4443 §3.1, codes 1, 5 and 6).
    pub(super) fn is_prohibition(self) -> bool {
        matches!((self.kind, self.code), (1, 1 | 5 | 6))
    }

    /// What it says, for people (RFC 4443 §3, §4).
    pub(super) fn as_str(self) -> &'static str {
        match (self.kind, self.code) {
            (1, 0) => "no route to destination",
            (1, 1) => "administratively prohibited",
            (1, 2) => "beyond scope of source address",
            (1, 3) => "address unreachable",
            (1, 4) => "port unreachable",
            (1, 5) => "source address failed ingress policy",
            (1, 6) => "reject route to destination",
            (2, _) => "packet too big",
            (TIME_EXCEEDED, _) => "hop limit exceeded",
            (ECHO_REPLY, _) => "echo reply",
            _ => "an error",
        }
    }
}

fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    frame.get(at..at + 6)?.try_into().ok().map(Mac)
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(octets.into())
}

/// The hop limit, as it leaves the host, of the packet with this number.
pub(super) fn hop_limit(sequence: u16) -> u32 {
    match sequence {
        NEAR => 1,
        _ => HOPS[usize::from(sequence) % HOPS.len()],
    }
}

/// All are sent at once: to the destination; and to the second and the third router, should that be silent.
pub(super) const HOPS: [u32; 3] = [64, 2, 3];
/// The number of the packet that ends at the first router. It is sent only where no other has come back: where the router
/// has something to say itself, it asks for the guest from another address, and what it takes for an answer then is
/// good for what it forwards, too.
pub(super) const NEAR: u16 = u16::MAX;

const ICMPV6: u8 = 58;
const TIME_EXCEEDED: u8 = 3;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let address = |text: &str| text.parse().expect("an address");
        Request { guest: address("2001:db8::5"), to: address("2001:db8:f::1"), identifier: [6, 4] }
    }

    fn frame(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 54];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[20] = ICMPV6;
        frame[22..38].copy_from_slice(&source.octets());
        frame[38..54].copy_from_slice(&destination.octets());
        frame.extend_from_slice(message);
        frame
    }

    fn seen(request: &Request, frame: &[u8]) -> Option<Sighting> {
        request.sighting(frame, Checksum::Written)
    }

    fn error(kind: u8, guest: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
        let mut message = vec![0; 8 + 40];
        message[0] = kind;
        message[16..32].copy_from_slice(&guest.octets());
        message[32..48].copy_from_slice(&to.octets());
        message
    }

    #[test]
    fn knows_its_request_also_from_another_source() {
        let request = request();
        let other = "2001:db8::2".parse().unwrap();
        for source in [request.guest, other] {
            let sighting = seen(&request, &frame(source, request.to, &request.message(1))).unwrap();
            assert_eq!(sighting.what, What::Request(source));
        }
        let stranger = Request { identifier: [0, 0], ..request };
        assert_eq!(seen(&request, &frame(request.guest, request.to, &stranger.message(1))), None);
    }

    #[test]
    fn takes_for_a_reply_only_what_quotes_the_request() {
        let request = request();
        let router = "fe80::1".parse().unwrap();
        let own = error(3, request.guest, request.to);
        let sighting = seen(&request, &frame(router, request.guest, &own)).unwrap();
        let reply = Reply { source: router, kind: 3, code: 0, sequence: None };
        assert_eq!(sighting.what, What::Reply(reply));
        assert!(!reply.is_from_beyond(), "nobody knows what it is about");
        let foreign = error(3, request.guest, router);
        assert_eq!(seen(&request, &frame(router, request.guest, &foreign)), None);
        for length in 0..own.len() {
            assert_eq!(seen(&request, &frame(router, request.guest, &own[..length])), None, "{length}");
        }
    }

    #[test]
    fn tells_what_the_router_says_from_what_it_forwards() {
        let request = request();
        let heard = |kind, sequence| {
            let mut message = error(kind, request.guest, request.to);
            message.extend_from_slice(&request.message(sequence));
            request.reply(&message)
        };
        for sequence in 0..9 {
            assert!(heard(3, sequence).unwrap().is_from_beyond(), "{sequence}");
            assert!(!heard(1, sequence).unwrap().is_from_beyond(), "{sequence}");
        }
        assert!(!heard(3, NEAR).unwrap().is_from_beyond());
        let stranger = Request { identifier: [0, 0], ..request };
        let mut message = error(3, request.guest, request.to);
        message.extend_from_slice(&stranger.message(0));
        assert_eq!(request.reply(&message), None);
    }

    #[test]
    fn knows_a_question_whose_checksum_is_not_computed_yet() {
        let request = request();
        let question = Solicitation {
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            destination_mac: Mac([0x33, 0x33, 0xff, 0, 0, 5]),
            source: "fe80::1".parse().unwrap(),
            destination: "ff02::1:ff00:5".parse().unwrap(),
            target: request.guest,
            source_link_layer: None,
        };
        let mut frame = [0; crate::wire::MAX_EMITTED];
        let length = question.emit(&mut frame);
        frame[56] ^= 1;
        let seen = |checksum| request.sighting(&frame[..length], checksum).map(|sighting| sighting.what);
        assert_eq!(seen(Checksum::Pending), Some(What::Solicitation(question)));
        assert_eq!(seen(Checksum::Written), None);
    }
}
