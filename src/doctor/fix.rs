//! Applies a remedy that is safe, now and for the next boot.
//!
//! May touch: the one sysctl that it is told to set, and our own file in sysctl.d.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Fix;
use super::sysctl_file;

/// A remedy that could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// The kernel did not take the value.
    #[error("cannot set {key} to {value}{remedy}")]
    Set {
        /// The sysctl.
        key: String,
        /// The value.
        value: String,
        /// What helps, with a semicolon before it.
        remedy: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is set now, and lost with the next boot.
    #[error("`{line}` is in force, but cannot be written to {}, so it lasts until the next boot", path.display())]
    Keep {
        /// The line.
        line: String,
        /// Our file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Our file of sysctl.d(5), below the directory where the files of the host are. Of its names the last one wins.
pub fn file(root: &Path) -> PathBuf {
    root.join("etc/sysctl.d/zz-lone64.conf")
}

/// Sets the value, and has it set at the next boot.
pub fn apply(fix: &Fix, root: &Path) -> Result<(), FixError> {
    let Fix { key, value } = fix.clone();
    fs::write(Path::new("/proc/sys").join(&key), &value).map_err(|source| {
        let remedy = match source.kind() {
            io::ErrorKind::PermissionDenied => "; run as root",
            io::ErrorKind::ReadOnlyFilesystem => {
                "; /proc/sys is mounted read-only: run it outside the container"
            }
            _ => "",
        };
        FixError::Set { key, value, remedy, source }
    })?;
    let path = file(root);
    keep(fix, &path).map_err(|source| FixError::Keep { line: fix.line(), path, source })
}

fn keep(fix: &Fix, path: &Path) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // A reader, or a crash, meets the old file or the new one. Without `.conf` at its end nobody reads it.
    let new = path.with_extension("new");
    fs::write(&new, with(&before, fix))?;
    fs::rename(new, path)
}

/// The text with this line in place of others about the same key.
fn with(text: &str, fix: &Fix) -> String {
    let is_about =
        |line: &str| line.split_once('=').is_some_and(|(key, _)| sysctl_file::path(key.trim()) == fix.key);
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_about(line)).collect();
    if lines.is_empty() {
        lines.push("# Written by `lone64 doctor --fix`.");
    }
    let new = fix.line();
    lines.push(&new);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_each_key_once_and_keeps_other_lines() {
        let fix =
            |value: &str| Fix { key: "net/ipv6/conf/up0/accept_ra".to_owned(), value: value.to_owned() };
        let first = with("", &fix("2"));
        assert_eq!(first, "# Written by `lone64 doctor --fix`.\nnet/ipv6/conf/up0/accept_ra = 2\n");
        assert_eq!(with(&first, &fix("2")), first);
        let by_hand = "net.ipv6.conf.up0.accept_ra=0\nnet.core.x = 1";
        assert_eq!(with(by_hand, &fix("2")), "net.core.x = 1\nnet/ipv6/conf/up0/accept_ra = 2\n");
    }
}
