//! `lone64 claim` and `lone64 release`: an address, a prefix or a guest is here from now on, or no more.
//!
//! May touch: the control socket, the list of claims beside it where no daemon runs, standard output.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::control::{Client, ControlError};
use super::options::SocketArgs;
use super::terminal::folded;
use super::{Outcome, print, show};
use crate::config::lifetime;
use crate::daemon::claiming::{object_of, release_for_the_next_start};
use crate::engine::facts::IfName;
use crate::engine::guests::Object;
use crate::wire::Mac;

/// The options of `claim`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 claim 2001:db8:1:2:c::5
  lone64 claim 2001:db8:1:2:c::5 --interface wg0 --for 1h
  lone64 claim 2001:db8:1:2:c:1::/112 --via fe80::5054:ff:fe12:3456
  lone64 claim web1 --interface tap7
  lone64 claim 2001:db8:1:2:c::/112

A prefix without --via is all or a part of a range with standby = true.
TIME is a whole number and a unit: s, m, h or d. A new claim replaces the one
before of the same address, prefix or guest, also its time. If one of several
is refused, none is claimed.

Exit status: 0 claimed, 1 refused or not running, 2 wrong usage.")]
pub struct ClaimArgs {
    /// What is here: addresses, prefixes, or names of guests.
    #[arg(value_name = "ADDRESS|PREFIX|NAME", required = true, num_args = 1.., value_parser = object_of)]
    pub what: Vec<Object>,
    /// The interface that it is behind [default: that of the guest, or the only one of the range].
    #[arg(long, value_name = "IF")]
    pub interface: Option<IfName>,
    /// Its MAC, if it is known.
    #[arg(long, value_name = "MAC")]
    pub mac: Option<Mac>,
    /// Route it through this address, such as the guest's link-local one; a prefix on Ethernet needs it, except in a range with `standby = true`.
    #[arg(long, value_name = "ADDRESS")]
    pub via: Option<Ipv6Addr>,
    /// End the claim after this time; otherwise it ends with `lone64 release`.
    #[arg(long = "for", value_name = "TIME", value_parser = lifetime)]
    pub time: Option<Duration>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// The options of `release`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 release 2001:db8:1:2:c::5
  lone64 release web1 2001:db8:1:2:c:1::/112

The ones that are claimed are released, also if others are not. While no
lone64 runs, they are taken from the list of what the next start claims.

Exit status: 0 released, 1 not claimed or not running, 2 wrong usage.")]
pub struct ReleaseArgs {
    /// What is no longer here, as it was claimed.
    #[arg(value_name = "ADDRESS|PREFIX|NAME", required = true, num_args = 1.., value_parser = object_of)]
    pub what: Vec<Object>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// Claims all of it, or nothing.
pub fn claim(args: &ClaimArgs) -> Outcome {
    let params = json!({
        "what": written(&args.what),
        "interface": args.interface,
        "mac": args.mac,
        "via": args.via,
        "for": args.time.map(|time| format!("{}s", time.as_secs().max(1))),
    });
    let result = Client::connect(&args.of.path())?.ask("claim", params)?;
    match args.json {
        true => print(&format!("{result:#}\n"))?,
        false => show(&claimed(&result))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Releases what is claimed. Where no daemon runs, the next one does not claim it: who releases it gives it to another
/// host.
pub fn release(args: &ReleaseArgs) -> Outcome {
    let path = args.of.path();
    let ask = || Client::connect(&path)?.ask("release", json!({ "what": written(&args.what) }));
    let asked = match ask() {
        Err(ControlError::NotRunning(_)) => {
            let released = release_for_the_next_start(&path, &args.what);
            // One that has started meanwhile has read of it before, or not.
            match ask() {
                Err(ControlError::NotRunning(_)) => return told_for_the_next_start(args, path, &released),
                asked => asked,
            }
        }
        asked => asked,
    };
    let result = asked?;
    match args.json {
        true => print(&format!("{result:#}\n"))?,
        false => {
            let released = result["released"].as_array().into_iter().flatten().filter_map(Value::as_str);
            show(&released.map(|object| folded("released ", "    ", object)).collect::<String>())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told_for_the_next_start(args: &ReleaseArgs, path: PathBuf, released: &[Object]) -> Outcome {
    if args.json && !released.is_empty() {
        print(&format!("{:#}\n", json!({ "released": written(released) })))?;
    } else if !released.is_empty() {
        let line = |object: &Object| {
            folded(
                "released ",
                "    ",
                &format!("{object}: no lone64 answers, and the next one will not have it"),
            )
        };
        show(&released.iter().map(line).collect::<String>())?;
    }
    match released.len() == args.what.len() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(ControlError::NotRunning(path).into()),
    }
}

fn written(what: &[Object]) -> Vec<String> {
    what.iter().map(ToString::to_string).collect()
}

fn claimed(result: &Value) -> String {
    let line = |claim: &Value| {
        let text = |key: &str| claim[key].as_str().unwrap_or_default().to_owned();
        let place = match text("interface") {
            name if name.is_empty() => String::new(),
            name => format!(" on {name}"),
        };
        let time = claim["seconds_left"].as_u64().map(|seconds| format!(" for {seconds} s"));
        let missing = match text("missing") {
            none if none.is_empty() => String::new(),
            missing => format!("; not here yet: {missing}"),
        };
        folded("claimed ", "    ", &format!("{}{place}{}{missing}", text("object"), time.unwrap_or_default()))
    };
    result["claimed"].as_array().into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_it_is_and_for_how_long_or_what_is_missing() {
        let here = json!({ "claimed": [
            { "object": "2001:db8::5", "interface": "br0", "seconds_left": 3600, "missing": null },
            { "object": "web1", "interface": null, "seconds_left": null, "missing": "tap7 is down" },
        ] });
        assert_eq!(
            claimed(&here),
            "claimed 2001:db8::5 on br0 for 3600 s\nclaimed web1; not here yet: tap7 is down\n"
        );
    }
}
