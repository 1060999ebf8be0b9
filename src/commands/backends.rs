//! What a configuration asks of the kernel for `backend`, and cannot have.

use nix::unistd::geteuid;

use crate::daemon::backend_refused;
use crate::engine::policy::Policy;

/// Why this host allows no program, in a sentence. Who is not root may do less than the daemon, so it is not tried then.
pub fn note(policy: &Policy) -> Option<String> {
    geteuid().is_root().then(|| backend_refused(policy))?.map(|error| error.to_string())
}
