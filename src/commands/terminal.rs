//! What people read: how wide it may be, and which letters and colours it may have. What programs read goes out as it
//! is.
//!
//! May touch: standard output and error, whether these are terminals, and the variables of the environment that say
//! what a terminal can show (LANG and its like, TERM, NO_COLOR, COLUMNS).

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::columns;
use crate::explanation::words;

/// Of standard output.
static COLUMNS: AtomicUsize = AtomicUsize::new(columns::USUAL);

/// Looks how wide the terminal is. Before this, it is as wide as it usually is. Programs that show what others print, as
/// watch(1) does, say it in COLUMNS.
pub fn measure() {
    let named = || {
        let columns: usize = std::env::var("COLUMNS").ok()?.parse().ok()?;
        (columns > 0).then_some(columns.max(NARROWEST))
    };
    COLUMNS.store(columns_of(io::stdout()).or_else(named).unwrap_or(columns::USUAL), Ordering::Relaxed);
}

/// Columns and rows of the terminal behind this, if it is one and says how many it has.
pub(super) fn room(stream: impl AsFd) -> Option<(usize, usize)> {
    let (columns, rows) = terminal_size::terminal_size_of(stream)?;
    let room = (usize::from(columns.0), usize::from(rows.0));
    Some(room).filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Too narrow a terminal is not worth the trouble.
fn columns_of(stream: impl AsFd) -> Option<usize> {
    room(stream).map(|(columns, _)| columns.max(NARROWEST))
}

/// The columns of standard output.
pub(super) fn columns() -> usize {
    COLUMNS.load(Ordering::Relaxed)
}

/// The sentence behind `first`, in lines that fit and are indented alike.
pub(super) fn wrapped(first: &str, sentence: &str) -> String {
    columns::folded(first, &" ".repeat(columns::width(first)), sentence, columns())
}

/// The same with another indent.
pub(super) fn folded(first: &str, indent: &str, sentence: &str) -> String {
    columns::folded(first, indent, sentence, columns())
}

/// What is well.
pub(super) fn good(text: &str) -> String {
    painted(text, AnsiColor::Green)
}

/// What has to be looked at.
pub(super) fn bad(text: &str) -> String {
    painted(text, AnsiColor::Red)
}

/// What may have to be.
pub(super) fn doubtful(text: &str) -> String {
    painted(text, AnsiColor::Yellow)
}

fn painted(text: &str, colour: AnsiColor) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

/// Writes what programs read to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    match put(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes it to standard output, with nothing left behind in memory. An error says what helps.
pub(super) fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritten)
}

/// The same error as a sentence for people.
fn unwritten(error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space there, or let it go elsewhere",
        _ => "let it go elsewhere, such as to a file",
    };
    io::Error::new(error.kind(), format!("cannot write to standard output: {}; {remedy}", words(&error)))
}

/// Writes what people read to standard output.
pub(super) fn show(text: &str) -> io::Result<()> {
    print(&readable(text))
}

/// Writes what people read to standard error, where it is folded only for a terminal: in a file, and in a log, one
/// sentence is one line. Somebody who cannot be told is not told.
pub fn complain(text: &str) {
    let folded = columns_of(io::stderr()).map(|columns| columns::lines_folded(text, columns));
    let text = shown(folded.as_deref().unwrap_or(text), wants_colour(&io::stderr()), letters());
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// As standard output can show it.
pub(super) fn readable(text: &str) -> String {
    shown(text, wants_colour(&io::stdout()), letters())
}

/// Whether the cursor of standard output can be moved.
pub(super) fn can_move() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether what is written there has colours: not where it is no terminal, or one that has none (TERM=dumb), or where
/// somebody does not want them (NO_COLOR).
fn wants_colour(stream: &impl anstream::stream::RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Standard output for what is written bit by bit.
#[derive(Debug, Default)]
pub(super) struct Shown(());

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Formatting hands over whole letters.
        put(&readable(&String::from_utf8_lossy(bytes)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        put("")
    }
}

/// Which letters a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    All,
    Ascii,
}

/// As the locale has it: the first of these that is set decides (locale(7)).
fn letters() -> Letters {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).unwrap_or_default());
    letters_of(set.iter().find(|value| !value.is_empty()).map_or("", String::as_str))
}

fn letters_of(locale: &str) -> Letters {
    let locale = locale.to_ascii_lowercase();
    if ["utf-8", "utf8"].iter().any(|set| locale.contains(set)) { Letters::All } else { Letters::Ascii }
}

fn shown(text: &str, has_colour: bool, letters: Letters) -> String {
    let plain = if has_colour { text.to_owned() } else { strip_str(text).collect() };
    match letters {
        Letters::All => plain,
        Letters::Ascii => plain.chars().map(spelled).collect(),
    }
}

/// A letter in ASCII, of the same width where the place of what is behind it matters.
fn spelled(letter: char) -> String {
    let spelled = match letter {
        '✓' => "+",
        '✗' => "x",
        '│' => "|",
        '─' => "-",
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => "+",
        '…' => "...",
        '→' => "->",
        '–' | '—' => "-",
        '‘' | '’' => "'",
        '“' | '”' | '„' => "\"",
        '§' => "section ",
        letter if letter.is_ascii() => return letter.to_string(),
        _ => "?",
    };
    spelled.to_owned()
}

const NARROWEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_what_the_terminal_can_show() {
        let text = format!("{} {} │ é", bad("✗"), good("✓"));
        assert_eq!(shown(&text, true, Letters::All), text);
        assert_eq!(shown(&text, false, Letters::All), "✗ ✓ │ é");
        assert_eq!(shown(&text, false, Letters::Ascii), "x + | ?");
        assert!(shown(&text, true, Letters::Ascii).is_ascii());
    }

    #[test]
    fn the_locale_says_which_letters_there_are() {
        for (locale, letters) in [
            ("", Letters::Ascii),
            ("C", Letters::Ascii),
            ("POSIX", Letters::Ascii),
            ("de_DE.ISO-8859-1", Letters::Ascii),
            ("C.UTF-8", Letters::All),
            ("en_US.utf8", Letters::All),
        ] {
            assert_eq!(letters_of(locale), letters, "{locale}");
        }
    }

    #[test]
    fn every_letter_of_ours_has_a_spelling() {
        let ours = "✓✗│─┌┐└┘├┤┬┴┼…→§";
        assert!(!shown(ours, false, Letters::Ascii).contains('?'));
    }
}
