//! Tables of nftables, by nft(8): `ip6 lone64` whole, others as their rooms write them.
//!
//! A child process is slow, so it runs only where the configuration asks for a table, and only when that changes. There is no
//! crate with a licence like ours that talks nf_tables to the kernel. The ruleset has numbers only, so that no name
//! of an interface can mean something to nft.

use std::fmt::{self, Write};
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::engine::{Fate, Suppression};

/// Why tables could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// There is no nft.
    #[error(
        "{0} needs the program nft, and it is not in {dirs}: install the Debian package nftables, or {remedy}",
        dirs = DIRECTORIES.join(", "),
        remedy = .0.remedy()
    )]
    Missing(Purpose),
    /// It cannot be run.
    #[error("cannot run {1}, which {0} needs")]
    Run(Purpose, &'static str, #[source] io::Error),
    /// It does not come back.
    #[error("nft did not finish within {} s, so the state of {} is unknown", .0.patience().as_secs(), .0.tables())]
    Slow(Purpose),
    /// Not privileged.
    #[error("no permission to change {tables}; run lone64 as root or with CAP_NET_ADMIN ({1})", tables = .0.tables())]
    Denied(Purpose, String),
    /// The kernel has no nftables.
    #[error(
        "{0} needs nftables, and the kernel does not have it ({options}; `modprobe nf_tables` loads it if it is a \
         module) ({1})",
        options = .0.options()
    )]
    Unsupported(Purpose, String),
    /// Whatever else nft has to say.
    #[error("nft refuses {tables}: {1}{remedy}", tables = .0.tables(), remedy = .0.remedy_of_refusal())]
    Refused(Purpose, String),
}

/// What tables are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `suppress-kernel`.
    Suppress,
    /// `guard`.
    Guard,
    /// `nft-sets`.
    Sets,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suppress => "`suppress-kernel`",
            Self::Guard => "`guard`",
            Self::Sets => "`nft-sets`",
        })
    }
}

impl Purpose {
    fn remedy(self) -> &'static str {
        match self {
            Self::Suppress => "remove `suppress-kernel` from [[upstream]]",
            Self::Guard => "remove `guard` from [[guest]] and [[range]]",
            Self::Sets => "remove `nft-sets` from [export]",
        }
    }

    fn remedy_of_refusal(self) -> &'static str {
        match self {
            Self::Suppress | Self::Guard => "",
            Self::Sets => {
                "; `nft list ruleset` shows it: in the table inet lone64 the sets live and guests have the type ipv6_addr, and \
                 delegated also has `flags interval`"
            }
        }
    }

    fn tables(self) -> &'static str {
        match self {
            Self::Suppress => "the table ip6 lone64",
            Self::Guard => "the tables bridge lone64_guard and ip6 lone64_guard",
            Self::Sets => "the table inet lone64",
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Suppress => "CONFIG_NF_TABLES and CONFIG_NF_TABLES_IPV6",
            Self::Guard => "CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV6 and CONFIG_NF_TABLES_BRIDGE",
            Self::Sets => "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET",
        }
    }

    /// Longer than it takes on a busy machine. One table of some lines is to be gone before an exit is cut short; guards of
    /// thousands of guests take longer to make.
    fn patience(self) -> Duration {
        match self {
            Self::Suppress => Duration::from_secs(5),
            Self::Guard | Self::Sets => Duration::from_secs(20),
        }
    }
}

/// Whether there is the program nft.
pub fn is_installed() -> bool {
    PROGRAMS.into_iter().any(|path| Path::new(path).exists())
}

/// Replaces the table in the kernel, or removes it if nothing is to be suppressed, in one transaction. In the network
/// namespace of this thread.
pub async fn replace(suppressions: &[Suppression]) -> Result<(), NftError> {
    apply(Purpose::Suppress, &ruleset(suppressions)).await
}

/// Does what this text says, in one transaction. In the network namespace of this thread.
pub async fn apply(purpose: Purpose, text: &str) -> Result<(), NftError> {
    let output = run(purpose, &["-f", "-"], text).await?;
    if output.status.success() { Ok(()) } else { Err(said(purpose, &output.stderr)) }
}

/// Our table as nft prints it, without counters; `None` if there is none.
pub async fn list() -> Result<Option<String>, NftError> {
    let purpose = Purpose::Suppress;
    let output = run(purpose, &["--stateless", "list", "table", "ip6", "lone64"], "").await?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let is_missing = String::from_utf8_lossy(&output.stderr).contains("No such file");
    if is_missing { Ok(None) } else { Err(said(purpose, &output.stderr)) }
}

/// Whether a table that nft has printed has a rule for each of these, so that it was not flushed.
pub fn is_whole(table: &str, suppressions: &[Suppression]) -> bool {
    let is_rule = |line: &&str| line.ends_with(" drop") || line.ends_with(" return");
    let rules: usize = suppressions.iter().map(|suppression| suppression.fates.len()).sum();
    table.lines().filter(is_rule).count() == rules && table.contains("jump solicitations")
}

async fn run(purpose: Purpose, arguments: &[&str], input: &str) -> Result<Output, NftError> {
    let is_there = |path: &&str| Path::new(path).exists();
    let program = PROGRAMS.into_iter().find(is_there).ok_or(NftError::Missing(purpose))?;
    let output = timeout(purpose.patience(), run_program(program, arguments, input));
    let output = output.await.map_err(|_| NftError::Slow(purpose))?;
    output.map_err(|error| NftError::Run(purpose, program, error))
}

async fn run_program(program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // What a terminal sends to all of the foreground (Ctrl-C) is not for it: it may be removing the tables.
        .process_group(0)
        .spawn()?;
    // One that ends before it has read everything says why on its standard error.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// Before connection tracking, and only for solicitations, so that other packets pay for one look.
fn ruleset(suppressions: &[Suppression]) -> String {
    // The first line makes the second one work where there is no table yet.
    let mut text = "add table ip6 lone64\ndelete table ip6 lone64\n".to_owned();
    if suppressions.is_empty() {
        return text;
    }
    text += "table ip6 lone64 {\n    chain solicitations {\n";
    for Suppression { link, fates } in suppressions {
        for (prefix, fate) in fates {
            let verdict = match fate {
                Fate::Drop => "drop",
                Fate::Keep => "return",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "        iif {link} ip6 daddr {prefix} {verdict}");
        }
    }
    text += "    }\n    chain prerouting {\n        \
             type filter hook prerouting priority raw; policy accept;\n        \
             icmpv6 type nd-neighbor-solicit jump solicitations\n    }\n}\n";
    text
}

fn said(purpose: Purpose, stderr: &[u8]) -> NftError {
    let text = String::from_utf8_lossy(stderr);
    // The first line says what is wrong; those below it show where.
    let line: String = text.lines().next().unwrap_or("it gives no reason").chars().take(LONGEST).collect();
    if line.contains("Operation not permitted") {
        NftError::Denied(purpose, line)
    } else if line.contains("not supported") && !line.contains("resolve") {
        NftError::Unsupported(purpose, line)
    } else {
        NftError::Refused(purpose, line)
    }
}

/// Characters of what nft said.
const LONGEST: usize = 300;
const DIRECTORIES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
const PROGRAMS: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::IfIndex;

    #[test]
    fn nothing_to_suppress_leaves_no_table() {
        assert_eq!(ruleset(&[]), "add table ip6 lone64\ndelete table ip6 lone64\n");
    }

    #[test]
    fn the_fates_keep_their_order() {
        let net = |text: &str| text.parse().expect("a prefix");
        let fates = vec![(net("2001:db8::7/128"), Fate::Keep), (net("2001:db8::/112"), Fate::Drop)];
        let text = ruleset(&[Suppression { link: IfIndex(3), fates }]);
        let kept = text.find("iif 3 ip6 daddr 2001:db8::7/128 return").expect("the exception");
        let dropped = text.find("iif 3 ip6 daddr 2001:db8::/112 drop").expect("the range");
        assert!(kept < dropped, "{text}");
    }

    #[test]
    fn a_table_that_somebody_has_flushed_is_not_whole() {
        let fates = vec![("2001:db8::/112".parse().expect("a prefix"), Fate::Drop)];
        let ours = [Suppression { link: IfIndex(3), fates }];
        let text = ruleset(&ours);
        let without =
            |word: &str| text.lines().filter(|line| !line.contains(word)).collect::<Vec<_>>().join("\n");
        assert!(is_whole(&text, &ours));
        assert!(!is_whole(&without("daddr"), &ours) && !is_whole(&without("jump"), &ours));
    }

    #[test]
    fn what_nft_says_becomes_a_sentence_with_a_remedy() {
        let of = |text: &str| said(Purpose::Suppress, text.as_bytes()).to_string();
        assert!(
            of("netlink: Error: cache initialization failed: Operation not permitted\n")
                .contains("CAP_NET_ADMIN")
        );
        assert!(
            of("netlink: Error: cache initialization failed: Protocol not supported\n").contains("modprobe")
        );
        assert!(of("/dev/stdin:1:1-5: Error: syntax error\nxyz\n").ends_with("syntax error"));
        // What it makes of an IPv6 address in a set of IPv4 addresses.
        let other = "/dev/stdin:8:32-48: Error: Could not resolve hostname: Address family for hostname not supported";
        let other = said(Purpose::Sets, other.as_bytes()).to_string();
        assert!(other.starts_with("nft refuses") && other.contains("ipv6_addr"), "{other}");
        assert!(of(&"x".repeat(10_000)).len() < 400);
        assert!(of("").contains("gives no reason"));
    }
}
