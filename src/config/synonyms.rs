//! What people write who know other programs: their words for our keys and values, and what they mean by them.
//!
//! May touch: nothing.

use std::time::Duration;

use toml::de::DeValue;

use super::duration;
use super::schema::{self, TABLES, Table};

/// The remedy for a key of another program in this table, if it is known.
pub(super) fn of_key(table: &Table, written: &str, value: &DeValue<'_>) -> Option<String> {
    let key = key_of(table, written)?;
    let text = value.as_str().unwrap_or_default();
    Some(match (key, text) {
        // The words of ndppd's rules.
        ("answer", "static") => "write answer = \"always\"".to_owned(),
        ("answer", "auto" | "iface" | "dynamic") => "remove it: answer = \"live\" is the default".to_owned(),
        _ => format!("did you mean `{key}`?"),
    })
}

/// Whether somebody who wrote this in the table meant that key.
pub(super) fn means(table: &Table, written: &str, key: &str) -> bool {
    key_of(table, written) == Some(key)
}

/// The table that somebody meant who wrote this at the top of the file, as a table or as a key.
pub(super) fn of_table(written: &str) -> Option<&'static Table> {
    let written = plain(written);
    let name = match written.as_str() {
        "rule" | "subnet" | "network" | "iface" | "dev" | "mode" => "range",
        "proxy" | "uplink" | "wan" => "upstream",
        "logging" => "log",
        "timeout" | "timeouts" => "timers",
        "prometheus" => "control",
        _ => return None,
    };
    TABLES.into_iter().find(|table| table.name == name)
}

/// The one of these words that another program's word stands for.
pub(super) fn of_value<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    let written = plain(written);
    let meant = match written.as_str() {
        "static" | "all" => "always",
        "auto" | "dynamic" => "live",
        "off" | "disabled" => "never",
        "warning" | "warnings" => "warn",
        "err" | "crit" | "critical" | "fatal" => "error",
        "notice" | "information" | "normal" => "info",
        "verbose" => "debug",
        "systemd" | "journald" | "syslog" => "journal",
        "text" | "plain" | "console" => "terminal",
        "linklocal" | "lla" => "link-local",
        "gua" => "global",
        "delete" | "flush" => "remove",
        "host" | "hosts" => "guests",
        "prefix" | "network" => "range",
        _ => return None,
    };
    words.iter().copied().find(|word| *word == meant)
}

/// The remedy for a duration in another unit, or in another word for one of ours: `2min`, `30sec`, `1.5h`.
pub(super) fn of_duration(text: &str) -> Option<String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let seconds: f64 = match unit.trim().to_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    let number = number.parse::<f64>().ok()?;
    let meant = Duration::try_from_secs_f64((number * seconds * 1_000.0).round() / 1_000.0).ok()?;
    let is_ours = !meant.is_zero() && meant <= duration::LONGEST;
    is_ours.then(|| format!("write \"{}\"", duration::written(meant)))
}

/// The remedy for an endpoint that has a name or nothing instead of an address: `localhost:9164`, `:9164`, `9164`.
pub(super) fn of_endpoint(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    Some(match host {
        "localhost" | "ip6-localhost" => format!("write \"[::1]:{port}\""),
        "" | "*" => format!("write \"[::]:{port}\" for every address of the host, or \"[::1]:{port}\""),
        _ => format!("write an address instead of a name, such as \"[::1]:{port}\""),
    })
}

/// The remedy for a flag in quotes, or in another program's words.
pub(super) fn of_flag(value: &DeValue<'_>) -> &'static str {
    let text = value.as_str().map(plain).unwrap_or_default();
    match text.as_str() {
        "true" | "yes" | "on" | "enable" | "enabled" => "write true, without quotes",
        "false" | "no" | "off" | "disable" | "disabled" => "write false, without quotes",
        _ => "write true or false",
    }
}

/// What of a line is in the quotes of a word processor, as bytes of it, and the same with straight ones.
pub(super) fn curly(line: &str) -> Option<(std::ops::Range<usize>, String)> {
    const CURLY: [char; 9] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚'];
    let code = line.split(" #").next().unwrap_or_default();
    let first = code.find(CURLY)?;
    let last = code.rfind(CURLY).map_or(first, |at| at + code[at..].chars().next().map_or(1, char::len_utf8));
    // One end may have a straight one.
    let start = code[..first].rfind('"').unwrap_or(first);
    let end = code[last..].find('"').map_or(last, |at| last + at + 1);
    Some((start..end, code[start..end].replace(CURLY, "\"")))
}

/// Whose configuration a text is that is none of ours, and where in it that shows.
pub(super) fn foreign(text: &str) -> Option<(&'static str, std::ops::Range<usize>)> {
    /// Keys that only npd6 has.
    const NPD6: [&str; 8] = [
        "listtype",
        "ralogging",
        "collectTargets",
        "linkOption",
        "ignoreLocal",
        "routerNA",
        "maxHops",
        "pollErrorLimit",
    ];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim();
        let start = at + line.find(code).unwrap_or(0);
        at += line.len();
        let place = start..start + code.len();
        let mut words = code.split_whitespace();
        match (words.next(), code.split_once('=')) {
            (Some("proxy" | "rule"), None) if code.ends_with('{') || words.clone().count() == 1 => {
                return Some(("ndppd", place));
            }
            (_, Some((key, _))) if NPD6.contains(&key.trim()) => return Some(("npd6", place)),
            _ => {}
        }
    }
    None
}

/// Our key for another program's.
fn key_of(table: &Table, written: &str) -> Option<&'static str> {
    let written = plain(written);
    let key = match written.as_str() {
        "iface" | "dev" | "device" | "nic" | "if" | "ifname" | "interfaces" => "interface",
        "bridge" | "bridges" | "downstream" | "downstreams" if table.name == schema::RANGE.name => {
            "interface"
        }
        "subnet" | "network" | "net" | "cidr" | "address" | "addresses" | "prefixes" | "rule" => "prefix",
        "mode" | "method" => "answer",
        "uplink" | "wan" | "parent" => "upstream",
        "gw" => "gateway",
        "except" | "excluded" | "blacklist" => "exclude",
        "loglevel" | "verbosity" | "severity" => "level",
        "path" => "socket",
        "listen" | "prometheus" => "metrics",
        _ => return None,
    };
    table.keys.contains(&key).then_some(key)
}

/// Without what people spell in different ways.
fn plain(written: &str) -> String {
    written.trim().to_lowercase().replace(['_', '-', ' '], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_units_of_others() {
        for (text, ours) in [
            ("2min", "2m"),
            ("30sec", "30s"),
            ("1.5h", "90m"),
            ("0.5s", "500ms"),
            ("1 hour", "1h"),
            ("1d", "24h"),
            ("5M", "5m"),
        ] {
            assert_eq!(of_duration(text), Some(format!("write \"{ours}\"")), "{text}");
        }
        for text in ["", "5", "min", "2 weeks", "7d", "0min", "1..5s", "9999999999999999999999s"] {
            assert_eq!(of_duration(text), None, "{text}");
        }
    }

    #[test]
    fn finds_what_is_in_the_quotes_of_a_word_processor() {
        for (line, straight) in [
            ("a = “eth0”", "\"eth0\""),
            ("a = \"eth0” # why", "\"eth0\""),
            ("a = „eth0\"", "\"eth0\""),
            ("a = [‘x’, ’y’]", "\"x\", \"y\""),
        ] {
            assert_eq!(curly(line).unwrap().1, straight, "{line}");
        }
        assert_eq!(curly("a = \"eth0\" # “why”"), None);
    }

    #[test]
    fn knows_whose_a_text_is() {
        assert_eq!(foreign("# x\nproxy eth0 {\n").unwrap(), ("ndppd", 4..16));
        assert_eq!(foreign("proxy eth0\n{\n").unwrap().0, "ndppd");
        assert_eq!(foreign("prefix=2001:db8:\nlisttype = none\n").unwrap().0, "npd6");
        assert_eq!(foreign("[[range]]\nprefix = \"proxy {\"\n"), None);
    }

    #[test]
    fn suggests_keys_of_the_same_table_only() {
        assert!(means(&schema::RANGE, "iface", "interface") && means(&schema::UPSTREAM, "Dev", "interface"));
        assert!(!means(&schema::TIMERS, "iface", "interface"));
        assert!(["bridges", "downstreams"].iter().all(|written| means(&schema::RANGE, written, "interface")));
        assert_eq!(key_of(&schema::LOG, "log_level"), Some("level"));
    }
}
