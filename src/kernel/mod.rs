//! The kernel room: all requests to the Linux kernel, and all that the kernel says.
//!
//! It turns the kernel's own forms into the plain values of [`crate::engine::facts`] and back, and
//! decides nothing. All of it works in the network namespace of the thread that opens it.

pub mod arrivals;
pub mod bpf;
pub mod confinement;
pub mod ears;
pub mod guard;
pub mod heap;
pub mod image;
pub mod netlink;
pub mod netns;
mod newcomers;
pub mod nft;
pub mod nft_dump;
pub mod nft_table;
pub mod packet;
pub mod ready;
pub mod sets;
pub mod sysctl;

use crate::engine::facts::IfIndex;

/// The present name of an interface, asked of the kernel; none where no interface has the number.
///
/// Only for callers without [`crate::engine::Links`]: asking takes a descriptor, and there may be none left.
pub fn interface_name(link: IfIndex) -> Option<String> {
    let name = nix::net::if_::if_indextoname(link.0).ok()?.into_string().ok()?;
    // if_indextoname(3) fails with a null pointer, which nix 0.31 takes for success: an empty name.
    (!name.is_empty()).then_some(name)
}
