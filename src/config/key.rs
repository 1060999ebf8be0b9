//! A key with its value, and where that came from.
//!
//! May touch: nothing.

use serde::Serialize;
use serde_json::Value;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// The table that it is in, without brackets.
    pub table: &'static str,
    /// Which one of several: the prefix or suffix of a range, the interface of an upstream; `None` for the upstream of
    /// the default route, and where there is only one table.
    pub of: Option<String>,
    /// Its name.
    pub key: &'static str,
    /// As it is written; null where there is none.
    pub value: Value,
    /// Where the value came from.
    #[serde(flatten)]
    pub origin: KeyOrigin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", rename_all = "kebab-case")]
pub enum KeyOrigin {
    /// Nobody wrote it.
    Default,
    /// The host tells it while the daemon runs (its default route, its routes), or it follows from other keys.
    Automatic,
    /// The configuration.
    File {
        /// Its name.
        file: String,
        /// Counted from 1.
        line: usize,
    },
    /// A file in the directory beside it.
    DropIn {
        /// Its name.
        file: String,
        /// Counted from 1.
        line: usize,
    },
    /// An option.
    CommandLine {
        /// With its value.
        option: String,
    },
    /// A variable.
    Environment {
        /// With its value.
        variable: String,
    },
}

impl std::fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Automatic => f.write_str("automatic"),
            Self::File { file, line } | Self::DropIn { file, line } => write!(f, "{file}:{line}"),
            Self::CommandLine { option } => f.write_str(option),
            Self::Environment { variable } => f.write_str(variable),
        }
    }
}
