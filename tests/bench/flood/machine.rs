//! The machine that the numbers are of.

use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, fs, thread};

use serde::Serialize;

/// What a reader needs to know of it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The CPU's model, as /proc/cpuinfo names it.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The day, in UTC: year-month-day.
    pub date: String,
}

impl Machine {
    /// This one, today.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            cpu: model.map_or("unknown CPU", |(_, model)| model.trim()).to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            date: date(now.as_secs() / 86_400),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, date } = self;
        let cores = if *cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
        write!(f, "{cpu}, {cores}, Linux {kernel}, {date}")
    }
}

/// The day of so many days after 1970-01-01, in the calendar of today.
fn date(days: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        (left, month) = (left - length, month + 1);
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}
