//! The options of the command line, which go before what the file says.
//!
//! May touch: the one file that [`Overrides::load`] is told to read. Options are put over the file
//! before it is validated, so that a mistake in their combination has the place of its part.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ipnet::Ipv6Net;

use super::Config;
use super::file::{File, Grammar, Range, Upstream};
use super::prefix;
use super::problem::{Place, Problems, Report};
use super::section::Field;
use super::validate::validate;
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
}

impl Overrides {
    /// The configuration that the options alone make.
    pub fn config(&self) -> Result<Config, Problems> {
        self.finish(File::default(), Report::new("command line", ""))
    }

    /// The configuration that a file and the options make; `origin` is what problems call the file.
    pub fn parse(&self, text: &str, origin: &str) -> Result<Config, Problems> {
        let mut report = Report::new(origin, text);
        match File::read(text, &mut report) {
            (file, Grammar::Right) => self.finish(file, report),
            (_, Grammar::Wrong) => Err(report.into_problems()),
        }
    }

    /// The configuration that the file at this path and the options make.
    pub fn load(&self, path: &Path) -> Result<Config, Problems> {
        let origin = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => format!("write one with these lines:\n{}", super::validate::EXAMPLE),
                ErrorKind::PermissionDenied => "run lone64 as root, or let its user read the file".to_owned(),
                ErrorKind::IsADirectory => "name a file in it".to_owned(),
                _ => "look at the file system, or name another file".to_owned(),
            };
            Problems::single(&origin, format!("the configuration cannot be read: {error}"), remedy)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line =
                error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count()
                    + 1;
            let sentence = format!("line {line} is not UTF-8, so the file is not TOML");
            Problems::single(&origin, sentence, "save the file as UTF-8".to_owned())
        })?;
        self.parse(&text, &origin)
    }

    fn finish(&self, mut file: File, mut report: Report<'_>) -> Result<Config, Problems> {
        self.lay_over(&mut file, &mut report);
        let config = validate(&file, &mut report);
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
                report.push(&place, sentence).help(remedy.unwrap_or_default());
            }
            if self.ranges[..i].iter().any(|(earlier, _)| earlier == prefix) {
                let problem = report.push(&place, format!("the range {prefix} is on the command line twice"));
                problem.help("leave one of them out");
                continue;
            }
            let interface = Field::Is(interface.clone(), place.clone());
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

/// The upstream of this name, with the settings that the file has for it.
fn named(name: &IfName, written: &[Upstream]) -> Upstream {
    let place = Place::Option(format!("--upstream {name}"));
    let same = written.iter().find(|upstream| upstream.interface.value() == Some(name));
    let unnamed = written.iter().find(|upstream| upstream.interface == Field::Absent);
    let interface = Field::Is(name.clone(), place.clone());
    match same.or(unnamed) {
        Some(upstream) => Upstream { place, interface, ..upstream.clone() },
        None => Upstream::new(place, interface),
    }
}
