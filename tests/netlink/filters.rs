//! What the kernel says of filters of `tc` that somebody takes away.

use std::process::Command;

use libtest_mimic::Failed;
use lone64::kernel::netlink::{FilterWatch, Touched};

use crate::lab::{in_namespace, index};

type Trials = &'static [(&'static str, fn() -> Result<(), Failed>)];

pub(crate) const TRIALS: Trials = &[
    ("tells_of_a_filter_that_is_taken_away", of_a_filter),
    ("tells_of_filters_that_go_with_their_qdisc", with_their_qdisc),
];

fn of_a_filter() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let link = lab.veth_up().await?;
        let mut watch = FilterWatch::open()?;
        filter();
        let add = [
            "filter",
            "add",
            "dev",
            "a",
            "ingress",
            "pref",
            "7",
            "bpf",
            "da",
            "bytecode",
            "1,6 0 0 4294967295",
        ];
        tc(&add);
        tc(&["filter", "del", "dev", "a", "ingress", "pref", "7"]);
        assert_eq!(watch.touched().await?, Touched::Links(vec![link]));
        Ok(())
    })
}

fn with_their_qdisc() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let link = lab.veth_up().await?;
        let mut watch = FilterWatch::open()?;
        filter();
        tc(&["qdisc", "del", "dev", "a", "clsact"]);
        assert_eq!(watch.touched().await?, Touched::Links(vec![link]));
        Ok(())
    })
}

fn filter() {
    assert!(index("a").0 > 0);
    tc(&["qdisc", "add", "dev", "a", "clsact"]);
}

fn tc(words: &[&str]) {
    let status = Command::new("tc").args(words).status().expect("tc of iproute2");
    assert!(status.success(), "tc {words:?}");
}
