//! Memory that is not needed now: what a start, a reload or a long reply has needed for a moment goes back to the kernel.
//!
//! May touch: the allocator and what is mapped of the program's file, through the kernel room.

use std::time::Duration;

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

use crate::kernel::{heap, image};

/// What waits to be given back.
#[derive(Debug, Default)]
pub(super) struct Spare(Option<AbortHandle>);

impl Spare {
    /// Something large has ended. What it has left to do, such as the guards of a new configuration, ends meanwhile.
    pub(super) fn give_back_soon(&mut self) {
        if let Some(earlier) = self.0.take() {
            earlier.abort();
        }
        let later = tokio::spawn(async {
            sleep(PAUSE).await;
            let _ = spawn_blocking(give_back).await;
        });
        self.0 = Some(later.abort_handle());
    }
}

fn give_back() {
    heap::give_back();
    image::give_back();
}

/// Longer than the tables of nftables are looked at behind a change.
const PAUSE: Duration = Duration::from_secs(1);
