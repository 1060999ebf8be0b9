//! What other programs of this host are told in named sets of nftables: live addresses, and guests with an identity.

use crate::engine::change::{Exported, Outcome};
use crate::engine::effect::Output;

/// What is new since it was last told. What was told before is known to the daemon.
#[derive(Debug, Default)]
pub struct Exports {
    is_on: bool,
    /// It was on, and the end of that is to be told.
    has_ended: bool,
    /// It is on since the last look, and everything is to be told.
    has_begun: bool,
    news: Vec<(Exported, bool)>,
    refused: Option<String>,
}

impl Exports {
    /// Whether the sets are wanted.
    pub fn turn(&mut self, is_on: bool) {
        self.has_begun |= is_on && !self.is_on;
        self.has_ended |= !is_on && self.is_on;
        if !is_on {
            self.news.clear();
            self.refused = None;
        }
        self.is_on = is_on;
    }

    /// Whether everything is to be told now. Once for each time that it was turned on.
    pub fn take_begun(&mut self) -> bool {
        std::mem::take(&mut self.has_begun)
    }

    /// This is in its set from here on, or not.
    pub fn say(&mut self, exported: Exported, is_there: bool) {
        if self.is_on {
            self.news.push((exported, is_there));
        }
    }

    /// What became of the sets. True if it is news that they are refused, or that they are not any more.
    pub fn changed(&mut self, outcome: &Outcome) -> bool {
        let refused = match outcome {
            Outcome::Failed(said) if self.is_on => Some(said.clone()),
            _ => None,
        };
        std::mem::replace(&mut self.refused, refused) != self.refused
    }

    /// What was said of it, if the sets are refused.
    pub fn refused(&self) -> Option<&String> {
        self.refused.as_ref()
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.news.is_empty() && !self.has_ended
    }

    /// What is to be told.
    pub fn changes(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.has_ended) {
            return Some(Output::ExportEnds);
        }
        (!self.news.is_empty()).then(|| Output::Export(std::mem::take(&mut self.news)))
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::*;

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

    #[test]
    fn tells_nothing_unless_it_is_wanted_and_then_all_once() {
        let mut exports = Exports::default();
        exports.say(Exported::Live(ADDRESS), true);
        assert!(exports.is_quiet() && exports.changes().is_none() && !exports.take_begun());
        exports.turn(true);
        exports.turn(true);
        assert!(exports.take_begun() && !exports.take_begun());
        exports.say(Exported::Live(ADDRESS), true);
        assert_eq!(exports.changes(), Some(Output::Export(vec![(Exported::Live(ADDRESS), true)])));
        exports.say(Exported::Live(ADDRESS), false);
        exports.turn(false);
        assert_eq!((exports.changes(), exports.changes()), (Some(Output::ExportEnds), None));
    }

    #[test]
    fn a_refusal_is_news_once() {
        let mut exports = Exports::default();
        exports.turn(true);
        let failed = Outcome::Failed("no".to_owned());
        assert!(exports.changed(&failed) && !exports.changed(&failed));
        assert!(exports.changed(&Outcome::Done) && exports.refused().is_none());
    }
}
