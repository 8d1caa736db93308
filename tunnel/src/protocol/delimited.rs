//! Messages in a stream of bytes: a varint length in front of each.
//!
//! In: messages; pieces of a body, cut anywhere. Out: bytes; messages' bytes. A decoder keeps no more
//! than one message and the piece that was pushed last.

use bytes::{Buf as _, Bytes, BytesMut};
use prost::Message;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Bytes of the longest legal length.
const MAX_PREFIX: usize = 3;

/// The connection cannot go on, or a message cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a control message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// No message.
    #[error("a control message cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The stream ended inside a message.
    #[error("the control stream ended inside a message")]
    Truncated,
}

/// The message with its length.
///
/// # Errors
/// [`MessageError::TooLong`].
pub fn encode(message: &impl Message) -> Result<Bytes, MessageError> {
    if message.encoded_len() > MAX_MESSAGE {
        return Err(MessageError::TooLong);
    }
    Ok(message.encode_length_delimited_to_vec().into())
}

/// Turns pieces of a body into the bytes of messages.
#[derive(Debug, Default)]
pub struct Delimited {
    have: BytesMut,
}

impl Delimited {
    /// Takes what was received next. Ask for messages until there is none before the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.have.extend_from_slice(piece);
    }

    /// The next message's bytes, or `None` until more is pushed.
    ///
    /// # Errors
    /// [`MessageError::TooLong`]: the connection must be ended.
    pub fn next_bytes(&mut self) -> Result<Option<Bytes>, MessageError> {
        match self.length()? {
            Some((prefix, length)) if self.have.len() - prefix >= length => {
                self.have.advance(prefix);
                Ok(Some(self.have.split_to(length).freeze()))
            }
            _ => Ok(None),
        }
    }

    /// Says whether the body may end here.
    ///
    /// # Errors
    /// [`MessageError::Truncated`].
    pub fn finish(&self) -> Result<(), MessageError> {
        if self.have.is_empty() {
            Ok(())
        } else {
            Err(MessageError::Truncated)
        }
    }

    /// Bytes of the length in front, and the length, if it is there.
    fn length(&self) -> Result<Option<(usize, usize)>, MessageError> {
        let mut length = 0;
        for (at, byte) in self.have.iter().take(MAX_PREFIX).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return if length > MAX_MESSAGE {
                    Err(MessageError::TooLong)
                } else {
                    Ok(Some((at + 1, length)))
                };
            }
        }
        if self.have.len() < MAX_PREFIX {
            Ok(None)
        } else {
            Err(MessageError::TooLong)
        }
    }
}
