//! Guards under change: one transaction of nft(8) at a time, with everything that was asked for meanwhile. What another
//! program does to the tables is noticed, and what they have dropped is read.
//!
//! May touch: nft(8), and the kernel's word of nftables, through their rooms.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep_until};

use super::lookout::{Lookout, blocking, end_of, end_of_pause};
use crate::engine::facts::IfName;
use crate::engine::guests::{Breach, GuardKey, Guarded, Guarding, GuestId};
use crate::kernel::guard::{Drop, Elements, Script, Shape, Tables, drops, shape};
use crate::kernel::nft::{self, NftError, Purpose};
use crate::kernel::nft_table::{self, Table};
use crate::wire::Mac;

/// Changes guards while answers go on.
#[derive(Default)]
pub(super) struct Guards {
    elements: Elements,
    /// What is to be changed next.
    next: BTreeMap<GuardKey, Option<Guarding>>,
    under_way: Option<BoxFuture<'static, Ended>>,
    /// What is under way is a look for what a crashed one has left: nobody waits for that.
    sweeps: bool,
    /// When there is another such look: a child of the crashed one may have been at work at the first.
    sweep_again: Option<Pin<Box<Sleep>>>,
    /// The tables that were there, where nobody knew.
    left: Option<Tables>,
    /// While there is a table, or may be.
    lookout: Lookout,
    installed: Option<Shape>,
    /// When drops are to be read.
    read: Option<Pin<Box<Sleep>>>,
    counted: BTreeMap<(Table, IfName, Option<Mac>, Breach), u64>,
}

/// What there is to tell.
pub(super) enum News {
    /// What became of these guards.
    Changed(Vec<GuardKey>, Result<(), NftError>),
    /// Another program has changed our tables, or removed them.
    Lost,
    /// So many packets were dropped.
    Dropped(Vec<(GuestId, Breach, u64)>),
    /// Nothing.
    Nothing,
}

enum Ended {
    /// These tables are there, made by this process or by another.
    Left(Tables),
    /// A change of these, and what the tables are like afterwards; whether they were made again.
    Change {
        keys: Vec<GuardKey>,
        result: Result<(), NftError>,
        shape: Option<Shape>,
        is_whole: bool,
    },
    Look(io::Result<Shape>),
    Read(io::Result<Vec<Drop>>),
    /// These tables are there, and nobody uses them any more.
    Found(Tables),
    /// They were removed.
    Swept(Result<(), NftError>),
}

impl Guards {
    /// These are to be held to this.
    pub(super) fn ask(&mut self, guards: Vec<(GuardKey, Option<Guarding>)>) {
        self.next.extend(guards);
        let cause = "lone64 does not notice when other programs change the tables of guards";
        self.lookout.open(&TABLES, cause);
        self.start_next();
    }

    /// Removes the tables that one which crashed has left, if nobody is guarded; nobody waits for that.
    pub(super) fn sweep(&mut self) {
        self.sweep_again = Some(Box::pin(sleep_until(Instant::now() + BETWEEN_SWEEPS)));
        self.look_for_left();
    }

    fn look_for_left(&mut self) {
        if self.under_way.is_some() || !self.next.is_empty() || self.lookout.is_open() {
            return;
        }
        self.sweeps = true;
        self.under_way = Some(Box::pin(async { Ended::Found(left().await) }));
    }

    /// Whether a change is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some() && !self.sweeps || !self.next.is_empty()
    }

    /// The next news. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        let may_begin = self.under_way.is_none();
        tokio::select! {
            ended = end_of(&mut self.under_way) => {
                (self.under_way, self.sweeps) = (None, false);
                let news = self.take_in(ended);
                self.start_next();
                news
            }
            () = self.lookout.due(may_begin) => {
                if self.installed.is_some() {
                    self.under_way = Some(Box::pin(async { Ended::Look(blocking(shape).await) }));
                }
                News::Nothing
            }
            () = end_of_pause(&mut self.sweep_again), if may_begin => {
                self.sweep_again = None;
                self.look_for_left();
                News::Nothing
            }
            () = end_of_pause(&mut self.read), if may_begin => {
                self.read = None;
                if self.installed.is_some() {
                    self.under_way = Some(Box::pin(async { Ended::Read(blocking(|| drops(&TABLES)).await) }));
                }
                News::Nothing
            }
        }
    }

    fn take_in(&mut self, ended: Ended) -> News {
        match ended {
            Ended::Left(tables) => {
                self.left = Some(tables);
                News::Nothing
            }
            Ended::Change { keys, result, shape, is_whole } => {
                self.installed = shape;
                if is_whole && result.is_ok() {
                    self.counted.clear();
                }
                // Somebody may have flushed them before they were looked at.
                if self.installed.is_some_and(|shape| !shape.has(self.elements.count())) {
                    self.installed = Some(Shape::default());
                    self.lookout.look_soon();
                }
                if result.is_err() {
                    self.elements.forget();
                } else if self.elements.tables() == Tables::default() {
                    self.lookout.close();
                    (self.read, self.installed) = (None, None);
                } else {
                    self.read_soon();
                }
                News::Changed(keys, result)
            }
            Ended::Look(Ok(now)) if self.installed.is_some_and(|installed| installed != now) => {
                self.installed = None;
                self.elements.forget();
                News::Lost
            }
            Ended::Look(Ok(_)) => News::Nothing,
            Ended::Look(Err(error)) => {
                tracing::debug!(%error, "cannot read the tables of guards");
                self.lookout.look_again();
                News::Nothing
            }
            Ended::Read(read) => {
                self.read_soon();
                match read {
                    Ok(drops) => self.dropped(drops),
                    Err(error) => {
                        tracing::debug!(%error, "cannot read what guards have dropped");
                        News::Nothing
                    }
                }
            }
            Ended::Found(tables) => {
                // A change that waits makes them as they are to be.
                if tables != Tables::default() && self.next.is_empty() {
                    let Script { text, .. } = Elements::default().change(Vec::new(), tables);
                    let under_way = async move { Ended::Swept(nft::apply(Purpose::Guard, &text).await) };
                    self.under_way = Some(Box::pin(under_way));
                }
                News::Nothing
            }
            Ended::Swept(Ok(())) => {
                tracing::info!("removed the tables lone64_guard that a crashed lone64 left");
                News::Nothing
            }
            Ended::Swept(Err(error)) => {
                tracing::debug!(%error, "cannot remove the tables lone64_guard that a crashed lone64 left");
                News::Nothing
            }
        }
    }

    fn read_soon(&mut self) {
        if self.read.is_none() {
            self.read = Some(Box::pin(sleep_until(Instant::now() + BETWEEN_READS)));
        }
    }

    /// What is new since the last time, by guest. A table that was made again counts from 0.
    fn dropped(&mut self, drops: Vec<Drop>) -> News {
        let mut new = BTreeMap::new();
        for Drop { table, interface, mac, breach, packets } in drops {
            let at = (table, interface, mac, breach);
            let before = self.counted.insert(at, packets).unwrap_or(0);
            let more = packets.checked_sub(before).unwrap_or(packets);
            let whose = |guest: &Guarded| match mac {
                Some(mac) => guest.mac == mac,
                None => guest.port == Some(interface),
            };
            if more > 0
                && let Some((GuardKey::Guest(id), _)) = self.elements.guests().find(|(_, guest)| whose(guest))
            {
                *new.entry((id, breach)).or_insert(0) += more;
            }
        }
        if new.is_empty() {
            return News::Nothing;
        }
        News::Dropped(new.into_iter().map(|((id, breach), packets)| (id, breach, packets)).collect())
    }

    fn start_next(&mut self) {
        if self.under_way.is_some() || self.next.is_empty() {
            return;
        }
        if !self.elements.is_sure() && self.left.is_none() {
            // At a start, or where tables were lost, it is not known what is there.
            self.under_way = Some(Box::pin(async { Ended::Left(left().await) }));
            return;
        }
        let changes: Vec<_> = std::mem::take(&mut self.next).into_iter().collect();
        let keys: Vec<_> = changes.iter().map(|(key, _)| *key).collect();
        // Until it is done.
        self.installed = None;
        let script = self.elements.change(changes, self.left.take().unwrap_or_default());
        self.under_way = Some(Box::pin(changed(keys, script)));
    }
}

async fn changed(keys: Vec<GuardKey>, Script { text, is_whole }: Script) -> Ended {
    let result = if text.is_empty() { Ok(()) } else { nft::apply(Purpose::Guard, &text).await };
    let shape = if result.is_ok() { blocking(shape).await.ok() } else { None };
    Ended::Change { keys, result, shape, is_whole }
}

async fn left() -> Tables {
    blocking(|| Ok(look_for_tables())).await.unwrap_or_default()
}

fn look_for_tables() -> Tables {
    let is_there = |table| nft_table::is_there(table).unwrap_or(false);
    Tables { bridge: is_there(Table::GUARD_BRIDGE), routed: is_there(Table::GUARD_ROUTED) }
}

static TABLES: [Table; 2] = [Table::GUARD_BRIDGE, Table::GUARD_ROUTED];
/// Longer than nft takes, also on a busy machine.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);
const BETWEEN_READS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_failed_is_repeated() {
        let mut guards = Guards { installed: Some(Shape::default()), ..Guards::default() };
        let news = guards.take_in(Ended::Look(Err(io::Error::other("busy"))));
        assert!(matches!(news, News::Nothing) && guards.lookout.is_to_look());
        assert!(guards.installed.is_some(), "nothing is known to have gone");
    }
}
