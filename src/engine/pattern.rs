//! Patterns of interface names, as a shell has them.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::facts::IfName;

/// A name, or a shell's pattern of names, as in `veth*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfPattern(glob::Pattern);

/// Text that is not a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' matches no name of an interface: {1}")]
pub struct ParseIfPatternError(String, &'static str);

impl IfPattern {
    /// Whether the name matches.
    pub fn matches(&self, name: &IfName) -> bool {
        self.0.matches(name.as_str())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// True for text that is more than a plain name.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }
}

impl FromStr for IfPattern {
    type Err = ParseIfPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| Err(ParseIfPatternError(text.to_owned(), why));
        if text.is_empty()
            || text.chars().any(|c| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control())
        {
            return refuse("a name has no '/', ':' or white space, and is not empty");
        }
        if text.contains("**") {
            return refuse("one '*' already stands for any number of characters");
        }
        // Without its stars, the shortest name that could match.
        let fits = match Self::is_pattern(text) {
            false => text.parse::<IfName>().is_ok(),
            true => text.contains('[') || text.replace('*', "").len() <= IfName::LONGEST,
        };
        if !fits {
            return refuse("a name has at most 15 bytes, and is not '.' or '..'");
        }
        glob::Pattern::new(text).map(Self).or_else(|error| refuse(error.msg))
    }
}

/// As text, so that a recorded trace can be read.
impl Serialize for IfPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IfPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for IfPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
