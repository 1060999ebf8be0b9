//! `lone64 check`: every problem of a configuration, or what it would serve; and what nobody would on this host.
//!
//! May touch: the file that it is told to read, standard input, output and error, and the kernel's tables, which it
//! only reads.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Outcome, backstops, host, links, print, switches, unserved, ways_out, wrapped};
use crate::config::{self, DEFAULT_FILE, Problems, written};
use crate::daemon::unserved::{Network, networks};
use crate::engine::Engine;
use crate::engine::policy::{
    Announce, Answer, Automatic, Downstream, IfPattern, Origin, Override, Policy, RangePolicy, RangeRoutes,
    UpstreamInterface, UpstreamPolicy,
};
use crate::engine::{Unread, unread_table};

/// The options of `check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 check
  lone64 check ./lone64.toml
  lone64 check --json ./lone64.toml | jq '.problems[].message'
  ssh host cat /etc/lone64/lone64.toml | lone64 check -

Networks that the kernel of this host routes inside an on-link prefix, and that
nobody would serve, are named with the lines that serve them. With several
upstreams, so are guests whose packets leave by another than their own. A table
of [routes] that no rule names is told, with the rule. With --json these are
`unserved`, `ways_out` and `unread_table`.

Exit status: 0 the configuration is good, 1 it is not, 2 wrong usage.")]
pub struct CheckArgs {
    /// The configuration, or - for standard input.
    #[arg(value_name = "F", default_value = DEFAULT_FILE)]
    pub file: PathBuf,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
}

/// Checks one configuration; the status is 1 if it has a problem.
pub fn run(args: &CheckArgs) -> Outcome {
    let (origin, result) = if args.file == Path::new("-") {
        ("<stdin>".to_owned(), config::read(io::stdin().lock(), "<stdin>"))
    } else {
        (args.file.display().to_string(), config::load(&args.file))
    };
    match result {
        Ok(config) => {
            let here = Here::of(&config.policy);
            let unserved = &here.unserved;
            if args.json {
                let mut object = described(&origin, &here);
                object["unserved"] = json!(unserved.networks);
                object["ways_out"] = json!(here.ways_out);
                object["unread_table"] = json!(unserved.unread.as_ref().map(|unread| unread.table));
                print(&format!("{object:#}\n"))?;
            } else {
                let (table, summary) = (table(&here), summary(&origin, &config.policy));
                let ways_out = ways_out::text(&here.ways_out);
                print(&format!("{table}{}{ways_out}\n{summary}\n", unserved.text(&table)))?;
                if let Some(unread) = &unserved.unread {
                    let said = wrapped("unread: ", &format!("{}; this adds one:", unread.sentence()));
                    print(&format!("{said}            {}\n", unread.remedy()))?;
                }
            }
        }
        Err(problems) => {
            if args.json {
                print(&format!("{:#}\n", refused(&origin, &problems)))?;
            } else {
                eprintln!("{problems}\n\n{}", count_of_problems(&origin, &problems));
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a configuration means on this host.
struct Here {
    policy: Policy,
    notes: Vec<String>,
    unserved: Unserved,
    ways_out: Vec<ways_out::Astray>,
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
        }
        notes.extend(engine.iter().flat_map(links::problems));
        let unserved = engine.as_ref().map(|here| Unserved::of(written, here)).unwrap_or_default();
        Self { policy, notes, unserved, ways_out }
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
    for row in rows.into_iter().filter(|_| is_table) {
        let cells: Vec<String> =
            columns.iter().zip(&widths).map(|(at, width)| format!("{:width$}", row[*at])).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    let has_gateway = all_ranges(policy).any(|range| range.gateway.is_some());
    let has_period = policy.upstreams.iter().any(|upstream| upstream.announce.period().is_some());
    if (is_automatic(policy) || has_gateway || has_period || !notes.is_empty()) && is_table {
        text.push('\n');
    }
    for range in all_ranges(policy) {
        let line = |gateway| format!("gateway: {gateway} on every downstream of {}\n", range.prefix);
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
        "every live target again each {} on {}, if there are no more than {most} ({per_second} a second)",
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
    format!(
        "automatic: whatever the kernel routes to another interface{ignored}, out of the\n\
         on-link prefixes of {upstream}, for live guests\n"
    )
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
        answer(range.answer).to_owned(),
        routes(range).to_owned(),
        if range.backstop && !backstops::is_without(range, policy) { "yes" } else { "no" }.to_owned(),
        range.exclude.len().to_string(),
        if range.proxy_downstream { "yes" } else { "no" }.to_owned(),
    ]
}

fn described(origin: &str, here: &Here) -> Value {
    let Here { policy, notes, .. } = here;
    let upstreams: Vec<Value> = policy
        .upstreams
        .iter()
        .map(|upstream| {
            let interface = match &upstream.interface {
                UpstreamInterface::DefaultRoute => None,
                UpstreamInterface::Named(name) => Some(name.as_str()),
            };
            json!({
                "interface": interface,
                "automatic": upstream.automatic.is_some(),
                "ignore": upstream.automatic.iter().flat_map(|a| &a.ignore).map(IfPattern::as_str).collect::<Vec<_>>(),
                "router": upstream.router,
                "override": override_flag(upstream.override_flag),
                "source": upstream.source.written(),
                "gateway_source": upstream.gateway_source.written(),
                "announce": announce(upstream.announce),
            })
        })
        .collect();
    let ranges: Vec<Value> = all_ranges(policy)
        .map(|range| {
            let is_suffix = range.origin == Origin::Suffix;
            json!({
                "prefix": (!is_suffix).then(|| range.prefix.to_string()),
                "suffix": is_suffix.then(|| range.prefix.to_string()),
                "upstream": upstream(range, policy),
                "interface": match &range.downstream {
                    Downstream::Matching(patterns) => {
                        json!(patterns.iter().map(IfPattern::as_str).collect::<Vec<_>>())
                    }
                    Downstream::Kernel | Downstream::Named(_) => json!(downstream(range)),
                },
                "answer": answer(range.answer),
                "routes": routes(range),
                "backstop": range.backstop && !backstops::is_without(range, policy),
                "exclude": range.exclude.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "gateway": range.gateway,
                "proxy_downstream": range.proxy_downstream,
            })
        })
        .collect();
    json!({
        "origin": origin,
        "valid": true,
        "upstreams": upstreams,
        "ranges": ranges,
        "problems": [],
        "notes": notes,
    })
}

fn refused(origin: &str, problems: &Problems) -> Value {
    json!({ "origin": origin, "valid": false, "problems": problems.as_slice() })
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

fn override_flag(flag: Override) -> &'static str {
    match flag {
        Override::Takeover => "takeover",
        Override::Always => "always",
        Override::Never => "never",
    }
}

fn announce(announce: Announce) -> Value {
    match announce {
        Announce::Yes => json!(true),
        Announce::No => json!(false),
        Announce::Dad => json!("dad"),
        Announce::Every(period) => json!(written(period)),
    }
}
