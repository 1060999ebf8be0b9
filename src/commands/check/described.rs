//! What `check --json` prints.
//!
//! May touch: nothing.

use serde_json::{Value, json};

use super::{Checked, Here, all_ranges, answer, backstops, routes, upstream};
use crate::config::{Problems, words};
use crate::daemon::unserved::Nothing;
use crate::engine::policy::{IfPattern, Origin, UpstreamInterface};

/// A configuration that is good.
pub(super) fn described(checked: &Checked, here: &Here) -> Value {
    let Here { policy, notes, .. } = here;
    let upstreams: Vec<Value> = policy
        .upstreams
        .iter()
        .map(|upstream| {
            let interface = match &upstream.interface {
                UpstreamInterface::DefaultRoute => None,
                UpstreamInterface::Named(name) => Some(name.as_str()),
            };
            json!({
                "interface": interface,
                "automatic": upstream.automatic.is_some(),
                "ignore": upstream.automatic.iter().flat_map(|a| &a.ignore).map(IfPattern::as_str).collect::<Vec<_>>(),
                "router": upstream.router,
                "override": words::override_flag(upstream.override_flag),
                "source": upstream.source.written(),
                "gateway_source": upstream.gateway_source.written(),
                "announce": words::announce(upstream.announce),
            })
        })
        .collect();
    let ranges: Vec<Value> = all_ranges(policy)
        .map(|range| {
            let is_suffix = range.origin == Origin::Suffix;
            json!({
                "prefix": (!is_suffix).then(|| range.prefix.to_string()),
                "suffix": is_suffix.then(|| range.prefix.to_string()),
                "upstream": upstream(range, policy),
                "interface": words::downstream(&range.downstream),
                "answer": answer(range.answer),
                "routes": routes(range),
                "backstop": range.backstop && !backstops::is_without(range, policy),
                "exclude": range.exclude.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "gateway": range.gateway,
                "proxy_downstream": range.proxy_downstream,
                "standby": range.standby,
            })
        })
        .collect();
    let mut object = json!({
        "origin": checked.origin,
        "files": checked.files,
        "valid": true,
        "upstreams": upstreams,
        "ranges": ranges,
        "problems": [],
        "warnings": checked.read.notices,
        "notes": notes,
        "unserved": here.unserved.networks,
        "idle": here.engine.as_ref().and_then(|engine| engine.idle()).map(Nothing::from),
        "ways_out": here.ways_out,
        "unread_table": here.unserved.unread.as_ref().map(|unread| unread.table),
    });
    if let Some(effective) = &here.effective {
        object["effective"] = json!(effective);
    }
    object
}

/// One that is not.
pub(super) fn refused(origin: &str, problems: &Problems) -> Value {
    json!({ "origin": origin, "valid": false, "problems": problems.as_slice() })
}
