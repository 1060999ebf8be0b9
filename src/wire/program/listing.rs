//! Instructions as text, much as `bpftool prog dump xlated` writes them, with labels in the place of distances.

use std::fmt;

use super::instruction::{Condition, Helper, Instruction, Label, Operand, Operation, Register, Size, Width};

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Compute(width, operation, to, operand) => {
                let sign = match operation {
                    Operation::Add => "+=",
                    Operation::Subtract => "-=",
                    Operation::Multiply => "*=",
                    Operation::Or => "|=",
                    Operation::And => "&=",
                    Operation::ShiftRight => ">>=",
                    Operation::Xor => "^=",
                    Operation::Move => "=",
                };
                write!(f, "{} {sign} {}", Named(width, to), Second(width, operand))
            }
            Self::Load(size, to, from, offset) => {
                write!(f, "{} = {}", Named(Width::Bits64, to), Place(size, from, offset))
            }
            Self::Store(size, to, offset, operand) => {
                write!(f, "{} = {}", Place(size, to, offset), Second(Width::Bits64, operand))
            }
            Self::AddAtomically(to, offset, from) => {
                let place = Place(Size::Word, to, offset);
                write!(f, "lock {place} += {}", Named(Width::Bits32, from))
            }
            Self::Constant(to, value) => write!(f, "{} = {value:#018x} ll", Named(Width::Bits64, to)),
            Self::MapOf(to, map) => write!(f, "{} = map {}", Named(Width::Bits64, to), map.as_str()),
            Self::Jump(label) => write!(f, "goto {label}"),
            Self::JumpIf(width, condition, left, right, label) => {
                let sign = match condition {
                    Condition::Equal => "==",
                    Condition::Different => "!=",
                    Condition::AtLeast => ">=",
                    Condition::AnyBit => "&",
                };
                write!(f, "if {} {sign} {} goto {label}", Named(width, left), Second(width, right))
            }
            Self::Call(helper) => {
                let name = match helper {
                    Helper::MapLookup => "map_lookup_elem",
                    Helper::StoreBytes => "skb_store_bytes",
                    Helper::Redirect => "redirect",
                    Helper::LoadBytes => "skb_load_bytes",
                    Helper::ChecksumDifference => "csum_diff",
                    Helper::ChangeTail => "skb_change_tail",
                    Helper::BootTime => "ktime_get_boot_ns",
                };
                write!(f, "call {name}#{}", helper as i32)
            }
            Self::Exit => f.write_str("exit"),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => f.write_str(self.0),
            number => write!(f, "{}_{number}", self.0),
        }
    }
}

/// A register: `w1` where its lower half is meant.
struct Named(Width, Register);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.0 == Width::Bits32 { 'w' } else { 'r' };
        write!(f, "{letter}{}", self.1 as u8)
    }
}

struct Second(Width, Operand);

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Register(register) => Named(self.0, register).fmt(f),
            Operand::Value(value) if self.0 == Width::Bits32 && value > 255 => write!(f, "{value:#x}"),
            Operand::Value(value) => write!(f, "{value}"),
        }
    }
}

struct Place(Size, Register, i16);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match self.0 {
            Size::Byte => 8,
            Size::Half => 16,
            Size::Word => 32,
            Size::Double => 64,
        };
        let sign = if self.2 < 0 { '-' } else { '+' };
        write!(f, "*(u{bits} *)(r{} {sign} {})", self.1 as u8, self.2.unsigned_abs())
    }
}
