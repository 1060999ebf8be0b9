//! The options of the command line and the environment, which go before what the files say.
//!
//! May touch: the files that [`Overrides::load`] is told to read. Options are put over the file
//! before it is validated, so that a mistake in their combination has the place of its part.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::Ipv6Net;

use super::bytes;
use super::configuration::{Config, DEFAULT_FILE, LogLevel};
use super::downstreams::Downstreams;
use super::effective::Effective;
use super::file::{self, Grammar, Source};
use super::files::{self, Document, Files, Main};
use super::guest_files::GuestFiles;
use super::mirror::{File, Range, Upstream};
use super::notices;
use super::prefix;
use super::problem::{Place, Problem, Problems, Report};
use super::section::Field;
use super::synonyms;
use super::validate::validate;
use crate::engine::facts::IfName;
use crate::engine::policy::GuestPolicy;

/// What the command line and the environment say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// If there are any, these and no others are the upstreams. One that the file has under the same
    /// name keeps the file's settings; others take those of the file's `[[upstream]]` without an
    /// interface.
    pub upstreams: Vec<IfName>,
    /// Each replaces the interface of the file's range with this prefix, or is a range of its own.
    pub ranges: Vec<(Ipv6Net, IfName)>,
    /// The control socket, instead of the file's.
    pub socket: Option<PathBuf>,
    /// The level of the log, instead of the file's and of [`Overrides::environment`], and the option that says so.
    pub level: Option<(LogLevel, &'static str)>,
    /// What the variable `LONE64_LOG` says: a level, instead of the file's.
    pub environment: Option<String>,
}

/// A configuration, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What the files and the options say.
    pub read: Read,
    /// The files.
    pub files: Files,
    /// Those of guests, which come and go by themselves.
    pub guests: GuestFiles,
}

/// What texts and options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// All of it.
    pub config: Config,
    /// The same key by key.
    pub effective: Effective,
    /// What is legal, and surely not what somebody wants.
    pub notices: Vec<Problem>,
}

impl Loaded {
    /// Keeps one value of each guest that is written as it was before: there may be thousands.
    pub fn share_guests(&mut self, before: &Effective) {
        let before: HashMap<_, _> = before.guests().map(|guest| (guest.name.as_str(), guest)).collect();
        let share = |guest: &mut Arc<GuestPolicy>| {
            if let Some(same) = before.get(guest.name.as_str()).filter(|before| **before == guest) {
                *guest = Arc::clone(same);
            }
        };
        self.read.config.policy.guests.iter_mut().for_each(share);
        self.read.effective.share(share);
        self.guests.share(share);
    }
}

impl Read {
    /// From here on these guests, and no others, are there.
    pub fn take_guests(&mut self, files: &GuestFiles) {
        self.config.policy.guests = files.guests();
        files.put_into(&mut self.effective);
    }
}

impl Overrides {
    /// The configuration that the options alone make.
    pub fn config(&self) -> Result<Config, Problems> {
        self.join(&[], None).map(|read| read.config)
    }

    /// The configuration that a text and the options make; `origin` is what problems call the text.
    pub fn parse(&self, text: &str, origin: &str) -> Result<Read, Problems> {
        self.join(&[Document { origin: origin.to_owned(), text: text.to_owned() }], Some(origin))
    }

    /// The configuration that the file at this path, its drop-ins and the options make. Without a path it is that of
    /// [`DEFAULT_FILE`], which need not be there.
    pub fn load(&self, path: Option<&Path>) -> Result<Loaded, Problems> {
        self.load_after(path, &GuestFiles::default())
    }

    /// The same where these files of guests are in force: nothing is taken from them.
    pub fn load_after(&self, path: Option<&Path>, before: &GuestFiles) -> Result<Loaded, Problems> {
        let (path, main) = match path {
            Some(path) => (path, Main::Required),
            None => (Path::new(DEFAULT_FILE), Main::Optional),
        };
        let (documents, files) = files::read(path, main)?;
        let origin = files.main().map(|path| path.display().to_string());
        let mut read = self.join(&documents, origin.as_deref())?;
        let guests = GuestFiles::beside(path, &read.config.policy, before);
        read.take_guests(&guests);
        Ok(Loaded { read, files, guests })
    }

    /// As [`Overrides::parse`], of what may not even be text, nor have an end.
    pub fn read(&self, reader: impl io::Read, origin: &str) -> Result<Read, Problems> {
        self.join(&[files::read_from(reader, origin)?], Some(origin))
    }

    /// All texts as one; `main` is what problems call the one that is no drop-in.
    fn join(&self, documents: &[Document], main: Option<&str>) -> Result<Read, Problems> {
        let texts: Vec<_> =
            documents.iter().map(|one| (one.origin.as_str(), bytes::unmarked(&one.text))).collect();
        let Some(((first, text), others)) = texts.split_first() else {
            return self.finish(File::default(), Report::new("command line", ""), main);
        };
        let mut report = Report::new(first, text);
        let mut sources = vec![Source { origin: first, text, start: 0 }];
        for (origin, text) in others {
            sources.push(Source { origin, text, start: report.add(origin, text) });
        }
        match file::read(&sources, &mut report) {
            (file, Grammar::Right) => self.finish(file, report, main),
            (_, Grammar::Wrong) => Err(report.into_problems()),
        }
    }

    fn finish(&self, mut file: File, mut report: Report<'_>, main: Option<&str>) -> Result<Read, Problems> {
        self.lay_over(&mut file, &mut report);
        self.lay_over_level(&mut file, &mut report);
        let config = validate(&file, &mut report);
        if !report.is_empty() {
            return Err(report.into_problems());
        }
        let effective = Effective::of(&file, &config, &report, main);
        let mut noticed = report.empty();
        notices::notice(&file, &config, &mut noticed);
        Ok(Read { config, effective, notices: noticed.into_problems().into_vec() })
    }

    fn lay_over_level(&self, file: &mut File, report: &mut Report<'_>) {
        if let Some(text) = self.environment.as_deref().filter(|text| !text.is_empty()) {
            let place = Place::Environment(format!("LONE64_LOG={text}"));
            match LogLevel::named(text) {
                Some(level) => {
                    file.log.level = level;
                    file.written.entry("log").or_default().extend([("level", place)]);
                }
                None => {
                    let words = LogLevel::NAMES.map(|(name, _)| name);
                    let remedy = match synonyms::of_value(text, &words) {
                        Some(meant) => format!("did you mean LONE64_LOG={meant}?"),
                        None => format!("write one of {}", words.join(", ")),
                    };
                    report.push(&place, "this is not a log level").help(remedy);
                }
            }
        }
        if let Some((level, option)) = self.level {
            file.log.level = level;
            let place = Place::Option(option.to_owned());
            file.written.entry("log").or_default().extend([("level", place)]);
        }
    }

    fn lay_over(&self, file: &mut File, report: &mut Report<'_>) {
        if !self.upstreams.is_empty() {
            let written = std::mem::take(&mut file.upstreams);
            file.upstreams = self.upstreams.iter().map(|name| named(name, &written)).collect();
        }
        for (i, (prefix, interface)) in self.ranges.iter().enumerate() {
            let place = Place::Option(format!("--range {prefix}={interface}"));
            if let Some((sentence, remedy)) = prefix::host_bits(*prefix) {
                report.push(&place, sentence).help(remedy);
            }
            if self.ranges[..i].iter().any(|(earlier, _)| earlier == prefix) {
                let problem = report.push(&place, format!("the range {prefix} is on the command line twice"));
                problem.help("remove one of them");
                continue;
            }
            let interface = Field::Is(Downstreams::Named(*interface), place.clone());
            match file.ranges.iter_mut().find(|range| range.prefix.value() == Some(&prefix.trunc())) {
                Some(range) => {
                    range.interface = interface;
                    range.written.extend([("interface", place)]);
                }
                None => {
                    let prefix = Field::Is(prefix.trunc(), place.clone());
                    let mut range = Range::new(place.clone(), prefix, interface);
                    range.written.extend([("prefix", place.clone()), ("interface", place)]);
                    file.ranges.push(range);
                }
            }
        }
        if let Some(socket) = &self.socket {
            let place = Place::Option(format!("--socket {}", socket.display()));
            file.control.socket.clone_from(socket);
            file.written.entry("control").or_default().extend([("socket", place)]);
        }
    }
}

/// The upstream of this name, with the settings that the file has for it.
fn named(name: &IfName, written: &[Upstream]) -> Upstream {
    let place = Place::Option(format!("--upstream {name}"));
    let same = written.iter().find(|upstream| upstream.interface.value() == Some(name));
    let unnamed = written.iter().find(|upstream| upstream.interface == Field::Absent);
    let interface = Field::Is(*name, place.clone());
    let mut upstream = match same.or(unnamed) {
        Some(upstream) => Upstream { place: place.clone(), interface, ..upstream.clone() },
        None => Upstream::new(place.clone(), interface),
    };
    upstream.written.extend([("interface", place)]);
    upstream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::{Downstream, RangeRoutes, Source, UpstreamInterface};

    const FILE: &str = "
        [[upstream]]
        interface = \"eth0\"
        source = \"target\"
        [[range]]
        prefix = \"2001:db8:1:2:c::/112\"
    ";

    fn overrides(upstreams: &[&str], ranges: &[(&str, &str)]) -> Overrides {
        Overrides {
            upstreams: upstreams.iter().map(|name| name.parse().unwrap()).collect(),
            ranges: ranges.iter().map(|(p, name)| (p.parse().unwrap(), name.parse().unwrap())).collect(),
            ..Overrides::default()
        }
    }

    fn sentences<T: std::fmt::Debug>(result: Result<T, Problems>) -> Vec<String> {
        let problems = result.expect_err("the options have a mistake");
        problems.as_slice().iter().map(|p| format!("{}: {}", p.origin, p.message)).collect()
    }

    #[test]
    fn makes_a_configuration_without_a_file() {
        let config = overrides(&[], &[("2001:db8::/112", "lxcbr0")]).config().unwrap();
        assert_eq!(config.policy.ranges[0].downstream, Downstream::Named("lxcbr0".parse().unwrap()));
        assert_eq!(config.policy.upstreams[0].interface, UpstreamInterface::DefaultRoute);
        assert_eq!(config.policy.upstreams[0].automatic, None);
        let without = Overrides::default().config().unwrap().policy;
        assert!(without.ranges.is_empty() && without.upstreams[0].automatic.is_some());
        let named = overrides(&["eth0"], &[]).config().unwrap().policy;
        assert_eq!(named.upstreams[0].interface, UpstreamInterface::Named("eth0".parse().unwrap()));
        assert!(named.upstreams[0].automatic.is_some());
    }

    #[test]
    fn replaces_the_upstreams_and_keeps_the_settings_of_those_that_stay() {
        let policy = overrides(&["eth1", "eth0"], &[]).parse(FILE, "f").unwrap().config.policy;
        let found: Vec<_> = policy.upstreams.iter().map(|u| u.source).collect();
        assert_eq!(found, [Source::Auto, Source::Target]);
        let unnamed = FILE.replace("interface = \"eth0\"", "");
        let policy = overrides(&["eth1"], &[]).parse(&unnamed, "f").unwrap().config.policy;
        assert_eq!(policy.upstreams[0].source, Source::Target);
        assert_eq!(policy.upstreams.len(), 1);
    }

    #[test]
    fn replaces_the_interface_of_a_range_and_what_follows_from_it() {
        let policy =
            overrides(&[], &[("2001:db8:1:2:c::/112", "wg0")]).parse(FILE, "f").unwrap().config.policy;
        assert_eq!(policy.ranges.len(), 1);
        assert_eq!(policy.ranges[0].downstream, Downstream::Named("wg0".parse().unwrap()));
        assert_eq!(policy.ranges[0].routes, RangeRoutes::Range);
    }

    #[test]
    fn adds_a_range_that_the_file_does_not_have() {
        let added = overrides(&[], &[("2001:db8:1:2:d::/112", "wg0")]);
        assert_eq!(added.parse(FILE, "f").unwrap().config.policy.ranges.len(), 2);
        assert_eq!(added.parse("[log]\nlevel = \"debug\"", "f").unwrap().config.policy.ranges.len(), 1);
    }

    #[test]
    fn judges_options_like_the_file_and_names_them() {
        let found = sentences(overrides(&["eth1"], &[("fe80::/64", "eth1")]).parse(FILE, "f"));
        assert_eq!(
            found,
            ["--range fe80::/64=eth1: the range fe80::/64 is link-local, and never leaves its link",]
        );
        let twice = [("2001:db8::1/112", "a"), ("2001:db8::1/112", "b")];
        assert_eq!(
            sentences(overrides(&[], &twice).config()),
            [
                "--range 2001:db8::1/112=a: the prefix 2001:db8::1/112 has host bits",
                "--range 2001:db8::1/112=b: the prefix 2001:db8::1/112 has host bits",
                "--range 2001:db8::1/112=b: the range 2001:db8::1/112 is on the command line twice",
            ]
        );
        assert_eq!(
            sentences(overrides(&["a", "a"], &[]).parse(FILE, "f")),
            ["--upstream a: the upstream `a` is configured twice"]
        );
    }

    #[test]
    fn a_guest_that_is_written_as_before_is_the_same_value_as_before() {
        let load = |text: &str| {
            let read = Overrides::default().parse(text, "f").unwrap();
            Loaded { read, files: Files::default(), guests: GuestFiles::default() }
        };
        let guest = |name: &str, last: u8| {
            format!(
                "[[guest]]\nname = \"{name}\"\ninterface = \"tap0\"\naddresses = [\"2001:db8:1:2:c::{last}\"]\n"
            )
        };
        let before = load(&format!("{FILE}{}{}", guest("a", 1), guest("b", 2)));
        let mut after = load(&format!("{FILE}{}{}", guest("a", 1), guest("b", 3)));
        after.share_guests(&before.read.effective);
        let is_same = |at: usize| {
            let of = |loaded: &Loaded| Arc::clone(&loaded.read.config.policy.guests[at]);
            Arc::ptr_eq(&of(&before), &of(&after))
        };
        assert!(is_same(0) && !is_same(1));
        assert_eq!(Arc::strong_count(&before.read.config.policy.guests[0]), 4, "both, and the keys of both");
    }

    #[test]
    fn says_why_a_file_cannot_be_read() {
        let found = sentences(Overrides::default().load(Some(Path::new("/nonexistent/lone64.toml"))));
        assert_eq!(
            found,
            ["/nonexistent/lone64.toml: the configuration cannot be read: No such file or directory"]
        );
        let found = sentences(Overrides::default().read(&b"#\n#\xff"[..], "f"));
        assert_eq!(found, ["f: line 2 is not UTF-8, so the file is not TOML"]);
    }
}
