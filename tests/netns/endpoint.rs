//! A packet socket on one interface: sends frames as they are, hears everything that arrives.
//!
//! Not promiscuous: what the interface's own filters keep out stays out, as for a real station.

use std::os::fd::{AsFd, IntoRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use pnet::datalink::{self, Channel, Config, DataLinkReceiver, DataLinkSender};
use socket2::{Domain, Socket, Type};

use crate::namespace::Namespace;
pub(crate) use crate::namespace::PATIENCE;

/// A packet socket.
pub(crate) struct Endpoint {
    socket: Socket,
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
}

impl Endpoint {
    /// Opens one.
    pub(crate) fn open(namespace: &Namespace, interface: &str) -> Self {
        namespace.run(|| {
            let socket = Socket::new(Domain::PACKET, Type::RAW, None).expect("CAP_NET_RAW in the namespace");
            // Room for a burst of answers; without privileges in the first user namespace the
            // ordinary limit has to do.
            if setsockopt(&socket, RcvBufForce, &(8 << 20)).is_err() {
                socket.set_recv_buffer_size(8 << 20).expect("clamped, not refused");
            }
            let ours = socket.try_clone().expect("a descriptor is left");
            let config = Config {
                promiscuous: false,
                read_timeout: Some(Duration::ZERO),
                socket_fd: Some(socket.into_raw_fd()),
                ..Config::default()
            };
            let link = datalink::interfaces()
                .into_iter()
                .find(|link| link.name == interface)
                .unwrap_or_else(|| panic!("{interface} is there"));
            match datalink::channel(&link, config).expect("a packet socket can be bound") {
                Channel::Ethernet(sender, receiver) => Self { socket: ours, sender, receiver },
                _ => unreachable!("asked for frames"),
            }
        })
    }

    /// The socket, for what else it can be told.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends one frame as it is.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.sender
            .send_to(frame, None)
            .expect("never out of room")
            .unwrap_or_else(|error| panic!("sending {} bytes: {error}", frame.len()));
    }

    /// The next frame, if one comes before the deadline.
    pub(crate) fn receive(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        loop {
            // An error is "nothing there yet", or the interface going down and up again.
            if let Ok(frame) = self.receiver.next() {
                return Some(frame.to_vec());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left.as_millis() + 1).expect("a few seconds");
            match poll(&mut descriptors, timeout) {
                // A machine that is put to sleep and woken up interrupts whoever waits.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => panic!("waiting for frames: {error}"),
            }
        }
    }

    /// What has arrived up to now. Namespaces on one machine have no wire: a frame that was sent is
    /// in this queue already.
    pub(crate) fn heard(&mut self) -> Vec<Vec<u8>> {
        let now = Instant::now();
        std::iter::from_fn(|| self.receive(now)).collect()
    }

    /// The first frame of which `pick` makes something; frames before it are lost.
    pub(crate) fn receive_until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut pick: impl FnMut(&[u8]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        while let Some(frame) = self.receive(deadline) {
            if let Some(found) = pick(&frame) {
                return found;
            }
        }
        panic!("within {within:?} there was not {what}");
    }
}
