//! Memory that is not needed now: what a start, a reload or a long reply has needed for a moment goes back to the kernel.
//!
//! May touch: the allocator and what is mapped of the program's file, through the kernel room.

use std::time::Duration;

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

use crate::kernel::{heap, image};

/// What waits to be given back.
#[derive(Debug, Default)]
pub(super) struct Spare {
    change: Option<AbortHandle>,
    reply: Option<AbortHandle>,
}

impl Spare {
    /// A start or a reload has ended, which needs code that may never be needed again. What it has left to do, such as
    /// the guards of a new configuration, mostly ends before the second time, and the rest before the third.
    pub(super) fn change_ended(&mut self) {
        let later = tokio::spawn(async {
            for pause in [Duration::ZERO, PAUSE, 2 * PAUSE] {
                sleep(pause).await;
                let _ = spawn_blocking(give_back).await;
            }
        });
        put_off(&mut self.change, later.abort_handle());
    }

    /// A long reply has been written, which a program may ask for every few seconds.
    pub(super) fn long_reply_ended(&mut self) {
        let later = tokio::spawn(async {
            sleep(PAUSE).await;
            let _ = spawn_blocking(heap::give_back).await;
        });
        put_off(&mut self.reply, later.abort_handle());
    }
}

fn put_off(waiting: &mut Option<AbortHandle>, later: AbortHandle) {
    if let Some(earlier) = waiting.replace(later) {
        earlier.abort();
    }
}

/// What serving needs stays where it is: questions would only map it again, page by page.
fn give_back() {
    heap::give_back();
    if image::resident().is_none_or(|bytes| bytes > SERVING) {
        image::give_back();
    }
}

/// Longer than the tables of nftables are looked at behind a change.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of the program and its libraries. A daemon that answers had 3.1 MB of them resident.
const SERVING: usize = 4 << 20;
