//! `lone64 status`: what a running daemon serves, and for whom.
//!
//! May touch: the control socket, standard output, and the terminal that this may be.

mod askers;
mod in_force;
mod in_kernel;
mod page;
mod parts;
mod shown;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::{Client, ControlError};
use super::options::SocketArgs;
use super::reader::{self, Reader};
use super::{Outcome, print, show, terminal};
use crate::columns;
use page::Page;
pub use shown::Only;
use shown::{Shown, What};

/// The options of `status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 status
  lone64 status lxcbr0
  lone64 status 2001:db8:1:2:c::/112 --live
  lone64 status --problems
  lone64 status --watch
  lone64 status --live --json | jq '.targets[].address'
  lone64 status --json | jq '.config.keys[] | select(.file)'

status names networks that no range serves, each with the lines that serve it;
they are not a problem. An argument or option that hides a part changes neither
the exit status nor the totals.

Exit status: 0 healthy, 1 not running or with problems, 2 wrong usage.")]
pub struct StatusArgs {
    /// Show only this interface or this prefix; general problems are always shown.
    #[arg(value_name = "IF|PREFIX")]
    pub only: Option<Only>,
    /// Show only live guests.
    #[arg(long)]
    pub live: bool,
    /// Show only what has a problem.
    #[arg(long, conflicts_with = "live")]
    pub problems: bool,
    /// Print one JSON object with everything.
    #[arg(long)]
    pub json: bool,
    /// Show it every second, in place, until interrupted; what does not fit the terminal is left out.
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
        let mut status = everything(&path, &json!({ "keys": true }))?;
        let health = Page::deserialize(&status)?.health();
        shown(args).cut(&mut status);
        print(&format!("{status:#}\n"))?;
        return Ok(health);
    }
    let mut page = page(&path, args)?;
    if !args.watch {
        show(&page.0.text())?;
        return Ok(page.1);
    }
    loop {
        terminal::measure();
        let text = terminal::readable(&page.0.text());
        let text = if terminal::can_move() {
            format!("{TO_AN_EMPTY_SCREEN}{}", fitting(text, terminal::room(io::stdout())))
        } else {
            text
        };
        if reader::show(&text)? == Reader::Gone || reader::wait(BETWEEN_PAGES)? == Reader::Gone {
            return Ok(page.1);
        }
        page = self::page(&path, args)?;
    }
}

fn shown(args: &StatusArgs) -> Shown {
    let what = match (args.live, args.problems) {
        (true, _) => What::Live,
        (_, true) => What::Problems,
        _ => What::All,
    };
    Shown { only: args.only.clone(), what }
}

/// What a person reads: guests that are live, and routes that are not as they should be. And how it is as a whole.
fn page(path: &Path, args: &StatusArgs) -> Result<(Page, ExitCode), Box<dyn std::error::Error>> {
    let params = json!({ "live_only": true, "differing_only": true });
    let shown = shown(args);
    let is_whole = shown == Shown::default();
    let mut status =
        if is_whole { Client::connect(path)?.ask("status", params)? } else { everything(path, &params)? };
    let health = Page::deserialize(&status)?.health();
    shown.cut(&mut status);
    let mut page = Page::deserialize(&status)?;
    page.is_whole = is_whole;
    page.missed = shown.missed(&status).map(|said| terminal::folded("", "    ", &said)).unwrap_or_default();
    Ok((page, health))
}

/// All pages, as one.
fn everything(path: &Path, params: &Value) -> Result<Value, ControlError> {
    let mut client = Client::connect(path)?;
    let mut status = client.ask("status", params.clone())?;
    loop {
        let more = status["more"].take();
        if more["after"].is_null() && more["routes_after"].is_null() {
            break;
        }
        // What has ended already is asked for behind its end, where there is nothing.
        let mut params = params.clone();
        params["after"] = last(&status["targets"], "address").unwrap_or(json!("::"));
        params["routes_after"] = last(&status["routes"], "destination").unwrap_or(json!("::/0"));
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

/// As many lines as there is room for, and how many are left out.
fn fitting(text: String, room: Option<(usize, usize)>) -> String {
    let Some((columns, rows)) = room else { return text };
    let height = |line: &str| columns::width(line).max(1).div_ceil(columns);
    // The cursor is on a line of its own.
    let most = rows.saturating_sub(1);
    if text.lines().map(height).sum::<usize>() <= most {
        return text;
    }
    let (mut fitting, mut used, mut left) = (String::new(), 0, text.lines().count());
    for line in text.lines() {
        used += height(line);
        if used >= most {
            break;
        }
        left -= 1;
        fitting += line;
        fitting.push('\n');
    }
    fitting + &format!("and {left} more lines\n")
}

fn last(list: &Value, key: &str) -> Option<Value> {
    Some(list.as_array()?.last()?[key].clone())
}

const BETWEEN_PAGES: Duration = Duration::from_secs(1);
/// The cursor home, and the rest of the screen empty (console_codes(4)).
const TO_AN_EMPTY_SCREEN: &str = "\x1b[H\x1b[2J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_the_terminal_and_says_how_much_does_not() {
        let text = "one\ntwo\nthree\nfour\n".to_owned();
        assert_eq!(fitting(text.clone(), None), text);
        assert_eq!(fitting(text.clone(), Some((80, 5))), text);
        assert_eq!(fitting(text.clone(), Some((80, 4))), "one\ntwo\nand 2 more lines\n");
        // What is wider than the terminal takes more of its lines, and colours take none.
        assert_eq!(fitting(text.clone(), Some((4, 5))), "one\ntwo\nand 2 more lines\n");
        let coloured = "\x1b[31mone\x1b[0m\ntwo\n".to_owned();
        assert_eq!(fitting(coloured.clone(), Some((3, 3))), coloured);
        assert_eq!(fitting(text, Some((80, 1))), "and 4 more lines\n");
    }
}
