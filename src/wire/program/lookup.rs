//! What is known of the target, and whether it is still so.

use super::askers::{pass_on_repeated, pass_on_repeated_in_range};
use super::assembler::Assembler;
use super::instruction::{Condition, Helper, Instruction, Label, Operation, Register, Size, Width};
use super::layout::{COUNTER, HITS_KEY, RANGE_KEY, SLOT, TARGET, TIME, UNTIL};
use super::maps::{Map, Verdict};
use super::responder::{COUNT, ENTRY, LAPSED, NOW};
use super::steps::{address, count_as, store};
use Condition::{AtLeast, Different, Equal};
use Instruction::{Call, Compute, Jump, JumpIf, Load, MapOf, Store};
use Operation::Move;
use Register::{Frame, R0, R1, R2};
use Width::{Bits32, Bits64};

/// Goes on at [`KNOWN`], which follows, with a target that is answered for. In the register of what is known there is then
/// where its answers are counted; where all of a range is answered for nothing is, and the register of the time is 0. If
/// questions show something, one that is repeated is passed on.
pub(super) fn look_up(learns: bool, a: &mut Assembler) {
    count_as(a, Verdict::Target);
    a.push(MapOf(R1, Map::Targets));
    address(a, R2, TARGET.on_stack());
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Different, R0, 0.into(), FOUND));
    count_as(a, Verdict::Range);
    store(a, RANGE_KEY, 128);
    a.push(MapOf(R1, Map::Ranges));
    address(a, R2, RANGE_KEY.on_stack());
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Different, R0, 0.into(), FOUND));
    count_as(a, Verdict::Unknown);
    a.push(Jump(COUNT));
    a.label(FOUND);
    a.push(Compute(Bits64, Move, ENTRY, R0.into()));
    a.push(Call(Helper::BootTime));
    a.push(Compute(Bits64, Move, NOW, R0.into()));
    a.push(Store(Size::Double, Frame, TIME, NOW.into()));
    a.push(Load(Size::Double, R1, ENTRY, UNTIL));
    a.push(JumpIf(Bits64, AtLeast, NOW, R1.into(), LAPSED));
    // The register of what is known is free from here on: of that the slot alone is wanted still.
    a.push(Load(Size::Word, R1, ENTRY, SLOT));
    a.push(Load(Size::Word, R2, Frame, COUNTER));
    a.push(JumpIf(Bits32, Equal, R2, (Verdict::Range as i32).into(), IN_RANGE));
    a.push(Store(Size::Word, Frame, HITS_KEY, R1.into()));
    a.push(MapOf(R1, Map::Hits));
    address(a, R2, HITS_KEY);
    a.push(Call(Helper::MapLookup));
    a.push(JumpIf(Bits64, Equal, R0, 0.into(), LAPSED));
    a.push(Compute(Bits64, Move, ENTRY, R0.into()));
    match learns {
        true => pass_on_repeated(a),
        false => _ = a.push(Jump(KNOWN)),
    }
    a.label(IN_RANGE);
    if learns {
        pass_on_repeated_in_range(a);
    }
    a.push(Compute(Bits64, Move, NOW, 0.into()));
    a.label(KNOWN);
}

pub(super) const KNOWN: Label = Label("known", 0);
const FOUND: Label = Label("found", 0);
const IN_RANGE: Label = Label("in_range", 0);
