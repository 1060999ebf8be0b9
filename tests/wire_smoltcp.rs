//! A second opinion on the wire room: smoltcp, in both directions.
#![allow(clippy::unwrap_used)]

#[path = "frames/mod.rs"]
mod frames;

use std::net::Ipv6Addr;

use lone64::wire::{Advertisement, DropReason, Flags, Mac, Message, Solicitation};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

use frames::{Frame, STATION, address, emit, emit_advertisement, link_layer};

/// A frame in smoltcp's words.
#[derive(Debug, PartialEq)]
struct Opinion<'a> {
    ethernet: EthernetRepr,
    ipv6: Ipv6Repr,
    ndisc: NdiscRepr<'a>,
}

impl<'a> Opinion<'a> {
    /// What smoltcp reads; `None` if it refuses the frame, for its checksum or otherwise.
    fn read(frame: &'a [u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let ipv6 = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
        let icmpv6 = Icmpv6Packet::new_checked(ipv6.payload()).ok()?;
        let checks = ChecksumCapabilities::default();
        match Icmpv6Repr::parse(&ipv6.src_addr(), &ipv6.dst_addr(), &icmpv6, &checks).ok()? {
            Icmpv6Repr::Ndisc(ndisc) => Some(Self {
                ethernet: EthernetRepr::parse(&ethernet).ok()?,
                ipv6: Ipv6Repr::parse(&ipv6).ok()?,
                ndisc,
            }),
            _ => None,
        }
    }

    /// The frame as smoltcp writes it.
    fn write(&self) -> Vec<u8> {
        let mut frame = vec![0; 14 + 40 + self.ipv6.payload_len];
        self.ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame));
        self.ipv6.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
        let mut message = Icmpv6Packet::new_unchecked(&mut frame[54..]);
        let Ipv6Repr { src_addr, dst_addr, .. } = self.ipv6;
        Icmpv6Repr::Ndisc(self.ndisc).emit(&src_addr, &dst_addr, &mut message, &Default::default());
        frame
    }

    fn of_solicitation(solicitation: &Solicitation) -> Self {
        let Solicitation { source_mac, destination_mac, source, destination, .. } = *solicitation;
        let ndisc = NdiscRepr::NeighborSolicit {
            target_addr: solicitation.target,
            lladdr: solicitation.source_link_layer.map(raw),
        };
        Self::around(ndisc, [source_mac, destination_mac], [source, destination])
    }

    fn of_advertisement(advertisement: &Advertisement) -> Self {
        let Advertisement { source_mac, destination_mac, source, destination, .. } = *advertisement;
        let Flags { router, solicited, override_entry } = advertisement.flags;
        let mut flags = NdiscNeighborFlags::empty();
        flags.set(NdiscNeighborFlags::ROUTER, router);
        flags.set(NdiscNeighborFlags::SOLICITED, solicited);
        flags.set(NdiscNeighborFlags::OVERRIDE, override_entry);
        let (target_addr, lladdr) = (advertisement.target, advertisement.target_link_layer.map(raw));
        let ndisc = NdiscRepr::NeighborAdvert { flags, target_addr, lladdr };
        Self::around(ndisc, [source_mac, destination_mac], [source, destination])
    }

    fn around(ndisc: NdiscRepr<'a>, [from, to]: [Mac; 2], [source, destination]: [Ipv6Addr; 2]) -> Self {
        Self {
            ethernet: EthernetRepr {
                src_addr: EthernetAddress(from.0),
                dst_addr: EthernetAddress(to.0),
                ethertype: EthernetProtocol::Ipv6,
            },
            ipv6: Ipv6Repr {
                src_addr: source,
                dst_addr: destination,
                next_header: IpProtocol::Icmpv6,
                payload_len: ndisc.buffer_len(),
                hop_limit: 255,
            },
            ndisc,
        }
    }
}

fn raw(mac: Mac) -> RawHardwareAddress {
    RawHardwareAddress::from_bytes(&mac.0)
}

fn station() -> impl Strategy<Value = Mac> {
    any::<[u8; 5]>().prop_map(|[a, b, c, d, e]| Mac([0x02, a, b, c, d, e]))
}

fn global() -> impl Strategy<Value = Ipv6Addr> {
    any::<u64>().prop_map(|id| Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(id)))
}

prop_compose! {
    fn question()(
        source_mac in station(), source in global(), target in global(), link_layer in prop::option::of(station()),
    ) -> Solicitation {
        let destination = lone64::wire::solicited_node(target);
        let destination_mac = Mac::multicast(destination);
        Solicitation { source_mac, destination_mac, source, destination, target, source_link_layer: link_layer }
    }
}

prop_compose! {
    fn answer()(
        source_mac in station(), source in global(), destination in global(), target in global(),
        link_layer in prop::option::of(station()), router: bool, solicited: bool, override_entry: bool,
    ) -> Advertisement {
        Advertisement {
            source_mac, destination_mac: STATION, source, destination, target,
            flags: Flags { router, solicited, override_entry }, target_link_layer: link_layer,
        }
    }
}

/// Where the first option says what it is.
const OPTION_KIND: usize = 14 + 40 + 24;

proptest! {
    #[test]
    fn smoltcp_reads_our_solicitations_as_they_are_meant(question in question()) {
        let frame = emit(&question);
        prop_assert_eq!(Opinion::read(&frame), Some(Opinion::of_solicitation(&question)));
    }

    #[test]
    fn smoltcp_reads_our_advertisements_as_they_are_meant(answer in answer()) {
        let frame = emit_advertisement(&answer);
        prop_assert_eq!(Opinion::read(&frame), Some(Opinion::of_advertisement(&answer)));
    }

    #[test]
    fn we_read_smoltcps_solicitations_as_they_are_meant(question in question()) {
        prop_assume!(question.source != question.target);
        let frame = Opinion::of_solicitation(&question).write();
        prop_assert_eq!(Message::parse(&frame, STATION), Ok(Message::Solicitation(question)));
    }

    #[test]
    fn we_read_smoltcps_advertisements_as_they_are_meant(answer in answer()) {
        let frame = Opinion::of_advertisement(&answer).write();
        prop_assert_eq!(Message::parse(&frame, STATION), Ok(Message::Advertisement(answer)));
    }

    #[test]
    fn both_write_the_same_bytes(question in question(), answer in answer()) {
        prop_assert_eq!(Opinion::of_solicitation(&question).write(), emit(&question));
        prop_assert_eq!(Opinion::of_advertisement(&answer).write(), emit_advertisement(&answer));
    }

    #[test]
    fn what_smoltcp_refuses_for_its_checksum_we_refuse_for_it(question in question(), wrong: u16) {
        let mut frame = emit(&question);
        let right = [frame[56], frame[57]];
        frame[56..58].copy_from_slice(&wrong.to_be_bytes());
        prop_assume!(right != wrong.to_be_bytes());
        prop_assert_eq!(Opinion::read(&frame), None);
        prop_assert_eq!(Message::parse(&frame, STATION), Err(DropReason::Checksum));
    }

    #[test]
    fn what_we_take_smoltcp_reads_alike(
        flips in prop::collection::vec((54usize..86, any::<u8>()), 1..6), is_answer: bool,
    ) {
        let template = if is_answer { Frame::advertisement() } else { Frame::solicitation() };
        let mut frame = template.bytes();
        // The option's kind stays: smoltcp refuses unknown ones, which RFC 4861 §4.6 has ignored.
        for (at, byte) in flips.into_iter().filter(|(at, _)| *at != OPTION_KIND) {
            frame[at] = byte;
        }
        // The checksum is made right, or hardly anything would be taken.
        frame[56..58].fill(0);
        let sum = frames::checksum(template.source, template.destination, &frame[54..]);
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        let read = Opinion::read(&frame);
        match (Message::parse(&frame, STATION), read.map(|opinion| opinion.ndisc)) {
            (Ok(Message::Solicitation(ours)), Some(NdiscRepr::NeighborSolicit { target_addr, lladdr })) => {
                prop_assert_eq!(ours.target, target_addr);
                // smoltcp also hands out addresses that no station can have.
                prop_assert!(ours.source_link_layer.is_none() || ours.source_link_layer.map(raw) == lladdr);
            }
            (Ok(Message::Advertisement(ours)), Some(NdiscRepr::NeighborAdvert { flags, target_addr, lladdr })) => {
                prop_assert_eq!(ours.target, target_addr);
                prop_assert_eq!(ours.flags.router, flags.contains(NdiscNeighborFlags::ROUTER));
                prop_assert_eq!(ours.flags.solicited, flags.contains(NdiscNeighborFlags::SOLICITED));
                prop_assert_eq!(ours.flags.override_entry, flags.contains(NdiscNeighborFlags::OVERRIDE));
                prop_assert!(ours.target_link_layer.is_none() || ours.target_link_layer.map(raw) == lladdr);
            }
            (Ok(ours), theirs) => prop_assert!(false, "we take {ours:?}, and smoltcp reads {theirs:?}"),
            // We are the stricter ones: smoltcp leaves the checks on addresses to its user.
            (Err(_), _) => {}
        }
    }
}

#[test]
fn a_duplicate_check_of_smoltcps_is_read_as_one() {
    let dad = Frame::dad().parsed();
    let frame = Opinion::of_solicitation(&dad).write();
    assert_eq!(Message::parse(&frame, STATION), Ok(Message::Solicitation(dad)));
    assert!(dad.is_dad());
}

#[test]
fn smoltcp_finds_the_link_layer_address_where_we_find_it_behind_other_options() {
    let mac = Mac([2, 0, 0, 0, 0, 7]);
    let options = [vec![14, 1, 1, 2, 3, 4, 5, 6], link_layer(1, mac)].concat();
    let frame = Frame { options, target: address("2001:db8::5"), ..Frame::solicitation() };
    let bytes = frame.bytes();
    let Some(NdiscRepr::NeighborSolicit { lladdr, .. }) = Opinion::read(&bytes).map(|o| o.ndisc) else {
        panic!("smoltcp refuses the frame");
    };
    assert_eq!(lladdr, Some(raw(mac)));
    assert_eq!(frame.parsed().source_link_layer, Some(mac));
}
