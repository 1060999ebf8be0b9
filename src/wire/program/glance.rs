//! The first look at a frame, where it lies: whether it is a solicitation for one of the addresses that the program
//! answers for. What is not goes on as it came, after a few instructions and without a call. Nothing is trusted that is
//! read here: what is left is read again, and checked.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::assembler::Assembler;
use super::instruction::{Condition, Helper, Instruction, Label, Operation, Register, Size, Width};
use super::layout::{CONTEXT_END, CONTEXT_START, Field, ICMPV6, NEXT_HEADER, SHORT, TARGET, TYPE};
use super::steps::{address, doubles, load};
use crate::wire::Solicitation;
use Condition::{AtLeast, Different, Equal};
use Instruction::{Call, Compute, Constant, Jump, JumpIf, Load};
use Operation::{Add, And, Move};
use Register::{R0, R1, R2, R3, R4, R5};
use Width::{Bits32, Bits64};

/// Leaves for `pass` with what is not to be answered; goes on behind with what may be, and with the target in R0 and R1. Of
/// a frame that does not lie there in one piece the target is copied. No prefixes: of the target nothing is known.
pub(super) fn glance(a: &mut Assembler, context: Register, prefixes: &[Ipv6Net], pass: Label) {
    a.push(Load(Size::Word, R2, context, CONTEXT_START));
    a.push(Load(Size::Word, R3, context, CONTEXT_END));
    a.push(Compute(Bits64, Move, R1, R2.into()));
    // One byte less, so that the comparison that there is says that all of it is there.
    a.push(Compute(Bits64, Add, R1, (SHORT - 1).into()));
    a.push(JumpIf(Bits64, AtLeast, R1, R3.into(), SCATTERED));
    let field = |a: &mut Assembler, register, field: Field| {
        a.push(Load(field.1, register, R2, field.in_frame()));
    };
    field(a, R1, NEXT_HEADER);
    a.push(JumpIf(Bits32, Different, R1, i32::from(ICMPV6).into(), pass));
    field(a, R1, TYPE);
    a.push(JumpIf(Bits32, Different, R1, i32::from(Solicitation::TYPE).into(), pass));
    field(a, R0, TARGET);
    field(a, R1, TARGET.part(8, Size::Double));
    let few = few(prefixes);
    if few.is_empty() || few.contains(&EVERYTHING) {
        a.push(Jump(SEEN));
    } else {
        for (number, prefix) in (1..).zip(&few) {
            is_inside(a, *prefix, Label("other_prefix", number), SEEN);
        }
        a.push(Jump(pass));
    }
    a.label(SCATTERED);
    a.push(Compute(Bits64, Move, R1, context.into()));
    a.push(Compute(Bits64, Move, R2, i32::from(TARGET.in_frame()).into()));
    address(a, R3, TARGET.on_stack());
    a.push(Compute(Bits64, Move, R4, 16.into()));
    a.push(Call(Helper::LoadBytes));
    a.push(JumpIf(Bits64, Different, R0, 0.into(), pass));
    load(a, R0, TARGET);
    load(a, R1, TARGET.part(8, Size::Double));
    a.label(SEEN);
}

/// Goes on at `inside` if the address in R0 and R1 is in the prefix, or else at `other`, which follows.
fn is_inside(a: &mut Assembler, prefix: Ipv6Net, other: Label, inside: Label) {
    let (network, mask) = (doubles(prefix.network()), doubles(prefix.netmask()));
    let halves: Vec<_> = [(R0, 0), (R1, 1)].into_iter().filter(|(_, half)| mask[*half] != 0).collect();
    for (position, (register, half)) in halves.iter().enumerate() {
        let mut compared = *register;
        if mask[*half] != u64::MAX {
            a.push(Constant(R4, mask[*half]));
            a.push(Compute(Bits64, And, R4, compared.into()));
            compared = R4;
        }
        a.push(Constant(R5, network[*half]));
        match position + 1 == halves.len() {
            true => a.push(JumpIf(Bits64, Equal, compared, R5.into(), inside)),
            false => a.push(JumpIf(Bits64, Different, compared, R5.into(), other)),
        };
    }
    a.label(other);
}

/// The prefixes, or as many that hold all of them as are looked at one by one.
fn few(prefixes: &[Ipv6Net]) -> Vec<Ipv6Net> {
    let mut few = Ipv6Net::aggregate(&prefixes.to_vec());
    while few.len() > MOST {
        // Of two neighbors in their order those have the longest prefix in common that are nearest to each other.
        let nearest = (1..few.len()).max_by_key(|at| around(few[at - 1], few[*at]).prefix_len());
        let Some(at) = nearest else { break };
        few[at - 1] = around(few[at - 1], few[at]);
        few.remove(at);
    }
    few
}

/// The longest prefix that holds both.
fn around(one: Ipv6Net, other: Ipv6Net) -> Ipv6Net {
    let differing = one.network().to_bits() ^ other.network().to_bits();
    let common = u8::try_from(differing.leading_zeros()).unwrap_or(128);
    let length = common.min(one.prefix_len()).min(other.prefix_len());
    Ipv6Net::new(one.network(), length).map_or(EVERYTHING, |prefix| prefix.trunc())
}

const SCATTERED: Label = Label("scattered", 0);
const SEEN: Label = Label("seen", 0);
const EVERYTHING: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
/// So many prefixes are compared one after the other, which takes a nanosecond or two each.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv6Net> {
        texts.iter().map(|text| text.parse().expect("a prefix")).collect()
    }

    #[test]
    fn one_prefix_holds_what_two_had() {
        let [one, other] = nets(&["2001:db8:0:1::/64", "2001:db8:0:3:4::/80"])[..] else { panic!("two") };
        assert_eq!(around(one, other), nets(&["2001:db8::/62"])[0]);
        assert_eq!(around(one, one), one);
        assert_eq!(around(nets(&["::/0"])[0], one), EVERYTHING);
    }

    #[test]
    fn many_prefixes_become_as_many_as_are_looked_at_and_hold_the_same() {
        let many: Vec<Ipv6Net> = (0..40_u16)
            .map(|n| Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, n / 10, n * 3, 0, 0, 0, 0), 64))
            .collect();
        let few = few(&many);
        assert_eq!(few.len(), MOST);
        assert!(many.iter().all(|prefix| few.iter().any(|around| around.contains(prefix))), "{few:?}");
        assert!(few.iter().all(|prefix| prefix.prefix_len() > 40), "{few:?}");
        assert_eq!(super::few(&many[..1]), many[..1]);
    }
}
