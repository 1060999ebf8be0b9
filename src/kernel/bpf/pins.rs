//! Where the objects of one interface are pinned, so that they outlive the daemon and are found again.
//!
//! `/sys/fs/bpf/lone64/v3/NAMESPACE/IFINDEX/` holds `targets`, `ranges`, `recent`, `verdicts`, `seed`, and `link` where the
//! program's place is one of tcx. NAMESPACE is the number of the network namespace (as `/proc/self/ns/net` and `lsns -t net` have it), a dash,
//! and its cookie: the file system does not know namespaces, interfaces have the same numbers in all of them, and the
//! number of a namespace that has ended is given to another, the cookie is not. What a map holds, and what the program
//! takes it to mean, has the version `v3`: who changes it counts on.

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, statfs};

use super::{BpfError, Maps, ProgramMap, TcxLink, call, look};
use crate::engine::facts::IfIndex;
use crate::wire::program::Map;

/// The folder of one interface's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// The version of the layout.
    pub const VERSION: &str = "v3";

    /// Where a BPF file system is mounted on most hosts.
    pub const FILE_SYSTEM: &str = "/sys/fs/bpf";

    /// Where this user makes folders for what is pinned: in a folder that is there already, if there is one.
    pub fn made_in(file_system: &Path) -> PathBuf {
        let folder = file_system.join(FOLDER);
        if folder.is_dir() { folder } else { file_system.to_owned() }
    }

    /// The folder of this interface in the network namespace of this thread. Nothing is made yet.
    pub fn of(file_system: &Path, interface: IfIndex) -> Result<Self, BpfError> {
        let is_bpf = statfs(file_system).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
        if !is_bpf {
            return Err(BpfError::NoFileSystem(file_system.to_owned()));
        }
        let folder = file_system.join(FOLDER).join(Self::VERSION).join(namespace()?);
        Ok(Self { folder: folder.join(interface.0.to_string()) })
    }

    /// Where that folder is, or would be.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The interfaces of which objects are pinned in the network namespace of this thread, of whatever version, and
    /// where: those that no process has taken over outlive it. Empty where there is no such file system.
    pub fn all(file_system: &Path) -> Result<Vec<(IfIndex, Self)>, BpfError> {
        let namespace = namespace()?;
        let mut found = Vec::new();
        for version in folders(&file_system.join(FOLDER)) {
            for folder in folders(&version.join(&namespace)) {
                let number = folder.file_name().and_then(|name| name.to_str()?.parse().ok());
                found.extend(number.map(|number| (IfIndex(number), Self { folder })));
            }
        }
        Ok(found)
    }

    /// What is pinned of other network namespaces, laid out as this program does it.
    pub(super) fn of_others(file_system: &Path) -> Result<Vec<Self>, BpfError> {
        let ours = namespace()?;
        let namespaces = folders(&file_system.join(FOLDER).join(Self::VERSION)).into_iter();
        let others = namespaces.filter(|folder| !folder.ends_with(&ours));
        Ok(others.flat_map(|folder| folders(&folder)).map(|folder| Self { folder }).collect())
    }

    /// The same under another name, which no interface has. The file system takes no dot in a name.
    pub(super) fn aside(&self) -> Self {
        let name = self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let interface = name.strip_suffix(ASIDE).unwrap_or(name);
        Self { folder: self.folder.with_file_name(format!("{interface}{ASIDE}")) }
    }

    /// The number of its network namespace.
    pub(super) fn namespace_number(&self) -> Option<u64> {
        self.folder.parent()?.file_name()?.to_str()?.split('-').next()?.parse().ok()
    }

    /// Pins all of them. What was pinned there before is not any more, and ends unless somebody has it open.
    pub fn pin(&self, maps: &Maps, link: Option<&TcxLink>) -> Result<(), BpfError> {
        self.remove()?;
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| BpfError::Pin(self.folder.clone(), error))?;
        for map in Map::ALL {
            self.pin_one(maps.of(map).as_fd(), map.as_str())?;
        }
        link.map_or(Ok(()), |link| self.pin_one(link.as_fd(), LINK))
    }

    /// Whether what is pinned there is laid out as this program takes it to be.
    pub fn is_of_this_version(&self) -> bool {
        self.folder.ancestors().nth(2).is_some_and(|version| version.ends_with(Self::VERSION))
    }

    /// The maps that are pinned, if all of them are.
    pub fn maps(&self) -> Result<Option<Maps>, BpfError> {
        if Map::ALL.iter().any(|map| !self.folder.join(map.as_str()).exists()) {
            return Ok(None);
        }
        let place = |map: Map| self.folder.join(map.as_str());
        let maps = Maps::open(|map| ProgramMap::pinned(map, &place(map)))?;
        maps.map(Some).ok_or_else(|| BpfError::OtherMap(place(Map::Targets)))
    }

    /// The link that is pinned, if there is one.
    pub fn link(&self) -> Result<Option<TcxLink>, BpfError> {
        let path = self.folder.join(LINK);
        match call::pinned(&text(&path)) {
            Ok(fd) => Ok(Some(TcxLink::from_pin(fd))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BpfError::Pin(path, error)),
        }
    }

    /// Removes the pins of this interface, the link first, and the folders that are empty then.
    pub fn remove(&self) -> Result<(), BpfError> {
        let others = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in [self.folder.join(LINK)].into_iter().chain(others.collect::<Vec<_>>()) {
            // Objects are files. What else is here we have not made, and nobody can use.
            let removed = match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(BpfError::Pin(path, error));
                }
                _ => {}
            }
        }
        // Interface, namespace, version, lone64. One that another interface has its own in is not empty, and stays.
        for folder in self.folder.ancestors().take(4) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn pin_one(&self, object: BorrowedFd<'_>, name: &str) -> Result<(), BpfError> {
        let path = self.folder.join(name);
        call::pin(object, &text(&path)).map_err(|error| BpfError::Pin(path, error))
    }
}

/// What the network namespace of this thread is called here.
fn namespace() -> Result<String, BpfError> {
    let path = Path::new("/proc/thread-self/ns/net");
    let fail = |error| BpfError::Pin(path.to_owned(), error);
    let number = fs::metadata(path).map_err(fail)?.ino();
    let cookie = look::namespace_cookie().map_err(fail)?;
    Ok(format!("{number}-{}", cookie.unwrap_or_default()))
}

/// What is in a folder. Nothing if it is not there, or not ours to look into.
pub(super) fn folders(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).expect("a path has no zero byte")
}

/// What is pinned is in this folder.
const FOLDER: &str = "lone64";
const LINK: &str = "link";
/// Behind the number of an interface.
const ASIDE: &str = "-over";
/// linux/magic.h: BPF_FS_MAGIC.
const BPF_FS_MAGIC: FsType = FsType(0xcafe_4a11);
