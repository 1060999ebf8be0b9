//! An explanation as the control socket and `lone64 explain --json` give it.
//!
//! May touch: nothing.

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Expected, Holds, Time};

/// Why an address is answered for, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The address.
    pub address: Ipv6Addr,
    /// What a solicitation comes to: `answered`, `probed`, `probing` or `dropped`.
    pub outcome: String,
    /// The interface that is asked for it.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Why it is dropped: the verdict of the metrics.
    pub reason: Option<String>,
    /// The decision, step by step.
    pub steps: Vec<ExplainedStep>,
    /// How often a solicitation for it was answered, since it is known.
    pub answered: u64,
}

/// One step of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedStep {
    /// What is looked at.
    pub subject: String,
    /// Whether it speaks for an answer: `yes`, `no`, or `open`.
    pub holds: String,
    /// What was found.
    pub value: String,
    /// What would turn a cross into a tick.
    pub remedy: Option<String>,
}

impl Explained {
    /// The engine's explanation.
    pub fn of(engine: &Engine, address: Ipv6Addr, now: Time) -> Self {
        let explanation = engine.explain(address, now);
        let (outcome, reason) = match explanation.outcome {
            Expected::Answered => ("answered", None),
            Expected::Probed => ("probed", None),
            Expected::Probing => ("probing", None),
            Expected::Dropped(reason) => ("dropped", Some(reason.as_str().to_owned())),
        };
        let steps = explanation.steps.into_iter().map(|step| ExplainedStep {
            subject: step.subject.as_str().to_owned(),
            holds: holds(step.holds).to_owned(),
            value: step.value,
            remedy: step.remedy,
        });
        Self {
            address,
            outcome: outcome.to_owned(),
            upstream: explanation
                .upstream
                .and_then(|link| engine.links().get(link))
                .map(|link| link.name.to_string()),
            reason,
            steps: steps.collect(),
            answered: engine.answered_for(address),
        }
    }
}

fn holds(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "yes",
        Holds::No => "no",
        Holds::Open => "open",
    }
}
