//! What answers on an upstream.

use serde::{Deserialize, Serialize};

/// What answers the questions that arrive on an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Backend {
    /// The daemon, by its packet socket.
    #[default]
    Packet,
    /// A program in the kernel for the live guests that it knows; the daemon for all else, which the program passes on.
    Tc,
}
