//! What those have in common who keep tables of nftables: a change that is under way is waited for, and what another
//! program does to a table is noticed.
//!
//! May touch: the kernel's word of nftables, through its room.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::kernel::nft_table::{Table, TableWatch};

/// Says when a table is to be looked at, because somebody has changed it, perhaps we.
#[derive(Default)]
pub(super) struct Lookout {
    /// While there is a table, or may be.
    watch: Option<TableWatch>,
    /// The tables are to be looked at when this ends.
    look: Option<Pin<Box<Sleep>>>,
    looked: Option<Instant>,
}

impl Lookout {
    /// From here on it is noticed what happens to these tables. `cause` says what it means if that cannot be.
    pub(super) fn open(&mut self, tables: &'static [Table], cause: &'static str) {
        if self.watch.is_none() {
            let opened = TableWatch::open(tables);
            self.watch = opened.inspect_err(|error| tracing::warn!(%error, "{cause}")).ok();
        }
    }

    /// Whether changes are noticed.
    pub(super) fn is_open(&self) -> bool {
        self.watch.is_some()
    }

    /// There is no table any more.
    pub(super) fn close(&mut self) {
        self.watch = None;
    }

    /// Whether there will be a look.
    #[cfg(test)]
    pub(super) fn is_to_look(&self) -> bool {
        self.look.is_some()
    }

    /// The tables could not be read. They may have gone, and no further word of that comes.
    pub(super) fn look_again(&mut self) {
        self.look = Some(Box::pin(sleep_until(Instant::now() + AFTER_A_FAILED_LOOK)));
    }

    /// Waits until the tables are to be looked at, and as long as they may not be. Cancel-safe.
    pub(super) async fn due(&mut self, may_look: bool) {
        loop {
            let is_touched = self.look.is_some();
            tokio::select! {
                touched = touch_of(&mut self.watch), if !is_touched => match touched {
                    Ok(()) => self.look_soon(),
                    Err(error) => {
                        tracing::warn!(%error, "lone64 no longer notices changes of nftables");
                        self.watch = None;
                    }
                },
                () = end_of_pause(&mut self.look), if may_look => {
                    (self.look, self.looked) = (None, Some(Instant::now()));
                    return;
                }
                else => pending().await,
            }
        }
    }

    /// A little later, when all of a change has come; and not often, whatever somebody does to the tables.
    pub(super) fn look_soon(&mut self) {
        let soon = Instant::now() + LOOK_PAUSE;
        let at = self.looked.map_or(soon, |looked| soon.max(looked + BETWEEN_LOOKS));
        self.look = Some(Box::pin(sleep_until(at)));
    }
}

/// What is under way has ended. Where nothing is, that is never.
pub(super) async fn end_of<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => pending().await,
    }
}

/// The same of a pause.
pub(super) async fn end_of_pause(pause: &mut Option<Pin<Box<Sleep>>>) {
    match pause {
        Some(pause) => pause.await,
        None => pending().await,
    }
}

/// What takes a lock of the kernel's is done by another thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn touch_of(watch: &mut Option<TableWatch>) -> io::Result<()> {
    match watch {
        Some(watch) => watch.touched().await,
        None => pending().await,
    }
}

const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks that somebody brings about by changes.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const AFTER_A_FAILED_LOOK: Duration = Duration::from_secs(5);
