//! systemd-networkd: it takes routes that it did not make for leftovers, and no router advertisements where it sees a
//! router, unless it is told not to.

use glob::Pattern;

use super::forwarding::{self, has_advertised_route};
use crate::doctor::ini::{self, Entry};
use crate::doctor::{Check, Command, Finding, Group, Host, Text};
use crate::engine::facts::{Link, LinkLayer};

/// The check.
pub static CHECK: Check = Check {
    name: "networkd",
    group: Group::Others,
    asks: "systemd-networkd leaves our routes alone",
    examine,
};

/// The check of router advertisements.
pub static ADVERTISEMENTS: Check = Check {
    name: "networkd-advertisements",
    group: Group::Others,
    asks: "systemd-networkd takes router advertisements although the host forwards",
    examine: advertisements,
};

/// "Takes a boolean. … If unset, defaults to true … when IPv6 forwarding is disabled" (systemd.network(5),
/// `IPv6AcceptRA=`).
fn advertisements(host: &Host) -> Vec<Finding> {
    if !host.processes.iter().any(|process| process.name == PROCESS)
        || host.setting(forwarding::ALL) != Some("1")
    {
        return Vec::new();
    }
    let upstreams = host.upstreams().iter().filter(|upstream| has_advertised_route(host, upstream.link));
    let finding = |link: &Link| {
        let file = manager(host, link)?;
        let written = said(host, file, "IPv6AcceptRA")?;
        let Ok(file_name) = std::path::Path::new(&file.path).file_name()?.to_os_string().into_string() else {
            return None;
        };
        let sentence = format!(
            "systemd-networkd takes no router advertisements on {} after its next start, because the host forwards: the              default route is lost then",
            link.name
        );
        let finding = Finding::warning(sentence).seen(format!("{}: {written}", file.path));
        let finding = finding.seen(format!("{} = 1", forwarding::ALL));
        let directory = host.path(&format!("etc/systemd/network/{file_name}.d"));
        let line = format!(
            "mkdir -p {directory} && printf '[Network]\\nIPv6AcceptRA=yes\\n' > {directory}/zz-lone64.conf && networkctl \
             reload"
        );
        Some(finding.run(Command::new(line).lasting()))
    };
    upstreams.filter_map(|upstream| finding(host.links().get(upstream.link)?)).collect()
}

/// That a key of `[Network]` is not switched on, neither in the file nor in what is beside it; `None` if it is.
fn said(host: &Host, file: &Text, key: &str) -> Option<String> {
    let name = file.path.rsplit('/').next()?;
    let beside = format!("systemd/network/{name}.d/");
    let all = std::iter::once(file).chain(host.files.iter().filter(|other| other.path.contains(&beside)));
    let entries = all.flat_map(|text| ini::entries(&text.content));
    let mut ours = entries.filter(|entry| (entry.section, entry.key) == ("Network", key));
    match ours.next_back() {
        Some(entry) if ini::boolean(&entry.value) == Some(true) => None,
        Some(entry) => Some(format!("{key}={}", entry.value)),
        None => Some(format!("{key} is not set")),
    }
}

fn examine(host: &Host) -> Vec<Finding> {
    if keeps_foreign_routes(&host.files) {
        return Vec::new();
    }
    let process = host.processes.iter().find(|process| process.name == PROCESS);
    // A process that may not look into other users' processes cannot tell.
    if process.is_none() && host.may(CAP_SYS_PTRACE) {
        return Vec::new();
    }
    let upstreams = host.upstreams().iter().filter_map(|upstream| host.links().get(upstream.link));
    let managed = upstreams.chain(host.downstreams()).find_map(|link| Some((link, manager(host, link)?)));
    let Some((link, file)) = managed else { return Vec::new() };
    let sentence = format!(
        "systemd-networkd manages {}, and whenever it starts it deletes routes that are not its own, ours among them",
        link.name
    );
    let mut finding = Finding::warning(sentence).seen(format!("{} matches {}", file.path, link.name));
    if let Some(process) = process {
        finding = finding.seen(format!("process {} is systemd-networkd", process.pid));
    }
    finding = finding.seen("ManageForeignRoutes is not \"no\" in networkd.conf or a file of networkd.conf.d");
    let directory = host.path("etc/systemd/networkd.conf.d");
    let line = format!(
        "mkdir -p {directory} && printf '[Network]\\nManageForeignRoutes=no\\n' > {directory}/zz-lone64.conf"
    );
    vec![finding.run(Command::new(line).lasting())]
}

/// The last assignment decides; files beside networkd.conf come after it (networkd.conf(5)).
fn keeps_foreign_routes(files: &[Text]) -> bool {
    let main = files.iter().filter(|file| file.path.ends_with("systemd/networkd.conf"));
    let beside = files.iter().filter(|file| file.path.contains("systemd/networkd.conf.d/"));
    let entries = main.chain(beside).flat_map(|file| ini::entries(&file.content));
    let mut ours = entries.filter(|entry| (entry.section, entry.key) == ("Network", "ManageForeignRoutes"));
    ours.next_back().and_then(|entry| ini::boolean(&entry.value)) == Some(false)
}

/// The first file that matches decides (systemd.network(5)).
pub fn manager<'a>(host: &'a Host, link: &Link) -> Option<&'a Text> {
    let files = host.files.iter().filter(|file| file.path.ends_with(".network"));
    let kind = host.make(link.index).map_or("", |make| make.kind.as_str());
    let mut all = files.map(|file| (file, ini::entries(&file.content)));
    let (file, entries) = all.find(|(_, entries)| matches(entries, link, kind))?;
    let is_left_alone = entries.iter().any(|entry| {
        (entry.section, entry.key) == ("Link", "Unmanaged") && ini::boolean(&entry.value) == Some(true)
    });
    (!is_left_alone).then_some(file)
}

/// Every key of `[Match]` has to fit, and there has to be one. Of keys that are not known here it is
/// assumed that they do not fit.
fn matches(entries: &[Entry<'_>], link: &Link, kind: &str) -> bool {
    let mut wanted =
        entries.iter().filter(|entry| entry.section == "Match" && !entry.value.is_empty()).peekable();
    wanted.peek().is_some()
        && wanted.all(|entry| match entry.key {
            "Name" => is_one_of(&entry.value, link.name.as_str()),
            "Kind" => is_one_of(&entry.value, kind),
            "MACAddress" | "PermanentMACAddress" => match link.layer {
                LinkLayer::Ethernet(mac) | LinkLayer::NoDiscovery(mac) => {
                    entry.value.split_whitespace().any(|one| one.eq_ignore_ascii_case(&mac.to_string()))
                }
                LinkLayer::Loopback | LinkLayer::None => false,
            },
            "Type" => match link.layer {
                LinkLayer::Ethernet(_) | LinkLayer::NoDiscovery(_) => {
                    is_one_of(&entry.value, if kind == "bridge" { "bridge" } else { "ether" })
                }
                LinkLayer::Loopback => is_one_of(&entry.value, "loopback"),
                LinkLayer::None => is_one_of(&entry.value, "none"),
            },
            _ => false,
        })
}

/// A list of globs; with `!` before it, everything else.
fn is_one_of(list: &str, text: &str) -> bool {
    let (list, others) = list.strip_prefix('!').map_or((list, false), |list| (list, true));
    let fits = list.split_whitespace().any(|glob| Pattern::new(glob).is_ok_and(|glob| glob.matches(text)));
    fits != others
}

/// Its name, as the kernel cuts it off after 15 bytes.
pub const PROCESS: &str = "systemd-network";
/// capabilities(7).
const CAP_SYS_PTRACE: u32 = 19;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::{IfIndex, LinkState};
    use crate::wire::Mac;

    fn file(path: &str, content: &str) -> Text {
        Text { path: path.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn the_last_word_on_foreign_routes_decides() {
        let main = file("/etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=yes\n");
        let no = file("/etc/systemd/networkd.conf.d/a.conf", "[Network]\nManageForeignRoutes = no\n");
        let elsewhere = file("/etc/systemd/networkd.conf.d/b.conf", "[DHCP]\nManageForeignRoutes=yes\n");
        assert!(!keeps_foreign_routes(&[]));
        assert!(!keeps_foreign_routes(std::slice::from_ref(&main)));
        assert!(keeps_foreign_routes(&[no.clone(), elsewhere, main.clone()]), "the main file comes first");
        let yes = file("/etc/systemd/networkd.conf.d/z.conf", "[Network]\nManageForeignRoutes=1\n");
        assert!(!keeps_foreign_routes(&[no, yes, main]));
    }

    #[test]
    fn matches_as_networkd_does() {
        let link = Link {
            index: IfIndex(2),
            name: "up0".parse().expect("a name"),
            state: LinkState::Up,
            layer: LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 0xaa])),
            master: None,
            lower: None,
            peer: None,
            is_bridge: false,
            leads_to_one: false,
            group: 0,
            vrf: None,
        };
        let fits = |text: &str| matches(&ini::entries(text), &link, "veth");
        for text in [
            "Name=up0",
            "Name=eth* up?",
            "Name=!br*",
            "MACAddress=02:00:00:00:00:AA",
            "Type=ether",
            "Kind=veth",
        ] {
            assert!(fits(&format!("[Match]\n{text}\n")), "{text}");
        }
        for text in ["", "Name=up1", "Name=!up*", "Name=up0\nKind=bridge", "Driver=e1000", "Type=wlan"] {
            assert!(!fits(&format!("[Match]\n{text}\n[Network]\nName=up0\n")), "{text}");
        }
    }
}
