//! What answers on an upstream.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What answers the questions that arrive on an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Backend {
    /// The daemon, by its packet socket.
    #[default]
    Packet,
    /// A program in the kernel for the live guests that it knows; the daemon for all else, which the program passes on.
    Tc,
    /// Such a program where privileges and kernel allow it; else the packet socket alone.
    Auto,
}

impl Backend {
    /// Whether a program is wanted.
    pub const fn wants_program(self) -> bool {
        matches!(self, Self::Tc | Self::Auto)
    }

    /// As in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Tc => "tc",
            Self::Auto => "auto",
        }
    }
}

/// How long a program goes on answering for a guest without a word of the daemon, if nothing else is written.
pub const ON_CRASH_ANSWER: Duration = Duration::from_secs(300);
