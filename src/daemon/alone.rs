//! One lone64 in a network namespace: two would answer each question twice, and take each other's routes along.
//!
//! May touch: the kernel's own space of socket names (unix(7), "abstract"), and /proc of the process that has one.
//! Each network namespace has a space of its own, so `demo` and containers do not meet. It needs no file, so a
//! read-only root and any user will do, and a name goes with its process, however that ends.
//!
//! The kernel gives these names to every local user. So the one that has the name is looked at: a process of
//! root, of our own user, or one that may open packet sockets is taken for a lone64. Any other cannot answer a
//! solicitation, whatever it is; it is told of and passed over, and the next of a few names serves. All of them are
//! tried, in order, by everyone: so two that start at the same moment, or one that passed over a stranger who has gone
//! since, still meet. If strangers have all names there is no lock, which is told, and answers all the same.

use std::fs;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Pid, geteuid};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Error;

/// As long as this lives, no other lone64 starts in the network namespace that it was claimed in.
#[derive(Debug)]
pub struct Alone {
    /// The names, which are free as soon as these are dropped.
    names: Vec<Arc<UnixListener>>,
    /// Who takes connections to them and closes them, so that there is always room for one.
    answering: JoinSet<()>,
}

/// Who has a name.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// One that may answer solicitations; its process id, where it is in sight.
    Lone64(Option<i32>),
    /// One that may not, or that does not say who it is.
    Stranger(String),
}

impl Alone {
    /// Claims the network namespace of this thread; an error if another lone64 has it. Must be called within a Tokio
    /// runtime with I/O and time.
    pub async fn claim() -> Result<Self, Error> {
        Self::claim_among(&NAMES).await
    }

    async fn claim_among(names: &[&str]) -> Result<Self, Error> {
        let mut alone = Self { names: Vec::new(), answering: JoinSet::new() };
        for name in names {
            match take(name).await {
                Ok(Ok(listener)) => alone.keep(listener),
                Ok(Err(Holder::Lone64(pid))) => return Err(Error::Another(pid)),
                Ok(Err(Holder::Stranger(who))) => tracing::warn!(
                    "{who} has the socket name @{name}, which shows one lone64 that another one runs; it may not \
                     answer solicitations, so it is not lone64 and is ignored; `ss -xlp src '@{name}'` shows it"
                ),
                // No name, no lock: where Unix sockets are forbidden, say.
                Err(error) => tracing::warn!("cannot take the socket name @{name}: {error}"),
            }
        }
        if alone.names.is_empty() {
            tracing::warn!(
                "lone64 cannot see whether another lone64 runs in this network namespace; make sure that there is \
                 only one"
            );
        }
        Ok(alone)
    }

    fn keep(&mut self, listener: UnixListener) {
        let listener = Arc::new(listener);
        self.answering.spawn(answer(Arc::downgrade(&listener)));
        self.names.push(listener);
    }
}

/// The name, or who has it.
async fn take(name: &str) -> io::Result<Result<UnixListener, Holder>> {
    let address = SockAddr::unix(format!("\0{name}"))?;
    for _ in 0..ATTEMPTS {
        match listen(&address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            listener => return Ok(Ok(UnixListener::from_std(listener?)?)),
        }
        match peer(&address) {
            // It was killed, and a child that it was about to start has not closed its copy yet.
            Ok(peer) if has_ended(peer.pid()) => sleep(PAUSE).await,
            Ok(peer) => return Ok(Err(holder(peer))),
            // It has gone since, or does not listen yet; or others are asking it, too.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::WouldBlock) => {
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Err(Holder::Stranger("a process that takes no connection".to_owned())))
}

fn listen(address: &SockAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The process that listens there, as it was when it began to.
fn peer(address: &SockAddr) -> io::Result<UnixCredentials> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(getsockopt(&socket, PeerCredentials)?)
}

/// Whether there is no such process. One that is out of sight has no number.
fn has_ended(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

fn holder(peer: UnixCredentials) -> Holder {
    // A process of another container is in our network namespace, and its number is not in our /proc.
    let pid = Some(peer.pid()).filter(|pid| *pid > 0);
    let is_trusted = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
    if is_trusted || pid.is_some_and(may_open_packet_sockets) {
        return Holder::Lone64(pid);
    }
    let pid = pid.map_or_else(|| "out of sight".to_owned(), |pid| format!("pid {pid}"));
    Holder::Stranger(format!("a process of user {} ({pid})", peer.uid()))
}

/// Whether it has CAP_NET_RAW. A lone64 of systemd's `DynamicUser=` is neither root nor we.
fn may_open_packet_sockets(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> CAP_NET_RAW & 1 == 1)
}

/// A process that connects has learnt what it wanted. Holds the name only while it looks.
async fn answer(listener: Weak<UnixListener>) {
    let accept = |cx: &mut Context<'_>| match listener.upgrade() {
        Some(listener) => listener.poll_accept(cx).map(|accepted| accepted.is_ok()),
        None => Poll::Pending,
    };
    loop {
        if !poll_fn(accept).await {
            sleep(PAUSE).await;
        }
        // Ten thousand connections at once cost no more than a thousand a second.
        sleep(BETWEEN_CLIENTS).await;
    }
}

/// By the first of these, one lone64 knows of another.
const NAMES: [&str; 4] = ["lone64", "lone64/2", "lone64/3", "lone64/4"];
/// capabilities(7).
const CAP_NET_RAW: u32 = 13;
const BACKLOG: i32 = 64;
/// Between the two calls of bind and listen a name has nobody to be asked; a starved machine may stop there.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);
const BETWEEN_CLIENTS: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the other tests, which share this network namespace, and of a lone64 of the machine's are others.
    fn name(of: &str) -> String {
        format!("lone64-test/{}/{of}", std::process::id())
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_second_one_is_told_who_the_first_is_until_that_ends() {
        let name = name("second");
        run(async {
            let first = Alone::claim_among(&[&name]).await.unwrap();
            let own = i32::try_from(std::process::id()).unwrap();
            // Often, because each leaves a connection behind.
            for _ in 0..2 * BACKLOG {
                let refused = Alone::claim_among(&[&name]).await;
                assert!(matches!(refused, Err(Error::Another(Some(pid))) if pid == own), "{refused:?}");
            }
            drop(first);
            Alone::claim_among(&[&name]).await.unwrap();
        });
    }

    #[test]
    fn one_that_took_the_second_name_is_met_by_one_that_finds_the_first_free() {
        let (one, two) = (name("one"), name("two"));
        run(async {
            let _first = Alone::claim_among(&[&two]).await.unwrap();
            let refused = Alone::claim_among(&[&one, &two]).await;
            assert!(matches!(refused, Err(Error::Another(_))), "{refused:?}");
        });
    }

    #[test]
    fn a_name_that_nobody_answers_for_holds_nobody_up() {
        let name = name("deaf");
        let deaf = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        deaf.bind(&SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
        run(async {
            assert!(Alone::claim_among(&[&name]).await.is_ok());
        });
    }

    #[test]
    fn a_stranger_without_privileges_is_no_lone64() {
        // No process has this number.
        let stranger = |uid| libc::ucred { pid: i32::MAX, uid, gid: uid };
        assert!(matches!(holder(stranger(65_533).into()), Holder::Stranger(_)));
        assert_eq!(holder(stranger(0).into()), Holder::Lone64(Some(i32::MAX)));
        assert!(may_open_packet_sockets(1) || !geteuid().is_root());
    }
}
