//! Guards under change: one transaction of nft(8) at a time, with everything that was asked for meanwhile. What another
//! program does to the tables is noticed, and what they have dropped is read.
//!
//! May touch: nft(8), and the kernel's word of nftables, through their rooms.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::engine::facts::IfName;
use crate::engine::guests::{Breach, GuardKey, Guarded, Guarding, GuestId};
use crate::kernel::guard::{Drop, Elements, Script, Shape, Tables, drops, shape};
use crate::kernel::nft::{self, NftError, Purpose};
use crate::kernel::nft_table::{self, Table, TableWatch};
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
    /// The tables that were there, where nobody knew.
    left: Option<Tables>,
    /// While there is a table, or may be.
    watch: Option<TableWatch>,
    installed: Option<Shape>,
    /// Somebody has changed a table, perhaps we: it is to be looked at when this ends.
    look: Option<Pin<Box<Sleep>>>,
    looked: Option<Instant>,
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
    /// Tables were looked for that nobody uses any more.
    Swept(Option<Result<(), NftError>>),
}

impl Guards {
    /// These are to be held to this.
    pub(super) fn ask(&mut self, guards: Vec<(GuardKey, Option<Guarding>)>) {
        self.next.extend(guards);
        if self.watch.is_none() {
            let opened = TableWatch::open(&TABLES);
            let cause = "lone64 does not notice when other programs change the tables of guards";
            self.watch = opened.inspect_err(|error| tracing::warn!(%error, "{cause}")).ok();
        }
        self.start_next();
    }

    /// Removes the tables that one which crashed has left, if nobody is guarded; nobody waits for that.
    pub(super) fn sweep(&mut self) {
        if self.under_way.is_some() || !self.next.is_empty() || self.watch.is_some() {
            return;
        }
        self.sweeps = true;
        self.under_way = Some(Box::pin(async {
            let left = left().await;
            if left == Tables::default() {
                return Ended::Swept(None);
            }
            let Script { text, .. } = Elements::default().change(Vec::new(), left);
            Ended::Swept(Some(nft::apply(Purpose::Guard, &text).await))
        }));
    }

    /// Whether a change is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some() && !self.sweeps || !self.next.is_empty()
    }

    /// The next news. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        let (may_begin, is_touched) = (self.under_way.is_none(), self.look.is_some());
        tokio::select! {
            ended = end_of(&mut self.under_way) => {
                (self.under_way, self.sweeps) = (None, false);
                let news = self.take_in(ended);
                self.start_next();
                news
            }
            touched = touch_of(&mut self.watch), if !is_touched => {
                match touched {
                    Ok(()) => self.look_soon(),
                    Err(error) => {
                        tracing::warn!(%error, "lone64 no longer notices changes of nftables");
                        self.watch = None;
                    }
                }
                News::Nothing
            }
            () = end_of_pause(&mut self.look), if may_begin => {
                self.look = None;
                self.looked = Some(Instant::now());
                if self.installed.is_some() {
                    self.under_way = Some(Box::pin(async { Ended::Look(blocking(shape).await) }));
                }
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

    /// A little later, when all of a change has come; and not often, whatever somebody does to the tables.
    fn look_soon(&mut self) {
        let soon = Instant::now() + LOOK_PAUSE;
        let at = self.looked.map_or(soon, |looked| soon.max(looked + BETWEEN_LOOKS));
        self.look = Some(Box::pin(sleep_until(at)));
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
                    self.look_soon();
                }
                if result.is_err() {
                    self.elements.forget();
                } else if self.elements.tables() == Tables::default() {
                    (self.watch, self.read, self.installed) = (None, None, None);
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
            Ended::Swept(None) => News::Nothing,
            Ended::Swept(Some(Ok(()))) => {
                tracing::info!("removed the tables lone64_guard that a crashed lone64 left");
                News::Nothing
            }
            Ended::Swept(Some(Err(error))) => {
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

/// What takes a lock of the kernel's is done by another thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn end_of(under_way: &mut Option<BoxFuture<'static, Ended>>) -> Ended {
    match under_way {
        Some(under_way) => under_way.await,
        None => pending().await,
    }
}

async fn end_of_pause(pause: &mut Option<Pin<Box<Sleep>>>) {
    match pause {
        Some(pause) => pause.await,
        None => pending().await,
    }
}

async fn touch_of(watch: &mut Option<TableWatch>) -> io::Result<()> {
    match watch {
        Some(watch) => watch.touched().await,
        None => pending().await,
    }
}

static TABLES: [Table; 2] = [Table::GUARD_BRIDGE, Table::GUARD_ROUTED];
const LOOK_PAUSE: Duration = Duration::from_millis(100);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const BETWEEN_READS: Duration = Duration::from_secs(1);
