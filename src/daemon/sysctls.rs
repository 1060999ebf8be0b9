//! The kernel's settings, where they are ours to change: forwarding, and before it `accept_ra=2`.
//!
//! `forwarding=1` with `accept_ra=1` deletes a default route that came from router advertisements at
//! once, and `all.accept_ra` does nothing for an interface; so the order matters. What was there before is
//! written down first, so that it is found again also after a crash, and comes back in the reverse
//! order at the end, unless another program has changed it meanwhile.
//!
//! To write one takes the kernel's lock of all network settings: `settings` does it on another thread.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::engine::facts::{IfIndex, IfName, Link};
use crate::kernel::sysctl::{self, SysctlError};

/// The settings that are changed at this moment.
#[derive(Debug)]
pub(super) struct Sysctls {
    file: PathBuf,
    changed: Vec<Changed>,
    needs: Needs,
}

/// One setting, as it was and as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Changed {
    key: String,
    before: String,
    set: String,
}

/// What is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The network namespace that it is about.
    namespace: u64,
    changed: Vec<Changed>,
}

/// What is needed at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Whether the host is to forward.
    is_forwarding: bool,
    /// The links whose advertisements are to be taken all the same.
    links: Vec<Upstream>,
    /// No upstream is needed, and these are whatever links could bring advertisements.
    is_any_link: bool,
}

/// An upstream, or a link that could be one, as far as it decides here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Upstream {
    /// One that was made again has its settings from the kernel again.
    index: IfIndex,
    name: IfName,
    default: DefaultRoute,
}

/// Where the default route of an upstream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DefaultRoute {
    /// From router advertisements.
    Advertised,
    /// From somewhere else.
    Configured,
    /// There is none, perhaps because advertisements are not accepted.
    None,
}

/// A setting and the value that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    key: String,
    value: &'static str,
}

impl Sysctls {
    /// What a predecessor that crashed has changed is ours to restore, but not what another program has
    /// changed since.
    pub(super) fn inherit(file: &Path) -> Self {
        let record = fs::read(file).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        let record = record.filter(|record| Some(record.namespace) == namespace());
        let mut changed = record.map(|record| record.changed).unwrap_or_default();
        changed.retain(|one| is_ours(&one.key) && sysctl::read(&one.key).is_ok_and(|now| now == one.set));
        Self { file: file.to_owned(), changed, needs: Needs::default() }
    }

    /// Gives back what a predecessor left.
    pub(super) fn restore_if_any(mut self) {
        if !self.changed.is_empty() {
            tracing::info!("an earlier lone64 left changed sysctls");
            self.restore();
        }
    }

    /// Sets what is needed; nothing if that is the same as before.
    pub(super) fn apply(&mut self, needs: Needs) -> Result<(), SysctlError> {
        if needs == self.needs {
            return Ok(());
        }
        // What fails is tried again when it is something else, not at every word of the kernel's.
        self.needs = needs;
        let forwards_for_us = self.changed.iter().any(|one| one.key == FORWARDING);
        for Setting { key, value } in wanted(&self.needs, forwards_for_us, |key| sysctl::read(key).ok()) {
            let before = sysctl::read(&key)?;
            // An interface that was made again has its setting from the kernel again.
            if !self.changed.iter().any(|one| one.key == key) {
                self.changed.push(Changed {
                    key: key.clone(),
                    before: before.clone(),
                    set: value.to_owned(),
                });
                self.write_down();
            }
            sysctl::write(&key, value)?;
            tracing::info!("net/ipv6/{key}: {before} -> {value}, until lone64 stops");
        }
        Ok(())
    }

    /// Gives everything back, the last change first.
    pub(super) fn restore(&mut self) {
        for Changed { key, before, set } in std::mem::take(&mut self.changed).into_iter().rev() {
            match sysctl::read(&key) {
                Ok(now) if now == before => {}
                Ok(now) if now != set => {
                    tracing::info!("net/ipv6/{key} stays {now}: another program has changed it");
                }
                Ok(_) => match sysctl::write(&key, &before) {
                    Ok(()) => tracing::info!("net/ipv6/{key}: {set} -> {before}, as before"),
                    Err(error) => tracing::warn!("{}", crate::explanation::of(&error)),
                },
                // The interface is gone, and its settings with it.
                Err(_) => {}
            }
        }
        self.needs = Needs::default();
        let _ = fs::remove_file(&self.file);
    }

    /// What is changed stays so, and the record of it is the next start's.
    pub(super) fn leave(mut self) {
        self.changed.clear();
    }

    /// The record lies beside the control socket, wherever that is.
    pub(super) fn move_record(&mut self, file: PathBuf) {
        if file != self.file {
            let old = std::mem::replace(&mut self.file, file);
            if !self.changed.is_empty() {
                self.write_down();
            }
            let _ = fs::remove_file(old);
        }
    }

    /// Before each change. Without it everything works, but a crash would leave what is changed.
    fn write_down(&self) {
        let record = Record { namespace: namespace().unwrap_or(0), changed: self.changed.clone() };
        let new = self.file.with_extension("sysctls-new");
        let written = serde_json::to_vec(&record)
            .map_err(std::io::Error::from)
            .and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &self.file));
        if let Err(error) = written {
            tracing::warn!(
                "cannot write {}, so sysctls stay changed after a crash: {error}",
                self.file.display()
            );
        }
    }
}

impl Drop for Sysctls {
    fn drop(&mut self) {
        if !self.changed.is_empty() {
            self.restore();
        }
    }
}

/// What is needed at this moment: forwarding, as soon as an upstream is there. Before that a host that forwards would
/// not take the advertisement that its default route is waited for from.
///
/// Where nobody is answered for, none need be there: the guests' prefix is routed to this host, by a tunnel say. Then
/// it is the downstreams that count, and any other link may have a default route from advertisements.
pub(super) fn needs(engine: &Engine) -> Needs {
    let links: Vec<_> = engine.upstream_links().filter_map(|link| engine.links().get(link)).collect();
    if !links.is_empty() || engine.written().needs_upstream() {
        let links: Vec<_> = links.into_iter().map(|link| upstream(engine, link)).collect();
        return Needs { is_forwarding: !links.is_empty(), links, is_any_link: false };
    }
    let places = &engine.bindings().ranges;
    let downstreams: BTreeSet<_> =
        places.iter().flat_map(|place| place.downstreams.iter().copied()).collect();
    if downstreams.is_empty() || engine.serves_itself_alone() {
        return Needs::default();
    }
    let is_other = |link: &&Link| {
        !link.name.is_loopback() && link.master.is_none() && !downstreams.contains(&link.index)
    };
    let links = engine.links().iter().filter(is_other).map(|link| upstream(engine, link)).collect();
    Needs { is_forwarding: true, links, is_any_link: true }
}

fn upstream(engine: &Engine, link: &Link) -> Upstream {
    let routes = engine.default_routes().filter(|route| route.unicast_link() == Some(link.index));
    let protocols: Vec<_> = routes.map(|route| route.protocol).collect();
    let default = match protocols.as_slice() {
        [] => DefaultRoute::None,
        all if all.iter().all(|protocol| *protocol == RTPROT_RA) => DefaultRoute::Advertised,
        _ => DefaultRoute::Configured,
    };
    Upstream { index: link.index, name: link.name, default }
}

/// What is missing, as sentences with the command that sets it; for those who manage it themselves.
pub(super) fn missing(engine: &Engine) -> Vec<String> {
    let mut needs = needs(engine);
    needs.links.retain(|up| up.default == DefaultRoute::Advertised);
    let settings = wanted(&needs, false, |key| sysctl::read(key).ok());
    let commands: Vec<_> =
        settings.iter().map(|s| format!("`sysctl -w net/ipv6/{}={}`", s.key, s.value)).collect();
    let Some(last) = settings.last() else { return Vec::new() };
    if last.key == FORWARDING && (engine.serves_itself_alone() || forwards_by_interface(engine)) {
        return Vec::new();
    }
    let commands = commands.join(", then ");
    const REMEDY: &str = "or set `manage = true` in [sysctl]";
    vec![if last.key == FORWARDING && needs.is_any_link {
        format!("IPv6 forwarding is off, so no packet reaches a guest or leaves it; {commands}, {REMEDY}")
    } else if last.key == FORWARDING {
        format!(
            "IPv6 forwarding is off, so lone64 answers for guests that packets cannot reach; {commands}, \
                 {REMEDY}"
        )
    } else {
        format!(
            "the default route comes from router advertisements, and the kernel ignores them with forwarding on, so \
             the route will expire; {commands}, {REMEDY}"
        )
    }]
}

/// Since Linux 6.17 an interface can be made to forward by itself.
fn forwards_by_interface(engine: &Engine) -> bool {
    let places = engine.bindings().ranges.iter();
    let mut links =
        engine.upstream_links().chain(places.flat_map(|place| place.downstreams.iter().copied())).peekable();
    let forwards = |link| sysctl::read(&format!("conf/{}/force_forwarding", engine.links().name(link)));
    links.peek().is_some() && links.all(|link| forwards(link).is_ok_and(|value| value == "1"))
}

/// What has to be set, in this order.
fn wanted(needs: &Needs, forwards_for_us: bool, read: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let mut settings = Vec::new();
    if !needs.is_forwarding {
        return settings;
    }
    // Where another program has the host forward, links that bring no default route take no advertisements already.
    let takes_any = !needs.is_any_link || forwards_for_us || read(FORWARDING).as_deref() == Some("0");
    for upstream in &needs.links {
        match upstream.default {
            DefaultRoute::Configured => continue,
            DefaultRoute::None if !takes_any => continue,
            DefaultRoute::None | DefaultRoute::Advertised => {}
        }
        let key = format!("conf/{}/accept_ra", upstream.name);
        // 0: another program takes care of advertisements, systemd-networkd for one.
        if read(&key).as_deref() == Some("1") {
            settings.push(Setting { key, value: "2" });
        }
    }
    if read(FORWARDING).as_deref() == Some("0") {
        settings.push(Setting { key: FORWARDING.to_owned(), value: "1" });
    }
    settings
}

/// The file lies where only root may write; all the same nothing else is ever restored from it.
fn is_ours(key: &str) -> bool {
    let name = key.strip_prefix("conf/").and_then(|rest| rest.strip_suffix("/accept_ra"));
    key == FORWARDING || name.is_some_and(|name| name.parse::<IfName>().is_ok())
}

/// The number of the network namespace of this thread.
fn namespace() -> Option<u64> {
    fs::metadata("/proc/thread-self/ns/net").ok().map(|metadata| metadata.ino())
}

const FORWARDING: &str = "conf/all/forwarding";
/// `rtm_protocol` of routes that came from router advertisements.
const RTPROT_RA: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(name: &str, default: DefaultRoute) -> Upstream {
        Upstream { index: IfIndex(2), name: name.parse().unwrap(), default }
    }

    fn needs(links: &[Upstream]) -> Needs {
        Needs { is_forwarding: true, links: links.to_vec(), is_any_link: false }
    }

    /// The settings of a host on which `forwarding` is so and every `accept_ra` is this.
    fn host(forwarding: &'static str, accept_ra: &'static str) -> impl Fn(&str) -> Option<String> {
        move |key| Some(if key == FORWARDING { forwarding } else { accept_ra }.to_owned())
    }

    fn keys(settings: &[Setting]) -> Vec<String> {
        settings.iter().map(|s| format!("{}={}", s.key, s.value)).collect()
    }

    #[test]
    fn accepts_advertisements_before_it_forwards() {
        let upstreams = [upstream("up0", DefaultRoute::Advertised), upstream("up1", DefaultRoute::None)];
        assert_eq!(
            keys(&wanted(&needs(&upstreams), false, host("0", "1"))),
            ["conf/up0/accept_ra=2", "conf/up1/accept_ra=2", "conf/all/forwarding=1"]
        );
    }

    #[test]
    fn changes_nothing_that_is_right_or_somebody_elses() {
        let advertised = [upstream("up0", DefaultRoute::Advertised)];
        assert_eq!(keys(&wanted(&needs(&advertised), false, host("1", "2"))), [""; 0]);
        assert_eq!(
            keys(&wanted(&needs(&advertised), false, host("1", "0"))),
            [""; 0],
            "networkd does it itself"
        );
        let configured = [upstream("up0", DefaultRoute::Configured)];
        assert_eq!(keys(&wanted(&needs(&configured), false, host("0", "1"))), ["conf/all/forwarding=1"]);
        assert_eq!(
            keys(&wanted(&needs(&configured), false, |_| None)),
            [""; 0],
            "without IPv6 there is nothing to set"
        );
    }

    #[test]
    fn without_an_upstream_every_link_that_could_bring_advertisements_goes_on_taking_them() {
        let links = [upstream("eth0", DefaultRoute::None), upstream("sit1", DefaultRoute::Configured)];
        let any = Needs { is_any_link: true, ..needs(&links) };
        assert_eq!(
            keys(&wanted(&any, false, host("0", "1"))),
            ["conf/eth0/accept_ra=2", "conf/all/forwarding=1"]
        );
        assert_eq!(keys(&wanted(&any, false, host("1", "1"))), [""; 0], "it takes none already");
        assert_eq!(
            keys(&wanted(&any, true, host("1", "1"))),
            ["conf/eth0/accept_ra=2"],
            "one that came later"
        );
        let none = Needs { is_forwarding: false, ..any };
        assert_eq!(keys(&wanted(&none, false, host("0", "1"))), [""; 0]);
    }

    #[test]
    fn takes_no_other_key_from_a_file() {
        assert!(is_ours("conf/all/forwarding") && is_ours("conf/eth0.100/accept_ra"));
        assert!(!is_ours("conf/../../kernel/core_pattern") && !is_ours("conf/a/b/accept_ra"));
        assert!(!is_ours("conf/../accept_ra"));
    }
}
