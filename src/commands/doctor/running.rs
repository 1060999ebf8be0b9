//! Which configuration is examined: what a running daemon serves by, or else what the files say.
//!
//! May touch: the files of the configuration, the control socket, and the command lines of processes.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::{Value, json};

use super::super::control::Client;
use super::super::options::RunArgs;
use super::DoctorArgs;
use crate::config::{Config, DEFAULT_FILE, Overrides, Problems, socket_in};
use crate::daemon::socket::holder;
use crate::doctor::{Examined, Process, gather};

/// What is examined.
pub(super) struct Meant {
    pub(super) config: Config,
    pub(super) examined: Examined,
    /// The status of the running daemon, if one answers.
    pub(super) daemon: Option<Value>,
}

/// Reads it. A mistake in the files is an error, unless a daemon runs that serves by what it has read before.
pub(super) fn meant(args: &DoctorArgs) -> Result<Meant, Problems> {
    let mut run = arguments(args);
    let has_options = !args.upstream.is_empty() || !args.range.is_empty();
    let is_open = args.config.is_none() && !has_options;
    let mut socket = socket_of(&run);
    let mut daemon = status(&socket);
    // One that was started with options of its own is meant too, if nothing else was named.
    if daemon.is_none() && is_open {
        let others = gather::processes().into_iter().filter_map(|process| started_with(&process));
        let answering = others.filter_map(|other| {
            let socket = socket_of(&other);
            Some((status(&socket)?, socket, other))
        });
        if let Some((status, at, other)) = answering.into_iter().next() {
            (daemon, socket, run) = (Some(status), at, other);
        }
    }
    let read = run.load_plain();
    let file = match &read {
        Ok(loaded) => loaded.files.main().map(Path::to_owned),
        Err(_) => Some(named(&run)),
    };
    let in_force = daemon
        .as_ref()
        .filter(|status| !has_options && (is_open || is_same(status, file.as_deref())))
        .and_then(in_force);
    let mistakes = read.as_ref().err().map(ToString::to_string);
    let has_socket = socket.exists();
    let removed_from = holder(&socket).filter(|_| !has_socket);
    let examined =
        Examined { file, socket, has_socket, removed_from, is_in_force: in_force.is_some(), mistakes };
    let config = match (in_force, read) {
        (Some(config), _) => config,
        (None, Ok(loaded)) => loaded.read.config,
        (None, Err(problems)) => return Err(problems),
    };
    Ok(Meant { config, examined, daemon })
}

/// The control socket of a daemon with these options, also where its file has mistakes or is gone.
fn socket_of(run: &RunArgs) -> PathBuf {
    match run.load_plain() {
        Ok(loaded) => loaded.read.config.control.socket,
        Err(_) => run.socket.clone().unwrap_or_else(|| socket_in(&named(run))),
    }
}

fn named(run: &RunArgs) -> PathBuf {
    run.config.clone().unwrap_or_else(|| DEFAULT_FILE.into())
}

fn arguments(args: &DoctorArgs) -> RunArgs {
    RunArgs {
        config: args.config.clone(),
        upstream: args.upstream.clone(),
        range: args.range.clone(),
        socket: None,
        verbose: 0,
        quiet: 0,
        record: None,
    }
}

/// As much of its status as is looked at; `None` where no daemon answers.
fn status(socket: &Path) -> Option<Value> {
    let params = json!({ "limit": MOST_GUESTS, "live_only": true, "keys": true });
    Client::connect(socket).and_then(|mut client| client.ask("status", params)).ok()
}

/// Whether the daemon has read this file, and not another.
fn is_same(status: &Value, file: Option<&Path>) -> bool {
    let absolute = file.and_then(|file| std::path::absolute(file).ok());
    status["config"]["file"].as_str().map(PathBuf::from) == absolute
}

/// The options of another process, if it is a daemon.
fn started_with(process: &Process) -> Option<RunArgs> {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }
    let at = process.command.iter().position(|word| word == "run").filter(|_| process.name == "lone64")?;
    Line::try_parse_from(&process.command[at..]).ok().map(|line| line.run)
}

/// The configuration that a daemon serves by: its keys, written down again. What nobody has written is left out, so
/// that it follows from the rest as it did.
fn in_force(status: &Value) -> Option<Config> {
    let config = &status["config"];
    let keys = config["keys"].as_array().filter(|_| config["keys_left_out"] == 0)?;
    let mut text = String::new();
    let mut table = (&Value::Null, &Value::Null);
    for key in keys {
        let name = key["table"].as_str()?;
        if (&key["table"], &key["of"]) != table {
            table = (&key["table"], &key["of"]);
            let header = if matches!(name, "upstream" | "range") {
                format!("[[{name}]]")
            } else {
                format!("[{name}]")
            };
            text += &format!("{header}\n");
        }
        if !matches!(key["origin"].as_str(), Some("default" | "automatic")) && !key["value"].is_null() {
            // TOML has strings, numbers and lists as JSON has them.
            text += &format!("{} = {}\n", key["key"].as_str()?, key["value"]);
        }
    }
    Overrides::default().parse(&text, "the running lone64").map(|read| read.config).ok()
}

/// As many live guests are asked for.
const MOST_GUESTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// As a daemon has it that was started with this text.
    fn status_of(text: &str) -> (Value, Config) {
        let read = Overrides::default().parse(text, "f").unwrap_or_else(|problems| panic!("{problems}"));
        let status = json!({ "config": { "keys": read.effective.keys(), "keys_left_out": 0 } });
        (status, read.config)
    }

    #[test]
    fn makes_of_the_keys_of_a_daemon_what_it_serves_by() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut count = 0;
        for entry in std::fs::read_dir(directory).expect("the configurations") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).expect("text");
                let (status, config) = status_of(&text);
                assert_eq!(in_force(&status), Some(config), "{}", path.display());
                count += 1;
            }
        }
        assert!(count > 3, "{count}");
        for text in [
            "",
            "[[range]]\nprefix = \"2001:db8::/112\"\ninterface = [\"a\", \"b*\"]\nexclude = [\"2001:db8::1\"]\n",
            "[[upstream]]\ninterface = \"a\"\n[[upstream]]\ninterface = \"b\"\nautomatic = false\n\
             [[range]]\nsuffix = \"::/64\"\ninterface = \"br0\"\nupstream = \"b\"\n",
        ] {
            let (status, config) = status_of(text);
            assert_eq!(in_force(&status), Some(config), "{text}");
        }
    }

    #[test]
    fn knows_the_options_of_a_daemon() {
        let process = |name: &str, words: &[&str]| Process {
            pid: 1,
            name: name.to_owned(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            unit: None,
        };
        let words = ["/usr/bin/lone64", "run", "--range", "2001:db8::/112=br0", "--socket", "/x/y.sock"];
        let run = started_with(&process("lone64", &words)).expect("a daemon");
        assert_eq!(run.socket, Some("/x/y.sock".into()));
        assert!(started_with(&process("lone64", &["lone64", "doctor"])).is_none());
        assert!(started_with(&process("other", &words)).is_none());
    }
}
