//! File contents: chunks and lengths (spec 04 §7.3 TRUNCATE, §7.7, §7.14 REPAIR and APPEND_SLICE, §8).

use super::common::{Attr, Cred, Location, put_protocol_id, take_protocol_id};
use super::{Body, mids, plain_body};
use crate::frame::FrameBuf;
use crate::wire::{Fault, List, Reader, Writer};

/// Bits of the flags of [`ChunkRequest`] and [`WriteChunkEnd`] (spec 04 §5.5).
pub mod chunkop {
    /// The operation may change the modification time; ignored for clients from 3.0.74 on, and what a
    /// request without flags means.
    pub const CANMODTIME: u8 = 1;
    /// The client still holds the write lock and tries again.
    pub const CONTINUEOP: u8 = 2;
    /// Superuser: may use the reserved space.
    pub const CANUSERESERVESPACE: u8 = 4;
}

/// READ_CHUNK 432 or WRITE_CHUNK 434, answered with [`ChunkReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRequest {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// Index of the chunk in the file.
    pub index: u32,
    /// Bits of [`chunkop`].
    pub flags: u8,
}

impl<'a> Body<'a> for ChunkRequest {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let short = r.remaining() == 12;
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            index: r.u32()?,
            flags: if short { chunkop::CANMODTIME } else { r.u8()? },
        })
    }

    #[inline]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u32(self.index);
        w.u8(self.flags);
    }
}

/// A chunk and where its copies are (spec 04 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkReply<'a> {
    /// Length of the file in bytes.
    pub length: u64,
    /// The chunk; 0 for a hole.
    pub chunkid: u64,
    /// Its version; 0 for a hole.
    pub version: u32,
    /// Its copies, nearest first, at most 100.
    pub locations: List<'a, Location>,
}

impl<'a> Body<'a> for ChunkReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        take_protocol_id(r)?;
        Ok(Self {
            length: r.u64()?,
            chunkid: r.u64()?,
            version: r.u32()?,
            locations: r.list()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        put_protocol_id(w);
        w.u64(self.length);
        w.u64(self.chunkid);
        w.u32(self.version);
        w.list(&self.locations);
    }
}

/// WRITE_CHUNK_END 436; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteChunkEnd {
    /// Message id.
    pub mid: u32,
    /// The chunk that was written.
    pub chunkid: u64,
    /// The file.
    pub inode: u32,
    /// Index of the chunk in the file. `None` in old requests; they are announced to other sessions in a
    /// different way (spec 04 §8).
    pub index: Option<u32>,
    /// Length of the file in bytes after the write; 0 = leave it alone.
    pub length: u64,
    /// Bits of [`chunkop`].
    pub flags: u8,
}

impl<'a> Body<'a> for WriteChunkEnd {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let total = r.remaining();
        Ok(Self {
            mid: r.u32()?,
            chunkid: r.u64()?,
            inode: r.u32()?,
            index: if total == 24 || total == 25 {
                None
            } else {
                Some(r.u32()?)
            },
            length: r.u64()?,
            flags: if total == 24 {
                chunkop::CANMODTIME
            } else {
                r.u8()?
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u64(self.chunkid);
        w.u32(self.inode);
        if let Some(index) = self.index {
            w.u32(index);
        }
        w.u64(self.length);
        w.u8(self.flags);
    }
}

/// Bits of [`Truncate::flags`].
pub mod truncate_flags {
    /// By descriptor: no permission check, the file need not be below the session root.
    pub const OPENED: u8 = 1;
    /// Part of a write: only raises the length, no change of the modification time.
    pub const UPDATE: u8 = 2;
    /// Keep the times if the length does not change.
    pub const TIMEFIX: u8 = 4;
    /// Reserve `length` bytes at the end for an append.
    pub const RESERVE: u8 = 8;
}

/// TRUNCATE 464, answered with [`TruncateReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// Bits of [`truncate_flags`].
    pub flags: u8,
    /// Who asks.
    pub cred: Cred<'a>,
    /// New length in bytes, or bytes to reserve.
    pub length: u64,
}

impl<'a> Body<'a> for Truncate<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let old = r.remaining() == 24;
        let mid = r.u32()?;
        let inode = r.u32()?;
        let flags = if old { 0 } else { r.u8()? };
        let cred = Cred::take(r, 8)?;
        Ok(Self {
            mid,
            inode,
            // Without flags, a superuser with a group stands for "the file is open".
            flags: if old && cred.uid == 0 && cred.gids.primary() != 0 {
                truncate_flags::OPENED
            } else {
                flags
            },
            cred,
            length: r.u64()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u8(self.flags);
        self.cred.put(w);
        w.u64(self.length);
    }
}

/// Answer of TRUNCATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TruncateReply {
    /// Length before; with [`truncate_flags::RESERVE`] the offset to write at. Clients before 3.0.113 do
    /// not get it.
    pub prev_length: u64,
    /// Attributes after the change.
    pub attr: Attr,
}

impl<'a> Body<'a> for TruncateReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            prev_length: if r.version().has_open_flags() {
                r.u64()?
            } else {
                0
            },
            attr: Attr::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if w.version().has_open_flags() {
            w.u64(self.prev_length);
        }
        self.attr.put(w);
    }
}

/// REPAIR 466, answered with [`RepairReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair<'a> {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Repair<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        self.cred.put(w);
    }
}

/// Answer of REPAIR: numbers of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairReply {
    /// Chunks that needed nothing.
    pub not_changed: u32,
    /// Chunks without any copy, now holes.
    pub erased: u32,
    /// Chunks that continue with an older version.
    pub repaired: u32,
}

plain_body!(RepairReply {
    not_changed: u32,
    erased: u32,
    repaired: u32
});

/// Bits of [`AppendSlice::flags`].
pub mod append_flags {
    /// `from` counts from the end.
    pub const FROM_END: u8 = 1;
    /// `to` counts from the end.
    pub const TO_END: u8 = 2;
}

/// APPEND_SLICE 438: append chunks of one file to another. Answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendSlice<'a> {
    /// Message id.
    pub mid: u32,
    /// Bits of [`append_flags`].
    pub flags: u8,
    /// The file that grows.
    pub inode: u32,
    /// The file that chunks are taken from.
    pub inode_src: u32,
    /// First chunk index.
    pub from: u32,
    /// Chunk index behind the last one. [`AppendSlice::WHOLE`] in old requests.
    pub to: u32,
    /// Who asks.
    pub cred: Cred<'a>,
}

impl AppendSlice<'_> {
    /// Value of `to` for everything up to the end.
    pub const WHOLE: u32 = 0x8000_0000;
}

impl<'a> Body<'a> for AppendSlice<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let old = r.remaining().is_multiple_of(2);
        let mid = r.u32()?;
        let flags = if old { 0 } else { r.u8()? };
        let inode = r.u32()?;
        let inode_src = r.u32()?;
        // Old requests mean the whole file; that 3.0.117 takes them as the empty slice is a defect of it.
        let (from, to) = if old {
            (0, Self::WHOLE)
        } else {
            (r.u32()?, r.u32()?)
        };
        Ok(Self {
            mid,
            flags,
            inode,
            inode_src,
            from,
            to,
            cred: if old {
                Cred::take(r, 0)?
            } else {
                Cred::take_current(r, 0)?
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u8(self.flags);
        w.u32(self.inode);
        w.u32(self.inode_src);
        w.u32(self.from);
        w.u32(self.to);
        self.cred.put(w);
    }
}

mids!(
    ChunkRequest,
    WriteChunkEnd,
    Truncate<'_>,
    Repair<'_>,
    AppendSlice<'_>,
);

/// CHUNK_HAS_CHANGED 702: someone else wrote or truncated a chunk of an open file. Unsolicited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHasChanged {
    /// The file.
    pub inode: u32,
    /// Index of the chunk.
    pub index: u32,
    /// The chunk that is there now.
    pub chunkid: u64,
    /// Its version.
    pub version: u32,
    /// Length of the file in bytes.
    pub length: u64,
    /// 1 = data behind the length is gone.
    pub truncated: u8,
}

plain_body!(ChunkHasChanged {
    inode: u32,
    index: u32,
    chunkid: u64,
    version: u32,
    length: u64,
    truncated: u8,
});

/// FLENG_HAS_CHANGED 703: someone else changed the length of an open file. Unsolicited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlengHasChanged {
    /// The file.
    pub inode: u32,
    /// Its length in bytes.
    pub length: u64,
}

plain_body!(FlengHasChanged {
    inode: u32,
    length: u64
});
