//! The options of the command line, which go before what the file says.
//!
//! May touch: the one file that [`Overrides::load`] is told to read. Options are put over the file
//! before it is validated, so that a mistake in their combination has the place of its part.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;

use super::bytes;
use super::configuration::Config;
use super::downstreams::Downstreams;
use super::file::{self, Grammar, Source};
use super::mirror::{File, Range, Upstream};
use super::prefix;
use super::problem::{Place, Problems, Report};
use super::section::Field;
use super::validate::{EXAMPLE, validate};
use crate::engine::facts::IfName;

/// What the command line says about upstreams and ranges.
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
}

impl Overrides {
    /// The configuration that the options alone make.
    pub fn config(&self) -> Result<Config, Problems> {
        self.finish(File::default(), Report::new("command line", ""))
    }

    /// The configuration that a file and the options make; `origin` is what problems call the file.
    pub fn parse(&self, text: &str, origin: &str) -> Result<Config, Problems> {
        let text = bytes::unmarked(text);
        let mut report = Report::new(origin, text);
        match file::read(&[Source { origin, text, start: 0 }], &mut report) {
            (file, Grammar::Right) => self.finish(file, report),
            (_, Grammar::Wrong) => Err(report.into_problems()),
        }
    }

    /// The configuration that the file at this path and the options make.
    pub fn load(&self, path: &Path) -> Result<Config, Problems> {
        let origin = path.display().to_string();
        match fs::File::open(path) {
            Ok(file) => self.read(file, &origin),
            Err(error) => Err(unreadable(&origin, &error)),
        }
    }

    /// As [`Overrides::parse`], of what may not even be text, nor have an end.
    pub(super) fn read(&self, reader: impl Read, origin: &str) -> Result<Config, Problems> {
        let bytes = bytes::read(reader, bytes::MOST).map_err(|error| unreadable(origin, &error))?;
        let bytes = bytes::plain(bytes, bytes::MOST, origin, "name a configuration of lone64")?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            let sentence = format!("line {line} is not UTF-8, so the file is not TOML");
            Problems::single(origin, sentence, "save the file as UTF-8".to_owned())
        })?;
        self.parse(&text, origin)
    }

    fn finish(&self, mut file: File, mut report: Report<'_>) -> Result<Config, Problems> {
        self.lay_over(&mut file, &mut report);
        let mut config = validate(&file, &mut report);
        if let Some(socket) = &self.socket {
            config.control.socket.clone_from(socket);
        }
        if report.is_empty() { Ok(config) } else { Err(report.into_problems()) }
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
                problem.help("leave one of them out");
                continue;
            }
            let interface = Field::Is(Downstreams::Named(*interface), place.clone());
            match file.ranges.iter_mut().find(|range| range.prefix.value() == Some(&prefix.trunc())) {
                Some(range) => range.interface = interface,
                None => {
                    let prefix = Field::Is(prefix.trunc(), place.clone());
                    file.ranges.push(Range::new(place, prefix, interface));
                }
            }
        }
    }
}

fn unreadable(origin: &str, error: &io::Error) -> Problems {
    let remedy = match error.kind() {
        ErrorKind::NotFound => format!("write one with these lines:\n\n{}", EXAMPLE),
        ErrorKind::PermissionDenied => "run lone64 as root, or let its user read the file".to_owned(),
        ErrorKind::IsADirectory => "name a file in it".to_owned(),
        _ => "look at the file system, or name another file".to_owned(),
    };
    // The number is for programs, and the words before it say the same.
    let error = error.to_string();
    let words = error.split(" (os error").next().unwrap_or_default();
    Problems::single(origin, format!("the configuration cannot be read: {words}"), remedy)
}

/// The upstream of this name, with the settings that the file has for it.
fn named(name: &IfName, written: &[Upstream]) -> Upstream {
    let place = Place::Option(format!("--upstream {name}"));
    let same = written.iter().find(|upstream| upstream.interface.value() == Some(name));
    let unnamed = written.iter().find(|upstream| upstream.interface == Field::Absent);
    let interface = Field::Is(*name, place.clone());
    match same.or(unnamed) {
        Some(upstream) => Upstream { place, interface, ..upstream.clone() },
        None => Upstream::new(place, interface),
    }
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
            socket: None,
        }
    }

    fn sentences(result: Result<Config, Problems>) -> Vec<String> {
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
        let policy = overrides(&["eth1", "eth0"], &[]).parse(FILE, "f").unwrap().policy;
        let found: Vec<_> = policy.upstreams.iter().map(|u| u.source).collect();
        assert_eq!(found, [Source::Scope, Source::Target]);
        let unnamed = FILE.replace("interface = \"eth0\"", "");
        let policy = overrides(&["eth1"], &[]).parse(&unnamed, "f").unwrap().policy;
        assert_eq!(policy.upstreams[0].source, Source::Target);
        assert_eq!(policy.upstreams.len(), 1);
    }

    #[test]
    fn replaces_the_interface_of_a_range_and_what_follows_from_it() {
        let policy = overrides(&[], &[("2001:db8:1:2:c::/112", "wg0")]).parse(FILE, "f").unwrap().policy;
        assert_eq!(policy.ranges.len(), 1);
        assert_eq!(policy.ranges[0].downstream, Downstream::Named("wg0".parse().unwrap()));
        assert_eq!(policy.ranges[0].routes, RangeRoutes::Range);
    }

    #[test]
    fn adds_a_range_that_the_file_does_not_have() {
        let added = overrides(&[], &[("2001:db8:1:2:d::/112", "wg0")]);
        assert_eq!(added.parse(FILE, "f").unwrap().policy.ranges.len(), 2);
        assert_eq!(added.parse("[log]\nlevel = \"debug\"", "f").unwrap().policy.ranges.len(), 1);
    }

    #[test]
    fn judges_options_like_the_file_and_names_them() {
        let found = sentences(overrides(&["eth1"], &[("fe80::/64", "eth1")]).parse(FILE, "f"));
        assert_eq!(
            found,
            ["--range fe80::/64=eth1: the range fe80::/64 is link-local, which never leaves its link",]
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
    fn says_why_a_file_cannot_be_read() {
        let found = sentences(Overrides::default().load(Path::new("/nonexistent/lone64.toml")));
        assert_eq!(
            found,
            ["/nonexistent/lone64.toml: the configuration cannot be read: No such file or directory"]
        );
        let found = sentences(Overrides::default().read(&b"#\n#\xff"[..], "f"));
        assert_eq!(found, ["f: line 2 is not UTF-8, so the file is not TOML"]);
    }
}
