//! What the clocks show at one moment: that of the wall, that of the host's start, and the daemon's own.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::engine::Time;
use crate::kernel::bpf::boot_time;

/// All of them at the same moment.
///
/// A wall clock that was wrong at the start of the host is put right later, at once and by years. Until when
/// something counts is therefore told by the time since the start of the host, as long as that is the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct Clocks {
    /// Since 1970, as the wall clock has it.
    pub(super) wall: Duration,
    /// Since the host started, those times in which it slept among them (CLOCK_BOOTTIME).
    pub(super) up: Duration,
    /// Which start of the host that is: the beginning of the kernel's boot_id. `None`: it cannot be read.
    pub(super) boot: Option<u32>,
    /// The daemon's own.
    pub(super) own: Time,
}

impl Clocks {
    /// At this moment.
    pub(in crate::daemon) fn at(own: Time) -> Self {
        static BOOT: OnceLock<Option<u32>> = OnceLock::new();
        Self {
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            up: Duration::from_nanos(boot_time()),
            boot: *BOOT.get_or_init(|| fs::read_to_string(BOOT_ID).ok().as_deref().and_then(beginning)),
            own,
        }
    }
}

/// The first 32 bits of a boot_id.
fn beginning(id: &str) -> Option<u32> {
    u32::from_str_radix(id.get(..8)?, 16).ok()
}

/// random(4): another one after each start of the host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_the_host_is_known_by_the_beginning_of_its_number() {
        assert_eq!(beginning("00c0ffee-6ac0-4b67-9f6b-54b8d3d2ad64\n"), Some(0x00c0_ffee));
        assert_eq!((beginning(""), beginning("unknown-")), (None, None));
    }

    #[test]
    fn all_clocks_go_on() {
        let [first, then] = [0, 1].map(|own| Clocks::at(Time::at(Duration::from_secs(own))));
        assert!(first.boot.is_some() && first.boot == then.boot, "{first:?}, {then:?}");
        assert!(Duration::ZERO < first.up && first.up <= then.up, "{first:?}, {then:?}");
    }
}
