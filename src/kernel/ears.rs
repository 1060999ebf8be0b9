//! All packet sockets of the daemon, and which of them have something to read.
//!
//! They hang on one epoll instance of their own, and Tokio waits for that: any number of interfaces
//! costs one future, and each gets one batch per turn.

use std::collections::HashMap;
use std::io;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::packet::{PacketSocket, Waiter};
use crate::engine::facts::IfIndex;
use crate::engine::{Ear, Role};
use crate::wire::filter::Instruction;
use crate::wire::{Mac, filter};

/// The packet sockets, by interface.
#[derive(Debug)]
pub struct Ears {
    epoll: AsyncFd<Waiter>,
    open: HashMap<IfIndex, OpenEar>,
    events: Vec<EpollEvent>,
}

/// One open socket.
#[derive(Debug)]
pub struct OpenEar {
    /// The socket.
    pub socket: PacketSocket,
    /// The interface's own Ethernet address.
    pub mac: Mac,
    role: Role,
}

impl Ears {
    /// None yet. Must be called within a Tokio runtime with I/O.
    pub fn new() -> io::Result<Self> {
        let epoll = Waiter(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?).register()?;
        Ok(Self { epoll, open: HashMap::new(), events: vec![EpollEvent::empty(); READY_AT_ONCE] })
    }

    /// Listens on the interface. A socket that is open already is kept, with the questions that wait
    /// in its queue.
    pub fn listen(&mut self, link: IfIndex, ear: Ear) -> io::Result<()> {
        match self.listen_with(link, &ear, &program(&ear.role)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => match &ear.role {
                Role::Upstream(ranges) => self.listen_with(link, &ear, &filter::upstream_in_brief(ranges)),
                Role::Downstream => Err(error),
            },
            result => result,
        }
    }

    fn listen_with(&mut self, link: IfIndex, ear: &Ear, program: &[Instruction]) -> io::Result<()> {
        if let Some(open) = self.open.get_mut(&link)
            && (open.role == ear.role || open.socket.attach(program).is_ok())
        {
            (open.mac, open.role) = (ear.mac, ear.role.clone());
            return Ok(());
        }
        let socket = PacketSocket::open(link, program)?;
        let interest = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(link.0));
        self.epoll.get_ref().0.add(&socket, interest)?;
        // Only now the old one goes, so that no question falls in between.
        let old = self.open.insert(link, OpenEar { socket, mac: ear.mac, role: ear.role.clone() });
        old.into_iter().for_each(close);
        Ok(())
    }

    /// Stops listening on the interface. The kernel takes a closed socket out of the epoll set.
    pub fn unlisten(&mut self, link: IfIndex) {
        self.open.remove(&link).into_iter().for_each(close);
    }

    /// The open socket of an interface.
    pub fn get(&self, link: IfIndex) -> Option<&OpenEar> {
        self.open.get(&link)
    }

    /// How many frames passed a filter and found its queue full, since the last call, over all open
    /// sockets.
    pub fn drops(&self) -> u64 {
        self.open.values().filter_map(|ear| ear.socket.drops().ok()).map(u64::from).sum()
    }

    /// Waits until frames have come, and says where. Cancel-safe.
    pub async fn ready(&mut self) -> io::Result<impl Iterator<Item = IfIndex>> {
        loop {
            let mut guard = self.epoll.readable().await?;
            let ready = guard.get_inner().0.wait(&mut self.events, EpollTimeout::ZERO)?;
            if ready > 0 {
                return Ok(self.events[..ready].iter().map(|event| IfIndex(event.data() as u32)));
            }
            guard.clear_ready();
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.open.drain().for_each(|(_, ear)| close(ear));
    }
}

fn program(role: &Role) -> Vec<Instruction> {
    match role {
        Role::Upstream(ranges) => filter::upstream(ranges),
        Role::Downstream => filter::downstream(),
    }
}

/// The kernel closes a packet socket only after a grace period, some 20 ms in which the loop would
/// stand still, for each of what may be thousands. So threads of Tokio's do it, many at a time; the
/// runtime ends when they have.
fn close(ear: OpenEar) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(ear))),
        Err(_) => drop(ear),
    }
}

/// Sockets served in one turn of the loop; the others come in the next.
const READY_AT_ONCE: usize = 64;
