//! Programs that see frames before every packet filter, and before the daemon: XDP, and the filters of tc and programs of tcx. What they do
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
    let mut told: Vec<(IfIndex, Hook, bool)> = Vec::new();
    for one in classifiers.iter().filter(|one| one.may_drop && links.contains(&one.link)) {
        let place = |one: &Classifier| (one.link, one.hook, one.kind == Classifier::TCX);
        if is_ours(one) || told.contains(&place(one)) {
            continue;
        }
        told.push(place(one));
        let (name, hook) = (name(one.link), one.hook.as_str());
        let what = match one.hook {
            Hook::Ingress => "solicitations on",
            Hook::Egress => "answers on their way out of",
        };
        let order = order(classifiers, one);
        let kinds: Vec<_> = classifiers
            .iter()
            .filter(|other| place(other) == place(one) && other.may_drop)
            .map(|other| match &other.program {
                Some(program) => format!("{} {program}", other.kind),
                None => other.kind.clone(),
            })
            .collect();
        let kinds = kinds.join(", ");
        all.push(match one.kind.as_str() {
            Classifier::TCX => Program {
                sentence: format!("a program that is attached by tcx{order} may drop {what} {name}"),
                evidence: format!("bpftool net show dev {name}: at the {hook}: {kinds}"),
                advice: format!("`bpftool net show dev {name}` tells whose it is; {LIVE}"),
            },
            _ => Program {
                sentence: format!("a filter of tc{order} may drop {what} {name}"),
                evidence: format!("tc filter show dev {name} {hook}: {kinds}"),
                advice: format!(
                    "`tc -s filter show dev {name} {hook}` tells what it does, and counts; {LIVE}"
                ),
            },
        });
    }
    all
}

/// Where those of this place are, seen from our program. tcx comes before clsact, and otherwise the order is the kernel's. What
/// our program answers goes no further.
fn order(classifiers: &[Classifier], one: &Classifier) -> &'static str {
    let is_beside = |other: &Classifier| (other.link, other.hook) == (one.link, Hook::Ingress);
    let rank = |(place, other): (usize, &Classifier)| (other.kind != Classifier::TCX, place);
    let beside = || classifiers.iter().enumerate().filter(|(_, other)| is_beside(other));
    let Some(ours) = beside().find(|(_, other)| is_ours(other)).map(rank) else { return "" };
    if one.hook != Hook::Ingress {
        return "";
    }
    let mut others =
        beside().filter(|(_, other)| other.kind == one.kind && other.may_drop && !is_ours(other));
    if others.any(|other| rank(other) < ours) {
        " before the program of lone64"
    } else {
        " behind the program of lone64"
    }
}

/// The backend in the kernel is meant to take solicitations.
fn is_ours(one: &Classifier) -> bool {
    one.program.as_deref().is_some_and(|program| program.starts_with("lone64"))
}

const LIVE: &str = "`lone64 doctor --live` shows whether solicitations arrive and answers leave";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_programs_of_tcx_and_passes_over_our_own() {
        let program = |link, hook, name: Option<&str>| Classifier {
            link: IfIndex(link),
            hook,
            kind: Classifier::TCX.to_owned(),
            program: name.map(str::to_owned),
            may_drop: true,
        };
        let there = [
            program(2, Hook::Ingress, Some("lone64")),
            program(2, Hook::Ingress, Some("cil_from_netdev")),
            program(2, Hook::Egress, None),
            program(3, Hook::Ingress, Some("elsewhere")),
        ];
        let found = programs(&[IfIndex(2)], &[], &there, |_| "up0".to_owned());
        let sentences: Vec<_> = found.iter().map(|program| program.sentence.as_str()).collect();
        let expected = [
            "a program that is attached by tcx behind the program of lone64 may drop solicitations on up0",
            "a program that is attached by tcx may drop answers on their way out of up0",
        ];
        assert_eq!(sentences, expected);
        assert!(
            found[0].evidence.contains("at the ingress: tcx lone64, tcx cil_from_netdev"),
            "{}",
            found[0].evidence
        );
        assert!(programs(&[IfIndex(2)], &[], &there[..1], |_| "up0".to_owned()).is_empty());
    }

    #[test]
    fn says_whether_one_comes_before_our_own() {
        let at = |kind: &str, name: &str| Classifier {
            link: IfIndex(2),
            hook: Hook::Ingress,
            kind: kind.to_owned(),
            program: Some(name.to_owned()),
            may_drop: true,
        };
        let said = |there: &[Classifier]| {
            let found = programs(&[IfIndex(2)], &[], there, |_| "up0".to_owned());
            found.into_iter().map(|program| program.sentence).collect::<Vec<_>>().join("; ")
        };
        let (ours, theirs) = ("lone64", "other");
        for (there, order) in [
            ([at("tcx", theirs), at("tcx", ours)], " before"),
            ([at("bpf", theirs), at("tcx", ours)], " behind"),
            ([at("bpf", ours), at("tcx", theirs)], " before"),
            ([at("bpf", ours), at("bpf", theirs)], " behind"),
            ([at("bpf", theirs), at("bpf", ours)], " before"),
        ] {
            assert!(
                said(&there).contains(&format!("{order} the program of lone64 may drop")),
                "{}",
                said(&there)
            );
        }
        assert!(said(&[at("bpf", theirs)]).contains("a filter of tc may drop"));
    }
}
