//! What is read of a file before anybody knows what is in it: never more than a configuration can have, and
//! whether it is text at all.
//!
//! May touch: the reader that it is given.

use std::io::{self, Read};

use super::problem::{Place, Problems, Report};

/// The bytes of a file that may have at most so many. Of one that has more, or no end, one byte more than that is
/// read: [`plain`] says so.
pub(crate) fn read(reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same bytes, if there are not too many of them and they are no UTF-16. `remedy` is for what is too long.
pub(crate) fn plain(bytes: Vec<u8>, most: usize, origin: &str, remedy: &str) -> Result<Vec<u8>, Problems> {
    let refused = |message: &str, remedy: &str| {
        let mut report = Report::new(origin, "");
        report.push(&Place::Whole, message).help(remedy);
        Err(report.into_problems())
    };
    if bytes.len() > most {
        return refused(&format!("longer than {most} bytes, which is too long for a configuration"), remedy);
    }
    // A byte order mark, or a first letter with its other byte before or behind it.
    let is_utf_16 = match *bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [first, second, ..] => (first == 0) != (second == 0),
        _ => false,
    };
    if is_utf_16 {
        let remedy = "save the file as UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > NEW`";
        return refused("the text is UTF-16, and must be UTF-8", remedy);
    }
    Ok(bytes)
}

/// The text without the mark that some editors put before UTF-8.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Bytes that a lone64.toml may have: thousands of ranges with a page about each.
pub(crate) const MOST: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8], most: usize) -> String {
        match plain(bytes.to_vec(), most, "f", "name another") {
            Ok(same) => {
                assert_eq!(same, bytes);
                String::new()
            }
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn reads_no_more_of_an_endless_file_than_it_takes_to_see_that() {
        let bytes = read(io::repeat(b'a'), 10).unwrap();
        assert_eq!(bytes.len(), 11);
        assert_eq!(
            said(&bytes, 10),
            "f: longer than 10 bytes, which is too long for a configuration\n  help: name another"
        );
        assert_eq!(said(&read(&b"0123456789"[..], 10).unwrap(), 10), "");
    }

    #[test]
    fn knows_utf_16_with_and_without_its_mark() {
        for text in ["proxy", "\u{feff}proxy", "[[range]]"] {
            let units = || text.encode_utf16();
            for bytes in [
                units().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
                units().flat_map(u16::to_be_bytes).collect(),
            ] {
                let said = said(&bytes, 100);
                assert!(said.starts_with("f: the text is UTF-16, and must be UTF-8\n  help: "), "{said}");
            }
        }
        for plain in [&b""[..], b"\0", b"p", b"pr", b"\0\0", b"\xef\xbb\xbfproxy", "é".as_bytes()] {
            assert_eq!(said(plain, 100), "", "{plain:?}");
        }
    }

    #[test]
    fn takes_one_mark_away_and_nothing_else() {
        assert_eq!(unmarked("\u{feff}proxy"), "proxy");
        assert_eq!(unmarked("proxy\u{feff}"), "proxy\u{feff}");
    }
}
