//! Landlock, landlock(7): files are written and made below a few directories only, and no TCP connection is made.
//!
//! Reading is not restricted: a configuration may be anywhere.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::call::{self, Handled};

/// Of the first version: WRITE_FILE, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO,
/// MAKE_BLOCK, MAKE_SYM.
const WRITE: u64 = 1 << 1 | 0b1_1111_1111 << 4;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const CONNECT_TCP: u64 = 1 << 1;
const SCOPE_SIGNAL: u64 = 1 << 1;

/// The kernel's settings that `[sysctl] manage` changes, pinned programs, and `/dev/null` for what is started.
const ALWAYS: [&str; 3] = ["/proc/sys/net/ipv6/conf", "/sys/fs/bpf", "/dev"];

/// Restricts this thread, and those that it starts.
pub(super) fn restrict<'a>(written: impl Iterator<Item = &'a Path>) -> io::Result<()> {
    let handled = handled(call::landlock_version()?);
    let ruleset = call::create_ruleset(handled)?;
    for place in ALWAYS.iter().map(Path::new).chain(written) {
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(place);
        // What is not there is not written either.
        let Ok(opened) = opened else { continue };
        call::allow_beneath(ruleset.as_fd(), handled.files, opened.as_fd())?;
    }
    call::restrict_self(ruleset.as_fd())
}

/// What a kernel with this version can restrict. One of the second version and later refuses every rename between
/// directories unless REFER is handled, and allowed.
fn handled(version: u64) -> Handled {
    let since = |first: u64, right: u64| if version >= first { right } else { 0 };
    Handled {
        files: WRITE | since(2, REFER) | since(3, TRUNCATE),
        network: since(4, CONNECT_TCP),
        scoped: since(6, SCOPE_SIGNAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_no_kernel_for_more_than_it_knows() {
        assert_eq!(handled(1), Handled { files: 0b1_1111_1111_0010, network: 0, scoped: 0 });
        assert_eq!(handled(2).files, 0b11_1111_1111_0010);
        assert_eq!(handled(3).files, 0b111_1111_1111_0010);
        assert_eq!((handled(3).network, handled(4).network), (0, 2));
        assert_eq!((handled(5).scoped, handled(7).scoped), (0, 2));
    }
}
