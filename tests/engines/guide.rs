//! The guides under `contrib/guides/` and the first minute of README.md, typed as they stand.
//!
//! A block of code that begins with ` ```sh ` is typed on the host; with a word behind, like
//! ` ```sh guest `, at that place. `outside` is a machine somewhere on the Internet. Every block is
//! typed, in the order of the page.

use std::fs;

use crate::machine::Machine;
use crate::provider::{BEYOND, Provider};
use crate::typed;

/// A guide: its blocks.
pub(crate) struct Guide {
    name: String,
    blocks: Vec<Block>,
}

struct Block {
    place: String,
    lines: String,
}

impl Guide {
    /// Reads `contrib/guides/NAME.md`.
    pub(crate) fn read(name: &str) -> Self {
        Self::parse(name, &file(&format!("contrib/guides/{name}.md")))
    }

    /// Reads the first minute of README.md.
    pub(crate) fn first_minute() -> Self {
        let text = file("README.md");
        let (_, section) = text.split_once("\n## The first minute\n").expect("README.md has a first minute");
        Self::parse("README.md", section.split("\n## ").next().unwrap_or_default())
    }

    fn parse(name: &str, text: &str) -> Self {
        let mut blocks = Vec::new();
        for fenced in text.split("\n```").skip(1).step_by(2) {
            let (language, lines) = fenced.split_once('\n').expect("a block has lines");
            if let Some(place) = language.strip_prefix("sh") {
                let place = if place.is_empty() { HOST } else { place.trim() };
                blocks.push(Block { place: place.to_owned(), lines: lines.to_owned() });
            }
        }
        Self { name: name.to_owned(), blocks }
    }

    /// The lines of the first block for a place.
    pub(crate) fn lines(&self, place: &str) -> &str {
        let block = self.blocks.iter().find(|block| block.place == place);
        &block.unwrap_or_else(|| panic!("{}: nothing for {place}", self.name)).lines
    }

    /// Types one that is for the host alone.
    pub(crate) fn follow_on(&self, host: &Machine) {
        for block in &self.blocks {
            assert_eq!(block.place, HOST, "{}: {}", self.name, block.lines);
            host.type_in(&block.lines);
        }
    }

    /// Types it on a host, and outside; `elsewhere` is given the name of any other place, and the lines
    /// for it.
    pub(crate) fn follow(&self, provider: &Provider, host: &Machine, elsewhere: &dyn Fn(&str, &str)) {
        self.follow_with(provider, host, elsewhere, &|| {});
    }

    /// The same; `before_the_pings` plugs in what the page only speaks of.
    pub(crate) fn follow_with(
        &self,
        provider: &Provider,
        host: &Machine,
        elsewhere: &dyn Fn(&str, &str),
        before_the_pings: &dyn Fn(),
    ) {
        self.ends_with_pings();
        for (number, block) in self.blocks.iter().enumerate() {
            if number + 2 == self.blocks.len() {
                before_the_pings();
            }
            match block.place.as_str() {
                HOST => _ = host.type_in(&block.lines),
                "outside" => {
                    let mut shell = std::process::Command::new("bash");
                    provider
                        .beyond
                        .run(|| typed("outside", &block.lines, shell.args(["-exc", &block.lines])));
                }
                place => elsewhere(place, &block.lines),
            }
        }
    }

    /// Whoever follows it has seen both directions work.
    fn ends_with_pings(&self) {
        let [.., first, second] = self.blocks.as_slice() else { panic!("{}: no blocks", self.name) };
        let last = [first, second];
        let is_in = last.iter().any(|block| block.place == "outside" && block.lines.contains("ping "));
        let is_out = last.iter().any(|block| block.place != "outside" && block.lines.contains(BEYOND));
        assert!(is_in && is_out, "{} does not end with a ping in each direction", self.name);
    }
}

fn file(path: &str) -> String {
    let file = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Where a block without a place is typed.
const HOST: &str = "host";

/// For guides that are typed on the host and outside alone.
pub(crate) fn nowhere(place: &str, _: &str) {
    panic!("the test knows no place {place:?}");
}
