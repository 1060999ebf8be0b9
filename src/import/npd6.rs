//! npd6.conf: a line for each key, prefixes and interfaces in pairs, lists for all of them together.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Note;
use super::draft::{Draft, Overlap, Range, Router, Timers, Upstream};
use super::settle::interface;
use super::text::{Annotated, Word};
use crate::config::problem::{Place, Report};
use crate::engine::facts::IfName;
use crate::engine::policy::Answer;

/// Reads a configuration. The draft is worth something only if nothing was reported.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Draft {
    let mut reader = Reader {
        report,
        text: Annotated::new(text),
        notes: Vec::new(),
        prefixes: Vec::new(),
        interfaces: Vec::new(),
        listed: Vec::new(),
        list: List::None,
        router: Router::Set,
    };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some((key, value)) = pair(line, at) {
            reader.line(&key, &value);
        }
        at += line.len();
    }
    reader.draft()
}

/// The key of a line, if npd6 has one of this name.
pub(super) fn key_of(line: &str) -> Option<&'static str> {
    let (key, _) = line.split_once('=')?;
    KEYS.into_iter().find(|known| *known == key.trim())
}

/// What the list says of the addresses on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// Nothing: it is not used.
    None,
    /// They are not answered.
    Black,
    /// Only they are answered.
    White,
}

struct Reader<'t, 'r, 'o> {
    report: &'r mut Report<'o>,
    text: Annotated<'t>,
    notes: Vec<Note>,
    prefixes: Vec<(Ipv6Net, Note)>,
    interfaces: Vec<(IfName, Note)>,
    listed: Vec<(Ipv6Addr, Word)>,
    list: List,
    router: Router,
}

impl Reader<'_, '_, '_> {
    fn line(&mut self, key: &Word, value: &Word) {
        match &*key.text {
            "prefix" => match prefix(&value.text) {
                Some(prefix) => self.prefixes.push((prefix, self.text.place(key))),
                None => {
                    self.refuse(value, "is not a prefix", "write one such as 2001:db8:1:2: or 2001:db8::/64")
                }
            },
            "interface" => match interface(&value.text) {
                Ok(name) => self.interfaces.push((name, self.text.place(key))),
                Err(message) => {
                    let problem = self.report.push(&Place::Text(value.span.clone()), message);
                    problem.help("write the name of one interface, such as eth0");
                }
            },
            "addrlist" => match value.text.parse() {
                Ok(address) => self.listed.push((address, key.clone())),
                Err(_) => self.refuse(value, "is not an IPv6 address", "write it in full, without a length"),
            },
            "listtype" => match &*value.text {
                "none" => self.list = List::None,
                "black" => self.list = List::Black,
                "white" => self.list = List::White,
                _ => self.note(key, "an unknown listtype: npd6 takes it for `none`"),
            },
            "exprlist" => self.note(
                key,
                "exprlist has no equivalent: write the addresses that it matches as prefixes, in `exclude` (black) \
                 or as a [[range]] each (white); until then lone64 answers for black ones, and not for white ones",
            ),
            "routerNA" if value.text == "false" => self.router = Router::Clear,
            "routerNA" => {}
            "ignoreLocal" if value.text == "false" => {
                self.note(key, "ignoreLocal cannot be turned off: the kernel answers for the host's own addresses");
            }
            "linkOption" if value.text == "false" => {
                self.note(
                    key,
                    "linkOption cannot be turned off: every answer contains the MAC of the target",
                );
            }
            "maxHops" if value.text != "255" => {
                self.note(key, "maxHops is 255 always: answers with less are discarded (RFC 4861 §7.1.2)");
            }
            "ignoreLocal" | "linkOption" | "maxHops" => {}
            "pollErrorLimit" => {
                self.note(key, "pollErrorLimit is not needed: lone64 waits for interfaces that do not exist");
            }
            "collectTargets" => {
                self.note(key, "collectTargets is not needed: `limits.targets` limits what lone64 remembers");
            }
            "ralogging" if value.text == "on" => {
                self.note(key, "ralogging has no equivalent: lone64 does not log router advertisements");
            }
            "listlogging" if value.text == "on" => {
                self.note(key, "listlogging has no equivalent: lone64 does not log each solicitation");
            }
            "ralogging" | "listlogging" => {}
            unknown => {
                let message = format!("`{unknown}` has no equivalent: npd6 does not know it, either");
                self.note(key, message);
            }
        }
    }

    fn draft(mut self) -> Draft {
        let (prefixes, interfaces) = (self.prefixes.len(), self.interfaces.len());
        if prefixes != interfaces || prefixes == 0 {
            let message = format!("{prefixes} times `prefix` and {interfaces} times `interface`");
            let problem = self.report.push(&Place::Whole, message);
            problem.help("write one `interface` for each `prefix`, at least one of both");
        }
        let mut upstreams: Vec<Upstream> = Vec::new();
        let pairs: Vec<_> = self.prefixes.drain(..).zip(self.interfaces.drain(..)).collect();
        for ((prefix, place), (name, _)) in pairs {
            let at = upstreams.iter().position(|upstream| upstream.interface == name).unwrap_or_else(|| {
                let (router, notes) = (self.router, Vec::new());
                let place = place.clone();
                upstreams.push(Upstream { interface: name, place, router, notes, ranges: Vec::new() });
                upstreams.len() - 1
            });
            upstreams[at].ranges.push(Range::new(prefix, Answer::Always, place));
        }
        self.apply_list(&mut upstreams);
        Draft {
            from: "npd6",
            preface: PREFACE,
            overlap: Overlap::All,
            notes: self.notes,
            upstreams,
            timers: Timers::default(),
        }
    }

    fn apply_list(&mut self, upstreams: &mut [Upstream]) {
        let mut white: Vec<Vec<Range>> = upstreams.iter().map(|_| Vec::new()).collect();
        let listed = std::mem::take(&mut self.listed);
        if let (List::None, Some((_, first))) = (self.list, listed.first()) {
            self.note(first, "addrlist is not used without `listtype = black` or `white`");
        }
        for (address, word) in &listed {
            let place = self.text.place(word);
            let mut found = false;
            for (upstream, white) in upstreams.iter_mut().zip(&mut white) {
                for range in upstream.ranges.iter_mut().filter(|range| range.prefix.contains(address)) {
                    found = true;
                    let one = Ipv6Net::from(*address);
                    match self.list {
                        List::Black if !range.exclude.contains(&one) => range.exclude.push(one),
                        List::White => white.push(Range::new(one, Answer::Always, place.clone())),
                        List::Black | List::None => {}
                    }
                }
            }
            if !found && self.list != List::None {
                self.note(word, format!("{address} is in no prefix of this file, so lone64 ignores it"));
            }
        }
        if self.list == List::White {
            for (upstream, ranges) in upstreams.iter_mut().zip(white) {
                upstream.ranges = ranges;
            }
        }
    }

    fn refuse(&mut self, value: &Word, what: &str, remedy: &str) {
        let message = format!("'{}' {what}", value.text);
        self.report.push(&Place::Text(value.span.clone()), message).help(remedy);
    }

    fn note(&mut self, word: &Word, message: impl Into<String>) {
        self.notes.extend(self.text.note(word, message));
    }
}

/// Key and value of a line, without white space, as npd6 reads it; `None` for what it takes for noise.
fn pair(line: &str, at: usize) -> Option<(Word, Word)> {
    let (key, value) = line.split_once('=')?;
    let comment = |text: &str| text.starts_with("//") || text.starts_with('#');
    if comment(key.trim_start()) || key.trim().is_empty() {
        return None;
    }
    // npd6 knows no comments behind a value, but neither knows it a value with one.
    let end = value.find("//").or_else(|| value.find(" #")).unwrap_or(value.len());
    let word = |text: &str, at: usize| {
        let start = at + text.len() - text.trim_start().len();
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let end = start + text.len();
        Word { text, span: start..end }
    };
    Some((word(key, at), word(&value[..end], at + key.len() + 1)))
}

/// A prefix may break off at any colon; its length is what is there, unless it says another.
fn prefix(text: &str) -> Option<Ipv6Net> {
    let (start, length) = match text.split_once('/') {
        Some((start, length)) => (start, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let groups = start.split(':').filter(|group| !group.is_empty()).count();
    let address: Ipv6Addr = match start.strip_suffix(':') {
        Some("") => return None,
        Some(cut) if !cut.ends_with(':') && groups < 8 => format!("{start}:").parse().ok()?,
        Some(cut) if !cut.ends_with(':') => cut.parse().ok()?,
        _ => start.parse().ok()?,
    };
    // With `::` in the middle, all of it is there.
    let whole = groups == 8 || !start.ends_with(':');
    let implied = if whole { 128 } else { u8::try_from(groups * 16).ok()? };
    Ipv6Net::new(address, length.unwrap_or(implied)).ok()
}

const KEYS: [&str; 13] = [
    "prefix",
    "interface",
    "listtype",
    "addrlist",
    "exprlist",
    "listlogging",
    "ralogging",
    "collectTargets",
    "linkOption",
    "ignoreLocal",
    "routerNA",
    "maxHops",
    "pollErrorLimit",
];

const PREFACE: &str = "npd6 answers for addresses that nobody has, and sets the R flag unless `routerNA` is false; \
                       this configuration does the same. npd6 leaves the routes to other programs, so lone64 adds \
                       none here and keeps no backstop. If one interface has all guests of a range, name it with \
                       `interface`, and remove `answer`, `routes` and `backstop`: then lone64 answers only for \
                       guests that exist, and routes the range there.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prefixes_that_break_off() {
        for (text, meant) in [
            ("2001:db8:1:2:", "2001:db8:1:2::/64"),
            ("2001:0db8:0001:2:", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:8000::", "2001:db8:1:2:8000::/80"),
            ("2001:db8:1:2::/65", "2001:db8:1:2::/65"),
            ("2001:db8::", "2001:db8::/32"),
            ("0::/0", "::/0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6/128"),
            ("2001:db8:1:2:3:4:5:6:", "2001:db8:1:2:3:4:5:6/128"),
            ("2001:db8::7", "2001:db8::7/128"),
        ] {
            assert_eq!(prefix(text), meant.parse().ok(), "{text}");
        }
        for text in ["", ":", "eth0", "2001:db8:1:2:/x", "2001:db8::/129", "1:2:3:4:5:6:7:8:9:", "é:"] {
            assert_eq!(prefix(text), None, "{text}");
        }
    }

    #[test]
    fn knows_a_line_by_its_key() {
        assert_eq!(key_of("  prefix = 2001:db8::"), Some("prefix"));
        for noise in ["//prefix=2001:db8::", "prefix", "Prefix=1", "# interface = eth0", ""] {
            assert_eq!(key_of(noise), None, "{noise}");
        }
    }
}
