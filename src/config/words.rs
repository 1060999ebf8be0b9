//! Values as they are written in a file, for whatever shows them.
//!
//! May touch: nothing.

use serde_json::{Value, json};

use super::configuration::{LogFormat, LogLevel};
use super::duration::written;
use crate::engine::policy::{
    Announce, Downstream, IfPattern, Mld, OnStop, Override, RoutePolicy, UpstreamInterface,
};

/// `override`.
pub(crate) fn override_flag(flag: Override) -> &'static str {
    match flag {
        Override::Takeover => "takeover",
        Override::Always => "always",
        Override::Never => "never",
    }
}

/// `announce`.
pub(crate) fn announce(announce: Announce) -> Value {
    match announce {
        Announce::Yes => json!(true),
        Announce::No => json!(false),
        Announce::Dad => json!("dad"),
        Announce::Every(period) => json!(written(period)),
    }
}

/// `mld`.
pub(super) fn mld(mld: Mld) -> Value {
    match mld {
        Mld::No => json!(false),
        Mld::Reports => json!(true),
        Mld::Router => json!("router"),
    }
}

/// `interface` of `[[upstream]]`; null for that of the default route.
pub(super) fn upstream(interface: &UpstreamInterface) -> Value {
    match interface {
        UpstreamInterface::DefaultRoute => Value::Null,
        UpstreamInterface::Named(name) => json!(name.as_str()),
    }
}

/// `interface` of `[[range]]`; null where the kernel's routes decide.
pub(crate) fn downstream(downstream: &Downstream) -> Value {
    match downstream {
        Downstream::Kernel => Value::Null,
        Downstream::Named(name) => json!(name.as_str()),
        Downstream::Matching(patterns) => json!(patterns.iter().map(IfPattern::as_str).collect::<Vec<_>>()),
    }
}

/// `table` of `[routes]`.
pub(super) fn table(table: u32) -> Value {
    if table == RoutePolicy::default().table { json!("main") } else { json!(table) }
}

/// `on-stop`.
pub(super) fn on_stop(on_stop: OnStop) -> &'static str {
    match on_stop {
        OnStop::Remove => "remove",
        OnStop::Keep => "keep",
    }
}

/// `level`.
pub(super) fn level(level: LogLevel) -> &'static str {
    LogLevel::NAMES.into_iter().find(|(_, other)| *other == level).map_or("info", |(name, _)| name)
}

/// `format`.
pub(super) fn format(format: LogFormat) -> &'static str {
    LogFormat::NAMES.into_iter().find(|(_, other)| *other == format).map_or("auto", |(name, _)| name)
}
