//! Frames whose ICMPv6 checksum nobody has computed yet: the sender is on this machine (veth, tap, a guest of the
//! same hypervisor) and leaves the sum to an interface. The kernel takes them (`CHECKSUM_PARTIAL`), and so do we.
//!
//! The sender here is a packet socket with `PACKET_VNET_HDR`, as hypervisors have them: a header before each frame
//! says that the checksum is to be computed.

use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, ICMP, SOLICITATION, address, mac, target_of};
use crate::lab::{BRIDGE_MAC, C, D, GUEST, Lab, PLAIN, ROUTER, UPSTREAM_GLOBAL, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::namespace::Namespace;
use crate::silence;
use crate::solicitation::{Asker, Checksum, Solicitation, option};

crate::cases![
    takes_a_question_whose_checksum_is_not_computed_yet,
    takes_it_with_the_moment_beside_it,
    makes_every_other_check_of_such_a_question,
    believes_a_guest_whose_checksum_is_not_computed_yet,
];

fn takes_a_question_whose_checksum_is_not_computed_yet() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let mut router = Offloading::open(&lab.router, "rt0");
    // The last is the kernel's own to answer, which shows that these are the frames that are meant.
    for target in [GUEST, PLAIN, UPSTREAM_GLOBAL] {
        for right in
            [Solicitation::multicast(ROUTER, target), Solicitation::unicast(ROUTER, target, UPSTREAM_MAC)]
        {
            only_the_pending_one_is_answered(&mut link, &mut router, right);
        }
    }
    daemon.stop();
}

/// The kernel tells of both in one room.
fn takes_it_with_the_moment_beside_it() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both_modes().rest("[control]\nmetrics = \"[::1]:9164\"\n"));
    let mut link = Link::open(&lab);
    let mut router = Offloading::open(&lab.router, "rt0");
    for target in [GUEST, PLAIN] {
        only_the_pending_one_is_answered(&mut link, &mut router, Solicitation::multicast(ROUTER, target));
    }
    daemon.stop();
}

fn makes_every_other_check_of_such_a_question() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let mut router = Offloading::open(&lab.router, "rt0");
    let right = || Solicitation::multicast(ROUTER, PLAIN);
    let mut faults = Vec::new();
    for (name, defect) in silence::all_but_checksums() {
        let wrong = right().with(defect).with(|q| q.checksum = Checksum::Wrong);
        router.send(Sum::Pending, &wrong.frame());
        if !link.settle().is_empty() {
            faults.push(name);
        }
    }
    assert!(faults.is_empty(), "answered: {faults:#?}");
    only_the_pending_one_is_answered(&mut link, &mut router, right());
    daemon.stop();
}

fn believes_a_guest_whose_checksum_is_not_computed_yet() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, both_modes());
    let mut link = Link::open(&lab);
    let mut guest = Offloading::open(&lab.guest, "eth0");
    let mut heard = Endpoint::open(&lab.guest, "eth0");
    let question = Solicitation::multicast(ROUTER, c(9));
    link.send(&question);
    let prober = heard.receive_until("a probe", PATIENCE, |frame| {
        (target_of(frame, SOLICITATION) == Some(c(9))).then(|| address(frame, ICMP - 32))
    });
    let own = Asker { mac: mac(9), address: c(9) };
    let reply = Solicitation::multicast(own, c(9)).with(|q| {
        (q.icmp_type, q.reserved, q.options) = (ADVERTISEMENT, 0x6000_0000, option(2, &own.mac));
        (q.destination, q.eth_dst, q.checksum) = (prober, BRIDGE_MAC, Checksum::Wrong);
    });
    guest.send(Sum::Written, &reply.frame());
    assert!(link.settle().is_empty(), "a damaged reply was believed");
    guest.send(Sum::Pending, &reply.frame());
    link.hear(&question, PATIENCE);
    daemon.stop();
}

/// The same bytes, which hold a wrong checksum.
fn only_the_pending_one_is_answered(link: &mut Link, router: &mut Offloading, right: Solicitation) {
    let wrong = right.with(|q| q.checksum = Checksum::Wrong);
    router.send(Sum::Pending, &wrong.frame());
    link.hear(&wrong, PATIENCE);
    assert!(link.settle().is_empty(), "more than one answer to {wrong:?}");
    router.send(Sum::Written, &wrong.frame());
    assert!(link.settle().is_empty(), "damaged, and answered: {wrong:?}");
}

fn both_modes() -> Settings {
    Settings::default().range(C, "br0", "").range(D, "gv1", "answer = \"always\"")
}

/// What stands in the checksum's place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    Written,
    Pending,
}

/// A packet socket that only sends.
pub(crate) struct Offloading(Endpoint);

impl Offloading {
    pub(crate) fn open(namespace: &Namespace, interface: &str) -> Self {
        let endpoint = Endpoint::open(namespace, interface);
        setsockopt(endpoint.socket(), VnetHeader, &true).expect("since Linux 2.6.27");
        Self(endpoint)
    }

    /// Struct virtio_net_hdr, in the order of this machine's bytes.
    pub(crate) fn send(&mut self, sum: Sum, frame: &[u8]) {
        let (flags, start, offset) = match sum {
            Sum::Pending => (NEEDS_CHECKSUM, ICMP as u16, 2_u16),
            Sum::Written => (0, 0, 0),
        };
        let header = [&[flags, 0, 0, 0, 0, 0][..], &start.to_ne_bytes(), &offset.to_ne_bytes()].concat();
        self.0.send(&[&header, frame].concat());
    }
}

sockopt_impl!(
    /// Before each frame stands what an interface is to do to it.
    VnetHeader,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_VNET_HDR,
    bool
);

/// VIRTIO_NET_HDR_F_NEEDS_CSUM.
const NEEDS_CHECKSUM: u8 = 1;
