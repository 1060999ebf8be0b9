//! Frames for the program, in the usual scene: those whose name begins with "answered" are, the others are passed on.

use lone64::wire::Mac;

use super::super::frames::{Frame, SENDER, STATION, address, link_layer, refused};

/// All of them.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let ask = Frame::solicitation;
    let target = |text| Frame { target: address(text), ..ask() };
    let from = |text| Frame { source: address(text), ..ask() };
    let other = Mac([0x02, 0, 0, 0, 0, 7]);
    let short = || Frame { options: Vec::new(), ..ask() };
    let frames = [
        ("answered: a router asks", ask()),
        ("answered: without an option", short()),
        ("answered: for another station", Frame { options: link_layer(1, other), ..ask() }),
        (
            "answered: a reachability probe",
            Frame { destination_mac: STATION, destination: ask().target, ..ask() },
        ),
        ("answered: a probe without an option", Frame { destination_mac: STATION, ..short() }),
        ("answered: to all stations", Frame { destination_mac: Mac([0xff; 6]), ..ask() }),
        ("answered: a global asker", from("2001:db8:1:2::99")),
        ("answered: an asker off the link", from("2a00:1::1")),
        ("answered: an asker at the end of link-local", from("febf:ffff::1")),
        (
            "answered: traffic class, flow label, reserved",
            Frame { traffic_class: 0xc3, flow_label: 0xabcde, reserved: [1, 2, 3, 4], ..ask() },
        ),
        ("answered: in a range", target("2001:db8:1:2:a::9")),
        ("answered: at the end of a range", target("2001:db8:1:2:a:ffff:ffff:ffff")),
        ("answered: an asker that takes the target alone", from("fe80::a2")),
        ("answered: an asker that takes one address alone", from("2001:db8:1:2::a3")),
        (
            "answered: it asks without an option",
            Frame { source: address("fe80::a2"), options: Vec::new(), ..ask() },
        ),
        (
            "answered: another station with the address of an asker that is passed on",
            Frame { options: link_layer(1, other), ..from("fe80::a1") },
        ),
        ("an asker that is passed on", from("fe80::a1")),
        ("an asker that is passed on, without an option", Frame { options: Vec::new(), ..from("fe80::a1") }),
        ("below a range", target("2001:db8:1:2:9:ffff:ffff:ffff")),
        ("above a range", target("2001:db8:1:2:b:0:0:0")),
        ("left out of a range", target("2001:db8:1:2:a:0:e:5")),
        ("a rival's in a range", target("2001:db8:1:2:a::66")),
        ("unknown", target("2001:db8:1:2:c::4")),
        ("unknown, in another /64", target("2001:db8:1:3:c::5")),
        ("lapsed", target("2001:db8:1:2:c::6")),
        ("not answered for", target("2001:db8:1:2:c::7")),
        ("link-local", target("fe80::5")),
        ("at the end of link-local", target("febf::5")),
        ("a duplicate check", Frame::dad()),
        ("a duplicate check with a nonce", Frame { options: vec![14, 1, 1, 2, 3, 4, 5, 6], ..Frame::dad() }),
        ("a nonce", Frame { options: vec![14, 1, 1, 2, 3, 4, 5, 6], ..ask() }),
        (
            "a second option",
            Frame { options: [link_layer(1, SENDER), vec![14, 1, 1, 2, 3, 4, 5, 6]].concat(), ..ask() },
        ),
        ("a target link-layer address", Frame { options: link_layer(2, SENDER), ..ask() }),
        ("a group as an option", Frame { options: link_layer(1, Mac([3, 0, 0, 0, 0, 1])), ..ask() }),
        ("nobody as an option", Frame { options: link_layer(1, Mac([0; 6])), ..ask() }),
        (
            "an option of another link",
            Frame { options: vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ..ask() },
        ),
        ("padding", Frame { padding: vec![0; 8], ..short() }),
        ("more padding", Frame { padding: vec![0; 3], ..ask() }),
        ("an advertisement", Frame::advertisement()),
        ("hop limit 0", Frame { hop_limit: 0, ..ask() }),
        ("version 7", Frame { version: 7, ..ask() }),
        ("a checksum of all ones", Frame { checksum: Some(0xffff), ..ask() }),
    ];
    let frames = frames.map(|(name, frame)| (name.to_owned(), frame.bytes()));
    let refused = refused::cases().into_iter().map(|(reason, frame)| (reason.to_string(), frame));
    frames.into_iter().chain(refused).collect()
}
