//! The settings under `/proc/sys/net/ipv6`, of the network namespace of the calling thread.

use std::path::PathBuf;
use std::{fs, io};

/// A setting that cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// It cannot be read.
    #[error("cannot read net/ipv6/{key}{remedy}")]
    Read {
        /// Below `net/ipv6`, as sysctl(8) takes it.
        key: String,
        /// What to do about it; empty if there is nothing to say.
        remedy: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It cannot be changed.
    #[error("cannot set net/ipv6/{key} to {value}{remedy}")]
    Write {
        /// Below `net/ipv6`, as sysctl(8) takes it.
        key: String,
        /// The wanted value.
        value: String,
        /// What to do about it; empty if there is nothing to say.
        remedy: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SysctlError {
    /// Whether a privilege is missing, or `/proc/sys` is read-only, as in a container without any: neither heals.
    pub fn is_of_privilege(&self) -> bool {
        let (Self::Read { source, .. } | Self::Write { source, .. }) = self;
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// Reads a setting, as in `read("conf/eth0/accept_ra")`. Parts are separated by `/`, because the
/// name of an interface may contain a dot.
pub fn read(key: &str) -> Result<String, SysctlError> {
    fs::read_to_string(path(key)).map(|text| text.trim_end().to_owned()).map_err(|source| SysctlError::Read {
        key: key.to_owned(),
        remedy: remedy(&source),
        source,
    })
}

/// Changes a setting, as in `write("conf/all/forwarding", "1")`.
pub fn write(key: &str, value: &str) -> Result<(), SysctlError> {
    fs::write(path(key), value).map_err(|source| SysctlError::Write {
        key: key.to_owned(),
        value: value.to_owned(),
        remedy: remedy(&source),
        source,
    })
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net/ipv6").join(key)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; the interface does not exist, or IPv6 is disabled (ipv6.disable=1)",
        io::ErrorKind::PermissionDenied => "; run as root or with CAP_NET_ADMIN",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; /proc/sys is read-only here, as in an unprivileged container: set it from outside, by a file in \
             /etc/sysctl.d, or allow it in the unit (ReadWritePaths=/proc/sys/net/ipv6/conf)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_key_and_the_remedy_when_an_interface_is_missing() {
        let error = read("conf/no-such-link/accept_ra").expect_err("no such interface");
        assert_eq!(
            error.to_string(),
            "cannot read net/ipv6/conf/no-such-link/accept_ra; \
             the interface does not exist, or IPv6 is disabled (ipv6.disable=1)"
        );
    }
}
