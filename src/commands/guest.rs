//! `lone64 guest`: what follows from the MAC of a guest.
//!
//! May touch: standard output.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ipnet::Ipv6Net;
use serde_json::json;

use super::{Outcome, print, show};
use crate::engine::Engine;
use crate::engine::guests::Missing;
use crate::engine::policy::eui64;
use crate::wire::Mac;

/// The options of `guest`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 guest address 52:54:00:12:34:56 2001:db8:1::/64
  lone64 guest address 52:54:00:12:34:56

Exit status: 0 printed, 2 wrong usage.")]
pub struct GuestArgs {
    /// What is wanted.
    #[command(subcommand)]
    pub command: GuestCommand,
}

/// What is wanted of a guest.
#[derive(Debug, Clone, Subcommand)]
pub enum GuestCommand {
    /// Print the address that a MAC computes to in a /64.
    ///
    /// Without PREFIX, print the link-local address. It is what addresses = "eui64" means in the configuration, so
    /// nobody has to store it. Asks neither a daemon nor the kernel.
    Address(GuestAddressArgs),
}

/// The options of `guest address`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 guest address 52:54:00:12:34:56
  lone64 guest address 52:54:00:12:34:56 2001:db8:1::/64
  lone64 guest address --json 52:54:00:12:34:56

Exit status: 0 printed, 2 wrong usage.")]
pub struct GuestAddressArgs {
    /// The MAC of the guest.
    #[arg(value_name = "MAC", value_parser = parse_mac)]
    pub mac: Mac,
    /// The prefix; only a /64 has such addresses.
    #[arg(value_name = "PREFIX", value_parser = parse_prefix)]
    pub prefix: Option<Ipv6Net>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl GuestArgs {
    /// Whether a program reads it.
    pub fn json(&self) -> bool {
        let GuestCommand::Address(args) = &self.command;
        args.json
    }
}

/// Prints it.
pub fn run(args: &GuestArgs) -> Outcome {
    let GuestCommand::Address(GuestAddressArgs { mac, prefix, json }) = &args.command;
    let link_local = eui64(LINK_LOCAL, *mac);
    let address = prefix.and_then(|prefix| eui64(prefix, *mac));
    match json {
        true => {
            let object = json!({
                "mac": mac, "link_local": link_local, "prefix": prefix, "address": address,
            });
            print(&format!("{object:#}\n"))?;
        }
        false => {
            let line = address.or(link_local).map(|address| format!("{address}\n"));
            show(&line.unwrap_or_default())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the guests of a configuration cannot have on this host: addresses of its own, of the router, of others.
pub(super) fn notes(here: &Engine) -> Vec<String> {
    let covered = here.identified().iter().filter_map(|seen| match seen.missing {
        Some(missing @ Missing::Covers(..)) => Some(format!("guest {}: {missing}", seen.policy.name)),
        _ => None,
    });
    covered.take(MOST_NOTES).collect()
}

/// As many guests are told of.
const MOST_NOTES: usize = 16;

fn parse_mac(text: &str) -> Result<Mac, String> {
    let mac = text.parse::<Mac>().map_err(|error| error.to_string())?;
    if mac.is_station() { Ok(mac) } else { Err(format!("{mac} cannot be the MAC of a guest")) }
}

fn parse_prefix(text: &str) -> Result<Ipv6Net, String> {
    let Ok(prefix) = text.parse::<Ipv6Net>() else {
        return Err("write a prefix such as 2001:db8:1::/64".to_owned());
    };
    let network = prefix.network();
    if network.is_multicast() {
        return Err(format!("{prefix} is multicast, and no guest has an address in it"));
    }
    if network.segments()[..4] == [0; 4] {
        return Err(format!("{prefix} is no prefix that guests have; write that of the upstream"));
    }
    if prefix.prefix_len() != 64 {
        return Err(format!("a MAC computes to an address only in a /64, and {prefix} is none"));
    }
    if prefix.trunc() != prefix {
        return Err(format!("{prefix} has host bits; write {}", prefix.trunc()));
    }
    Ok(prefix)
}

const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_64_only_and_the_mac_of_a_station() {
        assert!(parse_prefix("2001:db8:1::/64").is_ok() && parse_prefix("fe80::/64").is_ok());
        for (text, said) in [
            ("2001:db8:1::/63", "only in a /64"),
            ("2001:db8:1::1/64", "write 2001:db8:1::/64"),
            ("web1", "write a prefix"),
            ("ff02::/64", "is multicast"),
            ("::/64", "is no prefix that guests have"),
        ] {
            assert!(parse_prefix(text).is_err_and(|error| error.contains(said)), "{text}");
        }
        assert!(parse_mac("52:54:00:12:34:56").is_ok());
        for text in ["52:54", "01:00:5e:00:00:01", "00:00:00:00:00:00"] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
    }
}
