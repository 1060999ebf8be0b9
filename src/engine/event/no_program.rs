//! Why the kernel does not answer where it is to, in words and with a remedy where there is one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why no program answers in the kernel on an upstream that is to have one. The daemon answers there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoProgram {
    /// Guests are on the upstream's own link: what a question gets depends on who asks.
    OwnBridge,
    /// The upstream has no address that answers could come from, and so the daemon cannot answer either.
    NoAddress,
    /// It has several addresses, and which of them an answer comes from depends on who asks.
    SeveralAddresses,
    /// The kernel refuses it, in these words.
    Refused(String),
}

impl fmt::Display for NoProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnBridge => write!(
                f,
                "guests are on its own bridge, where the answer depends on who asks; write backend = \"packet\""
            ),
            Self::NoAddress => write!(f, "it has no address for the answers yet"),
            Self::SeveralAddresses => write!(
                f,
                "it has several global addresses, and the one to answer from depends on who asks; write one of them \
                 as `source`, or backend = \"packet\""
            ),
            Self::Refused(said) => write!(f, "{said}"),
        }
    }
}
