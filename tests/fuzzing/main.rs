//! What the fuzzers run, as ordinary tests: some hundred inputs by chance, and those that once failed.
//!
//! The bodies are shared with tests/fuzz, whose targets are not built by `cargo test` and would rot unseen. These
//! rounds are the same each time, so that whoever changes something else never meets a new failure here: to look
//! for those is the fuzzers' business.
#![allow(clippy::unwrap_used)]

mod engine;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../machine/mod.rs"]
mod machine;
mod oracle;
mod parse;
mod program;

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

/// A guest's claim that nobody upstream objects to counts only at a timeout, and answers whoever waits by then.
#[test]
fn answers_those_who_wait_once_nobody_upstream_has_objected_to_a_claim() {
    engine::run(include_bytes!("seeds/engine-answer"));
}

#[test]
fn a_claim_comes_to_nothing_once_its_link_is_down() {
    engine::run(include_bytes!("seeds/engine-claim-behind-a-dead-link"));
}

/// Who checks an address waits while the guest is asked, and then, as the host itself has got it, while the link is.
#[test]
fn answers_a_check_of_an_address_that_the_host_gets_however_late_the_timeouts_come() {
    engine::run(include_bytes!("seeds/engine-late-timeouts"));
}

/// The guest was heard on the link that is gone. Nobody has been heard on the one that has its number now.
#[test]
fn a_claim_comes_to_nothing_once_its_link_is_deleted_and_another_has_its_number() {
    engine::run(include_bytes!("seeds/engine-claim-of-a-link-made-again"));
}

/// An address of the host is asked for again and again, while timeouts come late.
#[test]
fn a_question_to_the_link_that_is_under_way_comes_to_its_end() {
    engine::run(include_bytes!("seeds/engine-question-under-way"));
}

/// A stranger checks the address of a guest that talks and does not reply to probes.
#[test]
fn a_check_of_an_address_waits_no_longer_than_for_one_reply() {
    engine::run(include_bytes!("seeds/engine-check-of-a-guest-that-only-talks"));
}

/// The kernel takes minutes to refuse a route twice, and an answer waits for it.
#[test]
fn an_answer_waits_as_long_as_the_kernel_does_not_take_the_guests_route() {
    engine::run(include_bytes!("seeds/engine-answer-behind-a-refused-route"));
}

/// Reloads have every question asked again, while timeouts come late.
#[test]
fn a_question_that_a_reload_asks_again_is_answered() {
    engine::run(include_bytes!("seeds/engine-asked-again-by-a-reload"));
}
