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
        describe(&mut page, "lone64", command);
    }
    page.section("FILES").terms(FILES);
    page.section("ENVIRONMENT").terms(ENVIRONMENT);
    page.section("OUTPUT FOR PROGRAMS").text(FOR_PROGRAMS).code(FAILED);
    page.section("PRIVILEGES").text(PRIVILEGES);
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

fn describe(page: &mut Writer, of: &str, command: &Command) {
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|a| !a.is_hide_set() && a.get_id() != "help").collect();
    let name = format!("{of} {}", command.get_name());
    page.subsection(&name);
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
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        describe(page, &name, inner);
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
    ("/etc/lone64/guests.d/*.toml", "Guests that come and go as files do, one [[guest]] each."),
    (
        "/etc/lone64/lone64.d/*.toml",
        "Drop-ins. lone64 reads them after the file, in the order of their names; see lone64.toml(5). For another \
         configuration F.toml they are F.d/*.toml.",
    ),
    ("/etc/sysctl.d/zz-lone64.conf", "What `lone64 doctor --fix` sets; see sysctl.d(5)."),
    (DEFAULT_SOCKET, "The control socket; see below. The next two files are in the same directory."),
    (
        "/run/lone64/control.sock.lock",
        "Locked by the daemon that owns the socket; contains its process id. The file stays after the daemon has \
         stopped, and means nothing then.",
    ),
    (
        "/run/lone64/control.sysctls",
        "With [sysctl] manage: the values that the changed sysctls had before. After a crash, the next daemon \
         restores them when it stops.",
    ),
    (
        "@lone64",
        "Not a file, but an abstract socket name (unix(7)) in the network namespace. By this name one lone64 sees \
         that another one runs. It disappears with the process.",
    ),
    ("/proc/sys/net/ipv6", "Read at the start, to warn if forwarding is off or the neighbor table is small."),
];

const ENVIRONMENT: &[Term] = &[
    (
        "LONE64_LOG",
        "The log level of lone64 run: error, warn, info, debug or trace. It overrides level in [log], and -v and -q \
         override it. A reload does not change it.",
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
With --json, a command prints one JSON object on standard output and nothing else; watch prints one on each line. A \
command that fails prints one error object, with or without a daemon. Its code is for programs: usage (exit status \
2); not_running, forbidden, silent or foreign, if no daemon answers as it should; configuration, with a list of \
problems, each with its place; nothing_to_import; a code of the control socket (see below); failed for everything \
else. If check finds mistakes, that is its result and not an error.";

const FAILED: &str = r#"
{"error":{"code":"not_running","message":"no lone64 answers at ..."}}"#;

const PRIVILEGES: &str = "\
lone64 needs CAP_NET_RAW and CAP_NET_ADMIN. Its unit runs it as the user lone64 with these two. Members of the group \
lone64 may use the control socket.

Started by other means, as root for example, run gives up the rest itself: all other capabilities (it keeps CAP_BPF if \
it has it, and CAP_DAC_OVERRIDE if it cannot open the configuration or the directory of the socket without it), new \
privileges for what it starts, files outside the directories of the control socket and of the trace (Landlock, since \
Linux 5.13), and system calls that it never makes, such as mount(2) and ptrace(2) (seccomp). So a socket in another \
directory takes a restart. What the kernel does not have is left out. With --verbose the log names each part.";

const SIGNALS: &[Term] = &[
    (
        "SIGHUP",
        "Read the configuration again, as lone64 reload does: all of it or, if it has a mistake, none of it. The log \
         shows what changed, or every mistake.",
    ),
    (
        "SIGTERM, SIGINT",
        "Stop, with exit status 0. lone64 removes its routes and the addresses of gateway unless on-stop = \"keep\", \
         and restores the flags of interfaces. For some hundred routes this takes milliseconds. lone64 continues as \
         long as the kernel confirms, and reports this to the service manager. A second signal stops it at once, \
         with exit status 1, unless it comes within a tenth of a second, as that of timeout(1) does. After lone64 hand-over, which the unit runs at a restart, everything stays in the kernel \
         for the next start.",
    ),
];

const EXIT_STATUS: &[Term] = &[
    ("0", "Done or healthy."),
    ("1", "Failed or not healthy; the reason is on standard error."),
    ("2", "Wrong usage."),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Serve a /112 of the host's /64 for the containers behind a bridge, without a file:",
        "lone64 run --range 2001:db8:1:2:c::/112=lxcbr0",
    ),
    ("Take over from ndppd:", "lone64 import /etc/ndppd.conf > /etc/lone64/lone64.toml\nlone64 check"),
    (
        "Show every route that lone64 has in the kernel, remove them by hand (64 is protocol in [routes]), and show \
         where the guests' gateway is, if the configuration has gateway = \"fe80::1\":",
        "ip -6 route show table all proto 64\nip -6 route flush table all proto 64\nip -6 addr show to fe80::1",
    ),
];
