//! `lone64 watch`: what happens in a running daemon, a line each.
//!
//! May touch: the control socket, standard output.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Outcome;
use super::control::{Client, Next};
use super::options::SocketArgs;
use super::reader::{self, Reader};
use super::terminal::{self, complain};

/// The options of `watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 watch
  lone64 watch --json | jq 'select(.event == \"unanswered\") | .reason'

Exit status: 0 if the reader of the output ends (| head), 1 if the daemon ends
or does not run, 2 wrong usage.")]
pub struct WatchArgs {
    /// Print one JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// Prints event after event; ends, with status 1, when the daemon does, and with status 0 when its reader does.
pub fn run(args: &WatchArgs) -> Outcome {
    let mut client = Client::connect(&args.of.path())?;
    client.ask("watch", Value::Null)?;
    // Who reads this knows from here on that nothing is missed.
    let mut next = Next::Line(WATCHING.to_owned());
    while let Next::Line(line) = next {
        let text = if args.json { line } else { shown(&sentence(&line)) };
        if reader::show(&text)? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
        next = client.next_event()?;
    }
    if let Next::Unread = next {
        return Ok(ExitCode::SUCCESS);
    }
    complain("lone64: the daemon has ended, or this terminal was too slow\n");
    Ok(ExitCode::FAILURE)
}

/// `12:34:56.789Z live 2001:db8::5 interface br0 mac 02:…`: what it is, of what, and the rest in the
/// order of the alphabet. Events that this version does not know are readable all the same.
fn sentence(line: &str) -> String {
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut take = |key: &str| event.remove(key).filter(|value| !value.is_null());
    let time = take("time").and_then(|time| time.as_f64()).map_or_else(|| " ".repeat(13), time_of_day);
    let mut words = vec![time, take("event").map_or_else(String::new, plain)];
    words.extend(["target", "route", "message"].into_iter().filter_map(&mut take).map(plain));
    for (key, value) in event.into_iter().filter(|(_, value)| !value.is_null()) {
        words.push(key.replace('_', " "));
        words.push(plain(value));
    }
    words.join(" ") + "\n"
}

/// On a terminal what does not fit is folded; in a pipe an event is a line.
fn shown(sentence: &str) -> String {
    let is_terminal = io::stdout().is_terminal();
    terminal::readable(&if is_terminal { folded(sentence) } else { sentence.to_owned() })
}

fn folded(sentence: &str) -> String {
    // As it begins: an event without a time has its name in the same column.
    let begin = sentence.len() - sentence.trim_start().len();
    terminal::folded(&sentence[..begin], "    ", &sentence[begin..])
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Of seconds since 1970, in UTC.
fn time_of_day(time: f64) -> String {
    let milliseconds = (time * 1000.0).round() as u64 % 86_400_000;
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}.{rest:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

const WATCHING: &str = "{\"event\":\"watching\"}\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_line_of_a_log() {
        let live = r#"{"event":"live","evidence":"dad","interface":"br0","mac":"02:00:00:00:00:05","target":"2001:db8::5","time":1700000000.25}"#;
        assert_eq!(
            sentence(live),
            "22:13:20.250Z live 2001:db8::5 evidence dad interface br0 mac 02:00:00:00:00:05\n"
        );
        let unanswered =
            r#"{"event":"unanswered","interface":"up0","reason":"hop_limit","target":null,"time":0.001}"#;
        assert_eq!(sentence(unanswered), "00:00:00.001Z unanswered interface up0 reason hop_limit\n");
        assert_eq!(sentence(r#"{"event":"dropped","count":7}"#), "              dropped count 7\n");
    }
}
