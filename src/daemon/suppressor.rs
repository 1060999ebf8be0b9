//! The table of nftables under change: one change at a time, and of those that wait only the last.

use std::future::pending;

use futures_util::future::BoxFuture;

use crate::engine::Suppression;
use crate::kernel::nft::{self, NftError};

/// Changes the table while answers go on.
#[derive(Default)]
pub(super) struct Suppressor {
    under_way: Option<BoxFuture<'static, Result<(), NftError>>>,
    next: Option<Vec<Suppression>>,
}

impl Suppressor {
    /// This is to be suppressed, and nothing else.
    pub(super) fn ask(&mut self, suppressions: Vec<Suppression>) {
        self.next = Some(suppressions);
        self.start_next();
    }

    /// Whether a change is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// What became of the change that is under way. Cancel-safe.
    pub(super) async fn done(&mut self) -> Result<(), NftError> {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let result = under_way.await;
        self.under_way = None;
        self.start_next();
        result
    }

    fn start_next(&mut self) {
        if self.under_way.is_none()
            && let Some(next) = self.next.take()
        {
            self.under_way = Some(Box::pin(async move { nft::replace(&next).await }));
        }
    }
}
