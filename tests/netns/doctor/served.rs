//! A host with a running daemon, which the doctor finds by its configuration.

use std::path::PathBuf;

use super::{Finding, Patient};
use crate::daemon::{Daemon, Settings, directory};
use crate::lab::Lab;

/// Both.
pub(crate) struct Served {
    pub(crate) patient: Patient,
    pub(crate) daemon: Daemon,
    /// The control socket.
    pub(crate) socket: PathBuf,
}

impl Served {
    /// Starts a daemon, and has the doctor read its file.
    pub(crate) fn start(lab: Lab, settings: Settings) -> Self {
        Self::start_with(lab, settings, "")
    }

    /// The same, with further keys of `[control]`.
    pub(crate) fn start_with(lab: Lab, settings: Settings, keys: &str) -> Self {
        let socket = directory().join("control.sock");
        let control = format!("[control]\nsocket = \"{}\"\n{keys}", socket.display());
        let daemon = Daemon::start(&lab, settings.rest(&control));
        let mut patient = Patient::with(lab, "");
        patient.reads(daemon.config());
        Self { patient, daemon, socket }
    }

    /// There is nothing wrong, not even a warning.
    pub(crate) fn is_well(&self) {
        let (findings, status) = self.patient.all(&[], &[]);
        assert!(findings.is_empty() && status == 0, "{findings:#?}");
    }

    /// There is no fault; returns the warnings.
    pub(crate) fn has_no_fault(&self) -> Vec<Finding> {
        let (findings, status) = self.patient.all(&[], &[]);
        assert!(findings.iter().all(|finding| finding.severity == "warning") && status == 0, "{findings:#?}");
        findings
    }
}
