//! What a chunkserver tells by itself: space, load, labels, and the state of its chunks (spec 05 §3.2, §7).

use crate::frame::FrameBuf;
use crate::wire::{Body, Fault, Item, List, Reader, Writer, plain_body};

/// Most chunks that a chunkserver puts into one CHUNK_NEW or CHUNK_LOST (spec 05 §3.2).
pub const CHUNKS_PER_REPORT: usize = 25_000;

/// Bit of a version on the wire: the chunk lies on a disk that is marked for removal.
const MARKED: u32 = 1 << 31;

/// A chunk that a chunkserver has: 12 bytes in every list of chunks (spec 05 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedChunk {
    /// The chunk.
    pub chunkid: u64,
    /// Its version; 31 bits.
    pub version: u32,
    /// It lies on a disk that is marked for removal.
    pub marked: bool,
}

impl Item<'_> for ReportedChunk {
    const SIZE: Option<usize> = Some(12);

    #[inline]
    fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
        let chunkid = r.u64()?;
        let version = r.u32()?;
        Ok(Self {
            chunkid,
            version: version & !MARKED,
            marked: version & MARKED != 0,
        })
    }

    #[inline]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        let marked = if self.marked { MARKED } else { 0 };
        w.u64(self.chunkid);
        w.u32(self.version & !MARKED | marked);
    }
}

/// Space and chunks of a chunkserver: 40 bytes. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Used space, without disks marked for removal.
    pub used: u64,
    /// Whole space, without disks marked for removal.
    pub total: u64,
    /// Number of chunks, without those on disks marked for removal.
    pub chunks: u32,
    /// Used space on disks marked for removal.
    pub marked_used: u64,
    /// Whole space of disks marked for removal.
    pub marked_total: u64,
    /// Number of chunks on disks marked for removal.
    pub marked_chunks: u32,
}

plain_body!(Space {
    used: u64,
    total: u64,
    chunks: u32,
    marked_used: u64,
    marked_total: u64,
    marked_chunks: u32,
});

/// SPACE 101. 3.0 chunkservers send the full form, at most once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceReport {
    /// 16 bytes.
    Plain {
        /// [`Space::used`]
        used: u64,
        /// [`Space::total`]
        total: u64,
    },
    /// 32 bytes.
    Marked {
        /// [`Space::used`]
        used: u64,
        /// [`Space::total`]
        total: u64,
        /// [`Space::marked_used`]
        marked_used: u64,
        /// [`Space::marked_total`]
        marked_total: u64,
    },
    /// 40 bytes.
    Full(Space),
}

impl SpaceReport {
    /// Takes the report over into `space`; what its form does not have stays as it was.
    pub fn update(&self, space: &mut Space) {
        match *self {
            Self::Plain { used, total } => {
                *space = Space {
                    used,
                    total,
                    ..*space
                };
            }
            Self::Marked {
                used,
                total,
                marked_used,
                marked_total,
            } => {
                *space = Space {
                    used,
                    total,
                    marked_used,
                    marked_total,
                    ..*space
                };
            }
            Self::Full(reported) => *space = reported,
        }
    }
}

impl<'a> Body<'a> for SpaceReport {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        match r.remaining() {
            16 => Ok(Self::Plain {
                used: r.u64()?,
                total: r.u64()?,
            }),
            32 => Ok(Self::Marked {
                used: r.u64()?,
                total: r.u64()?,
                marked_used: r.u64()?,
                marked_total: r.u64()?,
            }),
            40 => Space::take(r).map(Self::Full),
            _ => Err(Fault::Length),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match *self {
            Self::Plain { used, total } => {
                w.u64(used);
                w.u64(total);
            }
            Self::Marked {
                used,
                total,
                marked_used,
                marked_total,
            } => {
                w.u64(used);
                w.u64(total);
                w.u64(marked_used);
                w.u64(marked_total);
            }
            Self::Full(space) => space.put(w),
        }
    }
}

/// What the load means ([`Load::hlstatus`], spec 05 §5.3).
pub mod hlstatus {
    /// Not known.
    pub const DEFAULT: u8 = 0;
    /// Works normally.
    pub const OK: u8 = 1;
    /// Has too much to do for new chunks and replications.
    pub const OVERLOADED: u8 = 2;
    /// Moves chunks between its disks; only told to masters from 3.0.62 on.
    pub const REBALANCE: u8 = 3;
}

/// CURRENT_LOAD 103: every 5 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Jobs in work and waiting.
    pub load: u32,
    /// One of [`hlstatus`]; versions before 3.0.7 do not send it.
    pub hlstatus: Option<u8>,
}

impl<'a> Body<'a> for Load {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            load: r.u32()?,
            hlstatus: if r.is_empty() { None } else { Some(r.u8()?) },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.load);
        if let Some(hlstatus) = self.hlstatus {
            w.u8(hlstatus);
        }
    }
}

/// LABELS 109: after the first acknowledgement, and whenever they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    /// Bit 0 = A … bit 25 = Z.
    pub mask: u32,
}

plain_body!(Labels { mask: u32 });

/// ERROR_OCCURRED 106: one for each I/O error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorOccurred;

impl<'a> Body<'a> for ErrorOccurred {
    fn take(_: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn put<B: FrameBuf>(&self, _: &mut Writer<'_, B>) {}
}

macro_rules! chunk_lists {
    ($($(#[$doc:meta])* $t:ident($item:ty);)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $t<'a> {
            /// The chunks, at most [`CHUNKS_PER_REPORT`] from a 3.0 chunkserver.
            pub chunks: List<'a, $item>,
        }

        impl<'a> Body<'a> for $t<'a> {
            fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
                Ok(Self { chunks: r.list()? })
            }

            fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
                w.list(&self.chunks);
            }
        })*
    };
}

chunk_lists! {
    /// CHUNK_DAMAGED 102: copies whose contents are wrong (spec 05 §7.2).
    ChunkDamaged(u64);
    /// CHUNK_LOST 105: copies that are gone (spec 05 §7.3).
    ChunkLost(u64);
    /// CHUNK_NEW 107: copies that were found, or whose disk was marked or unmarked (spec 05 §7.1). A copy that
    /// is replaced by another is reported lost, then new.
    ChunkNew(ReportedChunk);
}
