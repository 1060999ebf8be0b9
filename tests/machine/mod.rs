//! A machine for eBPF: as much of it as the responder's program uses, read from the bytes that the kernel gets.
//!
//! It is stricter than a processor, as the verifier is: it stops at a register or a byte of the stack that nothing was
//! written to, at an access that is not aligned or leaves its room, and at an instruction that it does not know. And at
//! what only verifiers before Linux 6.8 refuse, from those without CAP_PERFMON: to write beside what was written at a
//! multiple of eight, which may be a spilled register.
//!
//! Every test crate takes of it what it needs.

#![allow(dead_code)]

pub mod judge;
mod maps;
pub mod vectors;

use std::collections::BTreeMap;

use lone64::wire::program::{Map, Program, Rows, Verdict};

/// The maps, the clock and the interface.
#[derive(Debug, Default)]
pub struct Machine {
    /// The values of all maps.
    values: Vec<Vec<u8>>,
    /// By row. Made when it is first looked at.
    targets: BTreeMap<u32, usize>,
    ranges: BTreeMap<[u8; 20], usize>,
    /// By hash. Made when it is first looked at.
    recent: BTreeMap<u32, usize>,
    verdicts: Vec<usize>,
    /// Nanoseconds since the host started.
    pub now: u64,
    /// Whether the kernel has room for what is written.
    pub is_full: bool,
    /// The frame lies there in several pieces: what is read where it lies is not all of it.
    pub is_in_pieces: bool,
}

/// Where each target is: few rows, so that some are not in the first one.
pub fn rows() -> Rows {
    Rows::new(128, [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93])
}

/// The interface on which frames arrive.
pub const IFINDEX: u32 = 7;

/// What there is while a program runs.
struct Run<'a> {
    machine: &'a mut Machine,
    frame: &'a mut Vec<u8>,
    context: Vec<u8>,
    stack: Vec<Option<u8>>,
    /// By eight bytes of the stack: whether there may be a spilled register.
    spilled: [bool; 64],
    registers: [Option<u64>; 11],
    redirected: Option<u32>,
}

impl Machine {
    pub fn new(now: u64) -> Self {
        let mut machine = Self { now, ..Self::default() };
        machine.verdicts = Verdict::ALL.iter().map(|_| machine.add(vec![0; 8])).collect();
        machine
    }

    pub fn count(&self, verdict: Verdict) -> u64 {
        self.counts()[verdict as usize]
    }

    /// How often what was counted, in the order of the verdicts.
    pub fn counts(&self) -> [u64; Verdict::ALL.len()] {
        Verdict::ALL.map(|verdict| {
            let value = &self.values[self.verdicts[verdict as usize]];
            u64::from_ne_bytes(value[..].try_into().unwrap())
        })
    }

    /// Runs the program on a frame, which it may change. What it returns; redirected it is only to where it came from.
    pub fn run(&mut self, program: &[[u8; 8]], frame: &mut Vec<u8>, is_tagged: bool) -> i32 {
        let mut context = vec![0; 192];
        let ethertype = frame.get(12..14).map_or(0, |bytes| u16::from_ne_bytes(bytes.try_into().unwrap()));
        let fields = [
            (0, u32::try_from(frame.len()).unwrap()),
            (16, u32::from(ethertype)),
            (20, u32::from(is_tagged)),
            (40, IFINDEX),
        ];
        for (at, value) in fields {
            context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        let mut registers = [None; 11];
        registers[1] = Some(CONTEXT);
        registers[10] = Some(STACK + 512);
        let stack = vec![None; 512];
        let spilled = [false; 64];
        let mut run = Run { machine: self, frame, context, stack, spilled, registers, redirected: None };
        let verdict = run.go(program);
        let redirected = run.redirected;
        assert_eq!(verdict == 7, redirected == Some(IFINDEX), "{verdict} {redirected:?}");
        verdict
    }

    fn add(&mut self, value: Vec<u8>) -> usize {
        add(&mut self.values, value)
    }
}

impl Run<'_> {
    fn go(&mut self, program: &[[u8; 8]]) -> i32 {
        let mut at = 0;
        loop {
            let [code, registers, o0, o1, v @ ..] = program[at];
            let (low, high) = (usize::from(registers & 15), usize::from(registers >> 4));
            let (to, from) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
            let offset = i16::from_ne_bytes([o0, o1]);
            let number = i32::from_ne_bytes(v);
            at += 1;
            let size = [4, 2, 1, 8][usize::from(code >> 3 & 3)];
            let place = |base: u64| base.wrapping_add_signed(i64::from(offset));
            match code {
                0x18 => {
                    let [0, 0, 0, 0, high @ ..] = program[at] else { panic!("no second half") };
                    at += 1;
                    let high = u64::from(u32::from_ne_bytes(high));
                    let low = u64::from(u32::from_ne_bytes(v));
                    self.registers[to] = Some(if from == 1 { MAPS + low } else { high << 32 | low });
                }
                // The addresses of the frame, which the verifier makes of two words.
                0x61 if place(self.register(from)) == CONTEXT + 76 => self.registers[to] = Some(PACKET),
                0x61 if place(self.register(from)) == CONTEXT + 80 => {
                    let here = if self.machine.is_in_pieces { 14 } else { self.frame.len() as u64 };
                    self.registers[to] = Some(PACKET + here);
                }
                0x61 | 0x69 | 0x71 | 0x79 => {
                    let bytes = self.read(place(self.register(from)), size);
                    self.registers[to] = Some(native(&bytes));
                }
                0x62 | 0x6a | 0x72 | 0x7a => {
                    self.write(place(self.register(to)), i64::from(number) as u64, size);
                }
                0x63 | 0x6b | 0x73 | 0x7b => self.write(place(self.register(to)), self.register(from), size),
                0xc3 => {
                    assert_eq!(number, 0, "adds");
                    let at = place(self.register(to));
                    let sum = native(&self.read(at, 4)).wrapping_add(self.register(from));
                    self.write(at, sum, 4);
                }
                0x85 => self.call(number),
                0x95 => return self.register(0) as u32 as i32,
                0x05 => at = at.checked_add_signed(offset.into()).unwrap(),
                _ => {
                    let is_register = code & 8 != 0;
                    let right = match is_register {
                        true => self.register(from),
                        false => i64::from(number) as u64,
                    };
                    match code & 7 {
                        class @ (4 | 7) => {
                            let left = if code & 0xf0 == 0xb0 { 0 } else { self.register(to) };
                            assert_ne!(to, 10, "the end of the stack cannot be written");
                            self.registers[to] = Some(compute(code & 0xf0, left, right, class == 4));
                        }
                        class @ (5 | 6) => {
                            if holds(code & 0xf0, self.register(to), right, class == 6) {
                                at = at.checked_add_signed(offset.into()).unwrap();
                            }
                        }
                        _ => panic!("instruction {} has the unknown code {code:#x}", at - 1),
                    }
                }
            }
        }
    }

    fn register(&self, number: usize) -> u64 {
        self.registers[number].unwrap_or_else(|| panic!("nothing was written to r{number}"))
    }

    fn read(&self, address: u64, size: usize) -> Vec<u8> {
        let (region, at) = region(address, size);
        match region {
            CONTEXT => self.context[at..at + size].to_vec(),
            STACK => {
                let bytes = &self.stack[at..at + size];
                bytes.iter().map(|byte| byte.expect("this part of the stack was written to")).collect()
            }
            VALUES => {
                let (value, at) = (at / 64, at % 64);
                self.machine.values[value][at..at + size].to_vec()
            }
            // So much of a frame lies before a multiple of eight that its IPv6 header begins at one.
            _ if region == PACKET - 2 => {
                assert!(!self.machine.is_in_pieces, "more is read than lies there");
                self.frame[at - 2..at - 2 + size].to_vec()
            }
            _ => panic!("nothing is at {address:#x}"),
        }
    }

    fn write(&mut self, address: u64, value: u64, size: usize) {
        let bytes = value.to_ne_bytes();
        let bytes = if cfg!(target_endian = "little") { &bytes[..size] } else { &bytes[8 - size..] };
        let (region, at) = region(address, size);
        match region {
            STACK => {
                assert!(size == 8 || !self.spilled[at / 8], "{at} is beside what may be a spilled register");
                self.spilled[at / 8] = at % 8 == 0 && value != 0;
                self.stack[at..at + size].iter_mut().zip(bytes).for_each(|(to, from)| *to = Some(*from));
            }
            VALUES => {
                let (value, at) = (at / 64, at % 64);
                self.machine.values[value][at..at + size].copy_from_slice(bytes);
            }
            _ => panic!("{address:#x} cannot be written"),
        }
    }

    /// As many bytes on the stack, however they are aligned.
    fn stack(&self, address: u64, size: usize) -> Vec<u8> {
        (0..size).flat_map(|offset| self.read(address + offset as u64, 1)).collect()
    }

    fn call(&mut self, helper: i32) {
        let arguments: Vec<Option<u64>> = self.registers[1..6].to_vec();
        let argument = |number: usize| arguments[number - 1].expect("the argument was written");
        let is_context = |number: usize| assert_eq!(argument(number), CONTEXT);
        let returned = match helper {
            1 => {
                let sizes = Map::ALL.map(Map::key_size);
                let key = self.stack(argument(2), sizes[usize::try_from(argument(1) - MAPS).unwrap()]);
                let found = self.machine.look_up(argument(1), &key);
                found.map_or(0, |value| VALUES + value as u64 * 64)
            }
            9 => {
                is_context(1);
                let (offset, length) = (argument(2) as usize, argument(4) as usize);
                assert!(argument(5) <= 1, "flags");
                let bytes = self.stack(argument(3), length);
                match self.frame.get_mut(offset..offset + length).filter(|_| !self.machine.is_full) {
                    Some(room) => {
                        room.copy_from_slice(&bytes);
                        0
                    }
                    None => EFAULT,
                }
            }
            23 => {
                assert_eq!(argument(2), 0, "flags");
                self.redirected = Some(argument(1) as u32);
                7
            }
            26 => {
                is_context(1);
                let (offset, length) = (argument(2) as usize, argument(4) as usize);
                let (_, at) = region(argument(3), 1);
                // What cannot be read is zero.
                let bytes = self.frame.get(offset..offset + length).map(<[u8]>::to_vec);
                let is_read = bytes.is_some();
                let bytes = bytes.unwrap_or_else(|| vec![0; length]);
                self.stack[at..at + length].iter_mut().zip(bytes).for_each(|(to, from)| *to = Some(from));
                if is_read { 0 } else { EFAULT }
            }
            28 => {
                assert_eq!([argument(1), argument(2)], [0, 0], "nothing is taken away");
                let bytes = self.stack(argument(3), argument(4) as usize);
                let words =
                    bytes.chunks_exact(4).map(|word| u64::from(u32::from_ne_bytes(word.try_into().unwrap())));
                // Not folded to 16 bits, as older kernels have it.
                let sum = words.sum::<u64>() + (argument(5) & u64::from(u32::MAX));
                let sum = (sum >> 32) + (sum & u64::from(u32::MAX));
                (sum >> 32) + (sum & u64::from(u32::MAX))
            }
            38 => {
                is_context(1);
                assert_eq!(argument(3), 0, "flags");
                self.frame.resize(argument(2) as usize, 0);
                0
            }
            125 => self.machine.now,
            other => panic!("calls the unknown function {other}"),
        };
        self.registers[1..6].fill(None);
        self.registers[0] = Some(returned);
    }
}

fn add(values: &mut Vec<Vec<u8>>, value: Vec<u8>) -> usize {
    values.push(value);
    values.len() - 1
}

fn compute(operation: u8, left: u64, right: u64, is_half: bool) -> u64 {
    let low = |value: u64| value & u64::from(u32::MAX);
    let (left, right) = if is_half { (low(left), low(right)) } else { (left, right) };
    let result = match operation {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x40 => left | right,
        0x50 => left & right,
        0x70 => left >> right,
        0xa0 => left ^ right,
        0xb0 => right,
        other => panic!("unknown operation {other:#x}"),
    };
    if is_half { low(result) } else { result }
}

fn holds(condition: u8, left: u64, right: u64, is_half: bool) -> bool {
    let cut = |value: u64| if is_half { value & u64::from(u32::MAX) } else { value };
    let (left, right) = (cut(left), cut(right));
    match condition {
        0x10 => left == right,
        0x30 => left >= right,
        0x40 => left & right != 0,
        0x50 => left != right,
        other => panic!("unknown condition {other:#x}"),
    }
}

/// Which room an address is in, and how far behind its beginning.
fn region(address: u64, size: usize) -> (u64, usize) {
    assert!(address.is_multiple_of(size as u64), "{address:#x} is read by {size} bytes");
    (address & 0xf << 60, usize::try_from(address & !(0xf << 60)).unwrap())
}

/// Bytes in the order of this machine.
fn native(bytes: &[u8]) -> u64 {
    let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    if cfg!(target_endian = "little") { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
}

/// What the kernel gets of a program, with the number of a map for its descriptor.
pub fn bytes(program: &Program) -> Vec<[u8; 8]> {
    let number = |map| i32::try_from(Map::ALL.iter().position(|other| *other == map).unwrap()).unwrap();
    program.encode(number).into_iter().map(|slot| slot.bytes()).collect()
}

const CONTEXT: u64 = 1 << 60;
const STACK: u64 = 2 << 60;
const VALUES: u64 = 3 << 60;
const MAPS: u64 = 4 << 60;
const PACKET: u64 = (5 << 60) + 2;
const EFAULT: u64 = -14_i64 as u64;
