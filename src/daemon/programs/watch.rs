//! Who hears of filters that somebody takes away, from when one of ours is there.

use std::future::pending;

use crate::kernel::netlink::{FilterWatch, Touched};

/// Opened when it is needed first. Without it filters are looked for from time to time all the same.
#[derive(Default)]
pub(super) struct Watch(Option<FilterWatch>);

impl Watch {
    /// From now on.
    pub(super) fn open(&mut self) {
        if self.0.is_none() {
            let opened = FilterWatch::open();
            let told =
                |error: &_| tracing::debug!(%error, "cannot hear of filters of tc that are taken away");
            self.0 = opened.inspect_err(told).ok();
        }
    }

    /// What was taken away next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Touched {
        let Some(watch) = &mut self.0 else { return pending().await };
        match watch.touched().await {
            Ok(touched) => touched,
            Err(error) => {
                tracing::debug!(%error, "cannot hear of filters of tc that are taken away any more");
                self.0 = None;
                pending().await
            }
        }
    }
}
