//! What is remembered across restarts: the sources of answers that askers take, in a file beside the control socket.
//!
//! May touch: that file, on a thread of its own. What is in it is of another time, and anybody may have written it: what
//! makes no sense is ignored, with one line of the log.

use core::net::Ipv6Addr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Remembered;
use crate::engine::facts::IfName;
use crate::engine::policy::Source;
use crate::wire::Mac;

/// Writes what is to be remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    writer: Option<Writer>,
}

/// The thread that writes.
#[derive(Debug)]
struct Writer {
    queue: Sender<(PathBuf, Vec<Remembered>)>,
    is_done: Receiver<()>,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    interface: IfName,
    mac: Mac,
    address: Ipv6Addr,
    /// As the configuration says it.
    source: String,
}

impl Memory {
    /// This is to be in the file, and nothing else.
    pub(super) fn write(&mut self, file: PathBuf, all: Vec<Remembered>) {
        let writer = self.writer.get_or_insert_with(Writer::start);
        // It never ends before the queue does.
        let _ = writer.queue.send((file, all));
    }
}

impl Writer {
    fn start() -> Self {
        let (queue, tasks) = channel::<(PathBuf, Vec<Remembered>)>();
        let (done, is_done) = channel();
        thread::spawn(move || {
            let mut has_failed = false;
            while let Ok(first) = tasks.recv() {
                let (file, all) = tasks.try_iter().last().unwrap_or(first);
                if let Err(error) = replace(&file, &all) {
                    // Once: it changes nothing but what the next start knows.
                    if !std::mem::replace(&mut has_failed, true) {
                        tracing::warn!(
                            "cannot write {}: {error}; the next start has to try sources again",
                            file.display()
                        );
                    }
                }
            }
            let _ = done.send(());
        });
        Self { queue, is_done }
    }
}

impl Drop for Memory {
    /// What is being written is written to its end, unless the disk does not answer.
    fn drop(&mut self) {
        if let Some(Writer { queue, is_done }) = self.writer.take() {
            drop(queue);
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }
}

/// What the file says; nothing if there is none, or it makes no sense.
pub(super) fn read(file: &Path) -> Vec<Remembered> {
    let read = read_lines(file);
    let ignored = |error: &io::Error| {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!(
                "ignored {}: {error}; lone64 writes it again when it finds a source",
                file.display()
            );
        }
    };
    read.inspect_err(ignored).unwrap_or_default()
}

fn read_lines(file: &Path) -> io::Result<Vec<Remembered>> {
    // A pipe would be waited for.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no regular file"));
    }
    let mut text = String::new();
    File::open(file)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is too long"));
    }
    let lines: Vec<Line> = serde_json::from_str(&text)?;
    let remembered = lines.into_iter().map(|Line { interface, mac, address, source }| {
        let source = parse(&source).ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidData, format!("there is no source \"{source}\""))
        })?;
        Ok(Remembered { interface, mac, address, source })
    });
    remembered.collect()
}

fn parse(written: &str) -> Option<Source> {
    let named = [Source::Scope, Source::Target, Source::LinkLocal, Source::Global];
    let named = named.into_iter().find(|source| source.written() == written);
    named.or_else(|| written.parse().ok().map(Source::Address))
}

/// All of the new content is there, or all of the old.
fn replace(file: &Path, all: &[Remembered]) -> io::Result<()> {
    let line = |remembered: &Remembered| {
        let Remembered { interface, mac, address, source } = *remembered;
        Line { interface, mac, address, source: source.written() }
    };
    let lines: Vec<_> = all.iter().map(line).collect();
    let new = file.with_extension("sources.new");
    fs::write(&new, serde_json::to_vec_pretty(&lines)?)?;
    fs::rename(&new, file)
}

/// Some hundred bytes for each that is remembered.
const LONGEST: u64 = 64 * 1_024;
/// For the last write at the exit.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn file(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("lone64-memory-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory.join("control.sources")
    }

    fn remembered(last: u8, source: Source) -> Remembered {
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into());
        Remembered { interface: "eth0".parse().unwrap(), mac: Mac([2, 0, 0, 0, 0, last]), address, source }
    }

    #[test]
    fn what_is_written_last_is_read_again() {
        let file = file("again");
        let own = Source::Address(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
        let all = [Source::Scope, Source::Target, Source::LinkLocal, Source::Global, own];
        let all: Vec<_> = (1..).zip(all).map(|(last, source)| remembered(last, source)).collect();
        let mut memory = Memory::default();
        memory.write(file.clone(), Vec::new());
        memory.write(file.clone(), all.clone());
        drop(memory);
        assert_eq!(read(&file), all);
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_ignored() {
        let file = file("nonsense");
        assert_eq!(read(&file), [], "there is none");
        let good = serde_json::to_string(&[Line {
            interface: "eth0".parse().unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            address: Ipv6Addr::LOCALHOST,
            source: "target".to_owned(),
        }])
        .unwrap();
        let long = format!("{}{good}", " ".repeat(70_000));
        for text in
            ["", "{}", "[1]", &good[1..], &good.replace("target", "auto"), &good.replace("02:", "zz:"), &long]
        {
            fs::write(&file, text).unwrap();
            assert_eq!(read(&file), [], "{text:.40}");
        }
        let pipe = file.with_file_name("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read(&pipe), []);
        fs::write(&file, b"[\xff]").unwrap();
        assert_eq!(read(&file), []);
        fs::write(&file, &good).unwrap();
        assert_eq!(read(&file).len(), 1);
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
}
