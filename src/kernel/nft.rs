//! The nftables table `ip6 lone64`, by nft(8).
//!
//! A child process is slow, so it runs only with `suppress-kernel`, and only when the table changes. There is no
//! crate with a licence like ours that talks nf_tables to the kernel. The ruleset has numbers only, so that no name
//! of an interface can mean something to nft.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::engine::{Fate, Suppression};

/// Why the table could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// There is no nft.
    #[error(
        "`suppress-kernel` needs the program nft, and it is not in {}: install the Debian package nftables, or \
         remove `suppress-kernel` from [[upstream]]",
        DIRECTORIES.join(", ")
    )]
    Missing,
    /// It cannot be run.
    #[error("cannot run {0}, which `suppress-kernel` needs")]
    Run(&'static str, #[source] io::Error),
    /// It does not come back.
    #[error("nft did not finish within {} s, so the state of the table ip6 lone64 is unknown", PATIENCE.as_secs())]
    Slow,
    /// Not privileged.
    #[error("no permission to change the table ip6 lone64; run lone64 as root or with CAP_NET_ADMIN ({0})")]
    Denied(String),
    /// The kernel has no nftables.
    #[error(
        "`suppress-kernel` needs nftables, and the kernel does not have it (CONFIG_NF_TABLES and \
         CONFIG_NF_TABLES_IPV6; `modprobe nf_tables` loads it if it is a module) ({0})"
    )]
    Unsupported(String),
    /// Whatever else nft has to say.
    #[error("nft refuses the table ip6 lone64: {0}")]
    Refused(String),
}

/// Replaces the table in the kernel, or removes it if nothing is to be suppressed, in one transaction. In the network
/// namespace of this thread.
pub async fn replace(suppressions: &[Suppression]) -> Result<(), NftError> {
    let program = program()?;
    let text = ruleset(suppressions);
    let output = timeout(PATIENCE, run(program, &["-f", "-"], &text));
    let output = output.await.map_err(|_| NftError::Slow)?.map_err(|error| NftError::Run(program, error))?;
    if output.status.success() { Ok(()) } else { Err(said(&output.stderr)) }
}

/// Our table as nft prints it, without counters; `None` if there is none.
pub async fn list() -> Result<Option<String>, NftError> {
    let program = program()?;
    let output = timeout(PATIENCE, run(program, &["--stateless", "list", "table", "ip6", "lone64"], ""));
    let output = output.await.map_err(|_| NftError::Slow)?.map_err(|error| NftError::Run(program, error))?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let is_missing = String::from_utf8_lossy(&output.stderr).contains("No such file");
    if is_missing { Ok(None) } else { Err(said(&output.stderr)) }
}

/// Whether a table that nft has printed has a rule for each of these, so that it was not flushed.
pub fn is_whole(table: &str, suppressions: &[Suppression]) -> bool {
    let is_rule = |line: &&str| line.ends_with(" drop") || line.ends_with(" return");
    let rules: usize = suppressions.iter().map(|suppression| suppression.fates.len()).sum();
    table.lines().filter(is_rule).count() == rules && table.contains("jump solicitations")
}

async fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // One that ends before it has read everything says why on its standard error.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}

fn program() -> Result<&'static str, NftError> {
    PROGRAMS.into_iter().find(|path| Path::new(path).exists()).ok_or(NftError::Missing)
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

fn said(stderr: &[u8]) -> NftError {
    let text = String::from_utf8_lossy(stderr);
    // The first line says what is wrong; those below it show where.
    let line: String = text.lines().next().unwrap_or("it gives no reason").chars().take(LONGEST).collect();
    if line.contains("Operation not permitted") {
        NftError::Denied(line)
    } else if line.contains("not supported") {
        NftError::Unsupported(line)
    } else {
        NftError::Refused(line)
    }
}

/// Longer than it takes on a busy machine, and shorter than an exit may.
const PATIENCE: Duration = Duration::from_secs(5);
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
        let of = |text: &str| said(text.as_bytes()).to_string();
        assert!(
            of("netlink: Error: cache initialization failed: Operation not permitted\n")
                .contains("CAP_NET_ADMIN")
        );
        assert!(
            of("netlink: Error: cache initialization failed: Protocol not supported\n").contains("modprobe")
        );
        assert!(of("/dev/stdin:1:1-5: Error: syntax error\nxyz\n").ends_with("syntax error"));
        assert!(of(&"x".repeat(10_000)).len() < 400);
        assert!(of("").contains("gives no reason"));
    }
}
