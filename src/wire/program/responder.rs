//! What a question gets, as instructions.
//!
//! The order is that of the costs: what is no solicitation leaves after a few instructions. Every check of RFC 4861
//! §7.1.1 is here, as it is in `envelope` and `solicitation`; what fails one is passed on and gets its `DropReason` there.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::askers::{EXCEPTED, Exception, Treatment, in_units, treat};
use super::assembler::{AssembleError, Assembler, Program};
use super::glance::glance;
use super::instruction::{Condition, Helper, Instruction, Label, Operation, Register, Size, Width};
use super::layout::*;
use super::lookup::{fetch, look_up};
use super::maps::Verdict;
use super::rows::Rows;
use super::steps::*;
use crate::wire::{Advertisement, Mac, Solicitation};
use Condition::{AnyBit, Different, Equal};
use Instruction::{AddAtomically, Call, Compute, Exit, Jump, JumpIf, Load, Store};
use Operation::{Add, And, Move, Or, Xor};
use Register::{R0, R1, R2, R3, R4, R5, R6, R8, R9};
use Width::{Bits32, Bits64};

/// The values that the program of one upstream is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responder {
    /// The upstream's own address: answers come from it and name it.
    pub station: Mac,
    /// The R flag of answers.
    pub router: bool,
    /// The O flag of answers.
    pub override_entry: bool,
    /// Which IPv6 source answers carry.
    pub sources: Sources,
    /// Where all targets are that it answers for: what asks for any other passes at once. Empty: anywhere.
    #[serde(default)]
    pub within: Vec<Ipv6Net>,
    /// Whether questions show which source their asker takes. If they do, one that is repeated soon after is passed on.
    pub learns: bool,
    /// Those that get something else: it is in the program itself, so there are to be few.
    pub askers: Vec<Exception>,
}

/// The IPv6 source of answers. Where there is none, the question is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sources {
    /// The target itself.
    Target,
    /// By the scope of who asks.
    ByScope {
        /// To a link-local address.
        to_link_local: Option<Ipv6Addr>,
        /// To any other.
        to_others: Option<Ipv6Addr>,
    },
}

/// What the program returns for a frame that goes on as it came: TC_ACT_UNSPEC, which for tcx is TCX_NEXT.
pub const PASS_ON: i32 = -1;
/// What it returns for a frame that it has turned into the answer: TC_ACT_REDIRECT, out of where it came in.
pub const REDIRECTED: i32 = 7;

/// Survive calls, as [`LENGTH`] does: the context; the row of the target, or of its range; the time.
const CONTEXT: Register = R6;
pub(super) const ENTRY: Register = R8;
pub(super) const NOW: Register = R9;

const GLANCE: Label = Label("glance", 0);
const PAYLOAD: Label = Label("payload", 0);
const MEASURED: Label = Label("measured", 0);
const FOR_US: Label = Label("for_us", 0);
const ADDRESSES: Label = Label("addresses", 0);
const OTHER_SOURCE: Label = Label("other_source", 0);
const TO_OTHERS: Label = Label("to_others", 0);
pub(super) const ANSWER: Label = Label("answer", 0);
const ASKER: Label = Label("asker", 0);
const WRITE: Label = Label("write", 0);
const NO_COUNTER: Label = Label("no_counter", 0);
pub(super) const LAPSED: Label = Label("lapsed", 0);
const NO_ROOM: Label = Label("no_room", 0);
pub(super) const COUNT: Label = Label("count", 0);
const PASS: Label = Label("pass", 0);

impl Responder {
    /// Whether this asker is answered at all. The link-layer address is that of its option, if it has one.
    pub fn answers(&self, mac: Mac, address: Ipv6Addr) -> bool {
        let exception = self.askers.iter().find(|asker| asker.mac == mac && asker.address == address);
        match (exception, self.sources) {
            (Some(exception), _) => exception.treatment != Treatment::PassOn,
            (None, Sources::Target) => true,
            (None, Sources::ByScope { to_link_local, .. }) if address.is_unicast_link_local() => {
                to_link_local.is_some()
            }
            (None, Sources::ByScope { to_others, .. }) => to_others.is_some(),
        }
    }

    /// The program, for a table of targets with these rows. There is none for an upstream without an address that answers
    /// could come from.
    pub fn program(&self, rows: &Rows) -> Result<Program, AssembleError> {
        let mut a = Assembler::default();
        self.read(rows, &mut a);
        self.check_headers(&mut a);
        check_message(&mut a);
        look_up(rows, self.learns, &mut a);
        if !self.askers.is_empty() {
            treat(&self.askers, &mut a);
        }
        self.choose_source(&mut a);
        self.write_answer(&mut a);
        send(&mut a);
        self.pass_on(&mut a);
        a.assemble()
    }

    /// The frame on the stack, if it is as long as a plain solicitation, and one at first sight.
    fn read(&self, rows: &Rows, a: &mut Assembler) {
        a.push(Compute(Bits64, Move, CONTEXT, R1.into()));
        a.push(Load(Size::Word, R1, CONTEXT, CONTEXT_PROTOCOL));
        a.push(JumpIf(Bits32, Different, R1, half(ETHERTYPE_IPV6).into(), PASS));
        a.push(Load(Size::Word, R1, CONTEXT, CONTEXT_VLAN_PRESENT));
        a.push(JumpIf(Bits32, Different, R1, 0.into(), PASS));
        a.push(Load(Size::Word, LENGTH, CONTEXT, CONTEXT_LENGTH));
        a.push(JumpIf(Bits32, Equal, LENGTH, SHORT.into(), GLANCE));
        a.push(JumpIf(Bits32, Different, LENGTH, LONG.into(), PASS));
        a.label(GLANCE);
        glance(a, CONTEXT, &self.within, PASS);
        // Where there is no option, its room is zero and adds nothing to the checksum.
        store(a, OPTION, 0);
        fetch(rows, a);
        a.push(Compute(Bits64, Move, R1, CONTEXT.into()));
        a.push(Compute(Bits64, Move, R2, 0.into()));
        address(a, R3, FRAME);
        // Either length, as the verifier has to see.
        a.push(Compute(Bits64, Move, R4, SHORT.into()));
        a.push(JumpIf(Bits32, Equal, LENGTH, SHORT.into(), MEASURED));
        a.push(Compute(Bits64, Move, R4, LONG.into()));
        a.label(MEASURED);
        a.push(Call(Helper::LoadBytes));
        a.push(JumpIf(Bits64, Different, R0, 0.into(), PASS));
        load(a, R1, NEXT_HEADER);
        a.push(JumpIf(Bits32, Different, R1, i32::from(ICMPV6).into(), PASS));
        load(a, R1, TYPE);
        a.push(JumpIf(Bits32, Different, R1, i32::from(Solicitation::TYPE).into(), PASS));
    }

    /// As `Envelope::open` checks them.
    fn check_headers(&self, a: &mut Assembler) {
        let [s0, s1, s2, s3, s4, s5] = self.station.0;
        // To this station or a group.
        load(a, R1, DESTINATION_MAC.part(0, Size::Byte));
        a.push(JumpIf(Bits32, AnyBit, R1, 1.into(), FOR_US));
        load(a, R1, DESTINATION_MAC);
        not_plain_if(a, Different, R1, half([s0, s1]));
        load(a, R1, DESTINATION_MAC.part(2, Size::Word));
        not_plain_if(a, Different, R1, word([s2, s3, s4, s5]));
        a.label(FOR_US);
        // From another, which is one: not a group, not all zero.
        load(a, R1, SOURCE_MAC.part(0, Size::Byte));
        not_plain_if(a, AnyBit, R1, 1);
        load(a, R1, SOURCE_MAC);
        load(a, R2, SOURCE_MAC.part(4, Size::Half));
        a.push(Compute(Bits64, Move, R3, R1.into())).push(Compute(Bits64, Or, R3, R2.into()));
        not_plain_if(a, Equal, R3, 0);
        a.push(Compute(Bits32, Xor, R1, word([s0, s1, s2, s3]).into()));
        a.push(Compute(Bits32, Xor, R2, half([s4, s5]).into()));
        a.push(Compute(Bits64, Or, R1, R2.into()));
        not_plain_if(a, Equal, R1, 0);
        load(a, R1, VERSION);
        a.push(Compute(Bits32, And, R1, 0xf0.into()));
        not_plain_if(a, Different, R1, 0x60);
        // The message fills the frame, so there is no padding. RFC 4861 §7.1.1: "ICMP length (derived from the IP
        // length) is 24 or more octets."
        a.push(Compute(Bits64, Move, R2, half(SHORT_PAYLOAD).into()));
        a.push(JumpIf(Bits32, Equal, LENGTH, SHORT.into(), PAYLOAD));
        a.push(Compute(Bits64, Move, R2, half(LONG_PAYLOAD).into()));
        a.label(PAYLOAD);
        load(a, R1, PAYLOAD_LENGTH);
        a.push(JumpIf(Bits32, Different, R1, R2.into(), NOT_PLAIN));
        // RFC 4861 §7.1.1: "The IP Hop Limit field has a value of 255".
        load(a, R1, HOP_LIMIT);
        not_plain_if(a, Different, R1, 255);
    }

    /// Which source the answer has, in R1 and R2; where there is none the question is passed on.
    fn choose_source(&self, a: &mut Assembler) {
        match self.sources {
            Sources::Target => target_source(a),
            Sources::ByScope { to_link_local, to_others } => {
                load(a, R1, SOURCE.part(0, Size::Half));
                a.push(Compute(Bits32, And, R1, half([0xff, 0xc0]).into()));
                a.push(JumpIf(Bits32, Different, R1, half([0xfe, 0x80]).into(), TO_OTHERS));
                constant_source(a, to_link_local);
                if to_link_local.is_some() {
                    a.push(Jump(ANSWER));
                }
                a.label(TO_OTHERS);
                constant_source(a, to_others);
            }
        }
        a.label(ANSWER);
    }

    /// RFC 4861 §7.2.4, as `Advertisement::emit` writes it. The source is in R1 and R2.
    fn write_answer(&self, a: &mut Assembler) {
        let [s0, s1, s2, s3, s4, s5] = self.station.0;
        // To who asks.
        for offset in [0, 8] {
            load(a, R3, SOURCE.part(offset, Size::Double));
            store(a, DESTINATION.part(offset, Size::Double), R3);
        }
        store(a, SOURCE, R1);
        store(a, SOURCE.part(8, Size::Double), R2);
        let halves = [(0, R1), (2, R2), (4, R3)];
        asker_mac(a, halves, ASKER);
        for (offset, register) in halves {
            store(a, DESTINATION_MAC.part(offset, Size::Half), register);
        }
        // Without CAP_PERFMON, verifiers before Linux 6.8 take what was written at a multiple of eight for a spilled
        // register, and let nothing be written beside it. So what is at such a place is written last.
        store(a, SOURCE_MAC.part(4, Size::Half), half([s4, s5]));
        store(a, SOURCE_MAC, word([s0, s1, s2, s3]));
        store(a, PAYLOAD_LENGTH, half(LONG_PAYLOAD));
        store(a, FIRST_WORD, word([0x60, 0, 0, 0]));
        store(a, OPTION_MAC.part(2, Size::Word), word([s2, s3, s4, s5]));
        store(a, OPTION_MAC, half([s0, s1]));
        store(a, OPTION_KIND, half([TARGET_LINK_LAYER, 1]));
        // "Otherwise, the node MUST set the Solicited flag to one".
        let router = if self.router { ROUTER } else { 0 };
        let override_entry = if self.override_entry { OVERRIDE } else { 0 };
        store(a, FLAGS, word([router | SOLICITED | override_entry, 0, 0, 0]));
        store(a, CHECKSUM, 0);
        // What is summed up has the type of the question still: it is taken away, and that of the answer added.
        let types = half([Advertisement::TYPE, 0]) + (0xffff ^ half([Solicitation::TYPE, 0]));
        let pseudo_header = half(LONG_PAYLOAD) + half([0, ICMPV6]);
        a.push(Compute(Bits64, Move, R5, (pseudo_header + types).into()));
        sum(a);
        a.push(Compute(Bits32, Xor, R0, 0xffff.into()));
        store(a, CHECKSUM, R0);
        store(a, TYPE_AND_CODE, half([Advertisement::TYPE, 0]));
    }

    /// The frame goes on as it came.
    fn pass_on(&self, a: &mut Assembler) {
        let has_exceptions =
            self.learns || self.askers.iter().any(|asker| asker.treatment == Treatment::PassOn);
        let excepted = has_exceptions.then_some((EXCEPTED, Verdict::Asker));
        for (label, verdict) in
            [(LAPSED, Verdict::Lapsed), (NOT_PLAIN, Verdict::NotPlain)].into_iter().chain(excepted)
        {
            a.label(label);
            count_as(a, verdict);
            a.push(Jump(COUNT));
        }
        a.label(NO_ROOM);
        count_as(a, Verdict::NoRoom);
        a.label(COUNT);
        count(a, PASS);
        a.label(PASS);
        a.push(Compute(Bits64, Move, R0, PASS_ON.into()));
        a.push(Exit);
    }
}

/// RFC 4861 §7.1.1, and what `Envelope::target` and `Solicitation::parse` ask beyond it.
fn check_message(a: &mut Assembler) {
    // "ICMP Checksum is valid": with it the sum is all ones.
    load(a, R5, PAYLOAD_LENGTH);
    a.push(Compute(Bits64, Add, R5, half([0, ICMPV6]).into()));
    sum(a);
    not_plain_if(a, Different, R0, 0xffff);
    // "ICMP Code is 0."
    load(a, R1, CODE);
    not_plain_if(a, Different, R1, 0);
    // "All included options have a length that is greater than zero." The one that there may be is a source link-layer
    // address of eight bytes, and names one station.
    a.push(JumpIf(Bits32, Equal, LENGTH, SHORT.into(), ADDRESSES));
    load(a, R1, OPTION_KIND);
    not_plain_if(a, Different, R1, half([SOURCE_LINK_LAYER, 1]));
    load(a, R1, OPTION_MAC.part(0, Size::Byte));
    not_plain_if(a, AnyBit, R1, 1);
    load(a, R1, OPTION_MAC);
    load(a, R2, OPTION_MAC.part(2, Size::Word));
    a.push(Compute(Bits64, Or, R1, R2.into()));
    not_plain_if(a, Equal, R1, 0);
    a.label(ADDRESSES);
    // "Target Address is not a multicast address." Nor is it `::`, `::1` or IPv4-mapped, which begin with 64 zero bits,
    // nor link-local.
    load(a, R1, TARGET.part(0, Size::Byte));
    not_plain_if(a, Equal, R1, 0xff);
    load(a, R1, TARGET.part(0, Size::Half));
    a.push(Compute(Bits32, And, R1, half([0xff, 0xc0]).into()));
    not_plain_if(a, Equal, R1, half([0xfe, 0x80]));
    load(a, R2, TARGET);
    a.push(JumpIf(Bits64, Equal, R2, 0.into(), NOT_PLAIN));
    // "If the IP source address is the unspecified address": the packet path looks at the rest. And the source is no
    // group, not `::1`, not IPv4-mapped.
    load(a, R1, SOURCE.part(0, Size::Byte));
    not_plain_if(a, Equal, R1, 0xff);
    load(a, R1, SOURCE);
    a.push(JumpIf(Bits64, Equal, R1, 0.into(), NOT_PLAIN));
    // Nobody asks for itself.
    a.push(JumpIf(Bits64, Different, R1, R2.into(), OTHER_SOURCE));
    load(a, R1, SOURCE.part(8, Size::Double));
    load(a, R2, TARGET.part(8, Size::Double));
    a.push(JumpIf(Bits64, Equal, R1, R2.into(), NOT_PLAIN));
    a.label(OTHER_SOURCE);
}

/// Puts the answer in the place of the question and sends it back.
fn send(a: &mut Assembler) {
    a.push(JumpIf(Bits32, Equal, LENGTH, LONG.into(), WRITE));
    // If nothing else works any more after this, the question has eight bytes of padding.
    a.push(Compute(Bits64, Move, R1, CONTEXT.into()));
    a.push(Compute(Bits64, Move, R2, LONG.into()));
    a.push(Compute(Bits64, Move, R3, 0.into()));
    a.push(Call(Helper::ChangeTail));
    a.push(JumpIf(Bits64, Different, R0, 0.into(), NO_ROOM));
    a.label(WRITE);
    a.push(Compute(Bits64, Move, R1, CONTEXT.into()));
    a.push(Compute(Bits64, Move, R2, 0.into()));
    address(a, R3, FRAME);
    a.push(Compute(Bits64, Move, R4, LONG.into()));
    a.push(Compute(Bits64, Move, R5, RECOMPUTE_CHECKSUM.into()));
    a.push(Call(Helper::StoreBytes));
    a.push(JumpIf(Bits64, Different, R0, 0.into(), NO_ROOM));
    a.push(Compute(Bits64, Move, R1, 1.into()));
    a.push(AddAtomically(ENTRY, HITS, R1));
    in_units(a, R1);
    a.push(Store(Size::Word, ENTRY, ASKED, R1.into()));
    count(a, NO_COUNTER);
    a.label(NO_COUNTER);
    a.push(Load(Size::Word, R1, CONTEXT, CONTEXT_IFINDEX));
    a.push(Compute(Bits64, Move, R2, 0.into()));
    a.push(Call(Helper::Redirect));
    a.push(Exit);
}

const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// The payload length of a frame of [`SHORT`] bytes, as the IPv6 header has it.
const SHORT_PAYLOAD: [u8; 2] = [0, 24];
/// The same for [`LONG`] bytes.
const LONG_PAYLOAD: [u8; 2] = [0, 32];
// RFC 4861 §4.4.
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
// RFC 4861 §4.6.1.
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
/// BPF_F_RECOMPUTE_CSUM: where the interface has summed the frame up, its sum is put right.
const RECOMPUTE_CHECKSUM: i32 = 1;
