//! What a switch learns from the reports of a host.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lone64::engine::Output;
use lone64::engine::facts::IfIndex;
use lone64::wire::{MldRecordKind, MldReport};

/// What a report changes for a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heard {
    Begin(IfIndex, Ipv6Addr),
    End(IfIndex, Ipv6Addr),
}

/// The groups that a switch passes on to a host.
#[derive(Debug, Default)]
pub struct Switch(pub BTreeSet<(IfIndex, Ipv6Addr)>);

impl Switch {
    /// What is new to it; everything is told twice.
    pub fn hear(&mut self, outputs: &[Output]) -> Vec<Heard> {
        heard(outputs)
            .into_iter()
            .filter(|heard| match heard {
                Heard::Begin(link, group) => self.0.insert((*link, *group)),
                Heard::End(link, group) => self.0.remove(&(*link, *group)),
            })
            .collect()
    }

    /// Those of one link.
    pub fn on(&self, link: IfIndex) -> Vec<Ipv6Addr> {
        self.0.iter().filter(|(on, _)| *on == link).map(|(_, group)| *group).collect()
    }
}

/// The reports among these.
pub fn reports(outputs: &[Output]) -> Vec<(IfIndex, MldReport)> {
    let report = |output: &Output| match output {
        Output::Report(link, report) => Some((*link, report.clone())),
        _ => None,
    };
    outputs.iter().filter_map(report).collect()
}

/// Every record of every report.
pub fn heard(outputs: &[Output]) -> Vec<Heard> {
    let all = reports(outputs).into_iter().flat_map(|(link, report)| {
        report.records.into_iter().map(move |record| match record.kind {
            MldRecordKind::Begin | MldRecordKind::IsListened => Heard::Begin(link, record.group),
            MldRecordKind::End => Heard::End(link, record.group),
        })
    });
    all.collect()
}

/// Those that begin, each once.
pub fn begun(outputs: &[Output]) -> BTreeSet<(IfIndex, Ipv6Addr)> {
    let begun = |heard| match heard {
        Heard::Begin(link, group) => Some((link, group)),
        Heard::End(..) => None,
    };
    heard(outputs).into_iter().filter_map(begun).collect()
}

/// Those that end, each once.
pub fn ended(outputs: &[Output]) -> BTreeSet<(IfIndex, Ipv6Addr)> {
    let ended = |heard| match heard {
        Heard::End(link, group) => Some((link, group)),
        Heard::Begin(..) => None,
    };
    heard(outputs).into_iter().filter_map(ended).collect()
}
