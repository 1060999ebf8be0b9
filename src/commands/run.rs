//! `lone64 run`: the daemon, in the foreground.

use super::Outcome;
use crate::cli::RunArgs;

/// Serves until it is told to stop.
pub fn run(args: &RunArgs) -> Outcome {
    let _config = args.config()?;
    Err("run is not built yet".into())
}
