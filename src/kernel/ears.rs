//! All packet sockets of the daemon, and which of them have something to read.
//!
//! They hang on one epoll instance of their own, and Tokio waits for that: any number of interfaces
//! costs one future, and each gets one batch per turn.

use std::collections::{BTreeMap, HashMap};
use std::io;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::packet::{PacketSocket, Stamps, Waiter};
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
    stamps: Stamps,
    /// What was asked of sockets so far, open and closed ones: the kernel forgets it when it has said
    /// it, and with the socket.
    drops: BTreeMap<IfIndex, u64>,
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
        Ok(Self {
            epoll,
            open: HashMap::new(),
            events: vec![EpollEvent::empty(); READY_AT_ONCE],
            stamps: Stamps::default(),
            drops: BTreeMap::new(),
        })
    }

    /// Listens on the interface. A socket that is open already is kept, with the questions that wait
    /// in its queue.
    pub fn listen(&mut self, link: IfIndex, ear: Ear) -> io::Result<()> {
        match self.listen_with(link, &ear, &program(&ear.role)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => match &ear.role {
                Role::Upstream { ranges, neighbors } => {
                    self.listen_with(link, &ear, &filter::upstream_in_brief(ranges, neighbors))
                }
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
        stamp(&socket, self.stamps);
        let interest = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(link.0));
        self.epoll.get_ref().0.add(&socket, interest)?;
        // Only now the old one goes, so that no question falls in between.
        if let Some(old) = self.open.insert(link, OpenEar { socket, mac: ear.mac, role: ear.role.clone() }) {
            self.close(link, old);
        }
        Ok(())
    }

    /// Stops listening on the interface. The kernel takes a closed socket out of the epoll set.
    pub fn unlisten(&mut self, link: IfIndex) {
        if let Some(old) = self.open.remove(&link) {
            self.close(link, old);
        }
    }

    /// From now on frames come with their moment, or without.
    pub fn stamp(&mut self, stamps: Stamps) {
        if stamps != self.stamps {
            self.stamps = stamps;
            self.open.values().for_each(|ear| stamp(&ear.socket, stamps));
        }
    }

    /// The open socket of an interface.
    pub fn get(&self, link: IfIndex) -> Option<&OpenEar> {
        self.open.get(&link)
    }

    /// How many frames passed a filter and found its queue full, by interface; where there were none
    /// the interface is left out. It may be gone by now.
    pub fn drops(&mut self) -> &BTreeMap<IfIndex, u64> {
        for (link, ear) in &self.open {
            count_drops(&mut self.drops, *link, &ear.socket);
        }
        &self.drops
    }

    fn close(&mut self, link: IfIndex, ear: OpenEar) {
        count_drops(&mut self.drops, link, &ear.socket);
        // Interfaces come and go as often as guests like.
        if self.drops.len() > MOST_DROPS {
            self.drops.retain(|link, _| self.open.contains_key(link));
        }
        close(ear);
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
        Role::Upstream { ranges, neighbors } => filter::upstream(ranges, neighbors),
        Role::Downstream => filter::downstream(),
    }
}

fn count_drops(drops: &mut BTreeMap<IfIndex, u64>, link: IfIndex, socket: &PacketSocket) {
    match socket.drops() {
        Ok(0) | Err(_) => {}
        Ok(count) => *drops.entry(link).or_default() += u64::from(count),
    }
}

/// A kernel that cannot say when frames came says nothing; they are answered all the same.
fn stamp(socket: &PacketSocket, stamps: Stamps) {
    if let Err(error) = socket.stamp(stamps) {
        tracing::debug!(%error, "frames come without their moment");
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

/// Interfaces without a socket whose drops are still known.
const MOST_DROPS: usize = 4_096;
/// Sockets served in one turn of the loop; the others come in the next.
const READY_AT_ONCE: usize = 64;
