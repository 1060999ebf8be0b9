//! RFC 4861 from top to bottom, as far as it concerns a proxy that answers for its guests.
//!
//! Each requirement of §4.3, §4.4, §7.1.1, §7.1.2 and §7.2.1–7.2.8 is quoted in its order, and is
//! followed by the test that shows it, or by a `Justification:` where it concerns somebody else or
//! is met in another way. So are RFC 6980 §5 and RFC 4862 §5.4.3–5.4.5, which go with it; RFC 4389 is named
//! section by section.
//!
//! Sentences with MUST, SHOULD and their negations are quoted word for word, and those with a
//! lower-case "should" and of the validation lists, too. MAY is quoted where it explains a choice.
#![allow(clippy::unwrap_used)]

#[path = "../frames/mod.rs"]
mod frames;
#[path = "../host/mod.rs"]
mod host;

// In the order of the text.
mod s4_3_solicitation_format;
mod s4_4_advertisement_format;
mod s7_1_1_validation_of_solicitations;
mod s7_1_2_validation_of_advertisements;
mod s7_2_1_and_2_sending_solicitations;
mod s7_2_3_receipt_of_solicitations;
mod s7_2_4_sending_advertisements;
mod s7_2_5_receipt_of_advertisements;
mod s7_2_6_to_8_unsolicited_anycast_proxy;
// Beside it.
mod rfc4389_proxies;
mod rfc4862_duplicate_address_detection;
mod rfc6980_fragments;
