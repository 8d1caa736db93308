//! gRPC messages out of the pieces of a byte stream, and back.
//!
//! In: what HTTP/2 delivers, cut anywhere. Out: packets. DATA is passed on as it arrives: a large
//! packet becomes several smaller ones of the same connection, so nobody gathers 4 MiB and nobody
//! copies. Messages of other kinds, and DATA in an unusual order of fields, are gathered first.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::id::ConnectId;
use super::packet::{AnyPacket, DecodeError, Packet};

#[cfg(test)]
mod tests;

/// The largest message that is taken, as grpc-go has it.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Flag and length in front of each message.
const PREFIX: usize = 5;
/// No DATA packet has more bytes than this in front of its payload, if its fields are in order:
/// type 2, tag and length 6, connectID 11, tag and length 6.
const MAX_DATA_HEAD: usize = 25;

/// The stream cannot go on: where the next message begins is unknown or its sender is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Larger than [`MAX_MESSAGE`]. The text is grpc-go's.
    #[error("grpc: received message larger than max ({0} vs. {MAX_MESSAGE})")]
    TooLarge(usize),
    /// Compressed, though no encoding was agreed on.
    #[error("grpc: compressed message without grpc-encoding")]
    Compressed,
    /// The first byte is neither 0 nor 1.
    #[error("grpc: received unexpected payload format {0}")]
    Flag(u8),
    /// The message is no packet.
    #[error("grpc: error unmarshalling request")]
    Packet(#[from] DecodeError),
    /// The stream ended inside a message.
    #[error("unexpected EOF")]
    Truncated,
}

/// Turns pieces of a byte stream into packets of one direction.
#[derive(Debug)]
pub struct Decoder<P> {
    pieces: VecDeque<Bytes>,
    /// Bytes in all pieces.
    have: usize,
    state: State,
    direction: PhantomData<fn() -> P>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the front of a message.
    Prefix,
    /// A message of so many bytes follows.
    Message(usize),
    /// So many bytes of a DATA packet's payload follow.
    Payload(ConnectId, usize),
}

impl<P> Default for Decoder<P> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            have: 0,
            state: State::Prefix,
            direction: PhantomData,
        }
    }
}

impl<P: Packet> Decoder<P> {
    /// Takes what was received next.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.have += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// The next packet, or `None` until more is pushed. Unknown packets are skipped.
    ///
    /// # Errors
    /// The stream must be ended; see [`FramingError`].
    pub fn next_packet(&mut self) -> Result<Option<P>, FramingError> {
        loop {
            match self.state {
                State::Prefix if self.have < PREFIX => return Ok(None),
                State::Prefix => self.state = State::Message(self.prefix()?),
                State::Payload(id, left) => {
                    let Some(data) = self.piece(left) else {
                        return Ok(None);
                    };
                    let left = left - data.len();
                    self.state = if left == 0 {
                        State::Prefix
                    } else {
                        State::Payload(id, left)
                    };
                    if let Some(packet) = P::narrow(AnyPacket::Data { id, data }) {
                        return Ok(Some(packet));
                    }
                }
                State::Message(length) if self.have >= length => {
                    let message = self.gather(length);
                    self.state = State::Prefix;
                    if let Some(packet) = P::decode(message)? {
                        return Ok(Some(packet));
                    }
                }
                State::Message(length) if self.have < MAX_DATA_HEAD => {
                    debug_assert!(self.have < length, "the arm above");
                    return Ok(None);
                }
                State::Message(length) => match self.data_head(length) {
                    Some((id, head)) => {
                        self.gather(head);
                        self.state = State::Payload(id, length - head);
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// [`FramingError::Truncated`].
    pub const fn finish(&self) -> Result<(), FramingError> {
        match self.state {
            State::Prefix if self.have == 0 => Ok(()),
            State::Prefix | State::Message(_) | State::Payload(..) => Err(FramingError::Truncated),
        }
    }

    fn prefix(&mut self) -> Result<usize, FramingError> {
        let mut prefix = self.gather(PREFIX);
        let flag = prefix.get_u8();
        let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
        match flag {
            1 => Err(FramingError::Compressed),
            2.. => Err(FramingError::Flag(flag)),
            0 if length > MAX_MESSAGE => Err(FramingError::TooLarge(length)),
            0 => Ok(length),
        }
    }

    /// The connection of a DATA message and the length of all that stands before its payload, if
    /// the rest of the message is nothing but payload.
    fn data_head(&self, length: usize) -> Option<(ConnectId, usize)> {
        let mut front = [0_u8; MAX_DATA_HEAD];
        let mut room = front.as_mut_slice();
        for piece in &self.pieces {
            let n = room.len().min(piece.len());
            room.put_slice(piece.get(..n)?);
        }
        let mut rest = front.as_slice();
        let behind = |rest: &[u8]| length - (MAX_DATA_HEAD - rest.len());
        if rest.get_u8() != 0x08 || rest.get_u8() != 0x04 || rest.get_u8() != 0x22 {
            return None;
        }
        if varint(&mut rest)? != behind(rest) as u64 {
            return None;
        }
        let mut id = 0;
        let mut tag = rest.try_get_u8().ok()?;
        if tag == 0x08 {
            id = varint(&mut rest)?.cast_signed();
            tag = rest.try_get_u8().ok()?;
        }
        let is_last = tag == 0x1a && varint(&mut rest)? == behind(rest) as u64;
        is_last.then(|| (ConnectId(id), MAX_DATA_HEAD - rest.len()))
    }

    /// At most `left` bytes of the first piece, if there is one.
    fn piece(&mut self, left: usize) -> Option<Bytes> {
        let first = self.pieces.front_mut()?;
        let data = first.split_to(first.len().min(left));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.have -= data.len();
        Some(data)
    }

    /// Exactly `length` bytes, which are there; copied only if they came in several pieces.
    fn gather(&mut self, length: usize) -> Bytes {
        let first = self.piece(length).unwrap_or_default();
        if first.len() == length {
            return first;
        }
        let mut whole = BytesMut::with_capacity(length);
        whole.put(first);
        while whole.len() < length
            && let Some(piece) = self.piece(length - whole.len())
        {
            whole.put(piece);
        }
        whole.freeze()
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}

/// One packet as it goes on the wire: prefix and head, then the payload, not copied.
pub fn frame<P: Packet>(packet: P) -> [Bytes; 2] {
    let (head, body) = packet.encode();
    let length = head.len() + body.len();
    let mut framed = BytesMut::with_capacity(PREFIX + head.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put(head);
    [framed.freeze(), body]
}
