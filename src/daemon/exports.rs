//! Named sets of nftables under change, for other programs: what has changed in a while goes in one transaction. What
//! another program does to the sets is noticed, and put right.
//!
//! May touch: nft(8), and the kernel's word of nftables, through their rooms.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep_until};

use super::lookout::{BETWEEN_LOOKS, Lookout, blocking, end_of, end_of_pause};
use crate::engine::Exported;
use crate::kernel::nft::{self, NftError, Purpose};
use crate::kernel::nft_table::Table;
use crate::kernel::sets::{self, Shape};

/// Keeps the sets while answers go on.
#[derive(Default)]
pub(super) struct Exports {
    phase: Phase,
    /// What is to be in the sets.
    wanted: BTreeSet<Exported>,
    /// What is to come and to go, where the sets are known to be as they were left.
    new: BTreeSet<Exported>,
    gone: BTreeSet<Exported>,
    /// All of it is to be written, whatever is there.
    is_unsure: bool,
    under_way: Option<BoxFuture<'static, Ended>>,
    /// When the next change is made.
    next: Option<Pin<Box<Sleep>>>,
    lookout: Lookout,
    installed: Option<Shape>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// There are no sets.
    #[default]
    Off,
    On,
    /// They are on their way out.
    Ending,
}

/// What there is to tell.
pub(super) enum News {
    /// What became of a change.
    Changed(Result<(), NftError>),
    /// Nothing.
    Nothing,
}

enum Ended {
    Change(Result<(), NftError>, Option<Shape>),
    Look(io::Result<Shape>),
    Over(Result<(), NftError>),
}

impl Exports {
    /// These come into their sets, or go.
    pub(super) fn ask(&mut self, changes: Vec<(Exported, bool)>) {
        if self.phase == Phase::Off {
            self.phase = Phase::On;
            self.is_unsure = true;
            let cause = "lone64 does not notice when other programs change the table inet lone64";
            self.lookout.open(&[Table::SETS], cause);
        }
        for (exported, is_there) in changes {
            let (to, from) = match is_there {
                true => (&mut self.new, &mut self.gone),
                false => (&mut self.gone, &mut self.new),
            };
            let is_news = match is_there {
                true => self.wanted.insert(exported),
                false => self.wanted.remove(&exported),
            };
            if is_news && !from.remove(&exported) {
                to.insert(exported);
            }
        }
        self.change_soon(BETWEEN_CHANGES);
    }

    /// There are to be no sets any more.
    pub(super) fn end(&mut self) {
        let under_way = self.under_way.take();
        *self = Self { phase: Phase::Ending, ..Self::default() };
        self.under_way = Some(Box::pin(async move {
            // A change that is under way may make the table: it comes first.
            if let Some(under_way) = under_way {
                under_way.await;
            }
            over().await
        }));
    }

    /// Empties the sets that one which crashed has left, if none are wanted; nobody waits for that.
    pub(super) fn sweep(&mut self) {
        if self.phase == Phase::Off && self.under_way.is_none() {
            self.under_way = Some(Box::pin(over()));
        }
    }

    /// Whether the sets are on their way out.
    pub(super) fn is_ending(&self) -> bool {
        self.phase == Phase::Ending
    }

    /// The next news. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        let may_begin = self.under_way.is_none();
        tokio::select! {
            ended = end_of(&mut self.under_way) => {
                self.under_way = None;
                self.take_in(ended)
            }
            () = self.lookout.due(may_begin) => {
                if self.installed.is_some() {
                    self.under_way = Some(Box::pin(async { Ended::Look(blocking(sets::shape).await) }));
                }
                News::Nothing
            }
            () = end_of_pause(&mut self.next), if may_begin => {
                self.next = None;
                self.start();
                News::Nothing
            }
        }
    }

    fn change_soon(&mut self, pause: Duration) {
        if self.next.is_none() {
            self.next = Some(Box::pin(sleep_until(Instant::now() + pause)));
        }
    }

    fn start(&mut self) {
        if self.phase != Phase::On {
            return;
        }
        let (new, gone) = (std::mem::take(&mut self.new), std::mem::take(&mut self.gone));
        let text = match std::mem::take(&mut self.is_unsure) {
            true => sets::whole(&self.wanted),
            false => sets::delta(&new, &gone),
        };
        if text.is_empty() {
            return;
        }
        self.installed = None;
        self.under_way = Some(Box::pin(async move {
            let result = nft::apply(Purpose::Sets, &text).await;
            let shape = if result.is_ok() { blocking(sets::shape).await.ok() } else { None };
            Ended::Change(result, shape)
        }));
    }

    /// Whether the sets have as much as they should. What came since goes in with the next change.
    fn is_in(&self, shape: &Shape) -> bool {
        let written = self.wanted.difference(&self.new).chain(&self.gone);
        let (mut live, mut guests) = (0, 0);
        written.for_each(|exported| match exported {
            Exported::Live(_) => live += 1,
            Exported::Guest(_) => guests += 1,
            Exported::Delegated(_) => {}
        });
        shape[..2] == [live, guests]
    }

    fn take_in(&mut self, ended: Ended) -> News {
        match ended {
            Ended::Change(result, shape) => {
                self.installed = shape;
                if shape.is_some_and(|shape| !self.is_in(&shape)) {
                    // Somebody has flushed them before they were looked at.
                    self.is_unsure = true;
                    self.change_soon(BETWEEN_LOOKS);
                }
                if result.is_err() {
                    self.is_unsure = true;
                    self.change_soon(AFTER_A_REFUSAL);
                }
                News::Changed(result)
            }
            Ended::Look(Ok(now)) if self.installed.is_some_and(|installed| installed != now) => {
                tracing::warn!(
                    "another program changed or removed the sets in the table inet lone64; they are put back"
                );
                self.installed = None;
                self.is_unsure = true;
                self.change_soon(Duration::ZERO);
                News::Nothing
            }
            Ended::Look(Ok(_)) => News::Nothing,
            Ended::Look(Err(error)) => {
                tracing::debug!(%error, "cannot read the table inet lone64");
                self.lookout.look_again();
                News::Nothing
            }
            Ended::Over(result) => {
                if self.phase == Phase::Ending {
                    self.phase = Phase::Off;
                }
                match result {
                    Ok(()) => News::Nothing,
                    Err(error) => {
                        tracing::debug!(%error, "cannot empty the sets in the table inet lone64");
                        News::Nothing
                    }
                }
            }
        }
    }
}

async fn over() -> Ended {
    Ended::Over(match blocking(sets::end).await {
        Ok(text) if !text.is_empty() => nft::apply(Purpose::Sets, &text).await,
        Ok(_) | Err(_) => Ok(()),
    })
}

/// What changes within this is changed in one go: a process for each change would cost more than all else.
const BETWEEN_CHANGES: Duration = Duration::from_millis(200);
const AFTER_A_REFUSAL: Duration = Duration::from_secs(10);
