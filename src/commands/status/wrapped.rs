//! Text in lines of 80 columns.

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

const COLUMNS: usize = 80;
