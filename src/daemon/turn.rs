//! Whose turn it is: questions have one between any two other things, and the other things between any two turns of
//! questions.
//!
//! Questions and the rest have a waker each, so that a question costs no look at the rest. That holds as long as
//! whatever is waited for in [`Daemon::next`] keeps the waker that it was given while nobody looks at it.
//! Sockets, channels and futures that are kept do; a timer that is made for one look does not.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Context, Poll, Waker};

use futures_util::{Stream, StreamExt};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::Daemon;
use super::effects::Done;
use super::operator::Wish;
use super::settings::Settled;
use crate::engine::facts::Fact;
use crate::kernel::netlink::{NetlinkError, Notice};
use crate::kernel::ready::Queue;

/// What woke the loop.
pub(super) enum Wake {
    Stop(io::Result<()>),
    Frames,
    Kernel(Notice),
    Dumped(Result<Vec<Fact>, NetlinkError>),
    Done(Done),
    Settled(Settled),
    Wish(Wish),
    Timeout,
}

/// Who had the last turn, and whether the rest is to be looked at.
#[derive(Debug)]
pub(super) struct Turn {
    last: Last,
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Frames,
    Rest,
}

/// Rings for everything but frames.
#[derive(Debug)]
struct Bell {
    has_rung: AtomicBool,
    /// The task that waits for frames waits for the rest, too.
    ready: Queue,
}

impl Turn {
    /// `ready` is where frames have come.
    pub(super) fn new(ready: Queue) -> Self {
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), ready });
        Self { last: Last::Rest, waker: Arc::clone(&bell).into(), bell }
    }

    /// There is something new to wait for, or perhaps: the rest is looked at before the loop waits.
    pub(super) fn look(&self) {
        self.bell.has_rung.store(true, Ordering::Release);
    }

    /// Whether nothing of the rest has rung, and nothing new is to be waited for.
    fn is_quiet(&self) -> bool {
        !self.bell.has_rung.load(Ordering::Acquire)
    }

    /// Whether this was nothing but questions and answers: then nothing but the engine's own timers may have changed.
    pub(super) fn was_of_frames_only(&self) -> bool {
        self.last == Last::Frames && self.is_quiet()
    }

    /// Waits, unless it is time already, for frames or something of the rest: first for what had no turn last.
    async fn next(&self, mut rest: Pin<&mut impl Future<Output = Wake>>, is_due: bool) -> Wake {
        poll_fn(|_| {
            // A ring from here on wakes the task.
            let frames = if self.bell.ready.is_empty() { Poll::Pending } else { Poll::Ready(Wake::Frames) };
            let mut rest = || self.poll(rest.as_mut());
            let wake = match self.last {
                Last::Rest => either(frames, rest),
                Last::Frames => either(rest(), || frames),
            };
            let is_due = || is_due || self.bell.ready.is_past();
            if wake.is_pending() && is_due() { Poll::Ready(Wake::Timeout) } else { wake }
        })
        .await
    }

    /// This has its turn now. Where it is something of the rest there may be more of that.
    fn note(&mut self, wake: &Wake) {
        self.last = if matches!(wake, Wake::Frames) { Last::Frames } else { Last::Rest };
        if self.last == Last::Rest {
            self.look();
        }
    }

    /// What there is of the rest, where somebody has rung.
    fn poll<T>(&self, rest: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        if self.is_quiet() {
            return Poll::Pending;
        }
        // Another thread may ring just now. What it did before is seen by this look, and a later ring is kept: a store would
        // not do.
        self.bell.has_rung.swap(false, Ordering::AcqRel);
        rest.poll(&mut Context::from_waker(&self.waker))
    }
}

impl task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.ready.wake();
    }
}

impl Daemon {
    /// Step 3 of the engine's contract: waits for whatever comes first.
    pub(super) async fn next(
        &mut self,
        stop: &mut Pin<&mut impl Stream<Item = io::Result<()>>>,
        now: Instant,
    ) -> Wake {
        let due = [self.engine_due(), self.rest_due].into_iter().flatten().min();
        let is_due = self.frames.has_unsent() || due.is_some_and(|due| due <= now);
        self.turn.bell.ready.wait_until(due.map(Instant::into_std));
        // Where the loop does not wait the kernel has to be asked what has come.
        if is_due || self.turn.last == Last::Rest || !self.turn.bell.ready.is_empty() {
            yield_now().await;
        }
        let Self { frames, monitor, resync, effects, settings, operator, turn, .. } = self;
        let (has_room, has_settings) = (resync.takes_notices(), settings.is_busy());
        let rest = pin!(async {
            tokio::select! {
                Some(told) = stop.next() => Wake::Stop(told),
                tuned = frames.ears.done() => Wake::Done(Done::Ears(tuned)),
                notice = monitor.next(), if has_room => Wake::Kernel(notice),
                dumped = resync.dumped() => Wake::Dumped(dumped),
                done = effects.next() => Wake::Done(done),
                settled = settings.done(), if has_settings => Wake::Settled(settled),
                wish = operator.next() => Wake::Wish(wish),
            }
        });
        let wake = turn.next(rest, is_due).await;
        turn.note(&wake);
        wake
    }
}

fn either<T>(first: Poll<T>, second: impl FnOnce() -> Poll<T>) -> Poll<T> {
    if first.is_ready() { first } else { second() }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;
    use crate::engine::facts::IfIndex;

    /// What has the next turn, if anything has; the rest is looked at as `looks` counts.
    fn next(turn: &mut Turn, rest: Poll<()>, looks: &Cell<u32>) -> Option<Last> {
        let rest = pin!(poll_fn(|_| {
            looks.set(looks.get() + 1);
            rest.map(|()| Wake::Timeout)
        }));
        let wake = turn.next(rest, false).now_or_never()?;
        turn.note(&wake);
        Some(turn.last)
    }

    #[test]
    fn frames_and_the_rest_take_turns_while_there_is_something_of_both() {
        let (ready, looks) = (Queue::new().expect("an epoll instance"), Cell::new(0));
        let mut turn = Turn::new(ready.clone());
        ready.push_again(IfIndex(1));
        for _ in 0..10 {
            assert_eq!(next(&mut turn, Poll::Ready(()), &looks), Some(Last::Frames));
            assert_eq!(next(&mut turn, Poll::Ready(()), &looks), Some(Last::Rest));
        }
        ready.pop();
        assert_eq!(next(&mut turn, Poll::Ready(()), &looks), Some(Last::Rest));
    }

    #[test]
    fn questions_cost_no_look_at_the_rest_until_it_rings() {
        let (ready, looks) = (Queue::new().expect("an epoll instance"), Cell::new(0));
        let mut turn = Turn::new(ready.clone());
        assert_eq!(next(&mut turn, Poll::Pending, &looks), None);
        assert_eq!(looks.replace(0), 1);
        ready.push_again(IfIndex(1));
        for _ in 0..10 {
            assert_eq!(next(&mut turn, Poll::Ready(()), &looks), Some(Last::Frames));
        }
        assert_eq!(looks.get(), 0);
        turn.waker.wake_by_ref();
        assert_eq!(next(&mut turn, Poll::Ready(()), &looks), Some(Last::Rest));
        // Not all of it may have had its turn.
        ready.pop();
        assert_eq!(next(&mut turn, Poll::Pending, &looks), None);
        assert_eq!(looks.get(), 2);
    }
}
