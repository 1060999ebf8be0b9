//! One echo request (RFC 4443 §4), and its reply.

use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// What became of an echo request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// The reply came after this time.
    Reply(Duration),
    /// None came, or the kernel found nobody to send to.
    Silence,
}

/// Sends an echo request from the namespace of the calling thread, and waits for its reply.
/// Errors if there is no raw socket to be had, or no route.
pub fn ping(target: Ipv6Addr, sequence: u16, patience: Duration) -> io::Result<Echo> {
    // On a raw ICMPv6 socket, the kernel computes the checksum.
    let mut socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.connect(&SocketAddrV6::new(target, 0, 0, 0).into())?;
    let sent = Instant::now();
    socket.send(&request(sequence))?;
    let mut reply = [0; 1500];
    loop {
        let left = patience.saturating_sub(sent.elapsed());
        if left.is_zero() {
            return Ok(Echo::Silence);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut reply) {
            Ok(length) if is_reply(&reply[..length], sequence) => return Ok(Echo::Reply(sent.elapsed())),
            Ok(_) => {}
            Err(error) if is_silence(&error) => return Ok(Echo::Silence),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn request(sequence: u16) -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = ECHO_REQUEST;
    message[4..6].copy_from_slice(&IDENTIFIER);
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message[8..].copy_from_slice(b"lone64.\n");
    message
}

fn is_reply(message: &[u8], sequence: u16) -> bool {
    message.len() == 16 && message[0] == ECHO_REPLY && message[4..] == request(sequence)[4..]
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable
    )
}

const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// Any will do: nobody else pings in these namespaces.
const IDENTIFIER: [u8; 2] = *b"64";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_must_match_its_request() {
        let mut reply = request(7);
        assert!(!is_reply(&reply, 7), "a request is no reply");
        reply[0] = ECHO_REPLY;
        assert!(is_reply(&reply, 7));
        assert!(!is_reply(&reply, 8));
        assert!(!is_reply(&reply[..8], 7));
    }
}
