//! Prometheus' text format, version 0.0.4: what `promtool check metrics` and every scraper reads.
//!
//! It differs from OpenMetrics: a counter's head has the name of its samples, there is no type for information, and
//! neither units nor an end are told.

use std::fmt::{self, Write};

use super::exposition::{Family, Samples};

/// The families, one after the other.
pub(super) fn text(families: &[Family<'_>], text: &mut String) -> fmt::Result {
    for Family { metric, samples } in families {
        let name = metric.series();
        writeln!(text, "# HELP {name} {}", metric.help)?;
        writeln!(text, "# TYPE {name} {}", metric.kind.as_str())?;
        match samples {
            Samples::Counts(counts) => {
                for (labels, count) in counts {
                    writeln!(text, "{name}{} {count}", Labels(labels))?;
                }
            }
            Samples::Seconds(seconds) => writeln!(text, "{name} {seconds}")?,
            Samples::Histogram(answers) => {
                let mut below = 0;
                for (bound, count) in answers.buckets() {
                    below += count;
                    let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
                    writeln!(text, "{name}_bucket{} {below}", Labels(&[("le", &bound)]))?;
                }
                writeln!(text, "{name}_sum {}", answers.seconds())?;
                writeln!(text, "{name}_count {}", answers.count())?;
            }
        }
    }
    Ok(())
}

/// In braces, if there are any.
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (label, value)) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { "{" } else { "," })?;
            write!(f, "{label}=\"")?;
            for letter in value.chars() {
                match letter {
                    '\\' | '"' => write!(f, "\\{letter}")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(letter)?,
                }
            }
            f.write_char('"')?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}
