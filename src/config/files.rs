//! The files that make a configuration: the one that is named, and the drop-ins in the directory beside it.
//!
//! May touch: these files. Beside `/etc/lone64/lone64.toml` that is `/etc/lone64/lone64.d/*.toml`, beside any other
//! `F.toml` it is `F.d/*.toml`; a pipe has none. They are read behind it, in the order of their names.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::bytes;
use super::problem::Problems;
use super::validate::EXAMPLE;

/// One text, and what problems call it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) origin: String,
    pub(super) text: String,
}

/// What was read, to be compared with what is there later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// The one that was named, or that would have been read.
    named: PathBuf,
    /// Each with a fingerprint of its bytes.
    read: Vec<(PathBuf, u64)>,
    /// A pipe gives its content once.
    is_readable_again: bool,
}

/// What files are now, beside what was read of them.
#[derive(Debug)]
pub enum Compared {
    /// They say the same.
    Same,
    /// They say something else.
    Changed,
    /// The configuration is no longer there.
    Gone(PathBuf),
    /// This one, or this directory, cannot be read, so nobody knows.
    Unreadable(PathBuf, io::Error),
}

/// Whether the file that is named has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Main {
    /// It has.
    Required,
    /// Without it there are the drop-ins, or nothing.
    Optional,
}

impl Files {
    /// The configuration, and its drop-ins in the order in which they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().map(|(path, _)| path.as_path())
    }

    /// The configuration itself, if it was there.
    pub fn main(&self) -> Option<&Path> {
        self.paths().find(|path| *path == self.named)
    }

    /// What is there now, beside what was read; `None` where that cannot be told. It reads the files, which can take
    /// long on a disk that is slow.
    pub fn compared(&self) -> Option<Compared> {
        if !self.is_readable_again {
            return None;
        }
        let paths = match listed(&self.named) {
            Ok(paths) => paths,
            Err((directory, error)) => return Some(Compared::Unreadable(directory, error)),
        };
        // A drop-in may go, but without the file itself nothing can be read again.
        if let Some(main) = self.main().filter(|main| paths.first().is_none_or(|first| first != main)) {
            return Some(Compared::Gone(main.to_owned()));
        }
        let mut now = Vec::new();
        for path in paths {
            match open(&path).and_then(|file| bytes::read(file, bytes::MOST)) {
                Ok(bytes) => now.push((path, fingerprint(&bytes))),
                Err(error) => return Some(Compared::Unreadable(path, error)),
            }
        }
        Some(if now == self.read { Compared::Same } else { Compared::Changed })
    }
}

/// Reads all of them. Every one that cannot be read is a problem.
pub(super) fn read(named: &Path, main: Main) -> Result<(Vec<Document>, Files), Problems> {
    let origin = named.display().to_string();
    let mut paths = match listed(named) {
        Ok(paths) => paths,
        Err((directory, error)) => return Err(unreadable(&directory.display().to_string(), &error, None)),
    };
    if main == Main::Required && paths.first().is_none_or(|first| first != named) {
        paths.insert(0, named.to_owned());
    }
    let mut files = Files { named: named.to_owned(), read: Vec::new(), is_readable_again: is_regular(named) };
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let is_main = path == named;
        let name = if is_main { origin.clone() } else { path.display().to_string() };
        // A start may wait for the writer of a pipe that it was given; a drop-in is nobody's pipe.
        let opened = if is_main { File::open(&path) } else { open(&path) };
        let document = opened
            .and_then(|file| bytes::read(file, bytes::MOST))
            .map_err(|error| unreadable(&name, &error, is_main.then_some(EXAMPLE)))
            .and_then(|bytes| {
                files.read.push((path, fingerprint(&bytes)));
                document(bytes, &name)
            });
        match document {
            Ok(document) => documents.push(document),
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok((documents, files)) } else { Err(Problems::all(problems)) }
}

/// One file that others do not depend on.
pub(super) fn read_one(path: &Path) -> Result<Document, Problems> {
    let origin = path.display().to_string();
    let bytes = open(path).and_then(|file| bytes::read(file, bytes::MOST));
    document(bytes.map_err(|error| unreadable(&origin, &error, None))?, &origin)
}

/// The text of a reader that may not even be text, nor have an end.
pub(super) fn read_from(reader: impl Read, origin: &str) -> Result<Document, Problems> {
    let bytes =
        bytes::read(reader, bytes::MOST).map_err(|error| unreadable(origin, &error, Some(EXAMPLE)))?;
    document(bytes, origin)
}

/// The paths that there are. Of one that cannot be looked at, reading says why.
pub(super) fn listed(named: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut paths = Vec::new();
    if named.try_exists().unwrap_or(true) {
        paths.push(named.to_owned());
    }
    if paths.is_empty() || is_regular(named) {
        let directory = named.with_extension("d");
        paths.extend(toml_files(&directory, MOST_DROP_INS).map_err(|error| (directory, error))?);
    }
    Ok(paths)
}

/// The files of a directory that may not be there, in the order of their names.
pub(super) fn toml_files(directory: &Path, most: usize) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".toml") && !text.starts_with('.') {
            names.push(name);
        }
    }
    if names.len() > most {
        return Err(io::Error::other(format!("it has more than {most} files")));
    }
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// Opens what can be read without waiting for anybody.
fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return Err(io::Error::other("it is a pipe or a socket"));
    }
    File::open(path)
}

fn document(bytes: Vec<u8>, origin: &str) -> Result<Document, Problems> {
    let bytes = bytes::plain(bytes, bytes::MOST, origin, "name a lone64.toml")?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let sentence = format!("line {line} is not UTF-8, so the file is not TOML");
        Problems::single(origin, sentence, "save the file as UTF-8".to_owned())
    })?;
    Ok(Document { origin: origin.to_owned(), text })
}

/// Why a file could not be read, and what helps.
pub(super) fn unreadable(origin: &str, error: &io::Error, example: Option<&str>) -> Problems {
    let remedy = match (error.kind(), example) {
        (ErrorKind::NotFound, Some(example)) => format!("write one with these lines:\n\n{example}"),
        (ErrorKind::NotFound, None) => "remove the link: its target does not exist".to_owned(),
        (ErrorKind::PermissionDenied, _) => "run lone64 as root, or let its user read the file".to_owned(),
        (ErrorKind::IsADirectory, _) => "name a file inside it".to_owned(),
        (ErrorKind::NotADirectory, None) => "remove it, or make it a directory".to_owned(),
        _ => "check the file system, or name another file".to_owned(),
    };
    // The number is for programs, and the words before it say the same.
    let error = error.to_string();
    let words = error.split(" (os error").next().unwrap_or_default();
    Problems::single(origin, format!("the configuration cannot be read: {words}"), remedy)
}

/// Whether it is a file that can be read again, or could be if it were there.
pub(super) fn is_regular(path: &Path) -> bool {
    !path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// How a file looks without being read. A file that is written or replaced looks different, unless that is within the same
/// tick of the file system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970 of its last change. A program can set the time of the content, and not this one.
    changed: (i64, i64),
}

impl Stamp {
    /// That of this file at this moment, or of what a link leads to.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let changed = (found.ctime(), found.ctime_nsec());
        Some(Self { device: found.dev(), inode: found.ino(), size: found.size(), changed })
    }

    /// Whether whatever is written from now on looks different: ticks take some milliseconds, and two seconds where file
    /// systems are old.
    pub(super) fn is_old(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| self.changed.0 + 3 <= now)
    }
}

/// The same bytes have the same.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Far more than anybody can keep in order.
const MOST_DROP_INS: usize = 1_000;
