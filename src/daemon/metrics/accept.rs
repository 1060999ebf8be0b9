//! Which of the two text formats a client gets, by what its `Accept` says (RFC 9110 §12.5.1).

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' own, version 0.0.4: what everybody gets who does not prefer the other.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The content type of a response.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What a client prefers that sends these values of `Accept`. OpenMetrics has to be named; of two formats with
    /// one weight, the one that is named first is taken.
    pub(super) fn preferred<'a>(accepts: impl IntoIterator<Item = &'a str>) -> Self {
        let ranges = accepts.into_iter().flat_map(|accept| accept.split(','));
        let (mut open, mut text, mut any) = (None, None, None);
        for (place, range) in ranges.map(MediaRange::parse).enumerate() {
            let wish = Wish { weight: range.weight, place };
            let best = match range.kind {
                kind if kind.eq_ignore_ascii_case("application/openmetrics-text") => {
                    if !matches!(range.version, None | Some("1.0.0" | "0.0.1")) {
                        continue;
                    }
                    &mut open
                }
                kind if kind.eq_ignore_ascii_case("text/plain") => {
                    if !matches!(range.version, None | Some("0.0.4")) {
                        continue;
                    }
                    &mut text
                }
                "text/*" | "*/*" => &mut any,
                _ => continue,
            };
            if best.is_none_or(|known: Wish| wish.weight > known.weight) {
                *best = Some(wish);
            }
        }
        let Some(open) = open.filter(|open| open.weight > 0) else { return Self::Text };
        // A format that is named is not meant by `*/*`.
        let beats = match (text, any) {
            (Some(text), _) => {
                open.weight > text.weight || (open.weight == text.weight && open.place < text.place)
            }
            (None, Some(any)) => open.weight >= any.weight,
            (None, None) => true,
        };
        if beats { Self::OpenMetrics } else { Self::Text }
    }
}

/// How much something is wanted, and which place it has in the list.
#[derive(Debug, Clone, Copy)]
struct Wish {
    weight: u16,
    place: usize,
}

/// A type with its parameters.
#[derive(Debug)]
struct MediaRange<'a> {
    kind: &'a str,
    version: Option<&'a str>,
    /// Thousandths, 0 to 1000.
    weight: u16,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { kind: parts.next().unwrap_or_default(), version: None, weight: MOST };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "q" | "Q" => range.weight = weight(value),
                name if name.eq_ignore_ascii_case("version") => range.version = Some(value),
                _ => {}
            }
        }
        range
    }
}

/// RFC 9110 §12.4.2: "0" or "1" with at most three digits behind the point. What is none wants nothing.
fn weight(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * f32::from(MOST)).round() as u16,
        _ => 0,
    }
}

const MOST: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn gets(accepts: &[&str], wanted: Format) {
        assert_eq!(Format::preferred(accepts.iter().copied()), wanted, "{accepts:?}");
    }

    #[test]
    fn the_text_format_is_for_everybody_who_does_not_name_the_other() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain; version=0.0.4",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json",
            "application/*",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=none",
            "application/openmetrics-text; version=2.0.0",
            ";;;=,,q=1",
        ] {
            gets(&[accept], Format::Text);
        }
        gets(&[], Format::Text);
    }

    #[test]
    fn openmetrics_is_for_those_who_prefer_it() {
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "application/openmetrics-text; version=0.0.1",
            "application/openmetrics-text;q=0.5,text/plain;q=0.4",
            "text/plain;q=0.4, application/openmetrics-text;q=0.5",
            "application/openmetrics-text, text/plain",
            "*/*, application/openmetrics-text",
            "application/openmetrics-text;q=0.001",
            // Of Prometheus 2.42 and of Prometheus 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            gets(&[accept], Format::OpenMetrics);
        }
        gets(&["text/plain;q=0.2", "application/openmetrics-text;q=0.3"], Format::OpenMetrics);
    }

    #[test]
    fn the_weight_decides_and_then_the_order() {
        for accept in [
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
            "text/plain,application/openmetrics-text",
            "application/openmetrics-text;q=0.4,*/*;q=0.5",
            "application/openmetrics-text;q=0.4,text/*;q=0.5",
            "application/openmetrics-text;q=0.9,text/plain",
        ] {
            gets(&[accept], Format::Text);
        }
    }
}
