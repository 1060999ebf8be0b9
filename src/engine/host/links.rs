//! The host's interfaces and addresses, as the kernel last described them.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use crate::engine::facts::{Address, AddressState, IfIndex, IfName, Link, LinkLayer, LinkState, Lower};
use crate::wire::Mac;

/// All interfaces and addresses of the host.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<IfIndex, Link>,
    /// So that a range finds its interface at once among thousands.
    by_name: BTreeMap<IfName, BTreeSet<IfIndex>>,
    /// Ordered by address first, so that one look finds every interface that has it.
    addresses: BTreeMap<(Ipv6Addr, IfIndex), Address>,
    /// The same, ordered by interface.
    by_link: BTreeSet<(IfIndex, Ipv6Addr)>,
}

impl Links {
    /// Learns of a link, or that it has changed. The link as it was.
    pub fn insert(&mut self, link: Link) -> Option<Link> {
        let before = self.links.insert(link.index, link.clone());
        if before.as_ref().map(|before| &before.name) != Some(&link.name) {
            if let Some(before) = &before {
                self.forget_name(before);
            }
            self.by_name.entry(link.name).or_default().insert(link.index);
        }
        before
    }

    /// Forgets a link, and the addresses that it had. The link as it was.
    pub fn remove(&mut self, index: IfIndex) -> Option<Link> {
        let gone: Vec<_> = self.addresses_of(index).map(|address| address.address).collect();
        for address in gone {
            self.remove_address(index, address);
        }
        let before = self.links.remove(&index)?;
        self.forget_name(&before);
        Some(before)
    }

    fn forget_name(&mut self, link: &Link) {
        if let Some(links) = self.by_name.get_mut(&link.name) {
            links.remove(&link.index);
            if links.is_empty() {
                self.by_name.remove(&link.name);
            }
        }
    }

    /// Learns of an address, or that it has changed. The address as it was.
    pub fn insert_address(&mut self, address: Address) -> Option<Address> {
        self.by_link.insert((address.link, address.address));
        self.addresses.insert((address.address, address.link), address)
    }

    /// Forgets an address. The address as it was.
    pub fn remove_address(&mut self, link: IfIndex, address: Ipv6Addr) -> Option<Address> {
        self.by_link.remove(&(link, address));
        self.addresses.remove(&(address, link))
    }

    /// The link of this number.
    pub fn get(&self, index: IfIndex) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The link's name; `#7` where no link has the number.
    pub fn name(&self, index: IfIndex) -> String {
        self.get(index).map_or_else(|| format!("#{index}"), |link| link.name.to_string())
    }

    /// The link of this name.
    pub fn named(&self, name: &IfName) -> Option<&Link> {
        // Two may have the same name for a moment, where word of a renaming is still to come.
        self.links.get(self.by_name.get(name)?.first()?)
    }

    /// How many links there are.
    pub fn count(&self) -> usize {
        self.links.len()
    }

    /// All links.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The link's own Ethernet address.
    pub fn mac(&self, index: IfIndex) -> Option<Mac> {
        match self.get(index)?.layer {
            LinkLayer::Ethernet(mac) | LinkLayer::NoDiscovery(mac) => Some(mac),
            LinkLayer::Loopback | LinkLayer::None => None,
        }
    }

    /// The link at the bottom: what a macvlan or ipvlan stands on, the bridge that a port is of, and so on. Two with the
    /// same one are one link, and what is sent to everybody on either is heard on both.
    pub fn bottom(&self, index: IfIndex) -> Lower {
        let mut bottom = Lower { namespace: None, link: index };
        for _ in 0..DEEPEST {
            let Some(link) = self.get(bottom.link) else { break };
            match (link.lower, link.master) {
                (Some(lower @ Lower { namespace: Some(_), .. }), _) => return lower,
                (Some(lower), _) => bottom = lower,
                (None, Some(master)) => bottom.link = master,
                (None, None) => break,
            }
        }
        bottom
    }

    /// True if the link is there and carries traffic.
    pub fn is_up(&self, index: IfIndex) -> bool {
        self.get(index).is_some_and(|link| link.state == LinkState::Up)
    }

    /// True for one on which nobody can be asked for.
    pub fn is_layer_3(&self, index: IfIndex) -> bool {
        self.get(index).is_some_and(|link| link.layer.is_layer_3())
    }

    /// True for one that has an address and a link-layer address to ask from.
    pub fn has_source(&self, index: IfIndex) -> bool {
        self.mac(index).is_some() && (self.link_local(index).is_some() || self.global(index).is_some())
    }

    /// The address, if this link has it.
    pub fn address(&self, link: IfIndex, address: Ipv6Addr) -> Option<&Address> {
        self.addresses.get(&(address, link))
    }

    /// The link-local addresses of all links.
    pub fn link_locals(&self) -> impl Iterator<Item = &Address> {
        let first = (LINK_LOCAL, IfIndex(0));
        let all = self.addresses.range(first..).map(|(_, address)| address);
        all.take_while(|known| known.address.is_unicast_link_local())
    }

    /// Whether this link has the address, in whatever state it is.
    pub fn has(&self, link: IfIndex, address: Ipv6Addr) -> bool {
        self.addresses.contains_key(&(address, link))
    }

    /// True for an address under which the host can be reached, on whatever interface. One that is still being
    /// checked, or that another station was found to have, is none.
    pub fn is_of_host(&self, address: Ipv6Addr) -> bool {
        self.owners(address).next().is_some()
    }

    /// Whether this link has the address, and it can be used.
    pub fn can_use(&self, link: IfIndex, address: Ipv6Addr) -> bool {
        self.addresses.get(&(address, link)).is_some_and(|known| known.state != AddressState::Tentative)
    }

    /// Whether any link has the address. Of most targets none has it, and then neither of the other two is asked.
    pub fn know(&self, address: Ipv6Addr) -> bool {
        self.addresses.range((address, IfIndex(0))..).next().is_some_and(|((first, _), _)| *first == address)
    }

    /// The interfaces on which the host can be reached under the address.
    pub fn owners(&self, address: Ipv6Addr) -> impl Iterator<Item = IfIndex> {
        self.addresses
            .range((address, IfIndex(0))..=(address, IfIndex(u32::MAX)))
            .filter(|(_, known)| known.state != AddressState::Tentative)
            .map(|((_, link), _)| *link)
    }

    /// The addresses of all links.
    pub fn all_addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.values()
    }

    /// The addresses of a link.
    pub fn addresses_of(&self, link: IfIndex) -> impl Iterator<Item = &Address> {
        self.by_link
            .range((link, Ipv6Addr::UNSPECIFIED)..=(link, ALL_ONES))
            .filter_map(|(link, address)| self.addresses.get(&(*address, *link)))
    }

    /// The addresses of the host inside `prefix`, each with the links that have it.
    pub fn addresses_inside(&self, prefix: &Ipv6Net) -> impl Iterator<Item = &Address> {
        let all = (prefix.network(), IfIndex(0))..=(prefix.broadcast(), IfIndex(u32::MAX));
        self.addresses.range(all).map(|(_, address)| address)
    }

    /// The link-local address that something sent on this link comes from.
    pub fn link_local(&self, link: IfIndex) -> Option<Ipv6Addr> {
        self.best_address(link, |address| address.is_unicast_link_local())
    }

    /// The address of more than link-local scope that something sent on this link comes from.
    pub fn global(&self, link: IfIndex) -> Option<Ipv6Addr> {
        self.best_address(link, |address| !address.is_unicast_link_local())
    }

    /// The address of more than link-local scope that an answer to `asker` comes from, by RFC 6724 §5: "Rule 3:
    /// Avoid deprecated addresses", "Rule 6: Prefer matching label", "Rule 8: Use longest matching prefix".
    pub fn global_towards(&self, link: IfIndex, asker: Ipv6Addr) -> Option<Ipv6Addr> {
        let common = |known: &Address| {
            let length = (known.address.to_bits() ^ asker.to_bits()).leading_zeros();
            // "CommonPrefixLen(S, D)" counts no further than the prefix of S itself (§2.2).
            length.min(known.prefix_len.into())
        };
        self.addresses_of(link)
            .filter(|known| known.state != AddressState::Tentative && !known.address.is_unicast_link_local())
            .min_by_key(|known| {
                let has_other_label = label(known.address) != label(asker);
                (known.state, has_other_label, std::cmp::Reverse(common(known)))
            })
            .map(|known| known.address)
    }

    /// The address of this link that has `other` in its own prefix, and is no link-local one.
    pub fn in_prefix_of(&self, link: IfIndex, other: Ipv6Addr) -> Option<Ipv6Addr> {
        let is_near = |known: &Address| {
            Ipv6Net::new(known.address, known.prefix_len).is_ok_and(|prefix| prefix.contains(&other))
        };
        let usable = |known: &&Address| {
            known.state != AddressState::Tentative && !known.address.is_unicast_link_local() && is_near(known)
        };
        self.addresses_of(link).filter(usable).min_by_key(|known| known.state).map(|known| known.address)
    }

    /// True if `prefix` lies inside the prefix of an address of this link.
    pub fn is_on_link(&self, link: IfIndex, prefix: &Ipv6Net) -> bool {
        self.addresses_of(link).filter(|address| !address.address.is_unicast_link_local()).any(|address| {
            Ipv6Net::new(address.address, address.prefix_len).is_ok_and(|on_link| on_link.contains(prefix))
        })
    }

    /// RFC 6724 §5, as far as it decides here: never a tentative address, a deprecated one only
    /// for want of another (rule 3).
    fn best_address(&self, link: IfIndex, wanted: impl Fn(Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        self.addresses_of(link)
            .filter(|address| address.state != AddressState::Tentative && wanted(address.address))
            .min_by_key(|address| address.state)
            .map(|address| address.address)
    }
}

/// The label of the longest prefix in the default policy table (RFC 6724 §2.1) that has the address.
fn label(address: Ipv6Addr) -> u8 {
    let labels = LABELS.iter().filter(|(prefix, _)| prefix.contains(&address));
    labels.max_by_key(|(prefix, _)| prefix.prefix_len()).map_or(1, |(_, label)| *label)
}

/// Those of global addresses; `::/0` has 1.
const LABELS: [(Ipv6Net, u8); 4] = [
    (Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32), 5),
    (Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), 2),
    (Ipv6Net::new_assert(Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), 12),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), 13),
];
/// As many links stand on each other (the kernel's MAX_NEST_DEV).
const DEEPEST: usize = 8;
/// The first of fe80::/10 (RFC 4291 §2.5.6).
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
const ALL_ONES: Ipv6Addr = Ipv6Addr::from_bits(u128::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, state: AddressState) -> Address {
        let address = text.parse().expect("an address");
        Address { link: IfIndex(2), address, prefix_len: 64, state, protocol: 0 }
    }

    #[test]
    fn prefers_preferred_addresses_and_never_takes_tentative_ones() {
        let mut links = Links::default();
        links.insert_address(address("2001:db8::1", AddressState::Tentative));
        assert_eq!(links.global(IfIndex(2)), None);
        links.insert_address(address("2001:db8::2", AddressState::Deprecated));
        assert_eq!(links.global(IfIndex(2)), "2001:db8::2".parse().ok());
        links.insert_address(address("2001:db8::3", AddressState::Preferred));
        assert_eq!(links.global(IfIndex(2)), "2001:db8::3".parse().ok());
        assert_eq!(links.link_local(IfIndex(2)), None);
    }

    #[test]
    fn an_answer_comes_from_the_address_that_shares_most_with_the_asker() {
        let mut links = Links::default();
        links.insert_address(address("2001:db8:0:1::2", AddressState::Preferred));
        links.insert_address(address("2001:db8:0:2::2", AddressState::Preferred));
        let towards = |links: &Links, asker: &str| links.global_towards(IfIndex(2), asker.parse().ok()?);
        assert_eq!(towards(&links, "2001:db8:0:2::1"), "2001:db8:0:2::2".parse().ok());
        assert_eq!(towards(&links, "2001:db8:0:1::1"), "2001:db8:0:1::2".parse().ok());
        links.insert_address(address("2001:db8:0:2::2", AddressState::Deprecated));
        assert_eq!(towards(&links, "2001:db8:0:2::1"), "2001:db8:0:1::2".parse().ok());
        // 6to4 has more bits in common with it, and another label.
        links.insert_address(address("2002::2", AddressState::Preferred));
        links.insert_address(address("3000::2", AddressState::Preferred));
        assert_eq!(towards(&links, "2003::1"), "2001:db8:0:1::2".parse().ok());
        assert_eq!(towards(&links, "2002:5::1"), "2002::2".parse().ok());
        links.insert_address(address("fd00::2", AddressState::Preferred));
        assert_eq!(towards(&links, "fdff::1"), "fd00::2".parse().ok());
    }

    #[test]
    fn a_name_leads_to_the_link_that_has_it_now() {
        let link = |index, name: &str| Link {
            index: IfIndex(index),
            name: name.parse().expect("a name"),
            state: LinkState::Up,
            layer: LinkLayer::None,
            master: None,
            lower: None,
            peer: None,
            is_bridge: false,
            leads_to_one: false,
            group: 0,
            vrf: None,
        };
        let mut links = Links::default();
        let named = |links: &Links, name: &str| links.named(&name.parse().ok()?).map(|link| link.index);
        links.insert(link(2, "a"));
        links.insert(link(2, "b"));
        assert_eq!((named(&links, "a"), named(&links, "b")), (None, Some(IfIndex(2))));
        links.insert(link(3, "b"));
        links.remove(IfIndex(2));
        assert_eq!(named(&links, "b"), Some(IfIndex(3)));
    }

    #[test]
    fn a_link_that_goes_takes_its_addresses_along() {
        let mut links = Links::default();
        let gone = address("2001:db8::1", AddressState::Preferred);
        links.insert_address(gone);
        links.insert_address(Address { link: IfIndex(3), ..gone });
        links.remove(IfIndex(2));
        assert_eq!(links.owners(gone.address).collect::<Vec<_>>(), [IfIndex(3)]);
    }
}
