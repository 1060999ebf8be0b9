//! Whether the kernel answers where it is to (`backend` in [[upstream]]).

use serde_json::Value;

use crate::doctor::{Check, Finding, Fix, Group, Host, Remedy};
use crate::engine::policy::Backend;

/// The check.
pub static CHECK: Check = Check {
    name: "backend",
    group: Group::Daemon,
    asks: "a program in the kernel answers where `backend` asks for one",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let policy = &host.config.policy;
    if !policy.upstreams.iter().any(|upstream| upstream.backend.wants_program()) {
        return Vec::new();
    }
    let mut findings: Vec<_> = match &host.daemon {
        Some(status) => {
            status["upstreams"].as_array().into_iter().flatten().filter_map(|up| missing(host, up)).collect()
        }
        None => host.program_refused.iter().map(|said| refused(said)).collect(),
    };
    // Without the compiler each instruction is interpreted.
    if host.setting(JIT) == Some("0") {
        let finding = Finding::warning("the kernel interprets the program that answers, which is slow");
        let fix = Fix { key: JIT.to_owned(), value: "1".to_owned() };
        findings.push(finding.seen("net.core.bpf_jit_enable = 0".to_owned()).remedy(Remedy::Fix(fix)));
    }
    findings
}

fn refused(said: &str) -> Finding {
    let advice = "do what it says, or write backend = \"packet\" in [[upstream]]";
    Finding::fault(said.to_owned()).remedy(Remedy::Advice(advice.to_owned()))
}

/// What is automatic is as good as it can be.
fn missing(host: &Host, upstream: &Value) -> Option<Finding> {
    let (name, why) = (upstream["interface"].as_str()?, upstream["no_program"].as_str()?);
    let bound = host.upstreams().iter().find(|bound| host.name(bound.link) == name)?;
    let policy = host.engine.policy().upstreams.get(bound.policy)?;
    let advice = "do what it says, or write backend = \"packet\" in [[upstream]], so that the daemon answers on purpose";
    (policy.backend == Backend::Tc).then(|| {
        Finding::warning(format!("no program answers in the kernel on {name}, so the daemon answers: {why}"))
            .seen(format!("lone64 status: {name}"))
            .remedy(Remedy::Advice(advice.to_owned()))
    })
}

const JIT: &str = "net/core/bpf_jit_enable";
