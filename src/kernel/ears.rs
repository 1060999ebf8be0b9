//! All packet sockets of the daemon, and which of them have something to read.
//!
//! One epoll instance waits for them, and one queue has those with frames ([`super::ready`]). So any number of interfaces costs
//! nothing while they are silent. Each gets one batch, and then goes to the end of the queue.

mod tuning;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::arrivals::{self, Arrivals};
use super::newcomers::{ALL_INTERFACES, Newcomers};
use super::packet::{PacketSocket, RecvBatch, Stamps};
use super::ready::{Left, Queue, Source};
use crate::engine::facts::IfIndex;
use crate::engine::{Ear, Role};
use crate::wire::Mac;
use tuning::{stamp, tune};

/// The packet sockets, by interface.
///
/// Opening one, or giving it another filter, waits for the kernel's lock of all network settings. So other threads of
/// Tokio do it, and the thread of the loop collects the results ([`Ears::done`]).
#[derive(Debug)]
pub struct Ears {
    ready: Queue,
    open: HashMap<IfIndex, OpenEar>,
    stamps: Stamps,
    newcomers: Newcomers,
    arrivals: Arrivals,
    /// Whether guests may come on interfaces that are not listened on.
    expects_newcomers: bool,
    /// What was asked of sockets so far, open and closed ones: the kernel forgets it when it has said
    /// it, and with the socket.
    drops: BTreeMap<IfIndex, u64>,
    /// What was asked for last, and is not under way.
    asked: BTreeMap<IfIndex, Ear>,
    under_way: Option<Tuning>,
    /// Sockets of a predecessor, which are listened on when their interfaces are asked for; and those that were opened, but
    /// were asked for in another way meanwhile.
    inherited: HashMap<IfIndex, Arc<PacketSocket>>,
    /// What came of what was asked for, and is not told yet.
    told: Vec<(IfIndex, io::Result<()>)>,
}

/// One open socket.
#[derive(Debug)]
pub struct OpenEar {
    source: Source,
    /// The interface's own Ethernet address.
    pub mac: Mac,
    role: Role,
}

/// Some that are being opened, or get another filter.
#[derive(Debug)]
struct Tuning {
    /// Those for which it still counts. For the others something else was asked since.
    links: BTreeSet<IfIndex>,
    thread: JoinHandle<Vec<Tuned>>,
}

/// What came of one.
#[derive(Debug)]
struct Tuned {
    link: IfIndex,
    ear: Ear,
    /// With the old socket it got another filter; with a new one that is to be listened on.
    socket: io::Result<Arc<PacketSocket>>,
}

impl Ears {
    /// None yet; those that come are waited for in this queue. Must be called within a Tokio runtime whose threads began in
    /// the network namespace of this one.
    pub fn start(ready: Queue) -> Self {
        let mut ears = Self {
            ready,
            open: HashMap::new(),
            stamps: Stamps::default(),
            newcomers: Newcomers::default(),
            arrivals: Arrivals::default(),
            expects_newcomers: true,
            drops: BTreeMap::new(),
            asked: BTreeMap::new(),
            under_way: None,
            inherited: HashMap::new(),
            told: Vec::new(),
        };
        ears.hear_newcomers();
        ears
    }

    /// Sockets of a predecessor, with the questions in their queues.
    pub fn inherit(&mut self, sockets: Vec<(IfIndex, PacketSocket)>) {
        self.inherited = sockets.into_iter().map(|(link, socket)| (link, Arc::new(socket))).collect();
    }

    /// Closes those that nobody has asked for.
    pub fn close_inherited(&mut self) {
        self.inherited.drain().for_each(|(_, socket)| close(socket));
    }

    /// The sockets of the upstreams.
    pub fn upstreams(&self) -> impl Iterator<Item = &PacketSocket> {
        let upstreams = self.open.values().filter(|ear| matches!(ear.role, Role::Upstream { .. }));
        upstreams.map(OpenEar::socket)
    }

    /// Listens on the interface soon. A socket that is open already is kept, with the questions that wait
    /// in its queue.
    pub fn listen(&mut self, link: IfIndex, ear: Ear) {
        let is_under_way = self.overtake(link);
        let is_asked = self.asked.contains_key(&link);
        if let Some(open) = self.open.get_mut(&link).filter(|open| open.role == ear.role)
            && !is_under_way
            && !is_asked
        {
            open.mac = ear.mac;
            self.told.push((link, Ok(())));
            return;
        }
        self.asked.insert(link, ear);
        self.start_next();
    }

    /// Stops listening on the interface.
    pub fn unlisten(&mut self, link: IfIndex) {
        self.overtake(link);
        self.asked.remove(&link);
        if let Some(old) = self.open.remove(&link) {
            self.close(link, old);
        }
        self.told.push((link, Ok(())));
    }

    /// Whether this interface is not listened on yet, and will be soon.
    pub fn is_coming(&self, link: IfIndex) -> bool {
        let is_under_way = || self.under_way.as_ref().is_some_and(|tuning| tuning.links.contains(&link));
        (self.asked.contains_key(&link) || is_under_way()) && !self.open.contains_key(&link)
    }

    /// Whether something is under way, or not told yet.
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some() || !self.told.is_empty()
    }

    /// The results of what was asked for. A request that another one has overtaken has no result. What failed is tried
    /// again only when it is asked for again. Cancel-safe.
    pub async fn done(&mut self) -> Vec<(IfIndex, io::Result<()>)> {
        if self.told.is_empty() {
            let ended = end_of(&mut self.under_way).await;
            self.take_up_all(ended);
        }
        std::mem::take(&mut self.told)
    }

    /// Where frames have come.
    pub fn ready(&self) -> &Queue {
        &self.ready
    }

    /// The next interface on which frames have come, as far as is known. It is to be read then:
    /// [`OpenEar::receive`]. The socket of all interfaces is read here, and stands for an interface that is not
    /// listened on.
    pub fn next_ready(&mut self) -> Option<IfIndex> {
        let link = self.ready.pop()?;
        if arrivals::SOCKETS.contains(&link) {
            self.arrivals.read(link);
        }
        if link == ALL_INTERFACES {
            self.newcomers.read(|link| self.open.contains_key(&link));
        }
        Some(link)
    }

    /// Where more has come while the last batch was answered, that is next, behind the others. The kernel need not be asked.
    pub fn look_again(&self, link: IfIndex) {
        if self.open.get(&link).is_some_and(|ear| ear.socket().has_more()) {
            self.ready.push_again(link);
        }
    }

    /// The duplicate address detection that came on this interface before it was listened to.
    pub fn take_newcomers(&mut self, link: IfIndex) -> Vec<Vec<u8>> {
        self.newcomers.take(link)
    }

    /// That stations arrive is heard on all interfaces from now on, or is not.
    pub fn expect_arrivals(&mut self, are_expected: bool) {
        if !are_expected {
            return self.arrivals.close().into_iter().for_each(close);
        }
        self.arrivals.open(&self.ready);
    }

    /// The stations that have arrived since the last look.
    pub fn take_arrivals(&mut self) -> Vec<(IfIndex, Mac)> {
        self.arrivals.take()
    }

    /// Guests may come on interfaces that are not listened on yet, or may not: then nothing is heard there.
    pub fn expect_newcomers(&mut self, are_expected: bool) {
        self.expects_newcomers = are_expected;
        match are_expected {
            true => self.hear_newcomers(),
            false => {
                if let Some(socket) = self.newcomers.close() {
                    close(socket);
                }
            }
        }
    }

    /// Without that socket guests are heard as soon as their interfaces are listened to; it is tried again with the
    /// next interface.
    fn hear_newcomers(&mut self) {
        if self.expects_newcomers
            && let Err(error) = self.newcomers.open(&self.ready)
        {
            tracing::debug!(%error, "cannot open a socket that hears all interfaces");
        }
    }

    fn take_up_all(&mut self, ended: Result<Vec<Tuned>, JoinError>) {
        let links = self.under_way.take().map(|tuning| tuning.links).unwrap_or_default();
        match ended {
            Ok(all) => all.into_iter().for_each(|tuned| self.take_up(tuned, &links)),
            Err(error) => {
                let failed = |link| (link, Err(io::Error::other(error.to_string())));
                self.told.extend(links.into_iter().map(failed));
            }
        }
        self.start_next();
    }

    /// Makes requests that are under way for this interface void. Says whether there were any.
    fn overtake(&mut self, link: IfIndex) -> bool {
        self.under_way.as_mut().is_some_and(|tuning| tuning.links.remove(&link))
    }

    fn start_next(&mut self) {
        if self.under_way.is_some() || self.asked.is_empty() {
            return;
        }
        let next = std::iter::from_fn(|| self.asked.pop_first()).take(TUNED_AT_ONCE);
        let inherited = &mut self.inherited;
        let mut open = |link| {
            let open = self.open.get(&link).map(|ear| Arc::clone(ear.source.socket()));
            open.or_else(|| inherited.remove(&link))
        };
        let batch: Vec<_> = next.map(|(link, ear)| (link, ear, open(link))).collect();
        let links = batch.iter().map(|(link, ..)| *link).collect();
        let stamps = self.stamps;
        let tune = move |(link, ear, old): (IfIndex, Ear, Option<Arc<PacketSocket>>)| {
            let socket = tune(link, &ear.role, old, stamps);
            Tuned { link, ear, socket }
        };
        let thread = spawn_blocking(move || batch.into_iter().map(tune).collect());
        self.under_way = Some(Tuning { links, thread });
    }

    /// The old socket is closed only when the new one is open, so that no solicitation is lost.
    fn take_up(&mut self, Tuned { link, ear, socket }: Tuned, wanted: &BTreeSet<IfIndex>) {
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) if wanted.contains(&link) => return self.told.push((link, Err(error))),
            Err(_) => return,
        };
        let waits = self.asked.contains_key(&link) && !self.open.contains_key(&link);
        let known = self.open.get_mut(&link).filter(|open| Arc::ptr_eq(open.source.socket(), &socket));
        if !wanted.contains(&link) {
            // The one that is listened on stays, whatever its filter is by now: another is under way. A predecessor's has
            // questions in it, and waits for that one.
            match known {
                Some(_) => {}
                None if waits => drop(self.inherited.insert(link, socket)),
                None => close(socket),
            }
            return;
        }
        if let Some(known) = known {
            (known.mac, known.role) = (ear.mac, ear.role);
            return self.told.push((link, Ok(())));
        }
        stamp(&socket, self.stamps);
        let source = match Source::new(Arc::clone(&socket), link, &self.ready) {
            Ok(source) => source,
            Err(error) => {
                close(socket);
                return self.told.push((link, Err(error)));
            }
        };
        let new = OpenEar { source, mac: ear.mac, role: ear.role };
        self.hear_newcomers();
        // What came before this one was open is there by now; what comes from here on it hears itself.
        self.newcomers.read(|link| self.open.contains_key(&link));
        if let Some(old) = self.open.insert(link, new) {
            self.close(link, old);
        }
        let upstreams = self.open.iter().filter(|(_, ear)| matches!(ear.role, Role::Upstream { .. }));
        let upstreams: Vec<_> = upstreams.map(|(link, _)| *link).collect();
        self.newcomers.leave_out(upstreams.iter().copied());
        self.arrivals.leave_out(upstreams.into_iter());
        self.told.push((link, Ok(())));
    }

    /// From now on frames come with their moment, or without.
    pub fn stamp(&mut self, stamps: Stamps) {
        if stamps != self.stamps {
            self.stamps = stamps;
            self.open.values().for_each(|ear| stamp(ear.socket(), stamps));
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
            count_drops(&mut self.drops, *link, ear.socket());
        }
        &self.drops
    }

    fn close(&mut self, link: IfIndex, ear: OpenEar) {
        count_drops(&mut self.drops, link, ear.socket());
        // Interfaces come and go as often as guests like.
        if self.drops.len() > MOST_DROPS {
            self.drops.retain(|link, _| self.open.contains_key(link));
        }
        // A thread may hold the socket for a moment yet, so the waiting for it ends here.
        close(ear.source.into_socket());
    }
}

impl OpenEar {
    /// The socket.
    pub fn socket(&self) -> &PacketSocket {
        self.source.socket()
    }

    /// Takes one batch; `WouldBlock` if there are no frames. If there may be more, the interface stands last in
    /// the queue again.
    pub fn receive(&self, batch: &mut RecvBatch) -> io::Result<()> {
        self.source.read(|socket| {
            let mut received = socket.recv_batch(batch);
            // That an interface went down is told once, and frames may lie behind that.
            if received.as_ref().is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
                received = socket.recv_batch(batch);
            }
            // A batch that is not full has emptied the queue: to ask again would cost a system call. Where an error
            // has cut it short, that is an edge of its own.
            let left = if received.is_ok() && batch.is_full() { Left::Perhaps } else { Left::Nothing };
            (received, left)
        })
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.open.drain().for_each(|(_, ear)| close(ear.source.into_socket()));
    }
}

async fn end_of(under_way: &mut Option<Tuning>) -> Result<Vec<Tuned>, JoinError> {
    match under_way {
        Some(tuning) => (&mut tuning.thread).await,
        None => pending().await,
    }
}

fn count_drops(drops: &mut BTreeMap<IfIndex, u64>, link: IfIndex, socket: &PacketSocket) {
    match socket.drops() {
        Ok(0) | Err(_) => {}
        Ok(count) => *drops.entry(link).or_default() += u64::from(count),
    }
}

/// The kernel closes a packet socket only after a grace period of some 20 ms. The loop would stop for this time, and
/// there may be thousands of sockets. So other threads of Tokio close them, many at a time. The runtime ends after them.
fn close(socket: Arc<PacketSocket>) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(socket))),
        Err(_) => drop(socket),
    }
}

/// Interfaces without a socket whose drops are still known.
const MOST_DROPS: usize = 4_096;
/// Sockets that are opened one after the other before the first of them is listened on.
const TUNED_AT_ONCE: usize = 64;
