//! Files in the syntax of systemd (systemd.syntax(7)): sections, keys, values.

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// As in `[Match]`, without the brackets.
    pub section: &'a str,
    /// Left of the `=`.
    pub key: &'a str,
    /// Right of it; the lines of a continued value are joined by a space.
    pub value: String,
}

/// Every assignment, in order. Whatever is none is left out, as systemd does.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut section = "";
    let mut is_continued = false;
    for line in text.lines() {
        let line = line.trim();
        // A comment may stand within a continued value.
        if line.starts_with(['#', ';']) {
            continue;
        }
        let (line, goes_on) = line.strip_suffix('\\').map_or((line, false), |line| (line.trim_end(), true));
        if is_continued {
            if let Some(entry) = entries.last_mut() {
                entry.value.push(' ');
                entry.value.push_str(line);
            }
            is_continued = goes_on;
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push(Entry { section, key: key.trim_end(), value: value.trim_start().to_owned() });
            is_continued = goes_on;
        }
    }
    entries
}

/// A boolean, in any of its spellings.
pub fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sections_comments_and_continued_values() {
        let text = "# a\n[Match]\nName = eth0 \\\n  ; between\n  br*\n\n[Network]\nDHCP=yes\nnonsense\n";
        let all: Vec<_> =
            entries(text).into_iter().map(|entry| (entry.section, entry.key, entry.value)).collect();
        let expected = [("Match", "Name", "eth0 br*".to_owned()), ("Network", "DHCP", "yes".to_owned())];
        assert_eq!(all, expected);
    }

    #[test]
    fn reads_booleans_as_systemd_does() {
        assert_eq!(
            ["yes", "On", "0", "FALSE", "maybe"].map(boolean),
            [Some(true), Some(true), Some(false), Some(false), None]
        );
    }
}
