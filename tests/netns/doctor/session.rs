//! A connection that an administrator types a remedy over: from the router to the host's address on the upstream.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::endpoint::PATIENCE;
use crate::lab::{Lab, UPSTREAM_GLOBAL};

/// Both ends of it.
pub(crate) struct Session {
    administrator: TcpStream,
    host: TcpStream,
}

impl Session {
    /// Opens one, if the host can be reached.
    pub(crate) fn open(lab: &Lab) -> Option<Self> {
        let listener = lab.host.run(|| TcpListener::bind((UPSTREAM_GLOBAL, 0))).ok()?;
        let to: SocketAddr = listener.local_addr().ok()?;
        let administrator =
            lab.router.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(1))).ok()?;
        let (host, _) = listener.accept().ok()?;
        for end in [&administrator, &host] {
            end.set_read_timeout(Some(PATIENCE)).expect("a time");
        }
        Some(Self { administrator, host })
    }

    /// Both ends hear each other.
    pub(crate) fn lives(&mut self) -> bool {
        let mut byte = [0];
        let there = self.administrator.write_all(b"?").and_then(|()| self.host.read_exact(&mut byte));
        let back = self.host.write_all(b"!").and_then(|()| self.administrator.read_exact(&mut byte));
        there.is_ok() && back.is_ok()
    }
}
