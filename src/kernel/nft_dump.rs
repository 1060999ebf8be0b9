//! What the kernel's nftables hold of ours: how many rules a table has, and the elements of a set with their counters
//! (linux/netfilter/nf_tables.h). Dumps by netlink: nft(8) would need a process for each look.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::nft_table::{
    HEADER, LONGEST_DATAGRAM, NFNL_SUBSYS_NFTABLES, NLM_F_REQUEST, NLMSGHDR, Table, attributes, is_about,
    messages, request,
};

/// One element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The bytes that it is found by, each part padded to four.
    pub key: Vec<u8>,
    /// Packets that its counter has, if it has one.
    pub packets: u64,
}

/// Asks in the network namespace of the thread that opened it. Needs CAP_NET_ADMIN.
pub struct Dumps(Socket);

impl Dumps {
    /// A socket to ask with.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        Ok(Self(socket))
    }

    /// How many rules the table has; 0 also if there is no such table.
    pub fn rules(&self, table: Table) -> io::Result<usize> {
        self.count(NFT_MSG_GETRULE, NFT_MSG_NEWRULE, table)
    }

    /// How many chains the table has; 0 also if there is no such table.
    pub fn chains(&self, table: Table) -> io::Result<usize> {
        self.count(NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, table)
    }

    /// How many sets the table has; 0 also if there is no such table.
    pub fn sets(&self, table: Table) -> io::Result<usize> {
        self.count(NFT_MSG_GETSET, NFT_MSG_NEWSET, table)
    }

    /// Not every dump keeps to the table that it was asked for.
    fn count(&self, question: u16, answer: Option<u8>, table: Table) -> io::Result<usize> {
        let mut count = 0;
        self.dump(&request(question, NLM_F_DUMP, table, &[]), |message| {
            count += usize::from(kind(message) == answer && is_about(table, message));
        })?;
        Ok(count)
    }

    /// The elements of a set, whose name ends with a zero; none also if there is no such set.
    pub fn elements(&self, table: Table, set: &str) -> io::Result<Vec<Element>> {
        let mut all = Vec::new();
        let question = request(NFT_MSG_GETSETELEM, NLM_F_DUMP, table, &[(NFTA_SET_ELEM_LIST_SET, set)]);
        self.dump(&question, |message| {
            if kind(message) == NFT_MSG_NEWSETELEM {
                all.extend(elements_of(message));
            }
        })?;
        Ok(all)
    }

    /// How many elements the set has, whose name ends with a zero; 0 also if there is no such set. Of thousands none is kept.
    pub fn count_elements(&self, table: Table, set: &str) -> io::Result<usize> {
        let mut count = 0;
        let question = request(NFT_MSG_GETSETELEM, NLM_F_DUMP, table, &[(NFTA_SET_ELEM_LIST_SET, set)]);
        self.dump(&question, |message| {
            if kind(message) == NFT_MSG_NEWSETELEM {
                count += attributes_of_elements(message).count();
            }
        })?;
        Ok(count)
    }

    /// One question and all of its answer, which the kernel writes while it is read: it never waits.
    fn dump(&self, question: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.0.send_to(question, &SocketAddr::new(0, 0), 0)?;
        let mut buffer = Vec::with_capacity(LONGEST_DATAGRAM);
        loop {
            buffer.clear();
            self.0.recv(&mut buffer, libc::MSG_DONTWAIT)?;
            for message in messages(&buffer) {
                match u16::from_ne_bytes([message[4], message[5]]) {
                    NLMSG_DONE => return Ok(()),
                    // Of a table or a set that is not there.
                    NLMSG_ERROR => return refusal(message),
                    _ => each(message),
                }
            }
        }
    }
}

fn refusal(message: &[u8]) -> io::Result<()> {
    let code =
        message.get(NLMSGHDR..).and_then(<[u8]>::first_chunk).map_or(0, |code| -i32::from_ne_bytes(*code));
    match code {
        0 | libc::ENOENT => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// What kind of message of nf_tables it is; `None` of another's.
fn kind(message: &[u8]) -> Option<u8> {
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    (kind >> 8 == NFNL_SUBSYS_NFTABLES).then_some(kind as u8)
}

/// The elements in one datagram, of whatever set. For the fuzzers.
#[doc(hidden)]
pub fn elements_in(datagram: &[u8]) -> Vec<Element> {
    let messages = messages(datagram).filter(|message| kind(message) == NFT_MSG_NEWSETELEM);
    messages.flat_map(elements_of).collect()
}

/// The attributes of each element.
fn attributes_of_elements(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lists = attributes(message.get(HEADER..).unwrap_or_default());
    let elements = lists.filter(|(kind, _)| *kind == NFTA_SET_ELEM_LIST_ELEMENTS);
    elements.flat_map(|(_, all)| attributes(all)).map(|(_, element)| element)
}

fn elements_of(message: &[u8]) -> impl Iterator<Item = Element> {
    attributes_of_elements(message).filter_map(|element| {
        let key = attributes(element).find(|(kind, _)| *kind == NFTA_SET_ELEM_KEY)?.1;
        let key = attributes(key).find(|(kind, _)| *kind == NFTA_DATA_VALUE)?.1.to_vec();
        let expression = attributes(element).find(|(kind, _)| *kind == NFTA_SET_ELEM_EXPR);
        Some(Element {
            key,
            packets: expression.and_then(|(_, expression)| packets(expression)).unwrap_or(0),
        })
    })
}

/// What a counter has counted.
fn packets(expression: &[u8]) -> Option<u64> {
    let data = attributes(expression).find(|(kind, _)| *kind == NFTA_EXPR_DATA)?.1;
    let packets = attributes(data).find(|(kind, _)| *kind == NFTA_COUNTER_PACKETS)?.1;
    Some(u64::from_be_bytes(*packets.first_chunk()?))
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST and NLM_F_DUMP.
const NLM_F_DUMP: u16 = NLM_F_REQUEST | 0x300;
const NFT_MSG_NEWCHAIN: Option<u8> = Some(3);
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_NEWSET: Option<u8> = Some(9);
const NFT_MSG_GETSET: u16 = 10;
const NFT_MSG_NEWRULE: Option<u8> = Some(6);
const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_NEWSETELEM: Option<u8> = Some(12);
const NFT_MSG_GETSETELEM: u16 = 13;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_PACKETS: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut all = (4 + value.len() as u16).to_ne_bytes().to_vec();
        all.extend(kind.to_ne_bytes());
        all.extend(value);
        all.resize(all.len().next_multiple_of(4), 0);
        all
    }

    fn message() -> Vec<u8> {
        let key = attribute(NFTA_SET_ELEM_KEY | 1 << 15, &attribute(NFTA_DATA_VALUE, b"tap0\0\0\0\0"));
        let counted =
            [attribute(1, &9u64.to_be_bytes()), attribute(NFTA_COUNTER_PACKETS, &7u64.to_be_bytes())];
        let counter = [attribute(1, b"counter\0"), attribute(NFTA_EXPR_DATA, &counted.concat())].concat();
        let element = [key, attribute(NFTA_SET_ELEM_EXPR, &counter)].concat();
        let mut all = vec![0; HEADER];
        all.extend(attribute(NFTA_SET_ELEM_LIST_ELEMENTS, &attribute(1, &element)));
        all
    }

    #[test]
    fn reads_the_counter_of_an_element() {
        let all: Vec<_> = elements_of(&message()).collect();
        assert_eq!(all, [Element { key: b"tap0\0\0\0\0".to_vec(), packets: 7 }]);
        assert_eq!(attributes_of_elements(&message()).count(), 1);
    }

    #[test]
    fn takes_any_bytes() {
        let whole = message();
        for length in 0..whole.len() {
            assert!(elements_of(&whole[..length]).all(|element| element.key.len() <= 8));
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 255] {
                let mut broken = whole.clone();
                broken[at] = value;
                assert!(elements_of(&broken).count() <= 1);
            }
        }
    }
}
