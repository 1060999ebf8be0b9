//! Many downstreams and hostile guests on a virtual clock: who is believed, who is followed, what
//! stays bounded.
#![allow(clippy::unwrap_used)]

mod bounds;
mod claims;
#[path = "../host/mod.rs"]
mod host;
mod quiet;
mod restart;
mod rivals;
mod village;
