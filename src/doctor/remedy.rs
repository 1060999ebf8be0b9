//! What puts something right, and what else it does: for how long, whether it can cut the path that its reader came by,
//! whether it opens guests to the Internet, what it switches off.
//!
//! Pure. `commands/doctor` prints it, and `fix` applies the one kind that is safe to apply.

use serde_json::{Value, json};

/// What puts something right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A safe one, which `--fix` applies itself.
    Fix(Fix),
    /// A line for the shell.
    Command(Command),
    /// Lines for lone64.toml.
    Config(String),
    /// Something that only a person can do.
    Advice(String),
}

/// A remedy that changes one value, harms nothing, and is undone by setting the value back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The sysctl, as a path below `/proc/sys`.
    pub key: String,
    /// What to set it to.
    pub value: String,
}

/// A line for the shell, with its effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// To be typed as it stands; never broken.
    pub line: String,
    /// For how long.
    pub lasts: Lasts,
    /// Whether it can cut the connection that it is typed over.
    pub can_cut: bool,
    /// What it opens to the Internet, without a full stop.
    pub opens: Option<String>,
    /// What it switches off besides, without a full stop.
    pub disables: Option<String>,
}

/// For how long a change holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lasts {
    /// It is in a file.
    Lasting,
    /// Until the next boot, or until the program that keeps it starts again; with what makes it last, where that is
    /// known of this host.
    UntilReboot(Option<String>),
}

impl Fix {
    /// The same as a line for the shell. Keys are written with slashes, because the name of an
    /// interface may contain a dot.
    pub fn command(&self) -> String {
        format!("sysctl -w {}={}", self.key, self.value)
    }

    /// The line of sysctl.d(5) that makes it last.
    pub fn line(&self) -> String {
        format!("{} = {}", self.key, self.value)
    }
}

impl Command {
    /// One that holds until the next boot, and does nothing else.
    pub fn new(line: impl Into<String>) -> Self {
        let line = line.into();
        Self { line, lasts: Lasts::UntilReboot(None), can_cut: false, opens: None, disables: None }
    }

    /// It is in a file.
    pub fn lasting(self) -> Self {
        Self { lasts: Lasts::Lasting, ..self }
    }

    /// What makes it last, if that is known.
    pub fn for_good(self, how: Option<String>) -> Self {
        Self { lasts: Lasts::UntilReboot(how), ..self }
    }

    /// It can cut the connection that it is typed over.
    pub fn can_cut(self) -> Self {
        Self { can_cut: true, ..self }
    }

    /// What it opens to the Internet.
    pub fn opens(self, what: impl Into<String>) -> Self {
        Self { opens: Some(what.into()), ..self }
    }

    /// What it switches off besides.
    pub fn disables(self, what: impl Into<String>) -> Self {
        Self { disables: Some(what.into()), ..self }
    }
}

impl From<String> for Command {
    fn from(line: String) -> Self {
        Self::new(line)
    }
}

impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Self::new(line)
    }
}

impl Remedy {
    /// What it does besides, one sentence each, with a word before it. `file` is where `--fix` keeps sysctls.
    pub fn effects(&self, file: &str) -> Vec<(&'static str, String)> {
        let until_boot = |how: Option<String>| {
            let how = how.map(|how| format!("; for good: {how}")).unwrap_or_default();
            ("lasts:", format!("until the next boot{how}"))
        };
        match self {
            Self::Fix(fix) => {
                vec![until_boot(Some(format!("`lone64 doctor --fix`, or `{}` in {file}", fix.line())))]
            }
            Self::Command(command) => {
                let mut all = Vec::new();
                if command.can_cut {
                    all.push(("note:", CUTS.to_owned()));
                }
                all.extend(command.opens.iter().map(|what| ("note:", format!("it opens {what}"))));
                all.extend(command.disables.iter().map(|what| ("note:", format!("it switches off {what}"))));
                if let Lasts::UntilReboot(how) = &command.lasts {
                    all.push(until_boot(how.clone()));
                }
                all
            }
            Self::Config(_) | Self::Advice(_) => Vec::new(),
        }
    }

    /// As `--json` has it: `kind` and `text`, and of what changes the host at once its effects.
    pub fn to_json(&self, file: &str) -> Value {
        let changing = |kind: &str, text: &str, command: &Command| {
            let (lasts, for_good) = match &command.lasts {
                Lasts::Lasting => ("lasting", None),
                Lasts::UntilReboot(how) => ("until-reboot", how.clone()),
            };
            json!({
                "kind": kind,
                "text": text,
                "lasts": lasts,
                "for_good": for_good,
                "can_cut": command.can_cut,
                "opens": command.opens,
                "disables": command.disables,
            })
        };
        match self {
            Self::Fix(fix) => {
                let line = fix.command();
                let kept = Some(format!("echo '{}' >> {file}", fix.line()));
                changing("fix", &line, &Command::new(line.as_str()).for_good(kept))
            }
            Self::Command(command) => changing("command", &command.line, command),
            Self::Config(lines) => json!({ "kind": "config", "text": lines }),
            Self::Advice(sentence) => json!({ "kind": "advice", "text": sentence }),
        }
    }
}

const CUTS: &str = "it can cut the connection that you type it over; have the provider's console at hand";

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/etc/sysctl.d/zz-lone64.conf";

    #[test]
    fn says_what_a_command_does_besides() {
        let plain = Remedy::Command(Command::new("true").lasting());
        assert!(plain.effects(FILE).is_empty());
        let command = Command::new("x").can_cut().opens("every port of 2001:db8::/64").disables("icc");
        let effects = Remedy::Command(command.clone()).effects(FILE);
        assert_eq!(
            effects.iter().map(|(word, _)| *word).collect::<Vec<_>>(),
            ["note:", "note:", "note:", "lasts:"]
        );
        let object = Remedy::Command(command).to_json(FILE);
        assert_eq!((&object["can_cut"], &object["lasts"]), (&json!(true), &json!("until-reboot")));
        assert_eq!(object["opens"], "every port of 2001:db8::/64");
    }

    #[test]
    fn says_how_a_sysctl_is_kept() {
        let fix = Remedy::Fix(Fix { key: "net/core/x".to_owned(), value: "1".to_owned() });
        assert_eq!(fix.to_json(FILE)["for_good"], format!("echo 'net/core/x = 1' >> {FILE}"));
        let (word, sentence) = fix.effects(FILE).remove(0);
        assert!(word == "lasts:" && sentence.contains("--fix") && sentence.contains(FILE), "{sentence}");
    }
}
