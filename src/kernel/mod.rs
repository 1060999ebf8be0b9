//! The kernel room: everything that is asked of, heard from or told to the Linux kernel.
//!
//! It turns the kernel's own forms into the plain values of [`crate::engine::facts`] and back, and
//! decides nothing. All of it acts on the network namespace of the thread that opens it.

pub mod ears;
pub mod groups;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod nft_table;
pub mod packet;
pub mod sysctl;
