//! `lone64 check`: every problem of a configuration, or what it would serve; and what no range would serve on this
//! host.
//!
//! May touch: the files that it is told to read, standard input, output and error, and the kernel's tables, which it
//! only reads.

mod described;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::terminal::{self, complain, doubtful};
use super::{
    Outcome, backends, backstops, guest, host, links, print, show, slips, switches, unserved, ways_out,
    wrapped,
};
use crate::config::{DEFAULT_FILE, Effective, Overrides, Problems, Read, written};
use crate::daemon::unserved::{Network, networks};
use crate::engine::Engine;
use crate::engine::policy::{
    Answer, Automatic, Downstream, IfPattern, Origin, Policy, RangePolicy, RangeRoutes, UpstreamInterface,
    UpstreamPolicy,
};
use crate::engine::{Unread, unread_table};

/// The options of `check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 check
  lone64 check ./lone64.toml
  lone64 check --effective
  lone64 check --json ./lone64.toml | jq '.problems[].message'
  ssh host cat /etc/lone64/lone64.toml | lone64 check -

After F, check reads the drop-ins of F, as `lone64 run` does: lone64.d/*.toml
beside lone64.toml. Without F and without the default file, it checks what
`lone64 run` does without a file: everything is automatic.

A setting that is legal but surely a mistake is a warning. The exit status is
then still 0.

--effective prints a configuration with the same meaning and every key. Each
value is followed by its origin: default, automatic (other keys or the host
decide), or the file and the line. With --json this is `effective`.

check also shows, each with the lines or commands that help: networks that the
kernel of this host routes inside an on-link prefix and that no range would
serve; with several upstreams, guests whose packets leave through the wrong one;
a table in [routes] that no rule uses. With --json these are `unserved`,
`ways_out` and `unread_table`.

Exit status: 0 the configuration is good, 1 it is not, 2 wrong usage.")]
pub struct CheckArgs {
    /// The configuration, or - for standard input [default: /etc/lone64/lone64.toml].
    #[arg(value_name = "F")]
    pub file: Option<PathBuf>,
    /// Print every key with its value and its origin.
    #[arg(long)]
    pub effective: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A configuration without mistakes.
struct Checked {
    /// What people call it.
    origin: String,
    files: Vec<PathBuf>,
    read: Read,
}

/// Checks one configuration; the status is 1 if it has a problem.
pub fn run(args: &CheckArgs) -> Outcome {
    match check(args.file.as_deref()) {
        Ok(checked) => {
            let mut here = Here::of(&checked.read.config.policy);
            here.effective = args.effective.then(|| here.effective(&checked.read.effective));
            let policy = &checked.read.config.policy;
            match &here.effective {
                _ if args.json => print(&format!("{:#}\n", described::described(&checked, &here)))?,
                Some(effective) => print(&effective.text())?,
                None => show(&text(&here, &summary(&checked.origin, policy)))?,
            }
            if !args.json {
                let word = doubtful("warning: ");
                checked.read.notices.iter().for_each(|notice| complain(&format!("{word}{notice}\n\n")));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err((origin, problems)) => {
            if args.json {
                print(&format!("{:#}\n", described::refused(&origin, &problems)))?;
            } else {
                complain(&format!("{problems}\n\n{}\n", count_of_problems(&origin, &problems)));
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Reads it as a daemon would. With a mistake come the words for where it is.
fn check(file: Option<&Path>) -> Result<Checked, (String, Problems)> {
    const STDIN: &str = "<stdin>";
    if file == Some(Path::new("-")) {
        let read = Overrides::default().read(io::stdin().lock(), STDIN);
        let checked = |read| Checked { origin: STDIN.to_owned(), files: Vec::new(), read };
        return read.map(checked).map_err(|problems| (STDIN.to_owned(), problems));
    }
    let named = file.unwrap_or(Path::new(DEFAULT_FILE)).display().to_string();
    let loaded = Overrides::default().load(file).map_err(|problems| (named.clone(), problems))?;
    if let Some(problems) = loaded.guests.mistakes() {
        return Err((format!("the guests beside {named}"), problems));
    }
    let files: Vec<PathBuf> = loaded.files.paths().map(Path::to_owned).collect();
    let drop_ins = files.len() - usize::from(loaded.files.main().is_some());
    let origin = match (loaded.files.main(), drop_ins) {
        (Some(_), 0) => named,
        (None, 0) => format!("no configuration ({named} does not exist)"),
        (Some(_), _) => format!("{named} with {}", counted(drop_ins, "drop-in")),
        (None, _) => format!("{} of {named}", counted(drop_ins, "drop-in")),
    };
    Ok(Checked { origin, files, read: loaded.read })
}

/// The table, and what is told of it.
fn text(here: &Here, summary: &str) -> String {
    let unserved = &here.unserved;
    let (table, ways_out) = (table(here), ways_out::text(&here.ways_out));
    let mut text =
        format!("{table}{}{ways_out}\n", unserved.text(&table)) + &terminal::folded("", "    ", summary);
    text.extend(
        here.engine.iter().filter_map(|engine| engine.idle()).map(|idle| unserved::nothing(&idle.into())),
    );
    if let Some(unread) = &unserved.unread {
        text += &wrapped("unread: ", &format!("{}; this command adds one:", unread.sentence()));
        text += &format!("            {}\n", unread.remedy());
    }
    text
}

/// What a configuration means on this host.
struct Here {
    policy: Policy,
    notes: Vec<String>,
    unserved: Unserved,
    ways_out: Vec<ways_out::Astray>,
    /// `None` where the kernel does not say what it has.
    engine: Option<Engine>,
    /// If it is wanted.
    effective: Option<Effective>,
}

impl Here {
    /// The configuration is good also where the kernel does not say what it routes.
    fn of(written: &Policy) -> Self {
        let facts = host::facts().ok();
        let ways_out = ways_out::astray(written, facts.as_deref().unwrap_or_default());
        let engine = facts.map(|facts| host::engine(written.clone(), facts));
        let policy = engine.as_ref().map_or_else(|| written.clone(), |here| links::as_here(written, here));
        let mut notes = Vec::new();
        // Without an upstream nothing is on the link of one.
        if written.needs_upstream() {
            notes.extend(backstops::notes(&policy));
            notes.extend(links::notes(written, &policy));
            notes.extend(switches::notes(&policy));
            notes.extend(backends::note(&policy));
        }
        notes.extend(engine.iter().flat_map(links::problems));
        notes.extend(engine.iter().flat_map(|here| slips::notes(written, here)));
        notes.extend(engine.iter().flat_map(guest::notes));
        let unserved = engine.as_ref().map(|here| Unserved::of(written, here)).unwrap_or_default();
        Self { policy, notes, unserved, ways_out, engine, effective: None }
    }

    /// The same with what this host makes of it.
    fn effective(&self, read: &Effective) -> Effective {
        let mut effective = read.clone();
        for range in all_ranges(&self.policy) {
            effective.set_here(range, "routes", json!(range.routes.to_string()));
            let backstop = range.backstop && !backstops::is_without(range, &self.policy);
            effective.set_here(range, "backstop", json!(backstop));
        }
        if let Some(engine) = &self.engine {
            let names = engine.upstream_links().map(|link| engine.links().name(link));
            effective.name_upstreams(&names.collect::<Vec<_>>());
            let ranges = engine.policy().ranges.iter();
            effective.add_automatic(ranges.filter(|range| range.origin == Origin::Automatic));
        }
        effective
    }
}

/// What nobody would serve on this host.
#[derive(Default)]
struct Unserved {
    /// The first of them; `None` where the kernel's routes cannot be read.
    networks: Option<Vec<Network>>,
    count: usize,
    /// The table of our routes, if no rule of this host names it.
    unread: Option<Unread>,
}

impl Unserved {
    fn of(written: &Policy, engine: &Engine) -> Self {
        let unread = unread_table(written, engine.rules());
        Self { networks: Some(networks(engine)), count: engine.count_unserved(), unread }
    }

    /// Behind the table.
    fn text(&self, table: &str) -> String {
        let text = unserved::text(self.networks.as_deref().unwrap_or_default(), self.count);
        if text.is_empty() || table.is_empty() { text } else { format!("\n{text}") }
    }
}

fn count_of_problems(origin: &str, problems: &Problems) -> String {
    format!("{} in {origin}", counted(problems.as_slice().len(), "problem"))
}

fn summary(origin: &str, policy: &Policy) -> String {
    let ranges = match (policy.ranges.len() + policy.suffixes.len(), is_automatic(policy)) {
        (0, _) => "automatic".to_owned(),
        (number, true) => format!("{} and automatic", counted(number, "range")),
        (number, false) => counted(number, "range"),
    };
    let ranges = match policy.guests.len() {
        0 => ranges,
        number => format!("{ranges} and {}", counted(number, "guest")),
    };
    let upstreams = match policy.upstreams.as_slice() {
        _ if !policy.needs_upstream() => return format!("{origin} is good: {ranges}, no upstream needed."),
        [only] => match &only.interface {
            UpstreamInterface::DefaultRoute => "the upstream of the default route".to_owned(),
            UpstreamInterface::Named(name) => format!("the upstream {name}"),
        },
        several => counted(several.len(), "upstream"),
    };
    format!("{origin} is good: {ranges} on {upstreams}.")
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// One row for each range, in columns. Those that would be empty are left out at the end, because with
/// them a long prefix does not fit a terminal.
fn table(here: &Here) -> String {
    let Here { policy, notes, .. } = here;
    let mut rows = vec![
        ["RANGE", "UPSTREAM", "DOWNSTREAM", "ANSWER", "ROUTES", "BACKSTOP", "EXCL", "PROXY"]
            .map(str::to_owned),
    ];
    rows.extend(all_ranges(policy).map(|range| row(range, policy)));
    let excludes = all_ranges(policy).any(|range| !range.exclude.is_empty());
    let proxies = all_ranges(policy).any(|range| range.proxy_downstream);
    let columns = (0..8).filter(|column| *column != 6 || excludes).filter(|column| *column != 7 || proxies);
    let columns: Vec<usize> = columns.collect();
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| rows.iter().map(|row| row[*column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    let is_table = rows.len() > 1;
    let fits = widths.iter().sum::<usize>() + 2 * (widths.len() - 1) <= terminal::columns();
    for row in rows.iter().filter(|_| is_table && fits) {
        let cells: Vec<String> =
            columns.iter().zip(&widths).map(|(at, width)| format!("{:width$}", row[*at])).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for row in rows.iter().skip(1).filter(|_| !fits) {
        let cell = |at: &usize| format!("{} {}", rows[0][*at].to_lowercase(), row[*at]);
        let cells: Vec<String> = columns.iter().map(cell).collect();
        text += &terminal::folded("", "    ", &cells.join(", "));
    }
    let has_gateway = all_ranges(policy).any(|range| range.gateway.is_some());
    let has_period = policy.upstreams.iter().any(|upstream| upstream.announce.period().is_some());
    if (is_automatic(policy) || has_gateway || has_period || !notes.is_empty()) && is_table {
        text.push('\n');
    }
    for range in all_ranges(policy) {
        let line =
            |gateway| wrapped("gateway: ", &format!("{gateway} on every downstream of {}", range.prefix));
        text.extend(range.gateway.map(line));
    }
    text.extend(notes.iter().map(|note| wrapped("note: ", note)));
    for upstream in &policy.upstreams {
        text.extend(upstream.announce.period().map(|period| period_line(upstream, period, policy)));
        text.extend(upstream.automatic.iter().map(|automatic| automatic_line(upstream, automatic)));
    }
    text
}

/// What is announced again on one upstream.
fn period_line(upstream: &UpstreamPolicy, period: Duration, policy: &Policy) -> String {
    let per_second = policy.limits.announcements_per_second;
    let most = u64::from(per_second) * period.as_secs();
    let line = format!(
        "every live target is announced again every {} on {}, if there are at most {most} of them ({per_second} per \
         second)",
        written(period),
        named(upstream)
    );
    wrapped("announce: ", &line)
}

fn named(upstream: &UpstreamPolicy) -> String {
    match &upstream.interface {
        UpstreamInterface::DefaultRoute => "the interface of the default route".to_owned(),
        UpstreamInterface::Named(name) => name.to_string(),
    }
}

/// What automatic means on one upstream.
fn automatic_line(upstream: &UpstreamPolicy, automatic: &Automatic) -> String {
    let upstream = named(upstream);
    let ignored = match automatic.ignore.as_slice() {
        [] => String::new(),
        patterns => format!(" but {}", listed(patterns)),
    };
    let what = format!(
        "every prefix that the kernel routes to another interface{ignored}, inside the on-link prefixes of \
         {upstream}, for live guests"
    );
    wrapped("automatic: ", &what)
}

fn is_automatic(policy: &Policy) -> bool {
    policy.upstreams.iter().any(|upstream| upstream.automatic.is_some())
}

/// Those with a prefix, and then those with a suffix.
fn all_ranges(policy: &Policy) -> impl Iterator<Item = &RangePolicy> {
    policy.ranges.iter().chain(&policy.suffixes)
}

fn listed(patterns: &[IfPattern]) -> String {
    patterns.iter().map(IfPattern::as_str).collect::<Vec<_>>().join(", ")
}

fn row(range: &RangePolicy, policy: &Policy) -> [String; 8] {
    let unnamed = match policy.upstreams.len() {
        _ if !range.needs_upstream() && range.origin != Origin::Suffix => "none",
        1 => "default route",
        _ => "by prefix",
    };
    [
        range.prefix.to_string(),
        upstream(range, policy).unwrap_or(unnamed).to_owned(),
        downstream(range).unwrap_or_else(|| "by routes".to_owned()),
        [answer(range.answer), if range.standby { ", standby" } else { "" }].concat(),
        routes(range).to_owned(),
        if range.backstop && !backstops::is_without(range, policy) { "yes" } else { "no" }.to_owned(),
        range.exclude.len().to_string(),
        if range.proxy_downstream { "yes" } else { "no" }.to_owned(),
    ]
}

/// The name of the upstream of a range, unless only the kernel's routes or addresses know it.
fn upstream<'a>(range: &'a RangePolicy, policy: &'a Policy) -> Option<&'a str> {
    match (&range.upstream, policy.upstreams.as_slice()) {
        (Some(name), _) => Some(name.as_str()),
        (None, [only]) => match &only.interface {
            UpstreamInterface::Named(name) => Some(name.as_str()),
            UpstreamInterface::DefaultRoute => None,
        },
        (None, _) => None,
    }
}

fn downstream(range: &RangePolicy) -> Option<String> {
    match &range.downstream {
        Downstream::Kernel => None,
        Downstream::Named(name) => Some(name.to_string()),
        Downstream::Matching(patterns) => Some(listed(patterns)),
    }
}

fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Live => "live",
        Answer::Always => "always",
        Answer::Never => "never",
    }
}

fn routes(range: &RangePolicy) -> &'static str {
    match range.routes {
        RangeRoutes::Range => "range",
        RangeRoutes::Guests => "guests",
        RangeRoutes::None => "none",
    }
}
