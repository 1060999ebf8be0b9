//! The interfaces of `ingress` and `egress` chains, which nft's JSON leaves out (up to 1.0.6, which
//! Debian 12 ships) and its text does not.

use super::rules::{Chain, Hook};

/// Whether a chain is on an interface that is not known.
pub fn is_missing(chain: &Chain) -> bool {
    chain
        .base
        .as_ref()
        .is_some_and(|base| matches!(base.hook, Hook::Ingress | Hook::Egress) && base.devices.is_empty())
}

/// Completes the chains from `nft list chains`.
pub fn complete(chains: &mut [Chain], text: &str) {
    let (mut table, mut name) = (Vec::new(), "");
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["table", family, name, "{"] => table = vec![*family, *name],
            ["chain", chain, "{"] => name = chain,
            ["type", _, "hook", ..] => {
                let is_it = |chain: &&mut Chain| {
                    table == [chain.table.family.as_str(), chain.table.name.as_str()] && chain.name == name
                };
                let chain = chains.iter_mut().filter(|chain| is_missing(chain)).find(is_it);
                if let Some(base) = chain.and_then(|chain| chain.base.as_mut()) {
                    base.devices = devices(&words);
                }
            }
            _ => {}
        }
    }
}

/// Of `… device "eth0" priority …` or `… devices = { eth0, eth1 } priority …`.
fn devices(words: &[&str]) -> Vec<String> {
    let names = words.iter().skip_while(|word| !word.starts_with("device")).skip(1);
    let names = names.take_while(|word| **word != "priority").filter(|word| !["=", "{", "}"].contains(word));
    names.map(|name| name.trim_matches(['"', ',']).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_device_and_several() {
        let words = |line: &'static str| line.split_whitespace().collect::<Vec<_>>();
        let one = words("type filter hook ingress device \"lo\" priority filter; policy accept;");
        assert_eq!(devices(&one), ["lo"]);
        let two =
            words("type filter hook egress devices = { eth9, \"lo.5\" } priority filter; policy accept;");
        assert_eq!(devices(&two), ["eth9", "lo.5"]);
        assert_eq!(devices(&words("type filter hook input priority filter;")), [""; 0]);
    }
}
