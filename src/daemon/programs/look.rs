//! Looking after a program: how much it has answered, and whether it is there; and telling it that the daemon is.

use std::time::Duration;

use super::job::{answered, blocking};
use super::{Ended, Failure, Place, Placed, nanoseconds};
use crate::engine::facts::IfIndex;
use crate::kernel::bpf::{BpfError, Maps, boot_time};
use crate::kernel::netlink::Requests;
use crate::wire::program::daemon_key;

/// What a look at a program has shown.
pub(in crate::daemon) struct Look {
    /// How many questions it has answered since it is there.
    pub(super) answered: u64,
    pub(super) is_there: bool,
}

/// Sees how much a program has answered. And whether it is there: by tcx that costs one system call; by clsact it takes the
/// kernel's lock of all network settings, and is done if it is wanted.
pub(super) async fn look(link: IfIndex, placed: Placed, is_sought: bool, requests: Requests) -> Ended {
    let looking = blocking(move || {
        let answered = answered(&placed.maps);
        let is_there = match &placed.place {
            Place::Tcx(tcx) => tcx.interface().ok().map(|found| found == Some(link)),
            Place::Clsact => None,
        };
        Ok((placed, answered, is_there))
    });
    let (placed, answered, is_there) = match looking.await {
        Ok(looked) => looked,
        Err(failure) => return Ended::Put(link, Err(failure)),
    };
    let is_there = match (&placed.place, is_there) {
        (_, Some(is_there)) => Ok(is_there),
        (Place::Clsact, None) if is_sought => requests.has_responder(link).await.map_err(Failure::from),
        (_, None) => Ok(true),
    };
    let look =
        answered.map_err(Failure::from).and_then(|answered| Ok(Look { answered, is_there: is_there? }));
    Ended::Looked(link, placed, look)
}

/// Tells a program that the daemon is there. It takes less than a microsecond and no lock of others.
pub(super) fn attend(maps: &Maps) -> Result<(), BpfError> {
    let until = boot_time().saturating_add(nanoseconds(ATTENDANCE));
    maps.ranges.set(&daemon_key(), until)
}

/// Tells it that the daemon is gone.
pub(super) fn depart(maps: &Maps) -> Result<(), BpfError> {
    maps.ranges.set(&daemon_key(), 0)
}

/// So long a daemon that says nothing is taken to be there: twice as long as from one look to the next. A question that is
/// asked again meanwhile is passed on to it, and is lost if it was killed. One that is held up for longer sees no such
/// question, and nobody waits for it.
const ATTENDANCE: Duration = Duration::from_secs(2);
