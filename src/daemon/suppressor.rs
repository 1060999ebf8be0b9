//! The table of nftables under change: one change at a time, and of those that wait only the last. What
//! another program does to it is noticed.
//!
//! May touch: nft(8), and the kernel's word of nftables, through their rooms.

use futures_util::future::BoxFuture;

use super::lookout::{Lookout, blocking, end_of};
use crate::engine::Suppression;
use crate::kernel::nft::{self, NftError};
use crate::kernel::nft_table::{self, Table};

/// Changes the table while answers go on.
#[derive(Default)]
pub(super) struct Suppressor {
    under_way: Option<BoxFuture<'static, Ended>>,
    /// What is under way is a look for what a crashed one has left: nobody waits for that.
    sweeps: bool,
    next: Option<Vec<Suppression>>,
    /// While there is a table.
    lookout: Lookout,
    /// Our table as nft lists it; empty where another program has changed it already, `None` where there is none of
    /// ours, or it is not known.
    installed: Option<String>,
}

/// What there is to tell.
pub(super) enum News {
    /// What became of the change that was asked for.
    Changed(Result<(), NftError>),
    /// Another program has changed our table, or removed it.
    Lost,
    /// Nothing.
    Nothing,
}

/// What has ended.
enum Ended {
    /// A change, and the table as it is now.
    Change(Result<(), NftError>, Option<String>),
    /// A look at the table.
    Look(Result<Option<String>, NftError>),
    /// Whether there is a table that nobody uses any more.
    Found(bool),
    /// It was removed.
    Swept(Result<(), NftError>),
}

impl Suppressor {
    /// This is to be suppressed, and nothing else.
    pub(super) fn ask(&mut self, suppressions: Vec<Suppression>) {
        if !suppressions.is_empty() {
            let cause = "lone64 does not notice when other programs change the table ip6 lone64";
            self.lookout.open(&[Table::SUPPRESS], cause);
        }
        self.next = Some(suppressions);
        self.start_next();
    }

    /// Removes the table that one which crashed has left, if there is one; nobody waits for that.
    pub(super) fn sweep(&mut self) {
        if self.under_way.is_some() || self.next.is_some() || self.lookout.is_open() {
            return;
        }
        self.sweeps = true;
        self.under_way = Some(Box::pin(async {
            Ended::Found(blocking(|| nft_table::is_there(Table::SUPPRESS)).await.unwrap_or(false))
        }));
    }

    /// Whether a change is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some() && !self.sweeps || self.next.is_some()
    }

    /// The next news. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        let may_look = self.under_way.is_none();
        tokio::select! {
            ended = end_of(&mut self.under_way) => {
                (self.under_way, self.sweeps) = (None, false);
                let news = self.take_in(ended);
                self.start_next();
                news
            }
            () = self.lookout.due(may_look) => {
                if self.installed.is_some() {
                    self.under_way = Some(Box::pin(async { Ended::Look(nft::list().await) }));
                }
                News::Nothing
            }
        }
    }

    fn take_in(&mut self, ended: Ended) -> News {
        match ended {
            Ended::Change(result, installed) => {
                self.installed = installed;
                if self.installed.is_none() && result.is_ok() {
                    self.lookout.close();
                }
                News::Changed(result)
            }
            Ended::Look(Ok(now)) if now != self.installed => {
                self.installed = None;
                News::Lost
            }
            Ended::Look(Ok(_)) => News::Nothing,
            Ended::Look(Err(error)) => {
                tracing::debug!(%error, "cannot read the table ip6 lone64");
                self.lookout.look_again();
                News::Nothing
            }
            Ended::Swept(Ok(())) => {
                tracing::info!("removed the table ip6 lone64 that a crashed lone64 left");
                News::Nothing
            }
            Ended::Swept(Err(error)) => {
                tracing::debug!(%error, "cannot remove the table ip6 lone64 that a crashed lone64 left");
                News::Nothing
            }
            Ended::Found(is_there) => {
                // A change that waits removes it as well.
                if is_there && self.next.is_none() {
                    self.under_way = Some(Box::pin(async { Ended::Swept(nft::replace(&[]).await) }));
                }
                News::Nothing
            }
        }
    }

    fn start_next(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        let Some(next) = self.next.take() else { return };
        self.under_way = Some(Box::pin(async move {
            let result = nft::replace(&next).await;
            if result.is_err() || next.is_empty() {
                return Ended::Change(result, None);
            }
            // A change before it is listed is found by the look that follows every change.
            let whole = |table: Option<String>| table.filter(|table| nft::is_whole(table, &next));
            // So is one that cannot be listed now.
            let listed = nft::list().await.ok().flatten();
            Ended::Change(result, Some(whole(listed).unwrap_or_default()))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_what_a_crashed_one_has_left_but_for_a_change_behind_it() {
        let mut suppressor = Suppressor::default();
        suppressor.sweep();
        assert!(suppressor.under_way.is_some() && !suppressor.is_busy());
        suppressor.next = Some(Vec::new());
        assert!(suppressor.is_busy());
    }

    #[tokio::test]
    async fn a_look_that_failed_is_repeated() {
        let mut suppressor = Suppressor { installed: Some("table".to_owned()), ..Suppressor::default() };
        let news =
            suppressor.take_in(Ended::Look(Err(NftError::Slow(crate::kernel::nft::Purpose::Suppress))));
        assert!(matches!(news, News::Nothing) && suppressor.lookout.is_to_look());
        assert!(suppressor.installed.is_some(), "nothing is known to have gone");
    }
}
