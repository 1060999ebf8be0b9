//! Which of many sockets have something to read, in the order in which it came.
//!
//! Each socket is registered with Tokio's own epoll instance, which is edge-triggered. Its waker puts the socket's
//! interface into one queue. So thousands of sockets cost nothing while they are silent, a solicitation costs one wait,
//! and each socket has its turn. A socket counts as ready until it is known to be empty.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::packet::PacketSocket;
use crate::engine::facts::IfIndex;

/// The interfaces whose sockets have something to read, and who waits for them. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct Queue(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    links: VecDeque<IfIndex>,
    /// Waits for the queue. It stays when it was woken: it is the same task all the time.
    task: Option<Waker>,
}

/// A socket that Tokio waits for.
#[derive(Debug)]
pub struct Source {
    socket: AsyncFd<Arc<PacketSocket>>,
    link: IfIndex,
    queue: Queue,
    waker: Waker,
}

/// What is left in a socket that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is known to be empty.
    Nothing,
    /// There may be more.
    Perhaps,
}

/// Puts one interface into the queue.
struct Bell {
    link: IfIndex,
    queue: Queue,
}

impl Queue {
    /// Ready while there is something in it; else the task is woken when there is.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = self.shared();
        if !shared.links.is_empty() {
            return Poll::Ready(());
        }
        if !shared.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            shared.task = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes the task, which has something else to do.
    pub fn wake(&self) {
        if let Some(task) = &self.shared().task {
            task.wake_by_ref();
        }
    }

    /// Whether no socket has anything to read, as far as Tokio has heard.
    pub fn is_empty(&self) -> bool {
        self.shared().links.is_empty()
    }

    /// The interface whose turn it is. It comes again when its socket was read and is not empty, or has more.
    pub(crate) fn pop(&self) -> Option<IfIndex> {
        self.shared().links.pop_front()
    }

    /// Puts an interface that was read just now behind the others, where it is not already.
    pub(crate) fn push_again(&self, link: IfIndex) {
        if self.shared().links.back() != Some(&link) {
            self.push(link);
        }
    }

    /// Puts an interface behind the others.
    pub(crate) fn push(&self, link: IfIndex) {
        let mut shared = self.shared();
        shared.links.push_back(link);
        if let Some(task) = &shared.task {
            task.wake_by_ref();
        }
    }

    /// Nothing that is done with it panics.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Has Tokio wait for the socket, under this interface in the queue. Must be called within a Tokio runtime with I/O.
    pub(super) fn new(socket: Arc<PacketSocket>, link: IfIndex, queue: &Queue) -> io::Result<Self> {
        let queue = queue.clone();
        let waker = Waker::from(Arc::new(Bell { link, queue: queue.clone() }));
        let source = Self { socket: socket.register()?, link, queue, waker };
        source.wait();
        Ok(source)
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Arc<PacketSocket> {
        self.socket.get_ref()
    }

    /// Ends the waiting at once, and gives the socket back.
    pub(super) fn into_socket(self) -> Arc<PacketSocket> {
        self.socket.into_inner()
    }

    /// Reads. `read` tells what it has left.
    pub(super) fn read<T>(&self, read: impl FnOnce(&PacketSocket) -> (T, Left)) -> T {
        // Before the socket is read: what comes from here on is another edge, and is not cleared with this one.
        let guard = self.ready();
        let (result, left) = read(self.socket());
        match (guard, left) {
            (Some(mut guard), Left::Nothing) => {
                guard.clear_ready();
                self.wait();
            }
            (Some(_), Left::Perhaps) => self.queue.push(self.link),
            // Tokio has not heard of what is there, or was, and will.
            (None, _) => {}
        }
        result
    }

    fn wait(&self) {
        if self.ready().is_some() {
            self.queue.push(self.link);
        }
    }

    /// Where there is something to read; else the bell rings when there is.
    fn ready(&self) -> Option<AsyncFdReadyGuard<'_, Arc<PacketSocket>>> {
        // When the task has done as much in one go as Tokio lets it, Tokio says no and rings the bell at once.
        match self.socket.poll_read_ready(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Ok(guard)) => Some(guard),
            // The runtime is at its end.
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.push(self.link);
    }
}
