//! Durations as they are written: a whole number and a unit, `"500ms"`, `"30s"`, `"5m"`, `"1h"`.
//!
//! May touch: nothing.

use std::time::Duration;

/// Longer than anything that a timer can mean.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a duration; the error is a remedy.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "write a whole number and a unit: \"500ms\", \"30s\", \"5m\" or \"1h\"";
    match split(text) {
        None | Some((_, "d")) => Err(FORM),
        Some((duration, _)) if duration.is_zero() => Err("write at least \"1ms\""),
        Some((duration, _)) if duration <= LONGEST => Ok(duration),
        Some(_) => Err("write at most one day, \"24h\""),
    }
}

/// How long something is claimed: as other durations, but in days too, and for longer; the error is a remedy.
pub fn lifetime(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "write a whole number and a unit: \"30s\", \"5m\", \"1h\" or \"7d\"";
    match split(text) {
        None => Err(FORM),
        Some((duration, _)) if duration.is_zero() => Err("write at least \"1s\""),
        Some((duration, _)) if duration <= LONGEST_LIFETIME => Ok(duration),
        Some(_) => Err("write at most ten years, \"3650d\""),
    }
}

/// The duration and its unit, if it has this form. What is too large for a number is as long as one can be.
fn split(text: &str) -> Option<(Duration, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim_start();
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    if number.is_empty() {
        return None;
    }
    // It has digits only, so it can be nothing but too large.
    let number = number.parse::<u64>().unwrap_or(u64::MAX);
    Some((Duration::from_millis(number.saturating_mul(millis_per_unit)), unit))
}

/// A lease is no longer than ten years.
const LONGEST_LIFETIME: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// As it is written, in the largest unit that it is a whole number of.
pub fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (size, unit) = units.into_iter().find(|(size, _)| millis.is_multiple_of(*size)).unwrap_or((1, "ms"));
    format!("{}{unit}", millis / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_lifetime_in_every_unit_up_to_ten_years() {
        let days = |days: u64| Ok(Duration::from_secs(days * 86_400));
        assert_eq!(lifetime("90s"), Ok(Duration::from_secs(90)));
        for (text, as_days) in
            [("7d", 7), ("604800s", 7), ("168h", 7), ("3650d", 3_650), ("315360000s", 3_650)]
        {
            assert_eq!(lifetime(text), days(as_days), "{text}");
        }
        for text in ["", "d", "0d", "3651d", "-1d", "1.5d", "30", "0s", "315360001s", "99999999999999999999d"]
        {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_every_unit() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("2 s", 2_000)]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(text), Ok(duration), "{text}");
            assert_eq!(written(duration), text.replace(' ', ""), "{text}");
        }
        assert_eq!(parse("24h"), Ok(LONGEST));
    }

    #[test]
    fn refuses_what_is_not_a_duration() {
        for text in ["", "s", "30", "-1s", "1.5s", "30sec", "1d", "s30", "１s"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn refuses_nothing_and_more_than_a_day() {
        for text in ["0s", "000ms", "86400001ms", "25h", "99999999999999999999999s", "18446744073709551615h"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
