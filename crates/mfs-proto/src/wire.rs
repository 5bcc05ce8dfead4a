//! Reading and writing the fields of a payload (spec 04 §1, spec 05 §0).
//!
//! [`Reader`] walks received bytes and checks every length; [`Writer`] appends fields to a buffer.
//! Both know the version of the client, because some layouts depend on it (spec 04 §3); nothing on the
//! chunkserver port does.
//! [`List`] is a repeated field: borrowed from received bytes, or from a slice that is to be sent.

use std::fmt;
use std::marker::PhantomData;

use crate::client::Expect;
use crate::frame::FrameBuf;
use crate::version::Version;

/// Why a payload does not fit its message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The message number is not one that this side of the port accepts.
    #[error("unknown message type")]
    UnknownType,
    /// The payload length is none of those that the message may have.
    #[error("wrong payload length")]
    Length,
    /// A length field inside the payload points past its end, or leaves bytes over.
    #[error("inner length does not fit the payload")]
    InnerLength,
    /// The declared number of groups is not the number of groups that follow.
    #[error("group count {declared} does not fit the payload")]
    GroupCount {
        /// The count as sent.
        declared: u32,
    },
    /// A field that has a fixed meaning has another value.
    #[error("field `{field}` has the impossible value {value}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// The value as sent.
        value: u32,
    },
    /// A registration does not start with the blob of the protocol.
    #[error("wrong registration blob")]
    Blob,
    /// A text that must end with a zero byte does not.
    #[error("text is not zero-terminated")]
    Unterminated,
}

/// A frame that cannot be decoded; the connection it came from has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message {msg} ({}) of {length} bytes: {fault}", crate::msg::name(*msg).unwrap_or("unknown"))]
pub struct DecodeError {
    /// Message number of the frame.
    pub msg: u32,
    /// Payload length of the frame in bytes.
    pub length: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// A cursor over the payload of one frame. Reading past the end is [`Fault::Length`].
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    version: Version,
    expect: Expect,
}

impl<'a> Reader<'a> {
    /// A reader for a payload exchanged with a client of the given version.
    #[inline]
    pub fn new(payload: &'a [u8], version: Version, expect: Expect) -> Self {
        Self {
            rest: payload,
            version,
            expect,
        }
    }

    /// Version of the client at one end of the connection.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What the request that is being answered asked for; [`Expect::Plain`] while reading requests.
    #[inline]
    pub fn expect(&self) -> Expect {
        self.expect
    }

    /// Number of bytes that are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes are consumed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails unless all bytes are consumed.
    #[inline]
    pub fn end(&self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::Length)
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::Length)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A fixed number of raw bytes.
    #[inline]
    pub fn raw<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.array()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// A 16-bit integer.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A 32-bit integer.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A 64-bit integer.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// `length` raw bytes, where `length` came from the payload itself.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Fault::InnerLength)?;
        self.rest = rest;
        Ok(head)
    }

    /// A `NAME`: one length byte, then that many bytes.
    #[inline]
    pub fn name(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }

    /// A 32-bit length, then that many bytes.
    #[inline]
    pub fn blob32(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u32()?;
        self.bytes(length as usize)
    }

    /// A `STR32Z`: a 32-bit length that counts a final zero byte. The zero is not part of the result.
    #[inline]
    pub fn str32z(&mut self) -> Result<&'a [u8], Fault> {
        match self.blob32()?.split_last() {
            Some((0, text)) => Ok(text),
            _ => Err(Fault::Unterminated),
        }
    }

    /// Everything that is left.
    #[inline]
    pub fn tail(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Everything that is left as a repeated field; fails if it is not a whole number of items.
    #[inline]
    pub fn list<T: Item<'a>>(&mut self) -> Result<List<'a, T>, Fault> {
        if let Some(size) = T::SIZE {
            return match self.remaining() % size {
                0 => self.list_of(self.remaining() / size),
                _ => Err(Fault::Length),
            };
        }
        let whole = *self;
        let mut count = 0;
        while !self.is_empty() {
            T::take(self)?;
            count += 1;
        }
        Ok(List(Source::Received {
            bytes: whole,
            count,
        }))
    }

    /// A repeated field of `count` items.
    #[inline]
    pub fn list_of<T: Item<'a>>(&mut self, count: usize) -> Result<List<'a, T>, Fault> {
        let mut whole = *self;
        match T::SIZE {
            Some(size) => {
                let length = count.checked_mul(size).ok_or(Fault::Length)?;
                self.rest = self.rest.get(length..).ok_or(Fault::Length)?;
            }
            None => {
                for _ in 0..count {
                    T::take(self)?;
                }
            }
        }
        let used = whole.remaining() - self.remaining();
        whole.rest = whole.rest.get(..used).unwrap_or_default();
        Ok(List(Source::Received {
            bytes: whole,
            count,
        }))
    }
}

/// Appends fields to the payload of a frame.
#[derive(Debug)]
pub struct Writer<'b, B> {
    out: &'b mut B,
    version: Version,
}

impl<'b, B: FrameBuf> Writer<'b, B> {
    /// A writer for a client of the given version.
    #[inline]
    pub fn new(out: &'b mut B, version: Version) -> Self {
        Self { out, version }
    }

    /// Version of the client at one end of the connection.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    /// A 16-bit integer.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.out.put_u16(value);
    }

    /// A 32-bit integer.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.out.put_u32(value);
    }

    /// A 64-bit integer.
    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.out.put_u64(value);
    }

    /// Raw bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// `N` zero bytes, to be written in place. There always is such room.
    #[inline(always)]
    pub fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.out.room()
    }

    /// Takes the last `count` bytes back.
    #[inline]
    pub fn shorten(&mut self, count: usize) {
        self.out.cut(self.out.position().saturating_sub(count));
    }

    /// A `NAME`. A name on the wire has at most 255 bytes; what is longer is cut there.
    #[inline]
    pub fn name(&mut self, name: &[u8]) {
        let name = name.get(..255).unwrap_or(name);
        self.u8(name.len() as u8);
        self.bytes(name);
    }

    /// A 32-bit length, then the bytes.
    #[inline]
    pub fn blob32(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.bytes(bytes);
    }

    /// A `STR32Z`: the length counts the zero byte that is appended.
    #[inline]
    pub fn str32z(&mut self, text: &[u8]) {
        self.u32(text.len() as u32 + 1);
        self.bytes(text);
        self.u8(0);
    }

    /// Every item of a repeated field.
    #[inline]
    pub fn list<'a, T: Item<'a>>(&mut self, list: &List<'a, T>) {
        for item in list {
            item.put(self);
        }
    }
}

/// A payload, or the part of one after its message id.
pub(crate) trait Body<'a>: Sized {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault>;
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>);
}

/// Bodies that are nothing but their fields in order: integers (`u8`…`u64`) and `NAME`s.
macro_rules! plain_body {
    ($t:ident $(<$lt:lifetime>)? { $($field:ident: $kind:ident),* $(,)? }) => {
        impl<'a> crate::wire::Body<'a> for $t $(<$lt>)? {
            #[inline]
            fn take(r: &mut crate::wire::Reader<'a>) -> Result<Self, crate::wire::Fault> {
                Ok(Self { $($field: r.$kind()?),* })
            }

            #[inline]
            fn put<B: crate::frame::FrameBuf>(&self, w: &mut crate::wire::Writer<'_, B>) {
                $(w.$kind(self.$field);)*
            }
        }
    };
}
pub(crate) use plain_body;

/// Items of lists that are nothing but their fields in order.
macro_rules! plain_item {
    ($t:ident $(<$lt:lifetime>)? { $($field:ident: $kind:ident),* $(,)? }) => {
        impl<'a> crate::wire::Item<'a> for $t $(<$lt>)? {
            #[inline]
            fn take(r: &mut crate::wire::Reader<'a>) -> Result<Self, crate::wire::Fault> {
                Ok(Self { $($field: r.$kind()?),* })
            }

            #[inline]
            fn put<B: crate::frame::FrameBuf>(&self, w: &mut crate::wire::Writer<'_, B>) {
                $(w.$kind(self.$field);)*
            }
        }
    };
}
pub(crate) use plain_item;

/// Items of lists that are nothing but integers in order, so that every item has the same size.
macro_rules! fixed_item {
    ($t:ident { $($field:ident: $kind:ident),* $(,)? }) => {
        impl crate::wire::Item<'_> for $t {
            const SIZE: Option<usize> = Some(0 $(+ size_of::<$kind>())*);

            #[inline]
            fn take(r: &mut crate::wire::Reader<'_>) -> Result<Self, crate::wire::Fault> {
                Ok(Self { $($field: r.$kind()?),* })
            }

            #[inline]
            fn put<B: crate::frame::FrameBuf>(&self, w: &mut crate::wire::Writer<'_, B>) {
                $(w.$kind(self.$field);)*
            }
        }
    };
}
pub(crate) use fixed_item;

/// One element of a repeated field.
pub trait Item<'a>: Copy {
    /// Bytes of an element, if all have the same size and any bytes of that size are one. A received list
    /// of such elements is checked by its length alone, and can be entered at any place.
    const SIZE: Option<usize> = None;
    /// Reads one element.
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault>;
    /// Appends one element.
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>);
}

macro_rules! integer_item {
    ($($t:ident),*) => {
        $(impl Item<'_> for $t {
            const SIZE: Option<usize> = Some(size_of::<$t>());

            #[inline]
            fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
                r.$t()
            }

            #[inline]
            fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
                w.$t(*self);
            }
        })*
    };
}
integer_item!(u32, u64);

#[derive(Debug, Clone, Copy)]
enum Source<'a, T> {
    Received { bytes: Reader<'a>, count: usize },
    Own(&'a [T]),
}

/// A repeated field: either checked received bytes or a slice to send. Iterates by value.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

impl<'a, T: Item<'a>> List<'a, T> {
    /// A list of no items.
    pub const EMPTY: Self = Self(Source::Own(&[]));

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            Source::Received { count, .. } => count,
            Source::Own(items) => items.len(),
        }
    }

    /// Whether there are no items.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in their order on the wire.
    #[inline]
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter {
            source: self.0,
            marker: PhantomData,
        }
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    #[inline]
    fn from(items: &'a [T]) -> Self {
        Self(Source::Own(items))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    #[inline]
    fn from(items: &'a [T; N]) -> Self {
        Self(Source::Own(items))
    }
}

impl<'a, T> From<&'a Vec<T>> for List<'a, T> {
    #[inline]
    fn from(items: &'a Vec<T>) -> Self {
        Self(Source::Own(items))
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Item<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Item<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterator over a [`List`].
#[derive(Debug, Clone)]
pub struct ListIter<'a, T> {
    source: Source<'a, T>,
    marker: PhantomData<T>,
}

impl<'a, T: Item<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.source {
            Source::Received { bytes, count } => {
                // The bytes were checked when the list was made, so an error cannot happen here;
                // if it did, the list would end.
                *count = count.checked_sub(1)?;
                T::take(bytes).ok()
            }
            Source::Own(items) => {
                let (first, rest) = items.split_first()?;
                *items = rest;
                Some(*first)
            }
        }
    }

    /// Without reading what is skipped, if the items have a fixed size; so does `skip`.
    #[inline]
    fn nth(&mut self, n: usize) -> Option<T> {
        match (&mut self.source, T::SIZE) {
            (Source::Received { bytes, count }, Some(size)) => {
                let skipped = n.min(*count);
                bytes.rest = bytes.rest.get(skipped * size..).unwrap_or_default();
                *count -= skipped;
            }
            (Source::Received { .. }, None) => {
                for _ in 0..n {
                    self.next()?;
                }
            }
            (Source::Own(items), _) => *items = items.get(n..).unwrap_or_default(),
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self.source {
            Source::Received { count, .. } => count,
            Source::Own(items) => items.len(),
        };
        (left, Some(left))
    }
}

impl<'a, T: Item<'a>> ExactSizeIterator for ListIter<'a, T> {}

/// `text` without its trailing zero bytes, which peers send and the master ignores.
#[inline]
pub fn trim_zeros(text: &[u8]) -> &[u8] {
    let kept = text
        .iter()
        .rposition(|&b| b != 0)
        .map_or(0, |last| last + 1);
    text.get(..kept).unwrap_or_default()
}
