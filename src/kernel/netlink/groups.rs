//! Which solicited-node groups bridges have heard behind which of their ports: their group databases (`bridge mdb`).
//!
//! The netlink library has no type for these messages (linux/if_bridge.h: struct br_port_msg, struct br_mdb_entry).

use std::io;
use std::net::Ipv6Addr;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::task::spawn_blocking;

use super::connection::LONGEST_DATAGRAM;
use crate::engine::facts::{Fact, IfIndex};
use crate::wire::{group_suffix, solicited_node};

/// The facts about groups in one datagram of the kernel's.
pub(super) fn group_facts(mut datagram: &[u8]) -> Vec<Fact> {
    let mut facts = Vec::new();
    while let Ok(header) = NetlinkBuffer::new_checked(datagram) {
        let (kind, length) = (header.message_type(), header.length() as usize);
        let payload = datagram.get(HEADER..length).unwrap_or_default();
        // A dump is told with the type of the request.
        match kind {
            RTM_NEWMDB | RTM_GETMDB => facts.extend(entries(payload).map(Entry::here)),
            RTM_DELMDB => facts.extend(entries(payload).map(Entry::gone)),
            _ => {}
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    facts
}

/// The groups of all bridges at this moment. By a thread of its own, because the kernel carries requests out inside
/// sendto(2), where it waits for the lock of all network settings. A kernel without bridges has none.
pub(super) async fn dump() -> Vec<Fact> {
    match spawn_blocking(read_all).await {
        Ok(Ok(facts)) => facts,
        // They only say where to ask first.
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot read the multicast groups of bridges");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

fn read_all() -> io::Result<Vec<Fact>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let kernel = SocketAddr::new(0, 0);
    socket.send_to(&request(), &kernel, 0)?;
    let mut facts = Vec::new();
    let mut buffer = Vec::with_capacity(LONGEST_DATAGRAM);
    loop {
        buffer.clear();
        let (_, sender) = socket.recv_from(&mut buffer, 0)?;
        // Anybody may send to a netlink socket; the kernel's port is 0.
        if sender.port_number() != 0 {
            continue;
        }
        facts.extend(group_facts(&buffer));
        let mut rest = &buffer[..];
        while let Ok(header) = NetlinkBuffer::new_checked(rest) {
            if matches!(header.message_type(), NLMSG_DONE | NLMSG_ERROR) {
                return Ok(facts);
            }
            rest = rest.get((header.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// RTM_GETMDB for all bridges.
fn request() -> [u8; HEADER + BR_PORT_MSG] {
    let mut bytes = [0; HEADER + BR_PORT_MSG];
    let mut header = NetlinkBuffer::new(&mut bytes[..]);
    header.set_length((HEADER + BR_PORT_MSG) as u32);
    header.set_message_type(RTM_GETMDB);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    header.set_sequence_number(1);
    bytes[HEADER] = libc::AF_BRIDGE as u8;
    bytes
}

struct Entry {
    bridge: IfIndex,
    port: IfIndex,
    suffix: u32,
}

impl Entry {
    fn here(self) -> Fact {
        Fact::Group { bridge: self.bridge, port: self.port, suffix: self.suffix }
    }

    fn gone(self) -> Fact {
        Fact::GroupGone { bridge: self.bridge, port: self.port, suffix: self.suffix }
    }
}

/// The entries of one message that are about solicited-node groups behind ports.
fn entries(payload: &[u8]) -> impl Iterator<Item = Entry> {
    // A change is told with AF_BRIDGE. A dump has no family in it (br_mdb_dump sets none).
    let family = payload.first().copied().map(i32::from);
    let is_bridges = matches!(family, Some(libc::AF_BRIDGE | libc::AF_UNSPEC));
    let bridge = payload.get(4..8).and_then(number).filter(|_| is_bridges);
    let attributes = payload.get(BR_PORT_MSG..).unwrap_or_default();
    bridge.into_iter().flat_map(move |bridge| {
        let tables = nested(attributes, MDBA_MDB);
        let groups = tables.flat_map(|table| nested(table, MDBA_MDB_ENTRY));
        let infos = groups.flat_map(|group| nested(group, MDBA_MDB_ENTRY_INFO));
        infos.filter_map(move |info| entry(IfIndex(bridge), info))
    })
}

/// struct br_mdb_entry: the port, a state, flags, the VLAN; the group, and what kind of address that is.
fn entry(bridge: IfIndex, info: &[u8]) -> Option<Entry> {
    let port = IfIndex(number(info.get(..4)?)?);
    let group: [u8; 16] = info.get(8..24)?.try_into().ok()?;
    let protocol = info.get(24..26)?;
    let group = Ipv6Addr::from(group);
    let is_solicited_node = protocol == ETH_P_IPV6 && solicited_node(group) == group;
    // What the host itself listens to is told as behind the bridge.
    (is_solicited_node && port != bridge).then(|| Entry { bridge, port, suffix: group_suffix(group) })
}

/// The contents of the attributes of this type.
fn nested(attributes: &[u8], kind: u16) -> impl Iterator<Item = &[u8]> {
    let all = NlasIterator::new(attributes).map_while(Result::ok);
    all.filter(move |attribute| attribute.kind() == kind).filter_map(|attribute| {
        let length = usize::from(attribute.length());
        attribute.into_inner().get(ATTRIBUTE..length)
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// struct nlmsghdr, in bytes.
const HEADER: usize = 16;
/// The header of an attribute, in bytes.
const ATTRIBUTE: usize = 4;
/// struct br_port_msg, in bytes.
const BR_PORT_MSG: usize = 8;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
// linux/rtnetlink.h
const RTM_NEWMDB: u16 = 84;
const RTM_DELMDB: u16 = 85;
const RTM_GETMDB: u16 = 86;
// linux/if_bridge.h
const MDBA_MDB: u16 = 1;
const MDBA_MDB_ENTRY: u16 = 1;
const MDBA_MDB_ENTRY_INFO: u16 = 1;
const ETH_P_IPV6: [u8; 2] = [0x86, 0xdd];

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.1 says of a bridge with index 2, whose port has index 3: in a dump, or as a change.
    fn datagram(kind: u16, family: u8) -> Vec<u8> {
        // What the guest listens to; what the host listens to.
        let groups = [(3, "ff02::1:ff00:5"), (3, "ff02::16"), (2, "ff02::1:ff00:b0")];
        let entries = groups.iter().flat_map(|(port, group): &(u32, &str)| {
            let mut info = [&port.to_ne_bytes()[..], &[0; 4]].concat();
            info.extend(group.parse::<Ipv6Addr>().unwrap().octets());
            info.extend([&ETH_P_IPV6[..], &[0; 2]].concat());
            attribute(MDBA_MDB_ENTRY, &attribute(MDBA_MDB_ENTRY_INFO, &info))
        });
        let table = attribute(MDBA_MDB, &entries.collect::<Vec<_>>());
        let port_message = [&[family, 0, 0, 0][..], &2_u32.to_ne_bytes()].concat();
        let mut bytes = vec![0; HEADER];
        bytes.extend([port_message, table].concat());
        let length = bytes.len() as u32;
        let mut header = NetlinkBuffer::new(&mut bytes[..]);
        header.set_length(length);
        header.set_message_type(kind);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (ATTRIBUTE + value.len()) as u16;
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
    }

    #[test]
    fn reads_what_guests_listen_to_in_a_dump_which_has_no_family_and_in_changes() {
        let (bridge, port, suffix) = (IfIndex(2), IfIndex(3), 5);
        let here = [Fact::Group { bridge, port, suffix }];
        assert_eq!(group_facts(&datagram(RTM_GETMDB, libc::AF_UNSPEC as u8)), here);
        assert_eq!(group_facts(&datagram(RTM_NEWMDB, libc::AF_BRIDGE as u8)), here);
        let gone = [Fact::GroupGone { bridge, port, suffix }];
        assert_eq!(group_facts(&datagram(RTM_DELMDB, libc::AF_BRIDGE as u8)), gone);
        assert_eq!(group_facts(&datagram(RTM_GETMDB, libc::AF_INET6 as u8)), []);
    }
}
