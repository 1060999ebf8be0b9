//! The upstream itself: there, of the right kind, up.

use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};
use crate::engine::Problem;
use crate::engine::facts::{IfName, LinkLayer, LinkState};

use super::keepers::{for_good, switched_on};

/// The check.
pub static CHECK: Check = Check {
    name: "upstream",
    group: Group::Upstream,
    asks: "the upstream is there, and carries traffic",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let mut findings: Vec<_> =
        host.bindings().problems.iter().filter_map(|problem| explained(host, problem)).collect();
    for upstream in host.upstreams() {
        findings.extend(silent(host, &host.name(upstream.link)));
    }
    findings
}

/// Those about downstreams, and a default route that is missing, have checks of their own.
fn explained(host: &Host, problem: &Problem) -> Option<Finding> {
    Some(match problem {
        Problem::UpstreamMissing(name) if host.also_named(name).is_some() => {
            let own = host.also_named(name).map_or(*name, |link| link.name);
            Finding::fault(format!("{name} is another name of {own} (an altname), and lone64 knows interfaces by their own"))
                .seen(format!("ip link show {name}: {own}, altname {name}"))
                .remedy(named(&own))
        }
        Problem::UpstreamMissing(name) => {
            let finding = Finding::fault(format!(
                "the upstream {name} does not exist, so no solicitation is heard on it"
            ));
            let finding = finding.seen(format!("ip link: no {name}; {}", there_are(host)));
            match likely(host) {
                Some(other) => finding.remedy(named(&other)),
                None => finding.remedy(Remedy::Advice(
                    "name the interface towards the provider's router in [[upstream]]".to_owned(),
                )),
            }
        }
        Problem::UpstreamIsPort(name, master) => {
            let sentence =
                format!("the upstream {name} is a port of {master}, and frames arrive at {master} only");
            Finding::fault(sentence)
                .seen(format!("ip link show {name}: master {master}"))
                .remedy(named(master))
        }
        Problem::UpstreamWithoutLinkLayer(name) => {
            let finding = Finding::fault(format!(
                "the upstream {name} has no Ethernet, so nobody asks for neighbors there: over a tunnel the \
                 other end routes, and no proxy is needed"
            ));
            let finding = finding.seen(format!("ip link show {name}: no link-layer address"));
            match likely(host) {
                Some(other) => finding.remedy(named(&other)),
                None => finding.remedy(Remedy::Advice(format!("end lone64 here: {name} needs none"))),
            }
        }
        Problem::SourceMissing(name, address) => {
            let link = host.links().iter().find(|link| link.name == *name);
            let lasting = link.and_then(|link| {
                for_good(host, link.index, &format!("Address={address}/64"), &format!("address {address}/64"))
            });
            let sentence =
                format!("answers are to come from {address}, which {name} does not have: none is sent");
            Finding::fault(sentence)
                .seen(format!("ip -6 addr show dev {name}: no usable {address}"))
                .run(Command::new(format!("ip -6 addr replace {address}/64 dev {name} nodad")).for_good(lasting))
        }
        Problem::NoUpstreamForRange(prefix) => {
            let sentence =
                format!("{prefix} lies in no upstream's prefix, and there are several: it is not served");
            let names: Vec<_> = host.upstreams().iter().map(|upstream| host.name(upstream.link)).collect();
            let advice =
                format!("in the [[range]] of {prefix} name one: upstream = \"{}\"", names.join("\" or \""));
            Finding::fault(sentence)
                .seen(format!("upstreams: {}", names.join(", ")))
                .remedy(Remedy::Advice(advice))
        }
        Problem::RouteOverLink(prefix, name, upstream) => {
            Finding::fault(format!("one route for {prefix} to {name} would take all of the link of {upstream} away"))
                .seen(format!("ip -6 route: {prefix} is on-link at {upstream}, so there is no such route"))
                .remedy(Remedy::Advice(format!(
                    "in the [[range]] of {prefix} write routes = \"guests\", or leave `routes` out: each live guest \
                     has a /128"
                )))
        }
        Problem::AlwaysOverLink(prefix, name, upstream) if name.is_loopback() => {
            Finding::fault(format!("{prefix} has stations of the link of {upstream} in it, and no route leads to {name}"))
                .seen(format!("ip -6 route: some of {prefix} is on-link at {upstream}"))
                .remedy(Remedy::Advice(format!(
                    "in the [[range]] of {prefix} write a longer prefix, a /112 say, that this host alone has"
                )))
        }
        Problem::AlwaysOverLink(prefix, name, upstream) => {
            Finding::fault(format!("{prefix} is all of the link of {upstream}, and no route leads to {name}"))
                .seen(format!("ip -6 route: {prefix} is on-link at {upstream}"))
                .remedy(Remedy::Advice(format!(
                    "in the [[range]] of {prefix} write answer = \"live\", or a longer prefix that has the guests alone"
                )))
        }
        Problem::NoPrefixForSuffix(suffix) => {
            let names: Vec<_> = host.upstreams().iter().map(|upstream| host.name(upstream.link)).collect();
            Finding::fault(format!(
                "the suffix {suffix} is not served: no upstream has a /64 to put it under"
            ))
            .seen(format!("ip -6 addr show dev {}: no /64", names.join(", ")))
            .remedy(Remedy::Advice(
                "give the upstream its address with the /64 of the provider, or write `prefix`".to_owned(),
            ))
        }
        // `shared_prefix` looks for it with or without a configuration.
        Problem::SamePrefix(..) => return None,
        Problem::TooManyRanges => Finding::warning(problem.to_string())
            .seen("ip -6 route show table main".to_owned())
            .remedy(Remedy::Advice("write a [[range]] that covers what is left out".to_owned())),
        // Downstreams, addresses and limits have checks of their own.
        Problem::NoDefaultRoute
        | Problem::UpstreamNotHeard(..)
        | Problem::UplinkUnknown(_)
        | Problem::UpstreamWithoutAddress(_)
        | Problem::DownstreamMissing(..)
        | Problem::DownstreamIsUpstream(..)
        | Problem::DownstreamBesideUpstream(..)
        | Problem::AlsoMissing(..)
        | Problem::AlsoOnUpstream(..)
        | Problem::NobodyToAsk(..)
        | Problem::GatewayRefused(..)
        | Problem::PinKeptOut(..)
        | Problem::PinRefused(..)
        | Problem::Unguarded(..)
        | Problem::GuardsRefused(_)
        | Problem::SetsRefused(_) => return None,
    })
}

fn silent(host: &Host, name: &str) -> Option<Finding> {
    let link = host.links().iter().find(|link| link.name.as_str() == name)?;
    match link.state {
        LinkState::Up => None,
        LinkState::Down => {
            let finding = Finding::fault(format!("the upstream {name} is switched off"));
            Some(finding.seen(format!("ip link show {name}: not UP")).run(switched_on(host, link)))
        }
        LinkState::NoCarrier => {
            let finding =
                Finding::fault(format!("the upstream {name} has no carrier: nobody is at its other end"));
            Some(finding.seen(format!("ip link show {name}: NO-CARRIER")).remedy(Remedy::Advice(
                "look at the cable, the switch's port, or the virtual network at the provider's".to_owned(),
            )))
        }
    }
}

/// The interface that the default route leaves by, if guests are not there.
fn likely(host: &Host) -> Option<IfName> {
    let downstreams = host.downstreams();
    let links = host.default_routes().filter_map(|route| host.links().get(route.unicast_link()?));
    let mut fit = links.filter(|link| {
        let is_downstream = downstreams.iter().any(|other| other.index == link.index);
        matches!(link.layer, LinkLayer::Ethernet(_)) && link.master.is_none() && !is_downstream
    });
    fit.next().map(|link| link.name)
}

fn there_are(host: &Host) -> String {
    let names: Vec<_> = host.links().iter().take(16).map(|link| link.name.as_str()).collect();
    format!("there are {}", names.join(", "))
}

fn named(name: &IfName) -> Remedy {
    Remedy::Config(format!("[[upstream]]\ninterface = \"{name}\"\n"))
}
