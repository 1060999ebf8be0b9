//! The groups that are wanted on one link, by the last 24 bits of the addresses: for how many addresses each is wanted,
//! and whether it is joined.
//!
//! There may be as many groups as targets, and guests are often numbered one after the other. So groups are kept
//! sixteen to a block, a bit each: 65,536 groups in a row take 50 KB. Groups far apart take a block each, eight bytes.

use std::collections::BTreeMap;

/// The groups of one link.
#[derive(Debug, Default)]
pub struct Counted {
    blocks: BTreeMap<u32, Block>,
    /// For how many addresses beyond the first a group is wanted. Most are wanted for one.
    more: BTreeMap<u32, u32>,
    len: usize,
    /// How many of them are joined. For the others there is no room.
    joined: usize,
    /// None below this one waits.
    waiting_from: u32,
}

/// Sixteen groups in a row: a bit for each that is wanted, and a bit for each that is joined.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    wanted: u16,
    joined: u16,
}

impl Counted {
    /// None is wanted.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many are joined.
    pub fn joined(&self) -> usize {
        self.joined
    }

    /// How many are wanted, and are not joined.
    pub fn waiting(&self) -> usize {
        self.len - self.joined
    }

    /// Whether this one is joined.
    pub fn is_joined(&self, suffix: u32) -> bool {
        self.blocks.get(&block_of(suffix)).is_some_and(|block| block.joined & bit_of(suffix) != 0)
    }

    /// Those that are joined, from this one on, in their order.
    pub fn joined_from(&self, from: u32) -> impl DoubleEndedIterator<Item = u32> {
        let blocks = self.blocks.range(block_of(from)..);
        blocks.flat_map(|(at, block)| suffixes(*at, block.joined)).filter(move |suffix| *suffix >= from)
    }

    /// It is wanted for one more address. Whether it was not wanted before.
    pub fn add(&mut self, suffix: u32) -> bool {
        let block = self.blocks.entry(block_of(suffix)).or_default();
        if block.wanted & bit_of(suffix) != 0 {
            *self.more.entry(suffix).or_default() += 1;
            return false;
        }
        block.wanted |= bit_of(suffix);
        self.len += 1;
        self.waiting_from = self.waiting_from.min(suffix);
        true
    }

    /// It is wanted for one address less. If that was the last one: whether it was joined.
    pub fn remove(&mut self, suffix: u32) -> Option<bool> {
        if let Some(more) = self.more.get_mut(&suffix) {
            *more -= 1;
            if *more == 0 {
                self.more.remove(&suffix);
            }
            return None;
        }
        let bit = bit_of(suffix);
        let block = self.blocks.get_mut(&block_of(suffix)).filter(|block| block.wanted & bit != 0)?;
        let was_joined = block.joined & bit != 0;
        *block = Block { wanted: block.wanted & !bit, joined: block.joined & !bit };
        if block.wanted == 0 {
            self.blocks.remove(&block_of(suffix));
        }
        self.len -= 1;
        self.joined -= usize::from(was_joined);
        Some(was_joined)
    }

    /// One that is wanted is joined.
    pub fn join(&mut self, suffix: u32) {
        let Some(block) = self.blocks.get_mut(&block_of(suffix)) else { return };
        let joins = block.wanted & !block.joined & bit_of(suffix);
        block.joined |= joins;
        self.joined += usize::from(joins != 0);
    }

    /// The first of those that wait is joined.
    pub fn join_next(&mut self) -> Option<u32> {
        if self.waiting() == 0 {
            return None;
        }
        let from = self.waiting_from;
        let blocks = self.blocks.range(block_of(from)..);
        let mut waiting = blocks.flat_map(|(at, block)| suffixes(*at, block.wanted & !block.joined));
        let next = waiting.find(|suffix| *suffix >= from)?;
        self.join(next);
        self.waiting_from = next + 1;
        Some(next)
    }

    /// The last one that is joined waits again.
    pub fn leave_last(&mut self) -> Option<u32> {
        let last = self.joined_from(0).next_back()?;
        self.blocks.entry(block_of(last)).and_modify(|block| block.joined &= !bit_of(last));
        self.joined -= 1;
        self.waiting_from = self.waiting_from.min(last);
        Some(last)
    }
}

/// The groups of a block whose bits are set.
fn suffixes(block: u32, bits: u16) -> impl DoubleEndedIterator<Item = u32> {
    (0..BLOCK).map(move |at| block * BLOCK + at).filter(move |suffix| bits & bit_of(*suffix) != 0)
}

fn block_of(suffix: u32) -> u32 {
    suffix / BLOCK
}

fn bit_of(suffix: u32) -> u16 {
    1 << (suffix % BLOCK)
}

/// Groups to a block.
const BLOCK: u32 = u16::BITS;

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, plainly: how often each is wanted, and which are joined.
    #[derive(Default)]
    struct Plain(BTreeMap<u32, (u32, bool)>);

    impl Plain {
        fn joined(&self) -> Vec<u32> {
            self.0.iter().filter(|(_, (_, is_joined))| *is_joined).map(|(suffix, _)| *suffix).collect()
        }
    }

    #[test]
    fn counts_as_a_plain_map_does() {
        let (mut counted, mut plain) = (Counted::default(), Plain::default());
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((state >> 33) % below).expect("a small number")
        };
        for _ in 0..20_000 {
            // Neighbors in a block and in the next one, and one far away.
            let suffix = [draw(40), 0xff_ffff - draw(3)][usize::from(draw(5) == 0)];
            match draw(6) {
                0 | 1 => {
                    let (count, _) = plain.0.entry(suffix).or_default();
                    *count += 1;
                    assert_eq!(counted.add(suffix), *count == 1);
                }
                2 | 3 => {
                    let last = plain.0.get_mut(&suffix).and_then(|(count, is_joined)| {
                        *count -= 1;
                        (*count == 0).then_some(*is_joined)
                    });
                    last.map(|_| plain.0.remove(&suffix));
                    assert_eq!(counted.remove(suffix), last);
                }
                4 => {
                    let next = plain.0.iter_mut().find(|(_, (_, is_joined))| !is_joined);
                    let next = next.map(|(suffix, (_, is_joined))| {
                        *is_joined = true;
                        *suffix
                    });
                    assert_eq!(counted.join_next(), next);
                }
                _ => {
                    let last = plain.joined().last().copied();
                    last.and_then(|last| plain.0.get_mut(&last)).into_iter().for_each(|last| last.1 = false);
                    assert_eq!(counted.leave_last(), last);
                }
            }
            let joined = plain.joined();
            assert!(counted.joined_from(0).eq(joined.iter().copied()));
            assert!(counted.joined_from(20).eq(joined.iter().copied().filter(|suffix| *suffix >= 20)));
            assert_eq!(
                (counted.joined(), counted.waiting(), counted.is_empty(), counted.is_joined(suffix)),
                (joined.len(), plain.0.len() - joined.len(), plain.0.is_empty(), joined.contains(&suffix))
            );
        }
        assert!(counted.blocks.len() < 6 && counted.more.len() <= plain.0.len());
    }
}
