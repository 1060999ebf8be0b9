//! What the program says: in words that everybody knows, and in lines that a terminal has room for.
//!
//! Reads every string of the sources, and the help as clap prints it.

#![allow(clippy::unwrap_used)]

mod literals;

use std::collections::BTreeSet;
use std::process;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser};
use literals::Literal;
use lone64::cli::Cli;
use lone64::columns::{self, USUAL};

/// Words that a reader with average English stumbles over, or for which there is another word here.
const BANNED: [&str; 26] = [
    "whoever",
    "whatever",
    "whichever",
    "whosoever",
    "his",
    "her",
    "anew",
    "mend",
    "mends",
    "hence",
    "thereby",
    "thereof",
    "hitherto",
    "upon",
    "in vain",
    "of its",
    "of theirs",
    "somebody",
    "all the same",
    "astray",
    // One word for one thing.
    "station",
    "stations",
    "neighbour",
    "neighbours",
    "colour",
    "colours",
];

/// Of these the comments are free, too.
const BANNED_IN_COMMENTS: [&str; 9] =
    ["whoever", "whosoever", "his", "anew", "mend", "mends", "hence", "thereof", "in vain"];

/// What these rooms say is looked at elsewhere.
const ELSEWHERE: [&str; 4] = ["doctor", "commands/doctor", "commands/explain", "engine/answers/explain"];

/// Commands that are longer than a line with the longest values, as the sources have them. They are never broken, and
/// have a line of their own.
const LONG_COMMANDS: [&str; 3] = [
    "ip -6 addr add {address}/64 dev {name}",
    "ip -6 neigh del {address} dev {name}",
    "ip -6 route show{} {destination}",
];

#[test]
fn what_is_printed_has_no_word_that_few_people_know() {
    let found: Vec<_> = literals::sentences()
        .into_iter()
        .filter(|literal| is_here(&literal.place))
        .flat_map(|literal| banned(&literal.place, &literal.text, &BANNED))
        .collect();
    assert!(found.is_empty(), "{} texts:\n{}", found.len(), found.join("\n"));
}

#[test]
fn help_has_no_word_that_few_people_know() {
    let helps = helps();
    let here = helps
        .iter()
        .filter(|(name, _)| !ELSEWHERE.iter().any(|room| name.contains(&room.replace("commands/", " "))));
    let found: Vec<_> = here.flat_map(|(name, text)| banned(name, text, &BANNED)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn comments_have_no_word_that_nobody_uses() {
    let comments = literals::comments();
    let here = comments.iter().filter(|(place, _)| is_here(place));
    let found: Vec<_> = here.flat_map(|(place, text)| banned(place, text, &BANNED_IN_COMMENTS)).collect();
    assert!(found.is_empty(), "{} comments:\n{}", found.len(), found.join("\n"));
}

#[test]
fn help_fits_eighty_columns() {
    let helps = helps();
    assert!(helps.len() > 20, "{}", helps.len());
    // An example that is too long would be broken, and could not be copied.
    let mut wide: Vec<_> = commands()
        .iter()
        .filter_map(|command| Some((command.get_name().to_owned(), command.get_after_help()?.to_string())))
        .flat_map(|(name, text)| text.lines().map(|line| (name.clone(), line.to_owned())).collect::<Vec<_>>())
        .filter(|(_, line)| columns::width(line) > USUAL)
        .collect();
    wide.extend(
        helps
            .iter()
            .flat_map(|(name, text)| text.lines().map(move |line| (name.clone(), line.to_owned())))
            .filter(|(_, line)| columns::width(line) > USUAL),
    );
    assert!(wide.is_empty(), "{wide:#?}");
}

/// A table of every sentence: how wide it is at its widest, folded as it is printed, with the longest names, addresses
/// and prefixes in it.
#[test]
fn every_sentence_fits_eighty_columns_but_for_the_commands_in_it() {
    let (mut commands, mut wide) = (BTreeSet::new(), Vec::new());
    let sentences = literals::sentences();
    assert!(sentences.len() > 500, "{}", sentences.len());
    for literal in &sentences {
        let filled = literal.filled();
        let folded = columns::lines_folded(&filled, USUAL);
        let widest = folded.lines().map(columns::width).max().unwrap_or(0);
        println!("{widest:3}  {}", literal.place);
        for line in folded.lines().filter(|line| columns::width(line) > USUAL) {
            let line = line.trim();
            let is_command = line.starts_with('`') && line.matches('`').count() == 2;
            if is_command && !is_here(&literal.place) {
                println!("a long command: {line}");
            } else if is_command {
                commands.insert(written(literal, line));
            } else {
                wide.push(format!("{}: {line}", literal.place));
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
    let known: BTreeSet<String> = LONG_COMMANDS.iter().map(|command| (*command).to_owned()).collect();
    assert_eq!(commands, known);
}

/// A text that tells what to type has to be right: each command that it names runs on a host with the interface that it
/// names. Of the doctor's remedies that is shown elsewhere.
#[test]
fn every_command_in_a_text_can_be_typed() {
    let mut seen = BTreeSet::new();
    for literal in literals::sentences().iter().filter(|literal| is_here(&literal.place)) {
        let commands = literal.text.split('`').skip(1).step_by(2);
        for command in commands.map(typed).filter(|command| !command.contains(['{', '…'])) {
            if let Some(words) = command.strip_prefix("lone64 ") {
                let words = ["lone64"].into_iter().chain(words.split_whitespace());
                // A command that needs more is named without it.
                let error = Cli::try_parse_from(words).err().filter(|error| error.kind() != MISSING);
                if let Some(error) = error.filter(clap::Error::use_stderr) {
                    panic!("{}: {command}: {error}", literal.place);
                }
            } else if PROGRAMS.iter().any(|known| command.starts_with(known)) && !command.contains(HOST_WIDE)
            {
                seen.insert((command, literal.place.clone()));
            }
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
    for (command, place) in seen {
        let mut shell = process::Command::new("unshare");
        let output = shell.args(["-r", "-n", "sh", "-c"]);
        let output = output.arg(format!("{HOST}\n{command}")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {command}: {said}");
    }
}

/// As somebody would type it who has read it in a message.
fn typed(command: &str) -> String {
    let values = [
        ("{name}", "up0"),
        ("{upstream}", "up0"),
        ("{own}", "up0"),
        ("{master}", "up0"),
        ("INTERFACE", "up0"),
        ("{address}", "2001:db8::7"),
        ("{target}", "2001:db8::7"),
        ("ADDRESS", "2001:db8::7"),
        ("{guest}", "2001:db8::7"),
        ("{prefix}", "2001:db8::/64"),
        ("{destination}", "2001:db8::/64"),
        ("{file}", "/etc/ndppd.conf"),
        ("{needed}", "4096"),
        ("{}", ""),
    ];
    values.iter().fold(command.to_owned(), |text, (name, value)| text.replace(name, value))
}

const MISSING: ErrorKind = ErrorKind::MissingRequiredArgument;

const PROGRAMS: [&str; 5] = ["ip ", "bridge ", "sysctl ", "ss ", "nft "];

/// A setting that no namespace but the first has.
const HOST_WIDE: &str = "neigh.default.gc_thresh3";

/// What the texts take for granted.
const HOST: &str = "set -e
ip link add up0 type bridge
ip link set up0 up
nft add table ip6 lone64
ip -6 neigh add proxy 2001:db8::7 dev up0 2>/dev/null || true
ip -6 neigh replace 2001:db8::7 lladdr 02:00:00:00:00:07 dev up0 nud permanent
";

/// The command as the source has it.
fn written(literal: &Literal, line: &str) -> String {
    let commands = literal.text.split('`').skip(1).step_by(2);
    let filled = |command: &&str| Literal { place: String::new(), text: (*command).to_owned() }.filled();
    let mut commands = commands.filter(|command| line.contains(&filled(command)));
    commands.next().unwrap_or(line).to_owned()
}

fn is_here(place: &str) -> bool {
    !ELSEWHERE.iter().any(|room| place.starts_with(room))
}

/// Each of the words that is in the text, with its place.
fn banned(place: &str, text: &str, words: &[&str]) -> Vec<String> {
    let plain = text.to_lowercase();
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let has = |word: &&&str| {
        plain.match_indices(**word).any(|(at, word)| {
            !plain[..at].ends_with(is_letter) && !plain[at + word.len()..].starts_with(is_letter)
        })
    };
    words.iter().filter(has).map(|word| format!("{place}: \"{word}\" in: {text}")).collect()
}

/// Of every command its short and its long help, as a terminal of the usual width shows them.
fn helps() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for mut command in commands() {
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        found.push((format!("{name} -h"), command.render_help().to_string()));
        found.push((format!("{name} --help"), command.render_long_help().to_string()));
    }
    found
}

/// The program, and every command of it.
fn commands() -> Vec<Command> {
    let mut program = Cli::command();
    program.build();
    let inner: Vec<_> =
        program.get_subcommands().filter(|inner| inner.get_name() != "help").cloned().collect();
    [vec![program], inner].concat()
}
