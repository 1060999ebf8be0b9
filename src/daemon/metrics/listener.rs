//! Where clients connect: a Unix socket with the permissions of the control socket, or a port.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::{Scrape, client};
use crate::config::Endpoint;
use crate::daemon::socket::{Purpose, Socket, SocketError};
use crate::explanation::words;

/// What is listened on.
#[derive(Debug)]
pub(super) enum Listener {
    Port(TcpListener),
    Socket(UnixListener),
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The port cannot be had.
    #[error("no metrics: cannot listen on {address}: {}; {}", words(.source), remedy(.source))]
    Port {
        /// The address and the port.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The path cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl Listener {
    /// Begins to listen. The path of a socket is taken as long as the second value lives.
    pub(super) fn bind(endpoint: &Endpoint) -> Result<(Self, Option<Socket>), MetricsError> {
        match endpoint {
            Endpoint::Port(address) => {
                let listener = std::net::TcpListener::bind(address)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .and_then(TcpListener::from_std)
                    .map_err(|source| MetricsError::Port { address: *address, source })?;
                Ok((Self::Port(listener), None))
            }
            Endpoint::Socket(path) => {
                let (socket, listener) = Socket::bind(path, Purpose::Metrics)?;
                Ok((Self::Socket(listener), Some(socket)))
            }
        }
    }

    /// Waits for a client, and serves it as one of `clients`. Cancel-safe.
    pub(super) async fn next(&self) -> io::Result<Client> {
        Ok(match self {
            Self::Port(listener) => Client::Port(listener.accept().await?.0),
            Self::Socket(listener) => Client::Socket(listener.accept().await?.0),
        })
    }
}

/// A client that has connected.
#[derive(Debug)]
pub(super) enum Client {
    Port(tokio::net::TcpStream),
    Socket(tokio::net::UnixStream),
}

impl Client {
    /// Serves it as one of these.
    pub(super) fn join(self, clients: &mut JoinSet<()>, scrapes: mpsc::Sender<Scrape>) -> AbortHandle {
        match self {
            Self::Port(stream) => clients.spawn(client::serve(stream, scrapes)),
            Self::Socket(stream) => clients.spawn(client::serve(stream, scrapes)),
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "choose another port for `metrics` in [control]",
        ErrorKind::AddrNotAvailable => {
            "no interface has this address; set `metrics` in [control] to an address of this host, or reload when \
             the host has it"
        }
        ErrorKind::PermissionDenied => "choose a port above 1023 for `metrics` in [control]",
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            "allow it in the unit that starts lone64 (RestrictAddressFamilies=AF_INET AF_INET6), or remove `metrics` \
             from [control]"
        }
        _ => "set another address for `metrics` in [control]",
    }
}
