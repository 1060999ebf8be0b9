//! From instructions with labels to what the kernel takes.

use std::collections::BTreeMap;
use std::fmt;

use super::Map;
use super::instruction::{Instruction, Label, Slot};

/// Instructions that are being put together.
#[derive(Debug, Default)]
pub struct Assembler {
    instructions: Vec<Instruction>,
    /// Where each label is: before the instruction of this number.
    labels: Vec<(Label, usize)>,
}

/// A program whose jumps all lead somewhere, and forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    /// By label: the instruction, and its slot.
    labels: BTreeMap<Label, (usize, usize)>,
}

/// Why instructions are no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// There are no instructions.
    #[error("the program is empty")]
    Empty,
    /// A jump leads nowhere.
    #[error("a jump leads to '{}', and there is no such label", .0)]
    LabelMissing(Label),
    /// Two places have the same label.
    #[error("the label '{}' is there twice", .0)]
    LabelTwice(Label),
    /// A jump leads back: the program would have a loop, which some kernels refuse.
    #[error("a jump leads back to '{}'; a program has no loops", .0)]
    JumpBack(Label),
    /// Nothing leads to the instruction of this number, which the kernel refuses.
    #[error("nothing leads to instruction {0}")]
    Unreachable(usize),
    /// The last instruction is neither a return nor a jump.
    #[error("the program does not end with a return")]
    NoEnd,
    /// It is longer than the kernel takes from those without every privilege.
    #[error("the program takes {0} slots, and the kernel takes {MAX_SLOTS} at most")]
    TooLong(usize),
}

/// BPF_MAXINSNS: a program has at most so many slots, also one that root loads.
pub const MAX_SLOTS: usize = 4096;

impl Assembler {
    /// Adds one instruction.
    pub fn push(&mut self, instruction: Instruction) -> &mut Self {
        self.instructions.push(instruction);
        self
    }

    /// What is added next is what jumps to this label lead to.
    pub fn label(&mut self, label: Label) -> &mut Self {
        self.labels.push((label, self.instructions.len()));
        self
    }

    /// Resolves the jumps.
    pub fn assemble(self) -> Result<Program, AssembleError> {
        let Self { instructions, labels: places } = self;
        let mut at = 0;
        let mut starts: Vec<usize> = Vec::with_capacity(instructions.len());
        for instruction in &instructions {
            starts.push(at);
            at += instruction.slots();
        }
        match instructions.last() {
            None => return Err(AssembleError::Empty),
            Some(Instruction::Exit | Instruction::Jump(_)) => {}
            Some(_) => return Err(AssembleError::NoEnd),
        }
        if at > MAX_SLOTS {
            return Err(AssembleError::TooLong(at));
        }
        let mut labels = BTreeMap::new();
        for (label, place) in places {
            // Behind the last instruction there is nothing to go on at: it counts as missing.
            let Some(start) = starts.get(place) else { continue };
            if labels.insert(label, (place, *start)).is_some() {
                return Err(AssembleError::LabelTwice(label));
            }
        }
        // Jumps lead forward alone, so one look from front to back finds all that is reached.
        let mut reached = vec![false; instructions.len()];
        reached[0] = true;
        for (position, instruction) in instructions.iter().enumerate() {
            if !reached[position] {
                return Err(AssembleError::Unreachable(position));
            }
            if let Some(label) = instruction.target() {
                let (place, _) = *labels.get(&label).ok_or(AssembleError::LabelMissing(label))?;
                if place <= position {
                    return Err(AssembleError::JumpBack(label));
                }
                reached[place] = true;
            }
            let is_end = matches!(instruction, Instruction::Exit | Instruction::Jump(_));
            if let Some(next) = reached.get_mut(position + 1) {
                *next |= !is_end;
            }
        }
        Ok(Program { instructions, labels })
    }
}

impl Program {
    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// What the kernel takes, for maps with these descriptors.
    pub fn encode(&self, descriptor: impl Fn(Map) -> i32) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(self.instructions.len() * 2);
        for instruction in &self.instructions {
            let target = instruction.target().map_or(slots.len() + 1, |label| self.labels[&label].1);
            let distance = i16::try_from(target - slots.len() - 1).expect("it is shorter than MAX_SLOTS");
            slots.extend(instruction.encode(distance, &descriptor).into_iter().flatten());
        }
        slots
    }
}

/// A listing: labels, and each instruction behind the number of its slot.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slot = 0;
        for (position, instruction) in self.instructions.iter().enumerate() {
            for (label, _) in self.labels.iter().filter(|(_, (place, _))| *place == position) {
                writeln!(f, "{label}:")?;
            }
            writeln!(f, "{slot:4}  {instruction}")?;
            slot += instruction.slots();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::instruction::{Condition, Helper, Operand, Operation, Register, Size, Width};
    use super::*;
    use Register::{Frame, R0, R1, R2, R6};

    const END: Label = Label("end", 0);

    fn assembled(instructions: &[Instruction]) -> Result<Program, AssembleError> {
        let mut assembler = Assembler::default();
        for instruction in instructions {
            assembler.push(*instruction);
        }
        assembler.assemble()
    }

    /// The bytes of one instruction, as `bpftool` or clang write them on a machine with the lowest byte first.
    #[cfg(target_endian = "little")]
    #[test]
    fn writes_each_instruction_as_linux_bpf_h_numbers_it() {
        let bytes = |instruction| {
            let program = assembled(&[instruction, Instruction::Exit]).unwrap();
            let mut slots = program.encode(|_| 7);
            assert_eq!(slots.pop().map(Slot::bytes), Some([0x95, 0, 0, 0, 0, 0, 0, 0]), "exit");
            slots.into_iter().flat_map(Slot::bytes).collect::<Vec<_>>()
        };
        let compute = |width, operation, operand| Instruction::Compute(width, operation, R1, operand);
        let cases: [(Instruction, &[u8]); 13] = [
            // r1 = r6; w1 += 8; r1 >>= 16; w1 ^= -1; w1 &= 255; w1 |= w2.
            (compute(Width::Bits64, Operation::Move, R6.into()), &[0xbf, 0x61, 0, 0, 0, 0, 0, 0]),
            (compute(Width::Bits32, Operation::Add, 8.into()), &[0x04, 0x01, 0, 0, 8, 0, 0, 0]),
            (compute(Width::Bits64, Operation::ShiftRight, 16.into()), &[0x77, 0x01, 0, 0, 16, 0, 0, 0]),
            (compute(Width::Bits32, Operation::Xor, (-1).into()), &[0xa4, 0x01, 0, 0, 255, 255, 255, 255]),
            (compute(Width::Bits32, Operation::And, 255.into()), &[0x54, 0x01, 0, 0, 255, 0, 0, 0]),
            (compute(Width::Bits32, Operation::Or, R2.into()), &[0x4c, 0x21, 0, 0, 0, 0, 0, 0]),
            // r0 = *(u16 *)(r10 - 2); *(u64 *)(r10 - 8) = r2; *(u8 *)(r10 - 1) = 3; lock *(u32 *)(r6 + 8) += w1.
            (Instruction::Load(Size::Half, R0, Frame, -2), &[0x69, 0xa0, 0xfe, 0xff, 0, 0, 0, 0]),
            (Instruction::Store(Size::Double, Frame, -8, R2.into()), &[0x7b, 0x2a, 0xf8, 0xff, 0, 0, 0, 0]),
            (Instruction::Store(Size::Byte, Frame, -1, 3.into()), &[0x72, 0x0a, 0xff, 0xff, 3, 0, 0, 0]),
            (Instruction::AddAtomically(R6, 8, R1), &[0xc3, 0x16, 8, 0, 0, 0, 0, 0]),
            (
                Instruction::Constant(R1, 0x0102_0304_8506_0708),
                &[0x18, 0x01, 0, 0, 8, 7, 6, 0x85, 0, 0, 0, 0, 4, 3, 2, 1],
            ),
            (Instruction::MapOf(R1, Map::Ranges), &[0x18, 0x11, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (Instruction::Call(Helper::LoadBytes), &[0x85, 0, 0, 0, 26, 0, 0, 0]),
        ];
        for (instruction, expected) in cases {
            assert_eq!(bytes(instruction), expected, "{instruction}");
        }
    }

    #[test]
    fn a_jump_skips_the_slots_between_it_and_its_label() {
        let mut assembler = Assembler::default();
        let jump_if =
            |label| Instruction::JumpIf(Width::Bits32, Condition::Different, R1, Operand::Value(-1), label);
        assembler
            .push(jump_if(END))
            .push(Instruction::Constant(R2, 1))
            .push(jump_if(Label("middle", 0)))
            .push(Instruction::Jump(END))
            .label(Label("middle", 0))
            .push(Instruction::Call(Helper::BootTime))
            .label(END)
            .push(Instruction::Exit);
        let slots = assembler.assemble().unwrap().encode(|_| 0);
        let jumps = [slots[0], slots[3], slots[4]].map(|slot| (slot.code, slot.offset, slot.value));
        assert_eq!(jumps, [(0x56, 5, -1), (0x56, 1, -1), (0x05, 1, 0)]);
        assert_eq!(slots.len(), 7);
    }

    #[test]
    fn refuses_what_is_no_program() {
        let jump = Instruction::Jump(END);
        assert_eq!(assembled(&[]), Err(AssembleError::Empty));
        assert_eq!(assembled(&[Instruction::Call(Helper::BootTime)]), Err(AssembleError::NoEnd));
        assert_eq!(assembled(&[jump]), Err(AssembleError::LabelMissing(END)));
        let clock = Instruction::Call(Helper::BootTime);
        let of_length = |length: usize| {
            let mut instructions = vec![clock; length - 1];
            instructions.push(Instruction::Exit);
            assembled(&instructions).map(|_| ())
        };
        assert_eq!(of_length(MAX_SLOTS + 1), Err(AssembleError::TooLong(MAX_SLOTS + 1)));
        assert_eq!(of_length(MAX_SLOTS), Ok(()));
        assert_eq!(assembled(&[Instruction::Exit; 2]), Err(AssembleError::Unreachable(1)));

        let with_labels = |places: &[usize]| {
            let mut assembler = Assembler::default();
            for (position, instruction) in [clock, jump, Instruction::Exit].into_iter().enumerate() {
                for _ in places.iter().filter(|place| **place == position) {
                    assembler.label(END);
                }
                assembler.push(instruction);
            }
            for _ in places.iter().filter(|place| **place == 3) {
                assembler.label(END);
            }
            assembler.assemble().map(|_| ())
        };
        assert_eq!(with_labels(&[2]), Ok(()));
        assert_eq!(with_labels(&[2, 2]), Err(AssembleError::LabelTwice(END)));
        assert_eq!(with_labels(&[0]), Err(AssembleError::JumpBack(END)));
        assert_eq!(with_labels(&[1]), Err(AssembleError::JumpBack(END)));
        assert_eq!(with_labels(&[3]), Err(AssembleError::LabelMissing(END)), "behind the last instruction");
    }
}
