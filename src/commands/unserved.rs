//! The networks that nobody serves, as `status` and `check` show them: with the lines to be copied.
//!
//! May touch: nothing.

use super::wrapped;
use crate::daemon::unserved::{Network, Nothing};

/// A block for each of them, and for those that are left out a line; nothing if there are none. `count` is how many
/// there are.
pub(super) fn text(networks: &[Network], count: usize) -> String {
    let mut text = String::new();
    let mut instead: Vec<&str> = Vec::new();
    let shown = networks.len().min(MOST_SHOWN);
    for Network { prefix, interface, lines, instead: sentence, .. } in &networks[..shown] {
        text += &wrapped(WORD, &format!("no range serves {prefix} on {interface}; these lines do:"));
        for line in lines.lines() {
            text += &format!("{INDENT}    {line}\n");
        }
        if !instead.contains(&sentence.as_str()) {
            instead.push(sentence);
        }
    }
    if count > shown {
        text += &wrapped(WORD, &format!("and {} more networks; `--json` lists more of them", count - shown));
    }
    instead.iter().for_each(|sentence| text += &wrapped(INDENT, sentence));
    text
}

/// That nothing is served at all.
pub(super) fn nothing(Nothing { message, lines }: &Nothing) -> String {
    let Some(lines) = lines else { return wrapped("warning: ", message) };
    let text = wrapped("warning: ", &format!("{message}; these lines serve:"));
    lines.lines().fold(text, |text, line| text + &format!("             {line}\n"))
}

const WORD: &str = "unserved: ";
const INDENT: &str = "          ";
/// A person who has more of them needs the sentence behind them.
const MOST_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: usize) -> Network {
        Network {
            prefix: format!("2001:db8:1:2:{number}::/80").parse().unwrap(),
            interface: "docker0".to_owned(),
            upstream: "eth0".to_owned(),
            lines: format!("[[range]]\nprefix = \"2001:db8:1:2:{number}::/80\"\ninterface = \"docker0\"\n"),
            instead:
                "automatic = true in [[upstream]] serves all such networks, and automatic = false ignores \
                      them"
                    .to_owned(),
        }
    }

    #[test]
    fn shows_the_lines_to_be_copied_and_what_helps_instead_once() {
        let expected = "\
unserved: no range serves 2001:db8:1:2:1::/80 on docker0; these lines do:
              [[range]]
              prefix = \"2001:db8:1:2:1::/80\"
              interface = \"docker0\"
unserved: no range serves 2001:db8:1:2:2::/80 on docker0; these lines do:
              [[range]]
              prefix = \"2001:db8:1:2:2::/80\"
              interface = \"docker0\"
          automatic = true in [[upstream]] serves all such networks, and
          automatic = false ignores them
";
        assert_eq!(text(&[network(1), network(2)], 2), expected);
        assert_eq!(text(&[], 0), "");
    }

    #[test]
    fn shows_a_few_of_thousands() {
        let all: Vec<_> = (1..100).map(network).collect();
        let text = text(&all, 4_000);
        assert_eq!(text.matches("no range serves").count(), MOST_SHOWN);
        assert!(text.contains("unserved: and 3992 more networks; `--json` lists more of them\n"), "{text}");
    }
}
