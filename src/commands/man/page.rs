//! What manual pages are made of.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// A page that is being written.
pub(super) struct Writer {
    roff: Roff,
}

/// A word with what it means.
pub(super) type Term = (&'static str, &'static str);

impl Writer {
    /// With the page's title line.
    pub(super) fn new(name: &str, section: &str, about: &str) -> Self {
        let mut roff = Roff::new();
        let source = concat!("lone64 ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [name, section, "", source, ""]);
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{} - {about}", name.to_lowercase()))]);
        Self { roff }
    }

    pub(super) fn section(&mut self, title: &str) -> &mut Self {
        self.roff.control("SH", [title]);
        self
    }

    pub(super) fn subsection(&mut self, title: &str) -> &mut Self {
        self.roff.control("SS", [title]);
        self
    }

    /// Paragraphs, with an empty line between each two.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for paragraph in text.split("\n\n") {
            self.roff.control("PP", []);
            self.roff.text([roman(paragraph.replace('\n', " "))]);
        }
        self
    }

    pub(super) fn line(&mut self, words: Vec<Inline>) -> &mut Self {
        self.roff.text(words);
        self
    }

    pub(super) fn term(&mut self, words: Vec<Inline>, help: &str) -> &mut Self {
        self.roff.control("TP", []);
        self.roff.text(words);
        self.roff.text([roman(help.replace('\n', " "))]);
        self
    }

    pub(super) fn terms(&mut self, terms: &[Term]) -> &mut Self {
        for (word, help) in terms {
            self.term(vec![bold(*word)], help);
        }
        self
    }

    /// As it is.
    pub(super) fn code(&mut self, code: &str) -> &mut Self {
        self.roff.control("PP", []);
        self.roff.control("RS", ["4"]);
        self.roff.control("nf", []);
        for line in code.trim_matches('\n').lines() {
            self.roff.text([roman(line)]);
        }
        self.roff.control("fi", []);
        self.roff.control("RE", []);
        self
    }

    /// In ASCII: what else there is has an escape (groff_char(7)), so that no locale is needed to read the page.
    pub(super) fn render(&self) -> String {
        let escaped = |letter: char| match letter {
            letter if letter.is_ascii() => letter.to_string(),
            letter => format!("\\[u{:04X}]", u32::from(letter)),
        };
        self.roff.render().chars().map(escaped).collect()
    }
}
