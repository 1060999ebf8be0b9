//! The sources of answers that askers take.

use core::net::Ipv6Addr;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Note;
use crate::engine::Remembered;
use crate::engine::facts::IfName;
use crate::engine::policy::Source;
use crate::wire::Mac;

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

/// As the file is to say it.
pub(in crate::daemon) fn note(all: &[Remembered]) -> Note {
    let line = |remembered: &Remembered| {
        let Remembered { interface, mac, address, source } = *remembered;
        Line { interface, mac, address, source: source.written() }
    };
    let lines: Vec<_> = all.iter().map(line).collect();
    // Nothing of it can fail.
    let text = serde_json::to_vec_pretty(&lines).unwrap_or_default();
    Note { text: Box::new(|| text), else_what: "the next start has to try sources again" }
}

/// What the file says.
pub(in crate::daemon) fn read(file: &Path) -> Vec<Remembered> {
    super::read(file, LONGEST, "lone64 writes it again when it finds a source", lines_of)
}

fn lines_of(text: &str) -> io::Result<Vec<Remembered>> {
    let lines: Vec<Line> = serde_json::from_str(text)?;
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

/// Some hundred bytes for each that is remembered.
const LONGEST: u64 = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::daemon::memory::Memory;

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
        memory.write(file.clone(), note(&[]));
        memory.write(file.clone(), note(&all));
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
