//! Programs that see frames before every packet filter, and before the daemon: XDP, and the filters of tc. What they do
//! cannot be read from them, so they are named where nothing else explains what is lost.

use crate::doctor::{Check, Finding, Group, Host, Remedy};
use crate::engine::facts::IfIndex;
use crate::kernel::netlink::{Classifier, Hook};

/// The check.
pub static CHECK: Check = Check {
    name: "programs",
    group: Group::Host,
    asks: "no program (XDP, tc) on the upstream's way may drop Neighbor Discovery",
    examine,
};

/// Something that may drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it is and what may come of it, without a full stop.
    pub sentence: String,
    /// What shows it.
    pub evidence: String,
    /// What tells more.
    pub advice: String,
}

fn examine(host: &Host) -> Vec<Finding> {
    let mut links: Vec<_> =
        host.upstreams().iter().flat_map(|upstream| host.underneath(upstream.link)).collect();
    links.sort_unstable();
    links.dedup();
    let xdp: Vec<_> = host.makes.iter().filter_map(|make| Some((make.link, make.xdp?))).collect();
    let finding = |program: Program| {
        Finding::warning(program.sentence).seen(program.evidence).remedy(Remedy::Advice(program.advice))
    };
    programs(&links, &xdp, &host.classifiers, |link| host.name(link)).into_iter().map(finding).collect()
}

/// Those on these links: the numbers of XDP programs, and what tc has there.
pub fn programs(
    links: &[IfIndex],
    xdp: &[(IfIndex, u32)],
    classifiers: &[Classifier],
    name: impl Fn(IfIndex) -> String,
) -> Vec<Program> {
    let mut all = Vec::new();
    for (link, id) in xdp.iter().filter(|(link, _)| links.contains(link)) {
        let name = name(*link);
        all.push(Program {
            sentence: format!(
                "an XDP program may drop solicitations on {name}: it sees every frame before this host does"
            ),
            evidence: format!("ip -d link show {name}: prog/xdp id {id}"),
            advice: format!("`bpftool prog show id {id}` tells whose it is; {LIVE}"),
        });
    }
    let mut told: Vec<(IfIndex, Hook)> = Vec::new();
    for one in classifiers.iter().filter(|one| one.may_drop && links.contains(&one.link)) {
        if is_ours(one) || told.contains(&(one.link, one.hook)) {
            continue;
        }
        told.push((one.link, one.hook));
        let (name, hook) = (name(one.link), one.hook.as_str());
        let what = match one.hook {
            Hook::Ingress => "solicitations on",
            Hook::Egress => "answers on their way out of",
        };
        let kinds: Vec<_> = classifiers
            .iter()
            .filter(|other| (other.link, other.hook) == (one.link, one.hook) && other.may_drop)
            .map(|other| match &other.program {
                Some(program) => format!("{} {program}", other.kind),
                None => other.kind.clone(),
            })
            .collect();
        all.push(Program {
            sentence: format!("a filter of tc may drop {what} {name}"),
            evidence: format!("tc filter show dev {name} {hook}: {}", kinds.join(", ")),
            advice: format!("`tc -s filter show dev {name} {hook}` tells what it does, and counts; {LIVE}"),
        });
    }
    all
}

/// The backend in the kernel is meant to take solicitations.
fn is_ours(one: &Classifier) -> bool {
    one.program.as_deref().is_some_and(|program| program.starts_with("lone64"))
}

const LIVE: &str = "`lone64 doctor --live` shows whether solicitations arrive and answers leave";
