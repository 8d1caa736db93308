//! Finds header blocks in a stream of HTTP/2 frames, whatever the pieces it comes in.
//!
//! In: bytes as they were read. Out: how many of them may stay where they are, and the rest with
//! legal header blocks. It judges nothing else: what is wrong in other frames is for h2 to say.

use bytes::{Buf, BufMut, BytesMut};

use super::block::{BlockError, LIMIT, Rewriter};

/// The client's first 24 bytes (RFC 9113 3.4).
const PREFACE: usize = 24;
const HEAD: usize = 9;
/// The frame size that every endpoint accepts.
const FRAME: usize = 16 * 1024;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x01;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// Frames without `END_HEADERS` that one block may have; more is an attack on our time.
const MAX_FRAGMENTS: usize = 64;

/// Why the connection cannot go on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScanError {
    /// A header block that is too large or no HPACK.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A header block must not be interrupted (RFC 9113 6.10).
    #[error("frame of type {0} inside a header block")]
    Interrupted(u8),
    /// Padding or priority fields longer than the frame.
    #[error("HEADERS frame shorter than its own padding")]
    Padding,
    /// More frames than any client needs.
    #[error("header block of more than {MAX_FRAGMENTS} frames")]
    Fragments,
}

/// Where in the stream of frames we are; see [`super::LegalAuthority`].
#[derive(Debug)]
pub struct Scanner {
    state: State,
    rewriter: Rewriter,
    /// The block that waits for its end.
    block: Option<Block>,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the preface or of a payload are none of our business.
    Passing(usize),
    /// Some bytes of the next frame head.
    Head(BytesMut),
    /// A frame that carries a part of a header block, until it is whole.
    Fragment { head: Head, payload: BytesMut },
}

#[derive(Debug)]
struct Block {
    stream: u32,
    end_stream: u8,
    fragments: usize,
    bytes: BytesMut,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Passing(PREFACE),
            rewriter: Rewriter::default(),
            block: None,
        }
    }
}

impl Scanner {
    /// How many leading bytes are whole frames, or parts of payloads, that need no change.
    pub fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Passing(0) => match Head::parse(rest) {
                    Some(head) if self.block.is_none() && !head.is_fragment() => {
                        self.state = State::Passing(head.length);
                        passed += HEAD;
                    }
                    _ => break,
                },
                State::Passing(left) => {
                    let n = rest.len().min(*left);
                    *left -= n;
                    passed += n;
                }
                State::Head(_) | State::Fragment { .. } => break,
            }
        }
        passed
    }

    /// Takes all of `bytes` and appends to `out` what h2 shall read in their place.
    ///
    /// # Errors
    /// The connection cannot go on; nothing must be read from it any more.
    pub fn divert(&mut self, mut bytes: &[u8], out: &mut BytesMut) -> Result<(), ScanError> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Passing(0) => self.state = State::Head(BytesMut::with_capacity(HEAD)),
                State::Passing(left) => take(&mut bytes, left, out),
                State::Head(have) => {
                    let mut missing = HEAD - have.len();
                    take(&mut bytes, &mut missing, have);
                    if let Some(head) = Head::parse(have) {
                        self.begin(head, out)?;
                    }
                }
                State::Fragment { head, payload } => {
                    let mut missing = head.length - payload.len();
                    take(&mut bytes, &mut missing, payload);
                }
            }
            self.complete(out)?;
        }
        Ok(())
    }

    /// A whole frame head was read.
    fn begin(&mut self, head: Head, out: &mut BytesMut) -> Result<(), ScanError> {
        let continues = head.kind == CONTINUATION
            && self
                .block
                .as_ref()
                .is_some_and(|block| block.stream == head.stream);
        if self.block.is_some() && !continues {
            return Err(ScanError::Interrupted(head.kind));
        }
        if head.kind == HEADERS || continues {
            // Padding and priority are at most 262 bytes.
            if head.length > LIMIT + 262 {
                return Err(BlockError::TooLarge.into());
            }
            self.state = State::Fragment {
                head,
                payload: BytesMut::with_capacity(head.length),
            };
        } else {
            head.put(out);
            self.state = State::Passing(head.length);
        }
        Ok(())
    }

    /// Ends a fragment that is whole, and its block with it if it says so.
    fn complete(&mut self, out: &mut BytesMut) -> Result<(), ScanError> {
        let State::Fragment { head, payload } = &mut self.state else {
            return Ok(());
        };
        if payload.len() < head.length {
            return Ok(());
        }
        let (head, payload) = (*head, payload.split());
        self.state = State::Passing(0);
        let fragment = if head.kind == HEADERS {
            unpad(head.flags, payload)?
        } else {
            payload
        };
        let mut block = self.block.take().unwrap_or_else(|| Block {
            stream: head.stream,
            end_stream: head.flags & END_STREAM,
            fragments: 0,
            bytes: BytesMut::new(),
        });
        block.fragments += 1;
        block.bytes.unsplit(fragment);
        if block.bytes.len() > LIMIT {
            return Err(BlockError::TooLarge.into());
        }
        if head.flags & END_HEADERS != 0 {
            return self.emit(&block, out);
        }
        if block.fragments >= MAX_FRAGMENTS {
            return Err(ScanError::Fragments);
        }
        self.block = Some(block);
        Ok(())
    }

    fn emit(&mut self, block: &Block, out: &mut BytesMut) -> Result<(), ScanError> {
        let mut legal = BytesMut::with_capacity(block.bytes.len() * 2);
        self.rewriter.rewrite(&block.bytes, &mut legal)?;
        let mut kind = HEADERS;
        let mut flags = block.end_stream;
        loop {
            let payload = legal.split_to(legal.len().min(FRAME));
            if legal.is_empty() {
                flags |= END_HEADERS;
            }
            Head {
                length: payload.len(),
                kind,
                flags,
                stream: block.stream,
            }
            .put(out);
            out.put_slice(&payload);
            if legal.is_empty() {
                return Ok(());
            }
            (kind, flags) = (CONTINUATION, 0);
        }
    }
}

/// Moves at most `left` bytes to `to`.
fn take(bytes: &mut &[u8], left: &mut usize, to: &mut BytesMut) {
    let n = bytes.len().min(*left);
    let (taken, rest) = bytes.split_at(n);
    to.put_slice(taken);
    *left -= n;
    *bytes = rest;
}

/// The header block fragment of a HEADERS payload.
fn unpad(flags: u8, mut payload: BytesMut) -> Result<BytesMut, ScanError> {
    let padding = match flags & PADDED {
        0 => 0,
        _ => usize::from(payload.try_get_u8().map_err(|_empty| ScanError::Padding)?),
    };
    let priority = if flags & PRIORITY == 0 { 0 } else { 5 };
    if payload.len() < priority + padding {
        return Err(ScanError::Padding);
    }
    payload.advance(priority);
    payload.truncate(payload.len() - padding);
    Ok(payload)
}

impl Head {
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEAD {
            return None;
        }
        Some(Self {
            length: bytes.get_uint(3).try_into().ok()?,
            kind: bytes.get_u8(),
            flags: bytes.get_u8(),
            stream: bytes.get_u32(),
        })
    }

    /// Whether the frame may carry a part of a header block.
    const fn is_fragment(self) -> bool {
        self.kind == HEADERS
    }

    fn put(self, out: &mut BytesMut) {
        out.put_uint(self.length as u64, 3);
        out.put_u8(self.kind);
        out.put_u8(self.flags);
        out.put_u32(self.stream);
    }
}
