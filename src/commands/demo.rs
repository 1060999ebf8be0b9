//! `lone64 demo`: router, host and guest out of throw-away namespaces.

use super::Outcome;
use crate::cli::DemoArgs;

/// Shows a guest unreachable, then `lone64` running, then the guest reachable.
pub fn run(_args: &DemoArgs) -> Outcome {
    Err("demo is not built yet".into())
}
