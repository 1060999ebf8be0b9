//! Whether a program can be had here, and what is missing if not.

use std::fs;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::{BpfError, LoadedProgram, Maps, Pins};
use crate::engine::facts::IfIndex;
use crate::wire::Mac;
use crate::wire::program::{Responder, Sources};

/// Whether the program is to outlive the daemon, and so to be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlives {
    /// It needs the BPF file system.
    Yes,
    /// It does not.
    No,
}

/// Makes maps and loads a program, in this network namespace, and gives them up again. Nothing is attached. The error
/// names what is missing.
pub fn check_available(outlives: Outlives) -> Result<(), BpfError> {
    if is_in_user_namespace() {
        return Err(BpfError::UserNamespace);
    }
    let maps = Maps::create(1, 1)?;
    let sample = Responder {
        station: Mac([2, 0, 0, 0, 0, 1]),
        router: false,
        override_entry: false,
        sources: Sources::Target,
        within: Vec::new(),
        learns: true,
        askers: Vec::new(),
    };
    LoadedProgram::load(&sample.program(maps.rows())?, &maps)?;
    if outlives == Outlives::Yes {
        let file_system = Path::new(Pins::FILE_SYSTEM);
        Pins::of(file_system, IfIndex(0))?;
        // As systemd mounts it only root may look into it.
        let folder = Pins::made_in(file_system);
        access(&folder, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| BpfError::Pin(folder, error.into()))?;
    }
    Ok(())
}

/// The first user namespace has all users, each as itself.
fn is_in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<_> = map.split_whitespace().collect();
    !words.is_empty() && words != ["0", "0", "4294967295"]
}
