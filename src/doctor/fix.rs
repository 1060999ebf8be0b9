//! Applies a remedy that is safe.
//!
//! May touch: the one sysctl that it is told to set.

use std::path::Path;
use std::{fs, io};

use super::Fix;

/// A remedy that could not be applied.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {key} to {value}{remedy}")]
pub struct FixError {
    key: String,
    value: String,
    remedy: &'static str,
    source: io::Error,
}

/// Sets the value, until the next boot.
pub fn apply(fix: &Fix) -> Result<(), FixError> {
    let Fix { key, value } = fix.clone();
    fs::write(Path::new("/proc/sys").join(&key), &value).map_err(|source| {
        let remedy = match source.kind() {
            io::ErrorKind::PermissionDenied => "; run as root",
            io::ErrorKind::ReadOnlyFilesystem => {
                "; /proc/sys is mounted read-only: run it outside the container"
            }
            _ => "",
        };
        FixError { key, value, remedy, source }
    })
}
