//! What came of a transfer, by one who read it, and what that says beside what was sent. Pure.

use sha2::{Digest as _, Sha256};

use crate::soak::dice::{Digest, Payload};

/// Counts and hashes what is read.
#[derive(Debug, Default)]
pub struct Meter {
    hash: Sha256,
    length: u64,
}

/// How much came, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes.
    pub length: u64,
    /// Of all of them.
    pub digest: Digest,
}

/// What a receipt says about a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All came, as it was sent.
    Whole,
    /// It is as it was sent, but something lacks at its end.
    Cut,
    /// It is not what was sent.
    Corrupt,
}

impl Meter {
    /// These came.
    pub fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// How many came.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// No more come.
    pub fn receipt(self) -> Receipt {
        Receipt {
            length: self.length,
            digest: self.hash.finalize().into(),
        }
    }
}

impl Receipt {
    /// Compares with `length` bytes of a seed.
    pub fn judge(&self, seed: u64, length: u64) -> Verdict {
        if self.length > length || Payload::new(seed, self.length).digest() != self.digest {
            Verdict::Corrupt
        } else if self.length < length {
            Verdict::Cut
        } else {
            Verdict::Whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, Payload, Receipt, Verdict};

    fn sent(seed: u64, length: u64, change: impl Fn(usize, &mut Vec<u8>)) -> Receipt {
        let (mut payload, mut meter, mut block) = (Payload::new(seed, length), Meter::default(), 0);
        while let Some(bytes) = payload.next_block() {
            let mut bytes = bytes.to_vec();
            change(block, &mut bytes);
            meter.take(&bytes);
            block += 1;
        }
        meter.receipt()
    }

    #[test]
    fn whole_is_every_byte_in_its_order() {
        let verdict = |change: fn(usize, &mut Vec<u8>)| sent(9, 40_000, change).judge(9, 40_000);
        assert_eq!(verdict(|_, _| {}), Verdict::Whole);
        assert_eq!(
            verdict(|block, bytes| bytes.truncate(if block == 2 { 1 } else { usize::MAX })),
            Verdict::Cut
        );
        let lost_in_the_middle = |block, bytes: &mut Vec<u8>| {
            if block == 1 {
                bytes.clear();
            }
        };
        assert_eq!(verdict(lost_in_the_middle), Verdict::Corrupt);
        assert_eq!(verdict(|_, bytes| bytes.swap(0, 1)), Verdict::Corrupt);
        assert_eq!(verdict(|_, bytes| bytes.push(0)), Verdict::Corrupt);
    }

    #[test]
    fn nothing_is_whole_when_nothing_was_sent_and_else_cut() {
        let nothing = Meter::default().receipt();
        assert_eq!(nothing.judge(1, 0), Verdict::Whole);
        assert_eq!(nothing.judge(1, 1), Verdict::Cut);
    }
}
