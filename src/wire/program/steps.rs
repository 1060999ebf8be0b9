//! What the responder does again and again: several instructions each.

use core::net::Ipv6Addr;

use super::assembler::Assembler;
use super::instruction::{Condition, Helper, Instruction, Label, Operand, Operation, Register, Size, Width};
use super::layout::{COUNTER, Field, LONG, OPTION_MAC, SOURCE_MAC, SUMMED, TARGET, double};
use super::maps::{Map, Verdict};
use Instruction::{Call, Compute, Constant, Jump, JumpIf, Load, MapOf, Store};
use Operation::{Add, And, Move, ShiftRight};
use Register::{Frame, R0, R1, R2, R3, R4};
use Width::{Bits32, Bits64};

/// Survives calls: how long the frame is.
pub(super) const LENGTH: Register = Register::R7;

/// Where a solicitation goes on that is not valid, or not plain.
pub(super) const NOT_PLAIN: Label = Label("not_plain", 0);

/// A field of the frame on the stack, into a register.
pub(super) fn load(a: &mut Assembler, register: Register, field: Field) {
    a.push(Load(field.1, register, Frame, field.on_stack()));
}

/// A register or a number, into a field of the frame on the stack.
pub(super) fn store(a: &mut Assembler, field: Field, value: impl Into<Operand>) {
    a.push(Store(field.1, Frame, field.on_stack(), value.into()));
}

/// Leaves the frame to the packet path where this holds for the lower half of the register.
pub(super) fn not_plain_if(a: &mut Assembler, condition: Condition, register: Register, value: i32) {
    a.push(JumpIf(Bits32, condition, register, value.into(), NOT_PLAIN));
}

/// An address on the stack.
pub(super) fn address(a: &mut Assembler, register: Register, at: i16) {
    a.push(Compute(Bits64, Move, register, Frame.into()));
    a.push(Compute(Bits64, Add, register, i32::from(at).into()));
}

/// This source, into R1 and R2; where there is none the question is left to the packet path.
pub(super) fn constant_source(a: &mut Assembler, source: Option<Ipv6Addr>) {
    let Some(source) = source else {
        a.push(Jump(NOT_PLAIN));
        return;
    };
    let [first, second] = doubles(source);
    a.push(Constant(R1, first)).push(Constant(R2, second));
}

/// The target as source, into R1 and R2.
pub(super) fn target_source(a: &mut Assembler) {
    load(a, R1, TARGET);
    load(a, R2, TARGET.part(8, Size::Double));
}

/// Both halves of an address, as they are on the stack.
pub(super) fn doubles(address: Ipv6Addr) -> [u64; 2] {
    [0, 8].map(|at| double(address.octets()[at..at + 8].try_into().expect("eight of sixteen bytes")))
}

/// The link-layer address of who asks, by two bytes: that of its source link-layer address option, or else of the sender
/// of the frame. Goes on at the label, which follows.
pub(super) fn asker_mac(a: &mut Assembler, halves: [(u8, Register); 3], then: Label) {
    for (offset, register) in halves {
        load(a, register, OPTION_MAC.part(offset, Size::Half));
    }
    a.push(JumpIf(Bits32, Condition::Equal, LENGTH, LONG.into(), then));
    for (offset, register) in halves {
        load(a, register, SOURCE_MAC.part(offset, Size::Half));
    }
    a.label(then);
}

/// The one's complement sum over addresses and message, begun with what is in R5, into R0: 16 bits of it.
pub(super) fn sum(a: &mut Assembler) {
    let (first, length) = SUMMED;
    a.push(Compute(Bits64, Move, R1, 0.into()));
    a.push(Compute(Bits64, Move, R2, 0.into()));
    address(a, R3, first.on_stack());
    a.push(Compute(Bits64, Move, R4, length.into()));
    a.push(Call(Helper::ChecksumDifference));
    // Newer kernels fold it, older ones do not. The second time takes in what the first one carried.
    for _ in 0..2 {
        a.push(Compute(Bits32, Move, R1, R0.into()));
        a.push(Compute(Bits32, ShiftRight, R1, 16.into()));
        a.push(Compute(Bits32, And, R0, 0xffff.into()));
        a.push(Compute(Bits32, Add, R0, R1.into()));
    }
}

/// What [`count`] is to count, as the key on the stack.
pub(super) fn count_as(a: &mut Assembler, verdict: Verdict) {
    a.push(Store(Size::Word, Frame, COUNTER, (verdict as i32).into()));
}

/// Adds one to the counter of this processor whose key is on the stack. Goes on at the label, which follows.
pub(super) fn count(a: &mut Assembler, then: Label) {
    a.push(MapOf(R1, Map::Verdicts));
    address(a, R2, COUNTER);
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Condition::Equal, R0, 0.into(), then));
    a.push(Load(Size::Double, R1, R0, 0));
    a.push(Compute(Bits64, Add, R1, 1.into()));
    a.push(Store(Size::Double, R0, 0, R1.into()));
}
