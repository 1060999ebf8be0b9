//! lone64(8): what `--help` says of every command, and what it has no room for.

use clap::{Arg, Command};
use clap_mangen::roff::{Inline, bold, italic, roman};

use super::page::{Term, Writer};
use super::socket;
use crate::config::DEFAULT_SOCKET;

/// The page in roff.
pub(super) fn render(mut program: Command) -> String {
    program.build();
    let mut page = Writer::new("LONE64", "8", &lowercase_first(&about(&program)));
    page.section("SYNOPSIS").line(vec![
        bold("lone64"),
        roman(" "),
        italic("command"),
        roman(" ["),
        italic("option"),
        roman(" ...]"),
    ]);
    page.section("DESCRIPTION").text(&long_about(&program));
    page.section("COMMANDS");
    for command in
        program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        describe(&mut page, command);
    }
    page.section("FILES").terms(FILES);
    page.section("ENVIRONMENT").terms(ENVIRONMENT);
    page.section("OUTPUT FOR PROGRAMS").text(FOR_PROGRAMS).code(FAILED);
    page.section("SIGNALS").terms(SIGNALS);
    page.section("EXIT STATUS").terms(EXIT_STATUS);
    socket::describe(&mut page);
    page.section("EXAMPLES");
    for (what, code) in EXAMPLES {
        page.text(what).code(code);
    }
    page.section("SEE ALSO")
        .text("lone64.toml(5), lone64-metrics(7), ip-neighbor(8), ip-route(8), systemd.service(5)");
    page.render()
}

fn describe(page: &mut Writer, command: &Command) {
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|a| !a.is_hide_set() && a.get_id() != "help").collect();
    page.subsection(&format!("lone64 {}", command.get_name()));
    page.text(&long_about(command));
    for argument in arguments {
        page.term(head(argument), &help(argument));
    }
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    for part in after.unwrap_or_default().split("\n\n") {
        match part.strip_prefix("Examples:\n") {
            Some(code) => page.text("Examples:").code(&unindented(code)),
            None if part.is_empty() => page,
            None => page.text(part),
        };
    }
}

/// `--option VALUE`, or the name of a positional.
fn head(argument: &Arg) -> Vec<Inline> {
    let mut words = Vec::new();
    if let Some(long) = argument.get_long() {
        if let Some(short) = argument.get_short() {
            words.extend([bold(format!("-{short}")), roman(", ")]);
        }
        words.push(bold(format!("--{long}")));
    }
    if argument.get_action().takes_values() {
        let names = argument.get_value_names().unwrap_or_default();
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        if !words.is_empty() {
            words.push(roman(" "));
        }
        words.push(italic(names.join(" ")));
    }
    words
}

fn help(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    if !text.ends_with('.') {
        text.push('.');
    }
    let values: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if argument.get_action().takes_values() && !values.is_empty() {
        text.push_str(&format!(" One of {}.", values.join(", ")));
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        text.push_str(&format!(" The default is {}.", defaults.join(" ")));
    }
    text
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn long_about(command: &Command) -> String {
    command.get_long_about().map(ToString::to_string).unwrap_or_else(|| about(command))
}

fn unindented(code: &str) -> String {
    code.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

/// As the second half of the NAME line wants it.
fn lowercase_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

const FILES: &[Term] = &[
    ("/etc/lone64/lone64.toml", "The configuration; see lone64.toml(5)."),
    (
        "/etc/lone64/lone64.d/*.toml",
        "Drop-ins, which are read behind it in the order of their names; see lone64.toml(5). Beside another \
         configuration F.toml these are F.d/*.toml.",
    ),
    ("/etc/sysctl.d/zz-lone64.conf", "What `lone64 doctor --fix` has set; see sysctl.d(5)."),
    (DEFAULT_SOCKET, "The control socket; see below. The next two lie beside it, wherever it is."),
    (
        "/run/lone64/control.sock.lock",
        "Locked by the daemon that has the socket, with its process id. It stays behind, and says nothing then.",
    ),
    (
        "/run/lone64/control.sysctls",
        "The settings of the kernel that are changed, as they were before, if [sysctl] manage is on: a daemon that \
         follows one that was killed puts them back at its end.",
    ),
    (
        "@lone64",
        "No file, but a socket name of the network namespace (unix(7), abstract), by which one lone64 knows of another. \
         It goes with the process.",
    ),
    (
        "/proc/sys/net/ipv6",
        "Read at the start, to warn where forwarding is off or the neighbor table is small.",
    ),
];

const ENVIRONMENT: &[Term] = &[
    (
        "LONE64_LOG",
        "For lone64 run: error, warn, info, debug or trace, the least important lines that are logged. It goes before \
         level in [log], and -v and -q go before it. A reload does not change what these say.",
    ),
    (
        "NO_COLOR, TERM",
        "No command prints colors if NO_COLOR is not empty, if TERM is dumb, or if the output is not a terminal.",
    ),
    (
        "LC_ALL, LC_CTYPE, LANG",
        "The first one that is not empty names the character set. If it is not UTF-8, what lone64 prints for people has \
         only ASCII characters. JSON is always UTF-8.",
    ),
];

const FOR_PROGRAMS: &str = "\
With --json a command prints one JSON object on standard output and nothing else (watch: one on each line). If it \
fails, that is one error, whichever command it is, and with or without a daemon. Its code is for programs: usage (exit \
status 2); not_running, forbidden, silent and foreign, if no daemon answers as it should; configuration, with \
problems, each with its place; nothing_to_import; the codes of the control socket (below); and failed for everything \
else. A configuration that check finds wrong is its result, and no error.";

const FAILED: &str = r#"
{"error":{"code":"not_running","message":"no lone64 answers at ..."}}"#;

const SIGNALS: &[Term] = &[
    (
        "SIGHUP",
        "Read the configuration again, as lone64 reload does: all of it or, on a mistake, nothing; the log has what \
         has changed, or every mistake.",
    ),
    (
        "SIGTERM, SIGINT",
        "Stop, with exit status 0. Routes and the addresses of gateway are removed unless on-stop = \"keep\", and the \
         flags of interfaces are as they were. That takes milliseconds for some hundred routes; as long as the \
         kernel confirms, it goes on, and the service manager is told. A second one ends it at once, with exit \
         status 1.",
    ),
];

const EXIT_STATUS: &[Term] = &[
    ("0", "Done, or healthy."),
    ("1", "Failed, or not healthy; the reason is on standard error."),
    ("2", "Wrong usage."),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Serve a /112 out of the host's /64 for the containers behind a bridge, without a file:",
        "lone64 run --range 2001:db8:1:2:c::/112=lxcbr0",
    ),
    ("Take over from ndppd:", "lone64 import /etc/ndppd.conf > /etc/lone64/lone64.toml\nlone64 check"),
    (
        "Every route that lone64 has in the kernel, and its removal by hand (64 is the protocol of [routes]); and where the guests' gateway is, if the \
         configuration says gateway = \"fe80::1\":",
        "ip -6 route show table all proto 64\nip -6 route flush table all proto 64\nip -6 addr show to fe80::1",
    ),
];
