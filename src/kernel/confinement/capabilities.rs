//! Capabilities, as capabilities(7) has them: what is not needed goes out of every set, the bounding set first.

use std::io;

use super::call::{self, Capabilities};

const DAC_OVERRIDE: u32 = 1;
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
/// For programs in the kernel (`kernel::bpf`).
const BPF: u32 = 39;
/// More than the kernel may ever have.
const END: u32 = 64;

const NEEDED: u64 = 1 << NET_ADMIN | 1 << NET_RAW | 1 << BPF;

/// Gives up every capability but those that are needed. With just these in force, `is_shut_out` says whether something
/// is out of reach; then the right to pass over permissions is kept, too.
pub(super) fn give_up(is_shut_out: impl FnOnce() -> bool) -> io::Result<()> {
    let before = call::capabilities()?;
    if before.permitted & !NEEDED == 0 && before.effective == before.permitted {
        // A unit has done it. Only the ambient set may still have what the child process nft has no use for.
        return call::make_ambient(NET_ADMIN);
    }
    let needed = before.permitted & NEEDED;
    keep_in_force(NEEDED)?;
    let kept = if is_shut_out() { needed | before.permitted & 1 << DAC_OVERRIDE } else { needed };
    // This takes CAP_SETPCAP, which goes with the rest. One that does not have it has no bounding set to lower.
    call::set_capabilities(before)?;
    let bounds = lower_bounds(kept);
    let inheritable = kept & 1 << NET_ADMIN;
    let after = Capabilities { effective: kept, permitted: kept, inheritable };
    // Where the bounding set does not have it, it cannot be inherited.
    call::set_capabilities(after)
        .or_else(|_| call::set_capabilities(Capabilities { inheritable: 0, ..after }))?;
    // The child process nft gets it, also where this process is not root.
    let ambient = if inheritable == 0 { Ok(()) } else { call::make_ambient(NET_ADMIN) };
    bounds.and(ambient)
}

/// Of what this thread may use, only these are in force from here on, a bit for each number in capabilities(7). It may
/// take the others back.
pub fn keep_in_force(capabilities: u64) -> io::Result<()> {
    let before = call::capabilities()?;
    call::set_capabilities(Capabilities { effective: before.permitted & capabilities, ..before })
}

fn lower_bounds(kept: u64) -> io::Result<()> {
    for capability in (0..END).filter(|capability| kept & 1 << capability == 0) {
        match call::is_bounded_by(capability) {
            Ok(true) => call::drop_from_bounds(capability)?,
            Ok(false) => {}
            // The kernel has no more.
            Err(_) => break,
        }
    }
    Ok(())
}
