//! The keys of what lone64 tells others: named sets, and the log.
//!
//! May touch: nothing.

pub(super) const EXPORT: &[(&str, Option<&str>, &str)] = &[(
    "nft-sets",
    Some("false"),
    "Keep two named sets of nftables in the table inet lone64, for rules of your own: live, every live address; and \
     guests, the addresses and prefixes of every [[guest]]. Write your chains into the same table.",
)];

pub(super) const LOG: &[(&str, Option<&str>, &str)] = &[
    (
        "level",
        Some("\"info\""),
        "The level of the least important lines that are written: \"error\", \"warn\", \"info\", \"debug\" or \
         \"trace\". The variable LONE64_LOG and the options -v and -q of `lone64 run` override it.",
    ),
    (
        "format",
        Some("\"auto\""),
        "\"auto\": \"journal\" under systemd, else \"terminal\". Or \"json\", one object per line.",
    ),
];
