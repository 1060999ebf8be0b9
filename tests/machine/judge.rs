//! What the program has to do with a frame, said by the wire room and by the engine: `Message::parse`, the engine's
//! `advertisement`, `emit`.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use lone64::engine::bindings::Upstream;
use lone64::engine::facts::IfIndex;
use lone64::engine::policy::{Announce, GatewaySource, Mld, Override, Source};
use lone64::engine::{Asker, Links, advertisement, responder};
use lone64::wire::program::{Exception, Program, Rows, Treatment, Verdict};
use lone64::wire::{MAX_EMITTED, Message, Solicitation};

use super::super::frames::{SENDER, STATION, address};
use super::{Machine, rows};

/// An upstream, and what is answered on it. All of it is answered until [`UNTIL`], or else is not answered.
#[derive(Debug, Clone)]
pub struct Scene {
    pub upstream: Upstream,
    pub targets: Vec<(Ipv6Addr, u64)>,
    pub ranges: Vec<(Ipv6Net, u64)>,
    /// Where all of these are.
    pub within: Vec<Ipv6Net>,
    /// Askers that get something else.
    pub askers: Vec<Exception>,
}

/// What is to become of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It goes on as it came.
    PassedOn,
    /// This leaves in its place.
    Answered(Vec<u8>),
}

/// The time at which everything happens.
pub const NOW: u64 = 1_000_000_000_000;
/// Later.
pub const UNTIL: u64 = NOW + 1;

impl Scene {
    /// 2001:db8:1:2:c::5 is live. So was ::6, which has lapsed; ::7 is not answered for. 2001:db8:1:2:a::/80 is answered for as a
    /// whole, but for 2001:db8:1:2:a:0:e::/112; of that not for ::66, which a rival has.
    /// fe80::a1 is passed on, fe80::a2 answered from the target, 2001:db8:1:2::a3 from ::78 of that network.
    pub fn usual() -> Self {
        let target = |text: &str, until| (address(text), until);
        let range = |text: &str, until| (text.parse().unwrap(), until);
        Self {
            upstream: Upstream {
                link: IfIndex(super::IFINDEX),
                policy: 0,
                mac: STATION,
                router: false,
                override_flag: Override::Takeover,
                source: Source::Auto,
                announce: Announce::Yes,
                gateway_source: GatewaySource::Auto,
                mld: Mld::No,
                suppress_kernel: false,
                link_local: Some(address("fe80::1")),
                global: Some(address("2001:db8:1:2::1")),
                has_several: false,
                fixed: None,
            },
            targets: vec![
                target("2001:db8:1:2:c::5", UNTIL),
                target("2001:db8:1:2:c::6", NOW),
                target("2001:db8:1:2:c::7", 0),
                target("2001:db8:1:2:a::66", 0),
            ],
            ranges: vec![
                range("2001:db8:1:2:a::/80", UNTIL),
                range("2001:db8:1:2:a:0:e:0/112", 0),
                range("2001:db8:1:2:b::/80", NOW),
                // There is a daemon.
                range("::/128", UNTIL),
            ],
            within: ["2001:db8:1:2:a::/80", "2001:db8:1:2:b::/80", "2001:db8:1:2:c::/96", "2001:4000::/18"]
                .map(|prefix| prefix.parse().unwrap())
                .to_vec(),
            askers: vec![
                except("fe80::a1", Treatment::PassOn),
                except("fe80::a2", Treatment::Target),
                except("2001:db8:1:2::a3", Treatment::Source(address("2001:db8:1:2::78"))),
            ],
        }
    }

    /// The usual one, where questions show nothing: none is passed on because it is asked again.
    pub fn by_scope() -> Self {
        let usual = Self::usual();
        Self { upstream: Upstream { source: Source::Scope, ..usual.upstream }, ..usual }
    }

    /// The program of its upstream, for the machine.
    pub fn program(&self) -> Program {
        self.program_for(&rows())
    }

    /// The same for a table of targets with these rows.
    pub fn program_for(&self, rows: &Rows) -> Program {
        let mut responder = responder(&self.upstream).expect("an upstream with addresses");
        responder.askers.clone_from(&self.askers);
        responder.within.clone_from(&self.within);
        responder.program(rows).expect("a program")
    }

    /// The machine, with what its maps hold.
    pub fn machine(&self) -> Machine {
        let mut machine = Machine::new(NOW);
        for (target, until) in &self.targets {
            machine.insert_target(*target, *until);
        }
        for (range, until) in &self.ranges {
            machine.insert_range(*range, *until);
        }
        machine
    }

    /// Runs the program over the frame, and panics unless what becomes of it is what is expected here.
    pub fn check(&self, program: &[[u8; 8]], frame: &[u8]) -> Expected {
        let mut machine = self.machine();
        let (expected, verdict) = self.expect(frame);
        let mut left = frame.to_vec();
        let found = match machine.run(program, &mut left, false) {
            7 => Expected::Answered(left),
            -1 => {
                assert_eq!(left, frame, "what is passed on is as it came");
                Expected::PassedOn
            }
            other => panic!("returned {other}"),
        };
        assert_eq!(found, expected, "{frame:02x?}");
        let counts = Verdict::ALL.map(|counted| u64::from(verdict == Some(counted)));
        assert_eq!(machine.counts(), counts, "{frame:02x?}");
        found
    }

    /// What is to become of a frame without a tag, and as what it counts.
    pub fn expect(&self, frame: &[u8]) -> (Expected, Option<Verdict>) {
        let looks_like_one =
            is_measured(frame) && frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 135;
        let target = |frame: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[62..78]).unwrap());
        let is_within = |target: Ipv6Addr| self.within.iter().any(|prefix| prefix.contains(&target));
        if !looks_like_one || !self.within.is_empty() && !is_within(target(frame)) {
            return (Expected::PassedOn, None);
        }
        let Some(solicitation) = self.plain(frame) else {
            return (Expected::PassedOn, Some(Verdict::NotPlain));
        };
        let target = solicitation.target;
        let known = self.targets.iter().find(|(known, _)| *known == target);
        let around = self.ranges.iter().filter(|(range, _)| range.contains(&target));
        let (until, verdict) = match (known, around.max_by_key(|(range, _)| range.prefix_len())) {
            (Some((_, until)), _) => (*until, Verdict::Target),
            (None, Some((_, until))) => (*until, Verdict::Range),
            (None, None) => return (Expected::PassedOn, Some(Verdict::Unknown)),
        };
        if until <= NOW {
            return (Expected::PassedOn, Some(Verdict::Lapsed));
        }
        let asker = Asker::of(self.upstream.link, &solicitation);
        let treatment = self
            .askers
            .iter()
            .find(|exception| exception.mac == asker.mac && exception.address == asker.address);
        let upstream = match treatment.map(|exception| exception.treatment) {
            None => self.upstream,
            Some(Treatment::PassOn) => return (Expected::PassedOn, Some(Verdict::Asker)),
            Some(Treatment::Target) => Upstream { source: Source::Target, ..self.upstream },
            Some(Treatment::Source(source)) => {
                Upstream { source: Source::Address(source), fixed: Some(source), ..self.upstream }
            }
        };
        match advertisement(&upstream, &asker, target, &Links::default()) {
            Some(answer) => {
                let mut buffer = [0; MAX_EMITTED];
                let length = answer.emit(&mut buffer);
                (Expected::Answered(buffer[..length].to_vec()), Some(verdict))
            }
            None => (Expected::PassedOn, Some(Verdict::NotPlain)),
        }
    }

    /// A solicitation that is valid and of the usual form: from an address, for no link-local one, with one source
    /// link-layer address option that names a station, or none, and nothing behind it.
    fn plain(&self, frame: &[u8]) -> Option<Solicitation> {
        let Ok(Message::Solicitation(solicitation)) = Message::parse(frame, self.upstream.mac) else {
            return None;
        };
        let is_filled = usize::from(frame[18]) << 8 | usize::from(frame[19]) == frame.len() - 54;
        let has_one_or_none = frame.len() == 78 || solicitation.source_link_layer.is_some();
        // Nobody has an address that begins with 64 zero bits.
        let is_usual = |address: Ipv6Addr| address.to_bits() >> 64 != 0;
        let is_plain =
            is_filled && has_one_or_none && is_usual(solicitation.source) && is_usual(solicitation.target);
        (is_plain && !solicitation.target.is_unicast_link_local()).then_some(solicitation)
    }
}

/// An exception for the usual station with this address.
fn except(address: &str, treatment: Treatment) -> Exception {
    Exception { mac: SENDER, address: self::address(address), treatment }
}

/// As long as a solicitation with one option or none.
fn is_measured(frame: &[u8]) -> bool {
    [78, 86].contains(&frame.len())
}
