//! What is known of the target, and whether it is still so.

use super::askers::{pass_on_repeated, pass_on_repeated_in_range};
use super::assembler::Assembler;
use super::instruction::{Condition, Helper, Instruction, Label, Operation, Register, Size, Width};
use super::layout::{ADDRESS, RANGE_KEY, ROW_KEY, TARGET, TIME, UNTIL};
use super::maps::{Map, Verdict};
use super::responder::{COUNT, ENTRY, LAPSED, NOW};
use super::rows::{LAST_BIT, MIXERS, NOBODY, Rows, STEPS};
use super::steps::{NOT_PLAIN, address, count_as, load, store};
use Condition::{AtLeast, Different, Equal};
use Instruction::{Call, Compute, Constant, Jump, JumpIf, Load, MapOf, Store};
use Operation::{Add, And, Move, Multiply, ShiftRight, Xor};
use Register::{Frame, R0, R1, R2, R3};
use Width::{Bits32, Bits64};

/// Goes on at [`KNOWN`], which follows, with a target that is answered for. The register of the row has its row then, or that
/// of its range. If questions show something, one that is repeated is passed on.
pub(super) fn look_up(rows: &Rows, learns: bool, a: &mut Assembler) {
    count_as(a, Verdict::Target);
    search(rows, a);
    a.push(Compute(Bits64, Move, ENTRY, R0.into()));
    until(a);
    match learns {
        true => pass_on_repeated(a),
        false => _ = a.push(Jump(KNOWN)),
    }
    a.label(IN_NO_ROW);
    count_as(a, Verdict::Range);
    store(a, RANGE_KEY, 128);
    a.push(MapOf(R1, Map::Ranges));
    address(a, R2, RANGE_KEY.on_stack());
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Different, R0, 0.into(), IN_RANGE));
    count_as(a, Verdict::Unknown);
    a.push(Jump(COUNT));
    a.label(IN_RANGE);
    a.push(Compute(Bits64, Move, ENTRY, R0.into()));
    until(a);
    if learns {
        pass_on_repeated_in_range(a);
    }
    a.label(KNOWN);
}

/// Finds the first row in which the target may be, which is in R0 and R1, and reads from it. Where there are many targets it
/// is not in the processor's cache: it comes while the question is copied and checked, before anybody needs it. Some steps make
/// the processor wait for all reads that it has begun, so they come before: to read the clock, and, without CAP_PERFMON, the
/// first write to a place on the stack. To put the row there would be such a step, so it stays in [`ENTRY`] for [`search`].
pub(super) fn fetch(rows: &Rows, a: &mut Assembler) {
    let [multiplier, added] = rows.seed();
    a.push(Constant(R3, LAST_BIT)).push(Compute(Bits64, Move, R2, R1.into()));
    a.push(Compute(Bits64, And, R2, R3.into())).push(Compute(Bits64, Xor, R1, R2.into()));
    a.push(Compute(Bits64, ShiftRight, R2, (LAST_BIT.trailing_zeros() as i32).into()));
    a.push(Constant(R3, multiplier));
    a.push(Compute(Bits64, Multiply, R0, R3.into())).push(Compute(Bits64, Xor, R0, R1.into()));
    a.push(Constant(R3, added)).push(Compute(Bits64, Xor, R0, R3.into()));
    for mixer in MIXERS {
        a.push(Constant(R3, mixer));
        a.push(Compute(Bits64, Move, R1, R0.into())).push(Compute(Bits64, ShiftRight, R1, 32.into()));
        a.push(Compute(Bits64, Xor, R0, R1.into())).push(Compute(Bits64, Multiply, R0, R3.into()));
    }
    a.push(Compute(Bits64, ShiftRight, R0, (64 - rows.bits()).into()));
    a.push(Compute(Bits64, Xor, R0, R2.into()));
    a.push(Compute(Bits64, Move, NUMBER, R0.into()));
    a.push(Call(Helper::BootTime));
    a.push(Store(Size::Double, Frame, TIME, R0.into()));
    // For the sake of the first write; the verdict comes later.
    count_as(a, Verdict::NotPlain);
    to_row(NUMBER, NOT_PLAIN, a);
    a.push(Compute(Bits64, Move, ENTRY, R0.into()));
    a.push(Load(Size::Double, R1, ENTRY, ADDRESS));
}

/// Goes on behind with the row of the target in R0, or at [`IN_NO_ROW`]: from row to row, as [`Rows::of`] says. Mostly it is
/// the first. There is no loop: without CAP_PERFMON Linux 6.1 takes none whose end depends on a counter.
fn search(rows: &Rows, a: &mut Assembler) {
    // The second half of the address first: that of most targets differs there.
    let second_half = TARGET.part(8, Size::Double);
    a.push(Compute(Bits64, Move, R0, ENTRY.into()));
    for step in 0..STEPS as u16 {
        let other = Label("other_row", step);
        if step > 0 {
            a.push(Compute(Bits32, Add, NUMBER, 1.into()));
            a.push(Compute(Bits32, And, NUMBER, (rows.count() as i32 - 1).into()));
            to_row(NUMBER, IN_NO_ROW, a);
        }
        a.push(Load(Size::Double, R1, R0, ADDRESS + 8));
        load(a, R2, second_half);
        a.push(JumpIf(Bits64, Different, R1, R2.into(), other));
        a.push(Load(Size::Double, R1, R0, ADDRESS));
        load(a, R2, TARGET);
        a.push(JumpIf(Bits64, Equal, R1, R2.into(), OWN_ROW));
        a.label(other);
        a.push(Load(Size::Double, R1, R0, ADDRESS));
        a.push(JumpIf(Bits64, Equal, R1, (NOBODY as i32).into(), IN_NO_ROW));
    }
    a.push(Jump(IN_NO_ROW));
    a.label(OWN_ROW);
}

/// The row with the number in the register, in R0. The verifier has to see what becomes of a number that has none.
fn to_row(number: Register, none: Label, a: &mut Assembler) {
    a.push(Store(Size::Word, Frame, ROW_KEY, number.into()));
    a.push(MapOf(R1, Map::Targets));
    address(a, R2, ROW_KEY);
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Equal, R0, 0.into(), none));
}

/// The time; and what is not answered for at this time any more is passed on.
fn until(a: &mut Assembler) {
    a.push(Load(Size::Double, NOW, Frame, TIME));
    a.push(Load(Size::Double, R1, ENTRY, UNTIL));
    a.push(JumpIf(Bits64, AtLeast, NOW, R1.into(), LAPSED));
}

pub(super) const KNOWN: Label = Label("known", 0);
/// Until the target is searched, and until the time is needed.
const NUMBER: Register = NOW;
const OWN_ROW: Label = Label("own_row", 0);
const IN_NO_ROW: Label = Label("in_no_row", 0);
const IN_RANGE: Label = Label("in_range", 0);
