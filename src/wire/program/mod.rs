//! The responder as a program of the kernel: eBPF, written when it is known what it has to answer.
//!
//! It runs at the ingress of an upstream, before any socket, and answers the plain case there: a valid solicitation of
//! the usual form, for a target that the [`Map`]s name. Everything else it passes on as it came, and the packet path
//! decides: what is not valid, Duplicate Address Detection (`::`), other options than one source link-layer address,
//! tags of VLANs, targets that it does not know, sources of an answer that are still to be chosen. It throws nothing
//! away. So whatever it answers, the packet path would have answered alike, byte for byte, and the tests hold it to that.
//!
//! No compiler is needed and no object file: [`Responder::program`] is a list of values, [`Assembler`] resolves its jumps,
//! `kernel::bpf` loads it. The offsets of all that it touches are in the table of `layout`.

mod askers;
mod assembler;
mod glance;
mod instruction;
mod layout;
mod listing;
mod lookup;
mod maps;
mod responder;
mod rows;
mod steps;

pub use askers::{Exception, Treatment};
pub use assembler::{AssembleError, Assembler, MAX_SLOTS, Program};
pub use instruction::{
    Condition, Helper, Instruction, Label, Operand, Operation, Register, Size, Slot, Width,
};
pub use maps::{Map, RECENT, Recent, Verdict, daemon_key, range_key};
pub use responder::{PASS_ON, REDIRECTED, Responder, Sources};
pub use rows::{Room, Row, Rows};
