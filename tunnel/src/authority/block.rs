//! One header block: decoded with the connection's table, written again as plain literals.
//!
//! In: the encoded block of a HEADERS frame and its CONTINUATIONs. Out: the same fields, each as a
//! literal without indexing, so that h2 below needs no table and never sees a size update.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};
use http::uri::Authority;
use loona_hpack::Decoder;
use loona_hpack::decoder::DecoderError;

/// Encoded block, and separately the decoded list with 32 bytes for each field: as much as the
/// server's own `SETTINGS_MAX_HEADER_LIST_SIZE` allows (tunnel.md 6).
pub(crate) const LIMIT: usize = 16 * 1024;

/// The dynamic table of HPACK unless a SETTINGS frame says otherwise; we send none.
const TABLE: usize = 4096;

const FALLBACK: &[u8] = b"localhost";

/// Why a header block cannot be served; the connection ends with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BlockError {
    /// More than 16 KiB, encoded or decoded.
    #[error("header block of more than {LIMIT} bytes")]
    TooLarge,
    /// The bytes are no HPACK.
    #[error("malformed header block: {0}")]
    Malformed(String),
}

impl From<DecoderError> for BlockError {
    fn from(error: DecoderError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Rewrites the header blocks of one connection, in their order.
pub(crate) struct Rewriter {
    decoder: Decoder<'static>,
}

impl fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewriter").finish_non_exhaustive()
    }
}

impl Default for Rewriter {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE);
        Self { decoder }
    }
}

impl Rewriter {
    /// Decodes `block` and appends the legal form of it to `out`.
    pub(crate) fn rewrite(&mut self, block: &[u8], out: &mut BytesMut) -> Result<(), BlockError> {
        check(block)?;
        let mut size = 0;
        self.decoder.decode_with_cb(block, |name, value| {
            let value = if name.as_ref() == b":authority" {
                legal(value)
            } else {
                value
            };
            size += name.len() + value.len() + 32;
            if size <= LIMIT {
                out.put_u8(0);
                put_string(out, &name);
                put_string(out, &value);
            }
        })?;
        if size > LIMIT {
            Err(BlockError::TooLarge)
        } else {
            Ok(())
        }
    }
}

fn legal(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if Authority::try_from(value.as_ref()).is_ok() {
        value
    } else {
        Cow::Borrowed(FALLBACK)
    }
}

/// A string literal without Huffman coding (RFC 7541 5.2).
fn put_string(out: &mut BytesMut, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(short @ 0..127) => out.put_u8(short),
        _ => put_long(out, bytes.len() - 127),
    }
    out.put_slice(bytes);
}

fn put_long(out: &mut BytesMut, mut rest: usize) {
    let low_bits = |n: usize| n.to_le_bytes()[0] & 127;
    out.put_u8(127);
    while rest >= 128 {
        out.put_u8(low_bits(rest) | 128);
        rest >>= 7;
    }
    out.put_u8(low_bits(rest));
}

/// Walks the representations of a block before the decoder sees it: the crate below panics on a
/// truncated size update, and takes one in the middle of a block, which RFC 7541 4.2 forbids.
fn check(block: &[u8]) -> Result<(), BlockError> {
    let mut rest = block;
    let mut fields = 0_usize;
    while let Some(&first) = rest.first() {
        rest = match first {
            128.. => integer(rest, 7)?.1,
            64..128 => literal(rest, 6)?,
            32..64 if fields > 0 => return malformed("size update behind a field"),
            32..64 => integer(rest, 5)?.1,
            0..32 => literal(rest, 4)?,
        };
        if !(32..64).contains(&first) {
            fields += 1;
        }
    }
    Ok(())
}

fn literal(rest: &[u8], prefix: u32) -> Result<&[u8], BlockError> {
    let (name, rest) = integer(rest, prefix)?;
    let rest = if name == 0 { string(rest)? } else { rest };
    string(rest)
}

fn string(rest: &[u8]) -> Result<&[u8], BlockError> {
    let (length, rest) = integer(rest, 7)?;
    match rest.get(length..) {
        Some(rest) => Ok(rest),
        None => malformed("truncated string"),
    }
}

/// An integer with a prefix of so many bits, of at most five bytes as the decoder has it.
fn integer(bytes: &[u8], prefix: u32) -> Result<(usize, &[u8]), BlockError> {
    let mask = (1_usize << prefix) - 1;
    let Some((&first, mut rest)) = bytes.split_first() else {
        return malformed("truncated integer");
    };
    let mut value = usize::from(first) & mask;
    if value < mask {
        return Ok((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let Some((&byte, tail)) = rest.split_first() else {
            return malformed("truncated integer");
        };
        rest = tail;
        value += usize::from(byte & 127) << shift;
        if byte < 128 {
            return Ok((value, rest));
        }
    }
    malformed("integer of more than five bytes")
}

fn malformed<T>(why: &str) -> Result<T, BlockError> {
    Err(BlockError::Malformed(why.to_owned()))
}
