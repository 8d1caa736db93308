//! What came of the server and waits for one endpoint, never more than the window of one stream.
//!
//! In: frames as they come. Out: a [`Buf`] for one large write. A peer may cut a window into frames
//! of one byte, each of which costs HTTP/2 a hundred; so small frames that have to wait are joined.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Frames below this are joined when they wait.
const SMALL: usize = 1024;
/// Joined frames fill pieces of this size.
const PIECE: usize = 16 * 1024;

/// Bytes in the order they came.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    frames: VecDeque<Bytes>,
    /// Small frames behind the others.
    joined: BytesMut,
}

impl Waiting {
    /// Puts a frame behind what waits.
    pub(super) fn push(&mut self, frame: Bytes) {
        if frame.is_empty() {
            return;
        }
        if frame.len() < SMALL && self.has_remaining() {
            self.joined.extend_from_slice(&frame);
            if self.joined.len() < PIECE {
                return;
            }
            self.frames.push_back(self.joined.split().freeze());
        } else {
            if !self.joined.is_empty() {
                self.frames.push_back(self.joined.split().freeze());
            }
            self.frames.push_back(frame);
        }
    }

    /// Throws all away; says how many bytes.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.remaining();
        *self = Self::default();
        count
    }
}

impl Buf for Waiting {
    fn remaining(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum::<usize>() + self.joined.len()
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&self.joined, |frame| frame)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let joined = Some(&self.joined[..]).filter(|joined| !joined.is_empty());
        let chunks = self.frames.iter().map(|frame| &frame[..]).chain(joined);
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(frame) = self.frames.front_mut() {
            if count < frame.len() {
                return frame.advance(count);
            }
            count -= frame.len();
            self.frames.pop_front();
        }
        self.joined.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_frames_that_wait_cost_their_bytes() {
        let mut waiting = Waiting::default();
        for _ in 0..100_000 {
            waiting.push(Bytes::from_static(b"k"));
        }
        assert_eq!(waiting.remaining(), 100_000);
        assert!(waiting.frames.len() < 10, "{}", waiting.frames.len());
        assert_eq!(waiting.clear(), 100_000);
        assert!(!waiting.has_remaining());
    }

    proptest! {
        #[test]
        fn bytes_keep_their_order(
            steps in proptest::collection::vec((0_usize..3000, 0_usize..3000), 1..60),
        ) {
            let (mut waiting, mut sent, mut taken) = (Waiting::default(), Vec::new(), Vec::new());
            for (length, want) in steps {
                let frame: Vec<u8> = (sent.len()..).map(|n| n.to_le_bytes()[0]).take(length).collect();
                sent.extend_from_slice(&frame);
                waiting.push(frame.into());
                let mut slices = [IoSlice::new(&[]); 8];
                let count = waiting.chunks_vectored(&mut slices);
                let seen: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                let want = want.min(seen.len());
                prop_assert!(seen.starts_with(waiting.chunk()));
                taken.extend_from_slice(&seen[..want]);
                waiting.advance(want);
                prop_assert_eq!(waiting.remaining(), sent.len() - taken.len());
            }
            prop_assert!(sent.starts_with(&taken));
            let rest = waiting.copy_to_bytes(waiting.remaining());
            prop_assert!(sent.ends_with(&rest));
        }
    }
}
