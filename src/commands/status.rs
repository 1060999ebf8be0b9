//! `lone64 status`: what a running daemon serves, and for whom.
//!
//! May touch: the control socket, standard output, and whether that is a terminal.

mod askers;
mod page;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::control::{Client, ControlError};
use super::options::SocketArgs;
use super::{Outcome, print};
use page::{Colour, Page};

/// The options of `status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 status
  lone64 status --watch
  lone64 status --json | jq '.targets[] | select(.state == \"live\") | .address'

Networks that nobody serves are named, each with the lines that serve it; they
are no problem.

Exit status: 0 healthy, 1 not running or with problems, 2 wrong usage.")]
pub struct StatusArgs {
    /// Print one JSON object instead, with everything.
    #[arg(long)]
    pub json: bool,
    /// Show it again every second, in place, until interrupted.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// Shows the status; 1 if there is a problem.
pub fn run(args: &StatusArgs) -> Outcome {
    let path = args.of.path();
    if args.json {
        let status = everything(&path)?;
        print(&format!("{status:#}\n"))?;
        let page: Page = serde_json::from_value(status)?;
        return Ok(page.health());
    }
    let is_terminal = io::stdout().is_terminal();
    let wants_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colour = if wants_colour { Colour::Ansi } else { Colour::None };
    let mut page = one_page(&path)?;
    if !args.watch {
        print(&page.text(colour))?;
        return Ok(page.health());
    }
    loop {
        // The cursor home, and the rest of the screen empty.
        let home = if is_terminal { "\x1b[H\x1b[2J" } else { "" };
        print(&format!("{home}{}", page.text(colour)))?;
        sleep(BETWEEN_PAGES);
        page = one_page(&path)?;
    }
}

/// What a person reads: guests that are live, and routes that are not as they should be.
fn one_page(path: &Path) -> Result<Page, Box<dyn std::error::Error>> {
    let params = json!({ "live_only": true, "differing_only": true });
    let status = Client::connect(path)?.ask("status", params)?;
    Ok(serde_json::from_value(status)?)
}

/// All pages, as one.
fn everything(path: &Path) -> Result<Value, ControlError> {
    let mut client = Client::connect(path)?;
    let mut status = client.ask("status", json!({}))?;
    loop {
        let more = status["more"].take();
        if more["after"].is_null() && more["routes_after"].is_null() {
            break;
        }
        // What has ended already is asked for behind its end, where there is nothing.
        let params = json!({
            "after": last(&status["targets"], "address").unwrap_or(json!("::")),
            "routes_after": last(&status["routes"], "destination").unwrap_or(json!("::/0")),
        });
        let mut next = client.ask("status", params)?;
        for key in ["targets", "routes"] {
            if let (Value::Array(all), Value::Array(new)) = (&mut status[key], next[key].take()) {
                all.extend(new);
            }
        }
        status["more"] = next["more"].take();
    }
    if let Value::Object(fields) = &mut status {
        fields.remove("more");
    }
    Ok(status)
}

fn last(list: &Value, key: &str) -> Option<Value> {
    Some(list.as_array()?.last()?[key].clone())
}

const BETWEEN_PAGES: Duration = Duration::from_secs(1);
