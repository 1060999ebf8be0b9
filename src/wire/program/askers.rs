//! Who asks, where that matters: askers that get other answers than all the rest, and those that may not take theirs.

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::assembler::Assembler;
use super::instruction::{Condition, Helper, Instruction, Label, Operation, Register, Size, Width};
use super::layout::{
    ASKED, DAEMON_KEY, DESTINATION, HASH, HASH_ASKED, QUESTION, ROW_KEY, SOURCE, TARGET, TIME, UNTIL, half,
};
use super::lookup::KNOWN;
use super::maps::{Map, RECENT_BITS};
use super::responder::{ANSWER, ENTRY, NOW};
use super::rows::UNIT_BITS;
use super::steps::{address, asker_mac, constant_source, doubles, load, target_source};
use crate::wire::Mac;
use Condition::{AtLeast, Different, Equal};
use Instruction::{Call, Compute, Constant, Jump, JumpIf, Load, MapOf, Store};
use Operation::{Move, Multiply, ShiftRight, Subtract, Xor};
use Register::{Frame, R0, R1, R2, R3, R4, R5};
use Width::{Bits32, Bits64};

/// An asker that `sources` are not for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Its link-layer address, as answers to it have it.
    pub mac: Mac,
    /// Its address.
    pub address: Ipv6Addr,
    /// What it gets.
    pub treatment: Treatment,
}

/// What an asker gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Treatment {
    /// All that it asks is passed on.
    PassOn,
    /// Answers from the target itself.
    Target,
    /// Answers from this address.
    Source(Ipv6Addr),
}

/// RFC 4861 §7.2.2: an asker without an answer asks again after RetransTimer. So where a target is asked for once more so
/// soon, the answer before may not have been taken, and the packet path has to see that. What comes sooner still waited in
/// a queue, or is from one of many askers; and one that knows the target asks it alone, not its group.
///
/// This is of a target whose answers are counted at [`ENTRY`]. Goes on at [`KNOWN`].
pub(super) fn pass_on_repeated(a: &mut Assembler) {
    load(a, R1, DESTINATION.part(0, Size::Byte));
    a.push(JumpIf(Bits32, Different, R1, 0xff.into(), KNOWN));
    a.push(Load(Size::Word, R2, ENTRY, ASKED));
    in_units(a, R1);
    a.push(Store(Size::Word, ENTRY, ASKED, R1.into()));
    a.push(Compute(Bits32, Subtract, R1, R2.into()));
    // By the count of units it may be one unit older or younger than it is. So what is too young by a unit is not taken
    // for repeated, and what is too old by a unit is.
    let [soonest, latest] = [SOONEST_REPEAT, LATEST_REPEAT].map(|age| age >> UNIT_BITS);
    go_by_age(a, (soonest + 1, latest + 2), KNOWN, 0);
    a.push(Jump(KNOWN));
}

/// The time, as a row has it.
pub(super) fn in_units(a: &mut Assembler, register: Register) {
    a.push(Compute(Bits64, Move, register, NOW.into()));
    a.push(Compute(Bits64, ShiftRight, register, i32::from(UNIT_BITS).into()));
}

/// The same of an address of a range: who asked for it may be among those that asked last. Goes on behind.
pub(super) fn pass_on_repeated_in_range(a: &mut Assembler) {
    load(a, R2, DESTINATION.part(0, Size::Byte));
    a.push(JumpIf(Bits32, Different, R2, 0xff.into(), KNOWN_IN_RANGE));
    // Who and what, as one number, the upper bits of which depend on all of both.
    load(a, R2, TARGET);
    load(a, R3, SOURCE);
    a.push(Compute(Bits64, Xor, R2, R3.into()));
    a.push(Constant(R4, MIX));
    for field in [TARGET, SOURCE] {
        a.push(Compute(Bits64, Multiply, R2, R4.into()));
        load(a, R3, field.part(8, Size::Double));
        a.push(Compute(Bits64, Xor, R2, R3.into()));
    }
    a.push(Compute(Bits64, Multiply, R2, R4.into()));
    a.push(Store(Size::Double, Frame, QUESTION, R2.into()));
    a.push(Compute(Bits64, ShiftRight, R2, (64 - i32::from(RECENT_BITS)).into()));
    a.push(Store(Size::Word, Frame, ROW_KEY, R2.into()));
    a.push(MapOf(R1, Map::Recent));
    address(a, R2, ROW_KEY);
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Equal, R0, 0.into(), KNOWN_IN_RANGE));
    a.push(Load(Size::Double, R1, R0, HASH)).push(Load(Size::Double, R2, R0, HASH_ASKED));
    a.push(Load(Size::Double, R3, Frame, QUESTION));
    a.push(Store(Size::Double, R0, HASH, R3.into()));
    a.push(Store(Size::Double, R0, HASH_ASKED, NOW.into()));
    a.push(JumpIf(Bits64, Different, R1, R3.into(), KNOWN_IN_RANGE));
    a.push(Compute(Bits64, Move, R1, NOW.into()));
    a.push(Compute(Bits64, Subtract, R1, R2.into()));
    go_by_age(a, (SOONEST_REPEAT, LATEST_REPEAT), KNOWN_IN_RANGE, 1);
    a.label(KNOWN_IN_RANGE);
}

/// Passes on what was asked for as long before as R1 has it, if it is repeated: from the first of these on, and before the
/// second. Goes on at the label otherwise.
fn go_by_age(a: &mut Assembler, (soonest, latest): (i32, i32), known: Label, number: u16) {
    let repeated = Label("repeated", number);
    a.push(JumpIf(Bits64, AtLeast, R1, latest.into(), known));
    a.push(JumpIf(Bits64, AtLeast, R1, soonest.into(), repeated)).push(Jump(known));
    a.label(repeated);
    pass_on_to_daemon(a, Label("without_daemon", number));
}

/// Passes the question on while there is a daemon. Without one nobody would answer it: it goes on at the label, which
/// follows.
fn pass_on_to_daemon(a: &mut Assembler, then: Label) {
    a.push(Store(Size::Word, Frame, DAEMON_KEY, 128.into()));
    a.push(Store(Size::Double, Frame, DAEMON_KEY + 4, 0.into()));
    a.push(Store(Size::Double, Frame, DAEMON_KEY + 12, 0.into()));
    a.push(MapOf(R1, Map::Ranges));
    address(a, R2, DAEMON_KEY);
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Equal, R0, 0.into(), then));
    a.push(Load(Size::Double, R1, R0, UNTIL));
    a.push(Load(Size::Double, R2, Frame, TIME));
    a.push(JumpIf(Bits64, AtLeast, R1, R2.into(), EXCEPTED));
    a.label(then);
}

/// Compares the asker with each of the exceptions. Mostly one comparison tells them apart, that of the last half of
/// their addresses.
pub(super) fn treat(exceptions: &[Exception], a: &mut Assembler) {
    let halves = [(0, R3), (2, R4), (4, R5)];
    asker_mac(a, halves, EXCEPTIONS);
    load(a, R1, SOURCE);
    load(a, R2, SOURCE.part(8, Size::Double));
    for (number, exception) in (1..).zip(exceptions) {
        let next = Label("exception", number);
        let [first, second] = doubles(exception.address);
        for (register, half) in [(R2, second), (R1, first)] {
            a.push(Constant(R0, half)).push(JumpIf(Bits64, Different, register, R0.into(), next));
        }
        for (at, register) in halves {
            let at = usize::from(at);
            let bytes = [exception.mac.0[at], exception.mac.0[at + 1]];
            a.push(JumpIf(Bits32, Different, register, half(bytes).into(), next));
        }
        match exception.treatment {
            Treatment::PassOn => a.push(Jump(WATCHED)),
            Treatment::Target => {
                target_source(a);
                a.push(Jump(ANSWER))
            }
            Treatment::Source(source) => {
                constant_source(a, Some(source));
                a.push(Jump(ANSWER))
            }
        };
        a.label(next);
    }
    if exceptions.iter().any(|exception| exception.treatment == Treatment::PassOn) {
        a.push(Jump(USUAL)).label(WATCHED);
        pass_on_to_daemon(a, USUAL);
    }
}

/// Where a question goes on that is passed on because of its asker.
pub(super) const EXCEPTED: Label = Label("excepted", 0);
const EXCEPTIONS: Label = Label("exceptions", 0);
const WATCHED: Label = Label("watched", 0);
const USUAL: Label = Label("usual", 0);
const KNOWN_IN_RANGE: Label = Label("known_in_range", 0);
/// An odd number without a pattern: 2^64 by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// What is asked for again is repeated so soon at most, and so late, in nanoseconds: RetransTimer is a second (RFC 4861
/// §10), and the packet path counts what comes within two.
const SOONEST_REPEAT: i32 = 500_000_000;
const LATEST_REPEAT: i32 = 2_000_000_001;
