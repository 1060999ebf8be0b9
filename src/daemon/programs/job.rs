//! What is done with a program at its place, away from the loop: the kernel's verifier takes a while, and attaching takes
//! its lock of all network settings.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::look::attend;
use super::{Failure, Place, Placed};
use crate::engine::Program;
use crate::engine::facts::IfIndex;
use crate::kernel::bpf::{BpfError, LoadedProgram, Maps, Pins, Table, TcxLink, boot_time};
use crate::kernel::netlink::Requests;
use crate::wire::program::Verdict;

/// A program that is in its place.
#[derive(Debug)]
pub(in crate::daemon) struct Put {
    pub(super) placed: Placed,
    /// What its maps hold, where they are not those of the one before.
    pub(super) held: Option<Box<Held>>,
}

/// What maps hold that are new, or a predecessor's.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) table: Table,
    /// Each until a moment since the host started, in nanoseconds.
    pub(super) known: Vec<(Ipv6Addr, u64)>,
    /// How many questions a predecessor's program has answered.
    pub(super) answered: u64,
}

/// A program that is loaded, and its place, if that is one of tcx; by clsact it is still to get it.
struct Prepared {
    maps: Arc<Maps>,
    program: LoadedProgram,
    tcx: Option<TcxLink>,
    held: Option<Held>,
}

/// Puts a program in the place of the one that was there, whose maps it keeps: ours, or one that a predecessor has left
/// pinned. Where it is refused, neither is there.
pub(super) async fn put(
    link: IfIndex,
    program: Program,
    before: Option<Placed>,
    targets: u32,
    requests: Requests,
) -> Result<Put, Failure> {
    let is_kept = !program.on_crash_answer.is_zero();
    let putting = async {
        let is_first = before.is_none();
        let prepared = blocking(move || prepare(link, &program, before, targets)).await?;
        if prepared.tcx.is_none() {
            requests.put_responder(link, prepared.program.as_fd()).await?;
        } else if is_first {
            // Of a predecessor that pinned nothing. Ours comes before it, so it answers nothing.
            let _ = requests.remove_responder(link).await;
        }
        let Prepared { maps, tcx, held, .. } = prepared;
        blocking(move || {
            pin(link, &maps, tcx.as_ref(), is_kept)?;
            let place = tcx.map_or(Place::Clsact, Place::Tcx);
            Ok(Put { placed: Placed { maps, place }, held: held.map(Box::new) })
        })
        .await
    };
    let put = putting.await;
    if put.is_err() {
        // What is said is why; that nothing was there to be removed is no news.
        let _ = remove(link, None, requests).await;
    }
    put
}

fn prepare(
    link: IfIndex,
    program: &Program,
    before: Option<Placed>,
    targets: u32,
) -> Result<Prepared, Failure> {
    let (maps, before, held) = match before {
        Some(Placed { maps, place }) => (maps, Some(place), None),
        None => match inherited(link) {
            Some((maps, tcx)) => {
                let held = Held::of(maps, targets)?;
                let place = tcx.map_or(Place::Clsact, Place::Tcx);
                (Arc::clone(held.table.maps()), Some(place), Some(held))
            }
            None => {
                let held = Held { table: Table::create(targets, RANGES)?, known: Vec::new(), answered: 0 };
                (Arc::clone(held.table.maps()), None, Some(held))
            }
        },
    };
    attend(&maps)?;
    let instructions = program.responder.program(maps.rows()).map_err(BpfError::from)?;
    let program = LoadedProgram::load(&instructions, &maps)?;
    let replaced = match before {
        // Where one is by clsact the next takes its place.
        Some(Place::Clsact) => return Ok(Prepared { maps, program, tcx: None, held }),
        Some(Place::Tcx(tcx)) => tcx.replace(&program).map(|()| tcx),
        None => Err(BpfError::LinkGone),
    };
    let attached = match replaced {
        // There is none, or somebody has detached it.
        Err(BpfError::LinkGone) => TcxLink::attach(&program, link),
        replaced => replaced,
    };
    match attached {
        Ok(tcx) => Ok(Prepared { maps, program, tcx: Some(tcx), held }),
        Err(BpfError::NoTcx) => Ok(Prepared { maps, program, tcx: None, held }),
        Err(error) => Err(error.into()),
    }
}

impl Held {
    /// What a predecessor's maps hold: in those, or in others if there is to be room for more.
    fn of(maps: Maps, targets: u32) -> Result<Self, BpfError> {
        let answered = answered(&maps)?;
        let (table, known) = Table::adopt(maps, boot_time())?;
        if table.maps().rows().capacity() >= targets {
            return Ok(Self { table, known, answered });
        }
        let mut table = Table::create(targets, RANGES)?;
        let all: Vec<_> = known.iter().map(|(target, until)| (*target, Some(*until))).collect();
        match table.change(&all).error {
            Some(error) => Err(error),
            None => Ok(Self { table, known, answered: 0 }),
        }
    }
}

/// What a predecessor has left: its maps, and its place by tcx if it has one. What cannot be taken over is removed.
fn inherited(link: IfIndex) -> Option<(Maps, Option<TcxLink>)> {
    let pins = Pins::of(Path::new(Pins::FILE_SYSTEM), link).ok()?;
    match (pins.maps(), pins.link()) {
        (Ok(Some(maps)), Ok(tcx)) => Some((maps, tcx)),
        (Ok(None), Ok(None)) => None,
        (_, tcx) => {
            let _ = pins.remove();
            if let Ok(Some(tcx)) = tcx {
                let _ = tcx.detach();
            }
            None
        }
    }
}

/// How many questions a program has answered.
pub(super) fn answered(maps: &Maps) -> Result<u64, BpfError> {
    let verdicts = maps.verdicts.verdicts()?;
    Ok(verdicts[Verdict::Target as usize] + verdicts[Verdict::Range as usize])
}

/// Pins them, or sees to it that they are not.
fn pin(link: IfIndex, maps: &Maps, tcx: Option<&TcxLink>, is_kept: bool) -> Result<(), BpfError> {
    let pins = Pins::of(Path::new(Pins::FILE_SYSTEM), link);
    match (is_kept, pins) {
        (true, pins) => pins?.pin(maps, tcx),
        (false, Ok(pins)) => pins.remove(),
        // Nothing is pinned where nothing can be.
        (false, Err(_)) => Ok(()),
    }
}

/// Takes a program away, wherever it is, and its pins.
pub(super) async fn remove(link: IfIndex, placed: Option<Placed>, requests: Requests) -> Result<(), Failure> {
    let maps = placed.as_ref().map(|placed| Arc::clone(&placed.maps));
    let is_by_clsact = !matches!(&placed, Some(Placed { place: Place::Tcx(_), .. }));
    let taken = blocking(move || {
        let pins = Pins::of(Path::new(Pins::FILE_SYSTEM), link).ok();
        let tcx = match placed {
            Some(Placed { place: Place::Tcx(tcx), .. }) => Some(tcx),
            _ => pins.as_ref().and_then(|pins| pins.link().ok().flatten()),
        };
        tcx.map_or(Ok(()), TcxLink::detach)?;
        pins.map_or(Ok(()), |pins| pins.remove())?;
        Ok(())
    });
    let taken = taken.await;
    let removed = match is_by_clsact {
        true => requests.remove_responder(link).await.map_err(Failure::from),
        false => Ok(()),
    };
    let result = taken.and(removed);
    if let (Err(_), Some(maps)) = (&result, maps) {
        // It has nothing to answer for, then.
        let _ = blocking(move || forget_all(&maps)).await;
    }
    result
}

fn forget_all(maps: &Maps) -> Result<(), Failure> {
    Table::clear(maps)?;
    for key in maps.ranges.keys()? {
        maps.ranges.remove(&key)?;
    }
    Ok(())
}

/// Removes what a predecessor has left in this network namespace for any other interface than these: what is pinned, and
/// filters of clsact, which need no pin to outlive it.
pub(in crate::daemon) async fn sweep(of_ours: BTreeSet<IfIndex>, requests: Requests) {
    let all = blocking(|| Ok(Pins::all(Path::new(Pins::FILE_SYSTEM))?)).await.unwrap_or_default();
    for (link, pins) in all {
        if of_ours.contains(&link) && pins.is_of_this_version() {
            continue;
        }
        let taken = blocking(move || {
            let tcx = pins.link().ok().flatten();
            let is_by_clsact = tcx.is_none();
            tcx.map_or(Ok(()), TcxLink::detach)?;
            pins.remove()?;
            Ok(is_by_clsact)
        });
        let taken = match taken.await {
            Ok(true) if !of_ours.contains(&link) => {
                requests.remove_responder(link).await.map_err(Failure::from)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => tracing::debug!(%link, "a program of an earlier run was removed"),
            Err(error) => {
                tracing::warn!("cannot remove the program of an earlier run on link {link}: {error}")
            }
        }
    }
    for link in requests.responders().await.unwrap_or_default() {
        if !of_ours.contains(&link)
            && let Err(error) = requests.remove_responder(link).await
        {
            tracing::warn!("cannot remove the program of an earlier run on link {link}: {error}");
        }
    }
}

/// Removes what is pinned of network namespaces that have ended.
pub(super) async fn remove_ended() {
    match blocking(|| Ok(Pins::remove_ended(Path::new(Pins::FILE_SYSTEM))?)).await {
        Ok(0) => {}
        Ok(count) => tracing::debug!("removed {count} programs of network namespaces that have ended"),
        Err(failure) => {
            tracing::debug!(%failure, "cannot remove a program of a network namespace that has ended")
        }
    }
}

/// On a thread of Tokio's.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work).await.unwrap_or(Err(Failure::Broken))
}

/// Room in the trie of ranges.
const RANGES: u32 = 4_096;
