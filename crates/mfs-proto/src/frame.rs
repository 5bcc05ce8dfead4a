//! Frames: `type:u32 length:u32 payload`, the same on every port (spec 04 §2.1).
//!
//! A connection reads into a [`BytesMut`], walks what is complete with [`Frames`] (payloads are
//! borrowed, nothing is copied), and then advances the buffer by [`Frames::consumed`]. A frame that has to
//! outlive the buffer is taken out with [`take`], also without a copy. The buffer only grows by
//! what has really arrived ([`reserve`]): a header that announces 50 MB costs nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a frame header.
pub const HEADER_LEN: usize = 8;

/// Longest payload accepted on the client port, in bytes (spec 04 §2.2).
pub const CLIENT_MAX_PAYLOAD: u32 = 50_000_000;

/// Longest payload accepted from a chunkserver, in bytes (spec 04 §2.2).
pub const CHUNKSERVER_MAX_PAYLOAD: u32 = 500_000_000;

/// Longest payload that a chunkserver accepts from its master, in bytes; on more it drops the connection
/// (spec 05 §1.1).
pub const TO_CHUNKSERVER_MAX_PAYLOAD: u32 = 10_000;

/// Longest payload on the metalogger port in either direction, in bytes (spec 04 §2.2).
pub const METALOGGER_MAX_PAYLOAD: u32 = 1_500_000;

/// Room that [`reserve`] makes for one read when no frame is in progress, in bytes.
pub const READ_STEP: usize = 64 * 1024;

/// A byte stream that cannot be split into frames any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A header announces more than the port accepts.
    #[error("message {msg} announces {length} bytes, more than the limit of {limit}")]
    TooLong {
        /// Message number of the header.
        msg: u32,
        /// Announced payload length in bytes.
        length: u32,
        /// The limit in bytes.
        limit: u32,
    },
}

/// One complete frame, borrowed from the receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Message number.
    pub msg: u32,
    /// The payload, without the header.
    pub payload: &'a [u8],
}

/// The header at the start of `bytes`, if it is there and within the limit.
#[inline]
fn header(bytes: &[u8], limit: u32) -> Result<Option<(u32, usize)>, FrameError> {
    let Some((head, _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [a, b, c, d, e, f, g, h] = *head;
    let msg = u32::from_be_bytes([a, b, c, d]);
    let length = u32::from_be_bytes([e, f, g, h]);
    if length > limit {
        return Err(FrameError::TooLong { msg, length, limit });
    }
    Ok(Some((msg, length as usize)))
}

/// Walks the complete frames at the start of a buffer.
///
/// The frames before an oversized header are handed out before the error: they are still processed.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
    total: usize,
    limit: u32,
}

impl<'a> Frames<'a> {
    /// Walks `bytes` with a payload limit of `limit` bytes.
    #[inline]
    pub fn new(bytes: &'a [u8], limit: u32) -> Self {
        Self {
            rest: bytes,
            total: bytes.len(),
            limit,
        }
    }

    /// The next complete frame; `None` if more bytes are needed.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, FrameError> {
        let Some((msg, length)) = header(self.rest, self.limit)? else {
            return Ok(None);
        };
        let body = self.rest.get(HEADER_LEN..).unwrap_or_default();
        let Some((payload, rest)) = body.split_at_checked(length) else {
            return Ok(None);
        };
        self.rest = rest;
        Ok(Some(Frame { msg, payload }))
    }

    /// Bytes of all frames handed out so far.
    #[inline]
    pub fn consumed(&self) -> usize {
        self.total - self.rest.len()
    }
}

/// Takes the first complete frame out of `buf` without copying; `None` if more bytes are needed.
pub fn take(buf: &mut BytesMut, limit: u32) -> Result<Option<(u32, Bytes)>, FrameError> {
    let Some((msg, length)) = header(buf, limit)? else {
        return Ok(None);
    };
    if buf.len() - HEADER_LEN < length {
        return Ok(None);
    }
    buf.advance(HEADER_LEN);
    Ok(Some((msg, buf.split_to(length).freeze())))
}

/// Makes room for the next read: [`READ_STEP`] bytes, or as much again as an unfinished large frame has
/// already delivered. Memory follows the bytes received, never the length a header announces.
pub fn reserve(buf: &mut BytesMut) {
    let spare = buf.capacity() - buf.len();
    if spare < READ_STEP / 4 {
        buf.reserve(READ_STEP.max(buf.len()));
    }
}

/// A growable buffer that frames are appended to.
pub trait FrameBuf: BufMut {
    /// Bytes in the buffer.
    fn position(&self) -> usize;
    /// Overwrites the 4 bytes at `at` with a big-endian integer.
    fn patch_u32(&mut self, at: usize, value: u32);
    /// Drops everything from `at` on.
    fn cut(&mut self, at: usize);
    /// Appends `N` zero bytes and gives them to be written in place. There always is such room.
    fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]>;
}

macro_rules! frame_buf {
    ($t:ty) => {
        impl FrameBuf for $t {
            #[inline]
            fn position(&self) -> usize {
                self.len()
            }

            #[inline]
            fn patch_u32(&mut self, at: usize, value: u32) {
                if let Some(field) = self.get_mut(at..at + 4) {
                    field.copy_from_slice(&value.to_be_bytes());
                }
            }

            #[inline]
            fn cut(&mut self, at: usize) {
                self.truncate(at);
            }

            #[inline(always)]
            fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
                self.extend_from_slice(&[0; N]);
                self.last_chunk_mut()
            }
        }
    };
}

frame_buf!(Vec<u8>);
frame_buf!(BytesMut);

/// Appends one frame: the header, then what `body` appends; the length is filled in afterwards.
#[inline]
pub fn write<B: FrameBuf>(out: &mut B, msg: u32, body: impl FnOnce(&mut B)) {
    let open = OpenFrame::begin(out, msg);
    body(out);
    open.finish(out);
}

/// A frame whose payload is still being appended to its buffer.
#[derive(Debug)]
#[must_use = "a frame has to be finished or abandoned"]
pub struct OpenFrame {
    start: usize,
}

impl OpenFrame {
    /// Appends a header with length 0.
    #[inline]
    pub fn begin<B: FrameBuf>(out: &mut B, msg: u32) -> Self {
        let start = out.position();
        out.put_u64(u64::from(msg) << 32);
        Self { start }
    }

    /// The frame that is about to be appended to `out` with its header, to be extended afterwards.
    #[inline]
    pub(crate) fn at<B: FrameBuf>(out: &B) -> Self {
        Self {
            start: out.position(),
        }
    }

    /// Bytes of payload so far.
    #[inline]
    pub fn len<B: FrameBuf>(&self, out: &B) -> usize {
        out.position() - self.start - HEADER_LEN
    }

    /// Fills in the length.
    #[inline]
    pub fn finish<B: FrameBuf>(self, out: &mut B) {
        let length = self.len(out);
        out.patch_u32(self.start + 4, length as u32);
    }

    /// Removes the frame from the buffer again.
    #[inline]
    pub fn abandon<B: FrameBuf>(self, out: &mut B) {
        out.cut(self.start);
    }
}
