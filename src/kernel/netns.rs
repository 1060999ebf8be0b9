//! Temporary network namespaces for `demo` and tests, without root where the kernel allows it.
//!
//! A namespace lives as long as a descriptor, a thread or a link in it. Nothing is mounted, so nothing is left
//! behind, however the process ends.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::{io, panic, thread};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use super::netlink::{NetlinkError, Requests};
use crate::engine::facts::IfIndex;

/// A network namespace of our own, with `lo` up.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

/// Why there is no namespace of our own.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel, or its administrator, forbids it to this user.
    #[error("this user may not create namespaces: {0}")]
    Forbidden(String),
    /// Anything else.
    #[error("cannot create a namespace")]
    Other(#[source] io::Error),
}

impl Namespace {
    /// A new namespace. Needs CAP_SYS_ADMIN, which [`enter_user_namespace`] brings.
    pub fn create() -> io::Result<Self> {
        // On a thread of its own, because unshare changes the calling one.
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            bring_up_loopback()?;
            Ok(Self { file: File::open(OWN_NAMESPACE)? })
        });
        made.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Runs a closure inside, on a thread of its own that ends with it. A panic is passed on.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let outcome = thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter().expect("the creator of a namespace may enter it");
                    inside()
                })
                .join()
        });
        outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Starts a thread inside.
    pub fn spawn<T: Send + 'static>(
        &self,
        inside: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<thread::JoinHandle<T>> {
        let namespace = Self { file: self.file.try_clone()? };
        Ok(thread::spawn(move || {
            namespace.enter().expect("the creator of a namespace may enter it");
            inside()
        }))
    }

    /// Moves the calling thread inside, for good.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.file, CloneFlags::CLONE_NEWNET)?)
    }

    /// The namespace, for [`Requests::move_to`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Moves the process into a network namespace of its own, with `lo` up: in a user namespace of its
/// own too, in which it is root, unless it is already privileged.
///
/// Must be called before any thread is started, or the kernel refuses.
pub fn enter_user_namespace() -> Result<(), NamespaceError> {
    let (user, group) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(refusal)?;
            // user_namespaces(7): without this, an unprivileged process may not map its group.
            fs::write("/proc/self/setgroups", "deny").map_err(map_refusal)?;
            fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(map_refusal)?;
            fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(map_refusal)?;
        }
        Err(error) => return Err(refusal(error)),
    }
    bring_up_loopback().map_err(NamespaceError::Other)
}

fn bring_up_loopback() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { Requests::open()?.set_up(LOOPBACK).await }).map_err(|error| match error {
        NetlinkError::Open(source) | NetlinkError::Refused { source, .. } => source,
        other => io::Error::other(other),
    })
}

fn refusal(error: Errno) -> NamespaceError {
    match error {
        Errno::EPERM | Errno::ENOSPC | Errno::EACCES => {
            NamespaceError::Forbidden(remedy(|name| fs::read_to_string(format!("/proc/sys/{name}")).ok()))
        }
        other => NamespaceError::Other(other.into()),
    }
}

/// AppArmor's restriction lets the namespace be made, and takes its privileges away.
fn map_refusal(error: io::Error) -> NamespaceError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno @ (Errno::EPERM | Errno::EACCES)) => refusal(errno),
        _ => NamespaceError::Other(error),
    }
}

/// Names the setting that stands in the way, among those that this kernel has.
fn remedy(setting: impl Fn(&str) -> Option<String>) -> String {
    let is = |name: &str, value: &str| setting(name).is_some_and(|text| text.trim() == value);
    let sysctl = if is("kernel/unprivileged_userns_clone", "0") {
        "kernel.unprivileged_userns_clone=1"
    } else if is("user/max_user_namespaces", "0") {
        "user.max_user_namespaces=10000"
    } else if is("user/max_net_namespaces", "0") {
        "user.max_net_namespaces=10000"
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        return "no sysctl forbids it, so the seccomp or capability profile of a container does; run it as root, or \
                outside of the container"
            .to_owned();
    };
    format!("allow it with 'sysctl -w {sysctl}', or run as root")
}

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// The index of `lo` in every namespace.
const LOOPBACK: IfIndex = IfIndex(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> String {
        remedy(move |asked| (asked == name).then(|| format!("{value}\n")))
    }

    #[test]
    fn names_the_setting_that_forbids_user_namespaces() {
        for (name, bad, good) in [
            ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
            ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
            (
                "kernel/apparmor_restrict_unprivileged_userns",
                "1",
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
        ] {
            assert_eq!(with(name, bad), format!("allow it with 'sysctl -w {good}', or run as root"));
        }
    }

    #[test]
    fn blames_the_container_when_no_setting_forbids_them() {
        assert!(with("user/max_user_namespaces", "96365").contains("container"));
    }
}
