//! What rules look at in a packet, and what they compare it with.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::raw::Bits;

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What is looked at.
    pub field: Field,
    /// Whether it has to be among the values.
    pub sense: Sense,
    /// What it is compared with.
    pub values: Vec<Value>,
}

/// The sense of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// One of the values.
    Among,
    /// None of the values.
    NotAmong,
}

/// What can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The interface that it came by.
    Input,
    /// The interface that it leaves by.
    Output,
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
    /// The protocol in it, as a number.
    Protocol,
    /// Whether it is IPv6.
    Version,
    /// The hop limit.
    HopLimit,
    /// The type of an ICMPv6 message.
    IcmpType,
    /// The destination port of TCP.
    TcpPort,
    /// The destination port of UDP.
    UdpPort,
    /// The destination port of either.
    Port,
    /// What conntrack says.
    State,
    /// Whether conntrack has translated it; as in `ct status`.
    Status,
    /// Whether the way back leaves by the interface that it came by.
    Reverse,
    /// Something that no IPv6 packet without a VLAN tag has.
    Foreign,
    /// Bits, whatever they are.
    Raw(Bits),
    /// Bits that are compared in a way that is not followed here.
    Obscure(String),
    /// Anything else.
    Unknown(String),
}

/// What a packet is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A name, or the beginning of one if it ends in `*`.
    Name(String),
    /// Addresses.
    Net(Ipv6Net),
    /// Addresses, from and to.
    Between(Ipv6Addr, Ipv6Addr),
    /// Numbers, from and to.
    Number(u64, u64),
    /// Bits as a number, from and to.
    Bits(u128, u128),
    /// Nobody knows.
    Unknown,
}

/// What a packet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actual<'a> {
    /// A name.
    Name(&'a str),
    /// An address.
    Address(Ipv6Addr),
    /// A number.
    Number(u64),
    /// Bits as a number.
    Bits(u128),
    /// Nothing: neither a comparison nor its opposite is true.
    Absent,
    /// Nobody knows.
    Unknown,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It may.
    Perhaps,
}

impl Match {
    /// Whether a packet with this property matches.
    pub fn holds(&self, actual: Actual<'_>) -> Truth {
        let among = match actual {
            Actual::Absent => return Truth::No,
            Actual::Unknown => return Truth::Perhaps,
            actual => among(&self.values, actual),
        };
        match (self.sense, among) {
            (Sense::NotAmong, Truth::Yes) => Truth::No,
            (Sense::NotAmong, Truth::No) => Truth::Yes,
            (_, truth) => truth,
        }
    }
}

impl Value {
    /// Whether a packet's property is this.
    pub fn is(&self, actual: Actual<'_>) -> Truth {
        let is = match (self, actual) {
            (Self::Unknown, _) | (_, Actual::Unknown) => return Truth::Perhaps,
            (Self::Name(pattern), Actual::Name(name)) => match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => pattern == name,
            },
            (Self::Net(net), Actual::Address(address)) => net.contains(&address),
            (Self::Between(from, to), Actual::Address(address)) => (*from..=*to).contains(&address),
            (Self::Number(from, to), Actual::Number(number)) => (*from..=*to).contains(&number),
            (Self::Bits(from, to), Actual::Bits(bits)) => (*from..=*to).contains(&bits),
            (_, Actual::Absent) => false,
            // A kind of value that was not expected here.
            _ => return Truth::Perhaps,
        };
        if is { Truth::Yes } else { Truth::No }
    }
}

fn among(values: &[Value], actual: Actual<'_>) -> Truth {
    let mut truth = Truth::No;
    for value in values {
        match value.is(actual) {
            Truth::Yes => return Truth::Yes,
            Truth::Perhaps => truth = Truth::Perhaps,
            Truth::No => {}
        }
    }
    truth
}

/// The number of a protocol, by its name in nft or iptables.
pub fn protocol(name: &str) -> Option<u64> {
    Some(match name {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "icmpv6" | "ipv6-icmp" => 58,
        "sctp" => 132,
        "udplite" => 136,
        _ => return name.parse().ok(),
    })
}

/// The number of an ICMPv6 type, by its name in nft or ip6tables.
pub fn icmp_type(name: &str) -> Option<u64> {
    let known = |(names, number): &(&[&str], u64)| names.contains(&name).then_some(*number);
    ICMP_TYPES.iter().find_map(known).or_else(|| name.parse().ok())
}

const ICMP_TYPES: &[(&[&str], u64)] = &[
    (&["destination-unreachable"], 1),
    (&["packet-too-big"], 2),
    (&["time-exceeded", "ttl-exceeded"], 3),
    (&["parameter-problem"], 4),
    (&["echo-request", "ping"], 128),
    (&["echo-reply", "pong"], 129),
    (&["mld-listener-query"], 130),
    (&["mld-listener-report"], 131),
    (&["mld-listener-done", "mld-listener-reduction"], 132),
    (&["nd-router-solicit", "router-solicitation"], 133),
    (&["nd-router-advert", "router-advertisement"], 134),
    (&["nd-neighbor-solicit", "neighbor-solicitation", "neighbor-solicitation"], 135),
    (&["nd-neighbor-advert", "neighbor-advertisement", "neighbor-advertisement"], 136),
    (&["nd-redirect", "redirect"], 137),
    (&["router-renumbering"], 138),
    (&["ind-neighbor-solicit"], 141),
    (&["ind-neighbor-advert"], 142),
    (&["mld2-listener-report"], 143),
];
