//! Text in lines of 80 columns, and durations in it.

/// Lines of at most [`COLUMNS`]: the first begins with `first`, the others with `indent`.
pub(super) fn wrapped(text: &str, first: &str, indent: &str) -> String {
    let mut lines = first.to_owned();
    let mut column = super::visible(first);
    for (position, word) in text.split_whitespace().enumerate() {
        let space = usize::from(position > 0);
        if position > 0 && column + space + word.chars().count() > COLUMNS {
            lines.push('\n');
            lines += indent;
            column = indent.len();
        } else if position > 0 {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += word.chars().count();
    }
    lines + "\n"
}

/// The two largest units.
pub(super) fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}min {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}min"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

const COLUMNS: usize = 80;
