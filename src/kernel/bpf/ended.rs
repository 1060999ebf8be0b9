//! Pins that nobody comes back for: those of network namespaces that have ended. Containers come and go, and each with a
//! lone64 of its own would leave a folder.
//!
//! Nothing tells whether a namespace is there that no process of ours can see. So what is pinned goes only if it can answer
//! nothing: its daemon has not said for seconds that it is there, no target is answered for any more, and its place is gone
//! with its interface. Where it has no place by tcx, no process or mount that can be seen has the namespace.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::pins::folders;
use super::targets::Targets;
use super::{BpfError, Pins, boot_time};
use crate::wire::program::daemon_key;

impl Pins {
    /// Removes what is pinned of other network namespaces that have ended. What cannot be read, or is laid out otherwise,
    /// stays. Of how many interfaces it was.
    pub fn remove_ended(file_system: &Path) -> Result<usize, BpfError> {
        let mut removed = 0;
        for pins in Self::of_others(file_system)? {
            if is_over(&pins).unwrap_or(false) && take_away(&pins)? {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Moves it aside, where no daemon that begins looks for it, and looks at it once more. Whether it was removed.
fn take_away(pins: &Pins) -> Result<bool, BpfError> {
    let aside = pins.aside();
    let rename =
        |from: &Path, to: &Path| fs::rename(from, to).map_err(|error| BpfError::Pin(from.to_owned(), error));
    if aside.folder() != pins.folder() {
        rename(pins.folder(), aside.folder())?;
    }
    if !is_over(&aside)? && rename(aside.folder(), pins.folder()).is_ok() {
        return Ok(false);
    }
    // Where it cannot go back its daemon has pinned others there by now.
    aside.remove().map(|()| true)
}

/// Whether it answers nothing, and nobody makes it answer again.
fn is_over(pins: &Pins) -> Result<bool, BpfError> {
    let now = boot_time();
    let Some(maps) = pins.maps()? else { return Ok(false) };
    let is_attended = maps.ranges.get(&daemon_key())?.is_some_and(|until| until > now);
    let is_gone = || match pins.link()? {
        Some(link) => Ok::<_, BpfError>(link.interface()?.is_none()),
        None => Ok(pins.namespace_number().is_some_and(|number| !is_seen(number))),
    };
    if is_attended || !is_gone()? {
        return Ok(false);
    }
    Ok(!Targets::open(&maps)?.all().any(|row| row.until > now))
}

/// Whether a process, or a name that `ip netns` has given, has the network namespace with this number.
fn is_seen(number: u64) -> bool {
    let of_processes = folders(Path::new("/proc")).into_iter().map(|process| process.join("ns/net"));
    let named = folders(Path::new("/run/netns"));
    let has = |place: PathBuf| fs::metadata(place).is_ok_and(|found| found.ino() == number);
    of_processes.chain(named).any(has)
}
