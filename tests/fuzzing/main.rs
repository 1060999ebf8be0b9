//! What the fuzzers run, as ordinary tests: some hundred inputs by chance, and those that once failed.
//!
//! The bodies are shared with tests/fuzz, whose targets are not built by `cargo test` and would rot unseen. These
//! rounds are the same each time, so that whoever changes something else never meets a new failure here: to look
//! for those is the fuzzers' business.
#![allow(clippy::unwrap_used)]

mod config;
mod control;
mod engine;
#[path = "../frames/mod.rs"]
mod frames;
mod import;
#[path = "../machine/mod.rs"]
mod machine;
mod mld;
mod netlink;
mod nft;
mod oracle;
mod parse;
mod program;
mod seeds;

use std::collections::BTreeSet;

use lone64::engine::facts::Fact;
use lone64::kernel::netlink::datagram;
use lone64::kernel::nft_dump::elements_in;
use lone64::kernel::nft_table::{Table, is_told_of};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(64),
        ..ProptestConfig::with_cases(400)
    })]

    #[test]
    fn the_engine_keeps_its_promises_whatever_happens(bytes in vec(any::<u8>(), 0..1200)) {
        engine::run(&bytes);
    }

    /// Few targets and few askers, so that questions, signs of life and outcomes concern each other.
    #[test]
    fn the_engine_keeps_its_promises_where_all_concerns_the_same_few(
        steps in vec((any::<u8>(), 0..4u8, 0..6u8, 0..25u8), 0..400)
    ) {
        let bytes: Vec<u8> =
            steps.into_iter().flat_map(|(what, which, who, later)| [what, which, who, later]).collect();
        engine::run(&bytes);
    }

    #[test]
    fn the_parser_keeps_its_promises_whatever_arrives(bytes in vec(any::<u8>(), 0..400)) {
        parse::run(&bytes);
    }

    #[test]
    fn the_kernels_program_does_what_the_packet_path_would(bytes in vec(any::<u8>(), 0..100)) {
        program::run(&bytes);
    }

    /// A solicitation's or an advertisement's beginning, so that most get as far as the options.
    #[test]
    fn the_parser_keeps_its_promises_for_what_is_nearly_right(
        addresses in any::<[u8; 2]>(),
        kind in 135..137u8,
        target in any::<[u8; 13]>(),
        options in vec((0..6u8, 0..3u8, any::<[u8; 6]>()), 0..8)
    ) {
        let mut bytes = [&addresses[..], &[kind, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x01, 0x0d], &target].concat();
        options.iter().for_each(|(kind, length, rest)| bytes.extend([&[*kind, *length], &rest[..]].concat()));
        parse::run(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(65),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn multicast_listeners_keep_their_promises(bytes in seeds::nearly("mld")) {
        mld::run(&bytes);
    }

    #[test]
    fn multicast_listeners_keep_their_promises_whatever_arrives(bytes in vec(any::<u8>(), 0..200)) {
        mld::run(&bytes);
    }

    #[test]
    fn what_the_kernel_says_is_taken_apart_whatever_it_is(bytes in seeds::nearly("netlink")) {
        netlink::run(&bytes);
    }

    #[test]
    fn a_configuration_has_a_meaning_or_mistakes_with_a_place(bytes in seeds::nearly("config")) {
        config::run(&bytes);
    }

    #[test]
    fn a_line_of_the_control_socket_is_a_request_or_gets_one_line_back(bytes in seeds::nearly("control")) {
        control::run(&bytes);
    }

    #[test]
    fn what_is_imported_is_a_configuration(bytes in seeds::nearly("import")) {
        import::run(&bytes);
    }

    #[test]
    fn objections_of_packet_filters_are_there(bytes in seeds::nearly("nft")) {
        nft::run(&bytes);
    }
}

#[test]
fn what_once_failed_does_not_fail_again() {
    for (target, run) in TARGETS {
        for (path, bytes) in seeds::of(target) {
            println!("{path}");
            run(&bytes);
        }
    }
}

/// Otherwise the promises about facts would be about none.
#[test]
fn what_a_kernel_has_said_is_understood() {
    let said: Vec<_> = seeds::of("netlink").into_iter().map(|(_, bytes)| bytes).collect();
    let facts: Vec<Fact> = said.iter().flat_map(|bytes| datagram::facts(bytes)).collect();
    let of_kind = |fact: &Fact| format!("{fact:?}").split(['(', ' ']).next().unwrap().to_owned();
    let kinds: BTreeSet<String> = facts.iter().map(of_kind).collect();
    for kind in [
        "Link",
        "LinkGone",
        "Address",
        "AddressGone",
        "Route",
        "RouteReplaced",
        "RouteGone",
        "Rule",
        "RuleGone",
        "Neighbor",
        "NeighborGone",
        "Marked",
        "Station",
        "Group",
        "GroupGone",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    assert!(said.iter().any(|bytes| datagram::has_shrunk_group(bytes)));
    assert!(said.iter().any(|bytes| !elements_in(bytes).is_empty()));
    assert!(said.iter().any(|bytes| !datagram::links_with_fewer_filters(bytes).is_empty()));
    assert!(said.iter().any(|bytes| is_told_of(Table::SUPPRESS, bytes)));
}

/// tests/fuzz/run says how to name it: `LONE64_FUZZ=TARGET:FILE`.
#[test]
#[ignore = "it runs the input that LONE64_FUZZ names"]
fn one_input() {
    let named = std::env::var("LONE64_FUZZ").expect("LONE64_FUZZ=TARGET:FILE");
    let (target, file) = named.split_once(':').expect("a target and a file");
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    run(&std::fs::read(file).expect("a file"));
}

#[test]
fn every_target_of_the_fuzzers_is_run_here_too() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/");
    let manifest = std::fs::read_to_string(format!("{folder}Cargo.toml")).unwrap();
    let run = std::fs::read_to_string(format!("{folder}run")).unwrap();
    let names = TARGETS.map(|(name, _)| name);
    assert!(run.contains(&format!("\nall=({})\n", names.join(" "))), "{names:?}");
    assert_eq!(manifest.matches("[[bin]]").count(), names.len());
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}

/// A guest's claim that nobody upstream objects to counts only at a timeout, and answers whoever waits by then.
#[test]
fn answers_those_who_wait_once_nobody_upstream_has_objected_to_a_claim() {
    engine::run(include_bytes!("seeds/engine/answer"));
}

#[test]
fn a_claim_comes_to_nothing_once_its_link_is_down() {
    engine::run(include_bytes!("seeds/engine/claim-behind-a-dead-link"));
}

/// Who checks an address waits while the guest is asked, and then, as the host itself has got it, while the link is.
#[test]
fn answers_a_check_of_an_address_that_the_host_gets_however_late_the_timeouts_come() {
    engine::run(include_bytes!("seeds/engine/late-timeouts"));
}

/// The guest was heard on the link that is gone. Nobody has been heard on the one that has its number now.
#[test]
fn a_claim_comes_to_nothing_once_its_link_is_deleted_and_another_has_its_number() {
    engine::run(include_bytes!("seeds/engine/claim-of-a-link-made-again"));
}

/// An address of the host is asked for again and again, while timeouts come late.
#[test]
fn a_question_to_the_link_that_is_under_way_comes_to_its_end() {
    engine::run(include_bytes!("seeds/engine/question-under-way"));
}

/// A stranger checks the address of a guest that talks and does not reply to probes.
#[test]
fn a_check_of_an_address_waits_no_longer_than_for_one_reply() {
    engine::run(include_bytes!("seeds/engine/check-of-a-guest-that-only-talks"));
}

/// The kernel takes minutes to refuse a route twice, and an answer waits for it.
#[test]
fn an_answer_waits_as_long_as_the_kernel_does_not_take_the_guests_route() {
    engine::run(include_bytes!("seeds/engine/answer-behind-a-refused-route"));
}

/// Reloads have every question asked again, while timeouts come late.
#[test]
fn a_question_that_a_reload_asks_again_is_answered() {
    engine::run(include_bytes!("seeds/engine/asked-again-by-a-reload"));
}

/// What it is called, and what runs one input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 9] = [
    ("parse", parse::run),
    ("mld", mld::run),
    ("program", program::run),
    ("netlink", netlink::run),
    ("config", config::run),
    ("control", control::run),
    ("import", import::run),
    ("nft", nft::run),
    ("engine", engine::run),
];
