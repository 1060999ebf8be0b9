//! Which of many sockets have something to read, in the order in which it came, and the thread that waits for it.
//!
//! Each socket is in one epoll instance, which is edge-triggered, and one queue has the interfaces of those with frames. So
//! thousands of sockets cost nothing while they are silent, a solicitation costs one wait, and each socket has its turn. A
//! socket counts as ready until it is known to be empty.
//!
//! Everything else that is waited for belongs to Tokio, on a thread of its own, which rings the bell of this one. So a
//! question meets nothing but this epoll instance.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::packet::PacketSocket;
use crate::engine::facts::IfIndex;

/// The interfaces whose sockets have something to read. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoll: Epoll,
    bell: Arc<Bell>,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    links: VecDeque<IfIndex>,
    /// By the number under which it is in the epoll instance. Numbers are used again.
    sources: Vec<Option<Waiting>>,
    free: Vec<usize>,
    /// The thread waits no longer than until then.
    due: Option<Instant>,
    /// It has waited so long.
    is_past: bool,
}

/// A socket in the epoll instance.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    link: IfIndex,
    /// It is empty, as far as is known, and not in the queue.
    is_empty: bool,
}

/// A socket that is waited for.
#[derive(Debug)]
pub struct Source {
    socket: Arc<PacketSocket>,
    link: IfIndex,
    number: usize,
    queue: Queue,
}

/// What is left in a socket that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is known to be empty.
    Nothing,
    /// There may be more.
    Perhaps,
}

/// Ends the thread's waiting, from any thread.
#[derive(Debug)]
struct Bell {
    state: AtomicU8,
    rung: EventFd,
}

impl Queue {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let rung = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        // It is edge-triggered, so that it need not be read.
        epoll.add(&rung, EpollEvent::new(EDGE, RUNG))?;
        let bell = Arc::new(Bell { state: AtomicU8::new(AWAKE), rung });
        Ok(Self(Arc::new(Inner { epoll, bell, shared: Mutex::default() })))
    }

    /// Runs a future to its end on this thread, which waits for the sockets of this queue and for whatever wakes the future.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&self.0.bell));
        let mut events = [EpollEvent::empty(); AT_ONCE];
        loop {
            // A wake from before this is seen by what is polled now, and one from behind it is kept: a store would not do.
            self.0.bell.state.swap(AWAKE, Ordering::AcqRel);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            let timeout = if self.0.bell.falls_silent() { self.until_due() } else { EpollTimeout::ZERO };
            // A signal ends the waiting, and nothing else can fail: then there are no events.
            let count = self.0.epoll.wait(&mut events, timeout).unwrap_or(0);
            self.take_in(&events[..count]);
        }
    }

    /// The thread waits no longer than until then, if that is a moment.
    pub fn wait_until(&self, due: Option<Instant>) {
        let mut shared = self.shared();
        (shared.due, shared.is_past) = (due, false);
    }

    /// Whether the thread has waited so long.
    pub fn is_past(&self) -> bool {
        self.shared().is_past
    }

    /// Ends the thread's waiting.
    pub fn wake(&self) {
        self.0.bell.wake_by_ref();
    }

    /// Whether no socket has anything to read, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.shared().links.is_empty()
    }

    /// The interface whose turn it is. It comes again when its socket was read and is not empty, or has more.
    pub(crate) fn pop(&self) -> Option<IfIndex> {
        self.shared().links.pop_front()
    }

    /// Puts an interface that was read just now behind the others, where it is not already.
    pub(crate) fn push_again(&self, link: IfIndex) {
        let mut shared = self.shared();
        if shared.links.back() != Some(&link) {
            shared.links.push_back(link);
        }
    }

    fn until_due(&self) -> EpollTimeout {
        let Some(due) = self.shared().due else { return EpollTimeout::NONE };
        // Not before it: the kernel knows milliseconds.
        let left = due.saturating_duration_since(Instant::now()) + Duration::from_nanos(999_999);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    fn take_in(&self, events: &[EpollEvent]) {
        let mut shared = self.shared();
        if events.is_empty() {
            shared.is_past = shared.due.is_some_and(|due| due <= Instant::now());
        }
        for event in events {
            let Shared { links, sources, .. } = &mut *shared;
            let number = usize::try_from(event.data()).unwrap_or(usize::MAX);
            if let Some(Some(waiting)) = sources.get_mut(number)
                && waiting.is_empty
            {
                waiting.is_empty = false;
                links.push_back(waiting.link);
            }
        }
    }

    /// Nothing that is done with it panics.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Waits for the socket, under this interface in the queue.
    pub(super) fn new(socket: Arc<PacketSocket>, link: IfIndex, queue: &Queue) -> io::Result<Self> {
        let mut shared = queue.shared();
        let number = shared.free.last().copied().unwrap_or(shared.sources.len());
        // What is in it already is an edge, too.
        let event = EpollEvent::new(EDGE, u64::try_from(number).map_err(io::Error::other)?);
        queue.0.epoll.add(&socket, event)?;
        let waiting = Some(Waiting { link, is_empty: true });
        match shared.free.pop() {
            Some(free) => shared.sources[free] = waiting,
            None => shared.sources.push(waiting),
        }
        drop(shared);
        Ok(Self { socket, link, number, queue: queue.clone() })
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Arc<PacketSocket> {
        &self.socket
    }

    /// Ends the waiting at once, and gives the socket back.
    pub(super) fn into_socket(self) -> Arc<PacketSocket> {
        Arc::clone(&self.socket)
    }

    /// Reads. `read` tells what it has left.
    pub(super) fn read<T>(&self, read: impl FnOnce(&PacketSocket) -> (T, Left)) -> T {
        let (result, left) = read(&self.socket);
        let mut shared = self.queue.shared();
        let Shared { links, sources, .. } = &mut *shared;
        let Some(waiting) = &mut sources[self.number] else { return result };
        match left {
            // What came since is another edge.
            Left::Nothing => waiting.is_empty = true,
            Left::Perhaps if !waiting.is_empty => links.push_back(self.link),
            // There is an edge of which the kernel has not told yet.
            Left::Perhaps => {}
        }
        result
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // A copy of the descriptor may be held by a successor, and the kernel would still tell of it.
        let _ = self.queue.0.epoll.delete(&self.socket);
        let mut shared = self.queue.shared();
        shared.sources[self.number] = None;
        shared.free.push(self.number);
    }
}

impl Bell {
    /// The thread is about to wait. False if it has been woken.
    fn falls_silent(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == ASLEEP {
            // It cannot be full: that would take 2^64 wakes.
            let _ = self.rung.write(1);
        }
    }
}

const EDGE: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLET);
/// The number of the bell.
const RUNG: u64 = u64::MAX;
/// Events that are taken in together.
const AT_ONCE: usize = 128;
/// The thread is at work.
const AWAKE: u8 = 0;
/// And has more to do when it has ended.
const WOKEN: u8 = 1;
/// It waits.
const ASLEEP: u8 = 2;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::thread;

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    #[test]
    fn what_another_thread_says_ends_the_waiting() {
        let queue = Queue::new().expect("an epoll instance");
        for number in 0..1_000 {
            let (tell, told) = oneshot::channel();
            let teller = thread::spawn(move || tell.send(number));
            assert_eq!(queue.run(told), Ok(number));
            assert_eq!(teller.join().expect("it does not panic"), Ok(()));
        }
    }

    #[test]
    fn what_wakes_itself_goes_on_without_waiting() {
        let queue = Queue::new().expect("an epoll instance");
        let count = queue.run(async {
            for _ in 0..100 {
                yield_now().await;
            }
            100
        });
        assert_eq!(count, 100);
    }

    #[test]
    fn it_waits_until_a_moment_and_no_longer_and_not_at_all_for_one_that_has_passed() {
        let queue = Queue::new().expect("an epoll instance");
        let now = Instant::now();
        for due in [now, now + Duration::from_millis(30), now] {
            queue.wait_until(Some(due));
            assert!(!queue.is_past());
            queue.run(poll_fn(|_| if queue.is_past() { Poll::Ready(()) } else { Poll::Pending }));
            assert!(Instant::now() >= due);
        }
        queue.wait_until(None);
        assert!(!queue.is_past());
    }
}
