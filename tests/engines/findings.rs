//! What `lone64 doctor` finds on a host.

use serde_json::Value;

use crate::machine::Machine;

/// Something that the doctor finds.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) severity: String,
    pub(crate) commands: Vec<String>,
}

/// All of it but that the MAC of the engine's bridge follows its ports: the engine sets none, and makes the bridge again
/// with each first container.
pub(crate) fn findings_but_of_bridges(host: &Machine) -> Vec<Finding> {
    findings(host).into_iter().filter(|finding| finding.check != "bridge-mac").collect()
}

/// What lone64 warned of, but that there was nothing to serve yet: it may have been there before the network.
pub(crate) fn warnings_but_of_an_idle_start(host: &Machine) -> String {
    let warnings = host.warnings();
    warnings.lines().filter(|line| !line.starts_with("nothing to serve yet")).collect()
}

pub(crate) fn findings(host: &Machine) -> Vec<Finding> {
    let output = host.command("lone64 doctor --json").output().expect("nsenter");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut all = Vec::new();
    for check in list(&report["checks"]) {
        for finding in list(&check["findings"]) {
            let remedies = list(&finding["remedies"]);
            let commands = remedies.iter().filter(|remedy| remedy["kind"] == "command");
            all.push(Finding {
                check: text(&check["name"]),
                severity: text(&finding["severity"]),
                commands: commands.map(|remedy| text(&remedy["text"])).collect(),
            });
        }
    }
    all
}
