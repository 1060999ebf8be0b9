//! What programs and the administrator claim and release on the control socket.
//!
//! May touch: what the daemon hands it, and the list of claims where there is no daemon.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Daemon;
use super::control::{Answer, Call, ClaimParams, Fault, ReleaseParams, Reply, beside};
use super::memory::claims;
use super::memory::clocks::Clocks;
use crate::engine::guests::{Claim, Missing, Object, SeenClaim};
use crate::engine::{Claiming, Engine, Input, Time};

impl Daemon {
    /// All of it, or nothing. The answer comes when a restart would know of it.
    pub(super) fn claim(&mut self, params: &ClaimParams, call: Call) {
        let now = self.now();
        let until = params.time.map(|time| now + time);
        let claim = |object: &Object| Claim {
            object: object.clone(),
            interface: params.interface,
            mac: params.mac,
            via: params.via,
            until,
        };
        let claims: Vec<_> = params.what.iter().map(claim).collect();
        let refused: Vec<_> = claims.iter().filter_map(|claim| self.engine.may_claim(claim).err()).collect();
        if !refused.is_empty() {
            return answer(call, refusal(&refused));
        }
        self.handle(Input::Claiming(Claiming::Several(claims)));
        let claimed: Vec<_> = params.what.iter().map(|object| shown(&self.engine, object, now)).collect();
        self.answer_when_written(call, Reply::result(&json!({ "claimed": claimed })));
    }

    /// Those that are claimed. The others are named.
    pub(super) fn release(&mut self, params: &ReleaseParams, call: Call) {
        let is_claimed = |object: &&Object| self.engine.identified().claim_of(object).is_some();
        let (claimed, missing): (Vec<_>, Vec<_>) = params.what.iter().partition(is_claimed);
        for object in &claimed {
            self.handle(Input::Claiming(Claiming::Release((*object).clone())));
        }
        let missing: Vec<_> = missing.into_iter().map(|object| Missing::Claim(object.clone())).collect();
        let released: Vec<String> = claimed.iter().map(ToString::to_string).collect();
        let reply = match missing.is_empty() {
            true => Reply::result(&json!({ "released": released })),
            false => refusal(&missing),
        };
        self.answer_when_written(call, reply);
    }

    fn answer_when_written(&mut self, call: Call, reply: Reply) {
        let is_written = self.memory.written();
        tokio::spawn(async move {
            // A disk that does not answer is told in the log.
            let _ = timeout(PATIENCE, is_written).await;
            answer(call, reply);
        });
    }
}

/// The client may have gone meanwhile.
fn answer(call: Call, reply: Reply) {
    let _ = call.answer.send(Answer::Line(reply));
}

fn refusal(all: &[Missing]) -> Reply {
    let code = all.first().map_or("refused", Missing::code);
    let message = all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Reply::Fault(Fault { code, message, problems: Value::Null })
}

/// A claim as `status` has it.
pub(super) fn shown(engine: &Engine, object: &Object, now: Time) -> Value {
    engine.identified().claim_of(object).map_or(Value::Null, |seen| claim_value(engine, &seen, now))
}

/// The same of one that is known.
pub(super) fn claim_value(engine: &Engine, seen: &SeenClaim<'_>, now: Time) -> Value {
    let Claim { object, mac, via, until, .. } = seen.claim;
    json!({
        "object": object.to_string(),
        "interface": seen.link.map(|link| engine.links().name(link)),
        "mac": mac.map(|mac| mac.to_string()),
        "via": via,
        "seconds_left": until.map(|until| until.since(now).as_secs()),
        "state": if seen.is_here() { "here" } else { "waiting" },
        "missing": seen.missing.map(ToString::to_string),
    })
}

/// Where no daemon has this socket: what the next one is not to claim again, of what the last one had. Those that it had.
pub fn release_for_the_next_start(socket: &Path, what: &[Object]) -> Vec<Object> {
    let what: BTreeSet<_> = what.iter().cloned().collect();
    let what: Vec<_> = what.into_iter().collect();
    // Without the list, or without the right to change it, there is nothing to release.
    claims::release(&beside(socket, "claims"), &what, Clocks::at(Time::ORIGIN)).unwrap_or_default()
}

/// What is claimed, as it is written: an address, a prefix, or the name of a guest. The error is a sentence.
pub fn object_of(text: &str) -> Result<Object, String> {
    if !text.contains([':', '/']) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        return match !text.is_empty() && text.len() <= 63 && text.chars().all(is_part) {
            true => Ok(Object::Guest(text.to_owned())),
            false => Err("write an address, a prefix or the name of a guest".to_owned()),
        };
    }
    let text = if text.contains('/') { text.to_owned() } else { format!("{text}/128") };
    let Ok(prefix) = text.parse::<Ipv6Net>() else {
        return Err(format!("'{text}' is not an IPv6 prefix; write one such as 2001:db8:1:2:c::/116"));
    };
    if prefix.trunc() != prefix {
        return Err(format!("{prefix} has host bits; write {}", prefix.trunc()));
    }
    Ok(Object::Prefix(prefix))
}

/// For the file.
const PATIENCE: Duration = Duration::from_secs(2);
