//! eBPF instructions as values: the part of the set that the responder uses, as linux/bpf.h numbers it.
//!
//! The program is for Linux 5.8 and later. Until then a program of this kind needed every privilege, so nothing
//! older is looked out for: comparisons of 32 bits (5.1) and the clock that runs on during sleep (5.8) are there.

use super::Map;

/// A register. The verifier and the calls give most of them a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Register {
    /// What a call returns, and what the program returns.
    R0 = 0,
    /// The first argument of a call, which does not survive it; at the start: the context.
    R1,
    /// The second argument of a call, which does not survive it.
    R2,
    /// The third argument of a call, which does not survive it.
    R3,
    /// The fourth argument of a call, which does not survive it.
    R4,
    /// The fifth argument of a call, which does not survive it.
    R5,
    /// Survives calls.
    R6,
    /// Survives calls.
    R7,
    /// Survives calls.
    R8,
    /// Survives calls.
    R9,
    /// The end of the stack, which grows downwards from it. Cannot be written.
    Frame,
}

/// How many bytes are read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// One.
    Byte,
    /// Two.
    Half,
    /// Four.
    Word,
    /// Eight.
    Double,
}

/// How many bits of the registers an operation looks at. One of 32 bits sets the upper half to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// The lower half.
    Bits32,
    /// All.
    Bits64,
}

/// The second operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// What is in the register.
    Register(Register),
    /// This number; where 64 bits are looked at, with its sign extended.
    Value(i32),
}

/// What is done with a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The sum.
    Add,
    /// What is left without the operand.
    Subtract,
    /// The product.
    Multiply,
    /// The bits that are in either.
    Or,
    /// The bits that are in both.
    And,
    /// Without as many of its lowest bits, filled up with zeros.
    ShiftRight,
    /// The bits that are in one alone.
    Xor,
    /// The operand itself.
    Move,
}

/// When a jump is taken. Numbers have no sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Both are equal.
    Equal,
    /// They differ.
    Different,
    /// The first is the greater one, or they are equal.
    AtLeast,
    /// A bit is set in both.
    AnyBit,
}

/// A function of the kernel (linux/bpf.h, enum bpf_func_id). None is for programs under the GPL only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Helper {
    /// `(map, key)`: the value, or 0 if there is none.
    MapLookup = 1,
    /// `(context, offset, bytes, length, flags)`: writes into the frame. 0, or an error.
    StoreBytes = 9,
    /// `(ifindex, flags)`: the verdict that sends the frame out by that interface.
    Redirect = 23,
    /// `(context, offset, bytes, length)`: reads from the frame. 0, or an error.
    LoadBytes = 26,
    /// `(from, from length, to, to length, sum)`: the one's complement sum, not folded to 16 bits on older kernels.
    ChecksumDifference = 28,
    /// `(context, length, flags)`: makes the frame as long as that. 0, or an error.
    ChangeTail = 38,
    /// `()`: nanoseconds since the host started, those in which it slept among them.
    BootTime = 125,
}

/// A place that jumps lead to: its name, and which of several of that name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub &'static str, pub u16);

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// An operation with what is in a register, which it changes.
    Compute(Width, Operation, Register, Operand),
    /// Into a register, from memory: as many bytes, at the address in another register and so far behind it.
    Load(Size, Register, Register, i16),
    /// Into memory: as many bytes, at the address in the register and so far behind it.
    Store(Size, Register, i16, Operand),
    /// Adds the lower half of the second register to the 32 bits at the address in the first and so far behind it, also
    /// while other processors do the same.
    AddAtomically(Register, i16, Register),
    /// Into a register, all 64 bits of it. Takes the room of two.
    Constant(Register, u64),
    /// Into a register, a map. Takes the room of two.
    MapOf(Register, Map),
    /// Goes on at the label.
    Jump(Label),
    /// Goes on at the label where the condition holds between a register and an operand.
    JumpIf(Width, Condition, Register, Operand, Label),
    /// Calls a function of the kernel.
    Call(Helper),
    /// Returns what is in the first register.
    Exit,
}

/// One instruction as the kernel takes it (linux/bpf.h, `struct bpf_insn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// Class, operation and where the operand is from.
    pub code: u8,
    /// The register that is changed.
    pub to: u8,
    /// The register that is read.
    pub from: u8,
    /// How far to jump, or the distance in bytes from an address.
    pub offset: i16,
    /// The number.
    pub value: i32,
}

impl Slot {
    /// The 8 bytes of it, in the order of this machine.
    pub fn bytes(self) -> [u8; 8] {
        // Two fields of four bits, the first of which is the lower one where the lowest byte stands first.
        let registers = match cfg!(target_endian = "little") {
            true => self.from << 4 | self.to,
            false => self.to << 4 | self.from,
        };
        let [a, b] = self.offset.to_ne_bytes();
        let [c, d, e, f] = self.value.to_ne_bytes();
        [self.code, registers, a, b, c, d, e, f]
    }
}

impl Instruction {
    /// How many slots it takes.
    pub(super) fn slots(&self) -> usize {
        if matches!(self, Self::Constant(..) | Self::MapOf(..)) { 2 } else { 1 }
    }

    /// Where it may jump to.
    pub(super) fn target(&self) -> Option<Label> {
        match *self {
            Self::Jump(label) | Self::JumpIf(.., label) => Some(label),
            _ => None,
        }
    }

    /// What the kernel takes for it. A jump skips `distance` slots; maps have these descriptors.
    pub(super) fn encode(&self, distance: i16, descriptor: impl Fn(Map) -> i32) -> [Option<Slot>; 2] {
        let slot = Slot::default();
        let one = |slot| [Some(slot), None];
        match *self {
            Self::Compute(width, operation, to, operand) => {
                let (source, from, value) = operand.encode();
                let code = width.class(ALU, ALU64) | operation.code() | source;
                one(Slot { code, to: to as u8, from, value, ..slot })
            }
            Self::Load(size, to, from, offset) => {
                let code = LDX | MEM | size.code();
                one(Slot { code, to: to as u8, from: from as u8, offset, ..slot })
            }
            Self::Store(size, to, offset, operand) => {
                let (source, from, value) = operand.encode();
                let class = if source == REGISTER { STX } else { ST };
                one(Slot { code: class | MEM | size.code(), to: to as u8, from, offset, value })
            }
            Self::AddAtomically(to, offset, from) => {
                let code = STX | ATOMIC | Size::Word.code();
                let value = i32::from(Operation::Add.code());
                one(Slot { code, to: to as u8, from: from as u8, offset, value })
            }
            Self::Constant(to, value) => {
                let half = |bits: u64| (bits & u64::from(u32::MAX)) as i32;
                let code = LD | IMMEDIATE | Size::Double.code();
                let first = Slot { code, to: to as u8, value: half(value), ..slot };
                [Some(first), Some(Slot { value: half(value >> 32), ..slot })]
            }
            Self::MapOf(to, map) => {
                let code = LD | IMMEDIATE | Size::Double.code();
                let first = Slot { code, to: to as u8, from: MAP, value: descriptor(map), ..slot };
                [Some(first), Some(slot)]
            }
            Self::Jump(_) => one(Slot { code: JMP, offset: distance, ..slot }),
            Self::JumpIf(width, condition, left, right, _) => {
                let (source, from, value) = right.encode();
                let code = width.class(JMP32, JMP) | condition.code() | source;
                one(Slot { code, to: left as u8, from, offset: distance, value })
            }
            Self::Call(helper) => one(Slot { code: JMP | CALL, value: helper as i32, ..slot }),
            Self::Exit => one(Slot { code: JMP | EXIT, ..slot }),
        }
    }
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(value: i32) -> Self {
        Self::Value(value)
    }
}

impl Operand {
    /// Where it is from, the register, the number.
    fn encode(self) -> (u8, u8, i32) {
        match self {
            Self::Register(register) => (REGISTER, register as u8, 0),
            Self::Value(value) => (0, 0, value),
        }
    }
}

impl Width {
    fn class(self, half: u8, whole: u8) -> u8 {
        match self {
            Self::Bits32 => half,
            Self::Bits64 => whole,
        }
    }
}

impl Size {
    fn code(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Byte => 0x10,
            Self::Double => 0x18,
        }
    }
}

impl Operation {
    fn code(self) -> u8 {
        match self {
            Self::Add => 0x00,
            Self::Subtract => 0x10,
            Self::Multiply => 0x20,
            Self::Or => 0x40,
            Self::And => 0x50,
            Self::ShiftRight => 0x70,
            Self::Xor => 0xa0,
            Self::Move => 0xb0,
        }
    }
}

impl Condition {
    fn code(self) -> u8 {
        match self {
            Self::Equal => 0x10,
            Self::AtLeast => 0x30,
            Self::AnyBit => 0x40,
            Self::Different => 0x50,
        }
    }
}

// Classes.
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
// Modes of loads and stores.
const IMMEDIATE: u8 = 0x00;
const MEM: u8 = 0x60;
const ATOMIC: u8 = 0xc0;
/// The operand is in a register.
const REGISTER: u8 = 0x08;
// Jumps.
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// The constant is the descriptor of a map (BPF_PSEUDO_MAP_FD).
const MAP: u8 = 1;
