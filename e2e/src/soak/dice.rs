//! Numbers and bytes that follow from a seed alone, and digests of them. Pure.
//!
//! Both ends of a transfer make its bytes from the same seed, so each can say what the other should have got, whole or
//! cut off after any number of bytes, without having kept any.

use sha2::{Digest as _, Sha256};

/// Bytes made at once.
const BLOCK: usize = 16 * 1024;

/// A SHA-256.
pub type Digest = [u8; 32];

/// A sequence of numbers: `SplitMix64`, which needs no more state than its seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll().checked_rem(bound).unwrap_or(0)
    }

    /// A number of bytes up to 2^`power`, small ones as often as large ones.
    pub fn size(&mut self, power: u32) -> u64 {
        let largest = 1 << self.below(u64::from(power) + 1);
        self.below(largest + 1)
    }

    /// The same in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

/// The bytes of a transfer, a block at a time.
#[derive(Debug, Clone)]
pub struct Payload {
    dice: Dice,
    left: u64,
    block: Vec<u8>,
}

impl Payload {
    /// So many bytes of this seed.
    pub fn new(seed: u64, length: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            left: length,
            block: Vec::with_capacity(BLOCK),
        }
    }

    /// The next of them; `None` behind the last.
    pub fn next_block(&mut self) -> Option<&[u8]> {
        if self.left == 0 {
            return None;
        }
        self.block.clear();
        let length = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
        while self.block.len() < length {
            self.block
                .extend_from_slice(&self.dice.roll().to_le_bytes());
        }
        self.block.truncate(length);
        self.left -= length as u64;
        Some(&self.block)
    }

    /// The digest of all that is left.
    pub fn digest(mut self) -> Digest {
        let mut hash = Sha256::new();
        while let Some(block) = self.next_block() {
            hash.update(block);
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, Payload};

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
        let digest = |seed| Payload::new(seed, 100_001).digest();
        assert_eq!(digest(7), digest(7));
        assert_ne!(digest(7), digest(8));
    }

    #[test]
    fn a_shorter_payload_is_the_beginning_of_a_longer_one() {
        let bytes = |length| {
            let mut payload = Payload::new(3, length);
            let mut all = Vec::new();
            while let Some(block) = payload.next_block() {
                all.extend_from_slice(block);
            }
            all
        };
        let (short, long) = (bytes(20_001), bytes(50_000));
        assert_eq!((short.len(), long.len()), (20_001, 50_000));
        assert_eq!(long.get(..20_001), Some(short.as_slice()));
        assert!(bytes(0).is_empty());
    }

    #[test]
    fn numbers_stay_below_their_bound_and_sizes_are_of_every_magnitude() {
        let mut dice = Dice::new(1);
        assert!((0..1000).all(|_| dice.below(10) < 10));
        assert_eq!(dice.below(0), 0);
        let sizes: Vec<_> = (0..1000).map(|_| dice.size(20)).collect();
        assert!(sizes.iter().all(|&size| size <= 1 << 20));
        assert!(sizes.iter().any(|&size| size < 16));
        assert!(sizes.iter().any(|&size| size > 1 << 19));
    }

    #[test]
    fn nothing_is_lost_in_shuffling() {
        let mut items: Vec<_> = (0..100).collect();
        Dice::new(5).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
