//! What a configuration asks of the kernel for `backend`, and cannot have.

use nix::unistd::geteuid;

use crate::daemon::backend_refused;
use crate::engine::NoProgram;
use crate::engine::policy::{Policy, Source};

/// A sentence for each reason for which no program would answer. Who is not root may do less than the daemon, so it is not
/// tried then what this host allows.
pub fn notes(policy: &Policy) -> Vec<String> {
    let mut wanted = policy.upstreams.iter().filter(|upstream| upstream.backend.wants_program());
    let chosen = wanted.find(|upstream| upstream.source == Source::Auto);
    let chosen = chosen.map(|upstream| {
        let backend = upstream.backend.as_str();
        format!("backend = \"{backend}\" in [[upstream]] has no effect: {}", NoProgram::SourceIsChosen)
    });
    let refused = if geteuid().is_root() { backend_refused(policy) } else { None };
    chosen.into_iter().chain(refused.map(|error| error.to_string())).collect()
}
