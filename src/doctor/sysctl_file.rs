//! The files of sysctl.d(5) and sysctl.conf(5), as systemd-sysctl reads them.

use glob::{MatchOptions, Pattern};

use super::Text;

/// One line that sets something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The file.
    pub file: &'a Text,
    /// Its number, from 1.
    pub number: usize,
    /// The key as it is written.
    pub written: &'a str,
    /// The key as a path below `/proc/sys`; may hold `*`, `?` and `[…]`.
    pub key: String,
    /// What it sets; `None` for `-KEY`, which keeps patterns from setting the key.
    pub value: Option<&'a str>,
}

impl Line<'_> {
    /// Whether it is about this key.
    pub fn sets(&self, key: &str) -> bool {
        self.key == key
            || (self.is_pattern() && Pattern::new(&self.key).is_ok_and(|p| p.matches_with(key, GLOB)))
    }

    /// Whether it may be about several keys.
    pub fn is_pattern(&self) -> bool {
        self.key.contains(['*', '?', '['])
    }

    /// Where it is, and what it says.
    pub fn shown(&self) -> String {
        let value = self.value.unwrap_or_default();
        format!("{}:{}: {} = {value}", self.file.path, self.number, self.written)
    }
}

/// The lines of a file that set something.
pub fn lines(file: &Text) -> impl Iterator<Item = Line<'_>> {
    file.content.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            return None;
        }
        // In front of a key, a dash means that a failure is none.
        let (line, has_dash) = line.strip_prefix('-').map_or((line, false), |line| (line.trim_start(), true));
        let (written, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim_end(), Some(value.trim())),
            None if has_dash => (line, None),
            None => return None,
        };
        Some(Line { file, number: index + 1, written, key: path(written), value })
    })
}

/// If the first separator is a dot, dots and slashes change places, so that the name of an interface
/// can contain either (sysctl.d(5)).
pub fn path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('.') => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// The line that decides on a key: the last that names it, else the last whose pattern fits, unless
/// the key is kept from patterns. (systemd-sysctl applies patterns first, whatever the order.)
pub fn decisive<'a, 'b>(lines: &'b [Line<'a>], key: &str) -> Option<&'b Line<'a>> {
    let named = lines.iter().rev().find(|line| !line.is_pattern() && line.key == key);
    match named {
        Some(line) => Some(line).filter(|line| line.value.is_some()),
        None => lines.iter().rev().find(|line| line.value.is_some() && line.sets(key)),
    }
}

const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str) -> Text {
        Text { path: "/etc/sysctl.d/1.conf".to_owned(), content: content.to_owned() }
    }

    #[test]
    fn reads_dots_slashes_dashes_and_comments() {
        let file = text(
            "# no\n; no\n\nnet.ipv6.conf.eth0/100.accept_ra = 2\nnet/ipv6/conf/eth0.100/accept_ra=2\n\
             -net.ipv6.conf.all.forwarding=1\n-net.ipv6.conf.eth0.accept_ra\nnonsense\n",
        );
        let all: Vec<_> = lines(&file).map(|line| (line.number, line.key, line.value)).collect();
        let dotted = "net/ipv6/conf/eth0.100/accept_ra".to_owned();
        let expected = [
            (4, dotted.clone(), Some("2")),
            (5, dotted, Some("2")),
            (6, "net/ipv6/conf/all/forwarding".to_owned(), Some("1")),
            (7, "net/ipv6/conf/eth0/accept_ra".to_owned(), None),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn the_last_line_wins_and_a_name_wins_over_a_pattern() {
        let file = text(
            "net.ipv6.conf.up0.accept_ra = 2\nnet.ipv6.conf.*.accept_ra = 0\n\
             net.ipv6.conf.br0.accept_ra = 1\nnet.ipv6.conf.br0.accept_ra = 3\n-net.ipv6.conf.gv1.accept_ra\n",
        );
        let all: Vec<_> = lines(&file).collect();
        let value = |name: &str| {
            decisive(&all, &format!("net/ipv6/conf/{name}/accept_ra")).and_then(|line| line.value)
        };
        assert_eq!(["up0", "br0", "gv1", "eth9"].map(value), [Some("2"), Some("3"), None, Some("0")]);
        assert!(decisive(&all, "net/ipv6/conf/a/b/accept_ra").is_none(), "a star ends at a slash");
    }
}
