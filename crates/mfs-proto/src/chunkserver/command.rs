//! Orders of the master about single chunks, and how they ended (spec 05 §3.1, §3.2).

use crate::frame::FrameBuf;
use crate::status::Status;
use crate::wire::{Body, Fault, List, Reader, Writer, fixed_item, plain_body};

/// A chunk with a version: CREATE 110, DELETE 120, and the questions 250, 300 and 302.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkVersion {
    /// The chunk.
    pub chunkid: u64,
    /// Its version. For DELETE, 0 = whatever version the copy has.
    pub version: u32,
}

plain_body!(ChunkVersion {
    chunkid: u64,
    version: u32
});

/// SET_VERSION 140.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetVersion {
    /// The chunk.
    pub chunkid: u64,
    /// Version that it gets.
    pub new_version: u32,
    /// Version that it must have.
    pub old_version: u32,
}

plain_body!(SetVersion {
    chunkid: u64,
    new_version: u32,
    old_version: u32
});

/// TRUNCATE 160: makes a chunk shorter or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate {
    /// The chunk.
    pub chunkid: u64,
    /// Length within the chunk in bytes; never 0.
    pub length: u32,
    /// Version that it gets.
    pub new_version: u32,
    /// Version that it must have.
    pub old_version: u32,
}

plain_body!(Truncate {
    chunkid: u64,
    length: u32,
    new_version: u32,
    old_version: u32,
});

/// DUPLICATE 130: copies a chunk within the chunkserver. The answer names the new chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The chunk that is made.
    pub new_chunkid: u64,
    /// Version that it gets.
    pub new_version: u32,
    /// The chunk that is copied.
    pub old_chunkid: u64,
    /// Version that the copied chunk must have.
    pub old_version: u32,
}

plain_body!(Duplicate {
    new_chunkid: u64,
    new_version: u32,
    old_chunkid: u64,
    old_version: u32,
});

/// DUPTRUNC 170: DUPLICATE, with another length for the new chunk. The answer names the new chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duptrunc {
    /// The chunk that is made.
    pub new_chunkid: u64,
    /// Version that it gets.
    pub new_version: u32,
    /// The chunk that is copied.
    pub old_chunkid: u64,
    /// Version that the copied chunk must have.
    pub old_version: u32,
    /// Length of the new chunk in bytes; never 0.
    pub length: u32,
}

plain_body!(Duptrunc {
    new_chunkid: u64,
    new_version: u32,
    old_chunkid: u64,
    old_version: u32,
    length: u32,
});

/// CHUNKOP 152: any of the operations above in one message. 3.0 masters do not send it, chunkservers obey it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunkop {
    /// The chunk.
    pub chunkid: u64,
    /// Version that it must have.
    pub version: u32,
    /// Version that it gets.
    pub new_version: u32,
    /// The chunk that is made of it; 0 = none.
    pub copy_chunkid: u64,
    /// Version that the made chunk gets.
    pub copy_version: u32,
    /// Length in bytes, or a code for operations without one.
    pub length: u32,
}

plain_body!(Chunkop {
    chunkid: u64,
    version: u32,
    new_version: u32,
    copy_chunkid: u64,
    copy_version: u32,
    length: u32,
});

/// Where one source of [`Replicate::Xor`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XorSource {
    /// The chunk to read.
    pub chunkid: u64,
    /// Its version.
    pub version: u32,
    /// Address of the chunkserver that has it.
    pub ip: u32,
    /// Its port for clients.
    pub port: u16,
}

fixed_item!(XorSource {
    chunkid: u64,
    version: u32,
    ip: u32,
    port: u16
});

/// REPLICATE 150: fetch a chunk from other chunkservers. The two forms are told apart by their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicate<'a> {
    /// A copy, 18 bytes.
    Copy {
        /// The chunk.
        chunkid: u64,
        /// Its version.
        version: u32,
        /// Address of the chunkserver that has it.
        ip: u32,
        /// Its port for clients.
        port: u16,
    },
    /// Put together from several chunks, 46 to 172 bytes. Chunkservers know it, but 3.0 masters do not
    /// send it.
    Xor {
        /// The chunk that is made.
        chunkid: u64,
        /// Its version.
        version: u32,
        /// How the sources are combined; not looked into.
        masks: [u8; 16],
        /// 1 to [`Replicate::MAX_SOURCES`] sources.
        sources: List<'a, XorSource>,
    },
}

impl Replicate<'_> {
    /// Most sources that a chunkserver takes.
    pub const MAX_SOURCES: usize = 8;

    /// The chunk that is to be fetched, with its version; repeated in the answer.
    pub fn chunk(&self) -> ChunkVersion {
        match *self {
            Self::Copy {
                chunkid, version, ..
            }
            | Self::Xor {
                chunkid, version, ..
            } => ChunkVersion { chunkid, version },
        }
    }
}

impl<'a> Body<'a> for Replicate<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let copy = r.remaining() == 18;
        let chunkid = r.u64()?;
        let version = r.u32()?;
        if copy {
            return Ok(Self::Copy {
                chunkid,
                version,
                ip: r.u32()?,
                port: r.u16()?,
            });
        }
        let masks = r.raw()?;
        let sources: List<'_, _> = r.list()?;
        if !(1..=Self::MAX_SOURCES).contains(&sources.len()) {
            return Err(Fault::Length);
        }
        Ok(Self::Xor {
            chunkid,
            version,
            masks,
            sources,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self {
            Self::Copy {
                chunkid,
                version,
                ip,
                port,
            } => {
                w.u64(*chunkid);
                w.u32(*version);
                w.u32(*ip);
                w.u16(*port);
            }
            Self::Xor {
                chunkid,
                version,
                masks,
                sources,
            } => {
                w.u64(*chunkid);
                w.u32(*version);
                w.bytes(masks);
                w.list(sources);
            }
        }
    }
}

/// How CREATE, DELETE, DUPLICATE, SET_VERSION, TRUNCATE or DUPTRUNC ended. There is nothing to tell two orders
/// of one kind for the same chunk apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The chunk of the order; the new one where there are two.
    pub chunkid: u64,
    /// The outcome.
    pub status: Status,
}

impl<'a> Body<'a> for Done {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            chunkid: r.u64()?,
            status: Status(r.u8()?),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u64(self.chunkid);
        w.u8(self.status.0);
    }
}

/// How REPLICATE ended (spec 05 §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicateDone {
    /// The chunk of the order.
    pub chunkid: u64,
    /// The version of the order.
    pub version: u32,
    /// The outcome.
    pub status: Status,
}

impl<'a> Body<'a> for ReplicateDone {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            chunkid: r.u64()?,
            version: r.u32()?,
            status: Status(r.u8()?),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u64(self.chunkid);
        w.u32(self.version);
        w.u8(self.status.0);
    }
}

/// How CHUNKOP ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkopDone {
    /// The order.
    pub order: Chunkop,
    /// The outcome.
    pub status: Status,
}

impl<'a> Body<'a> for ChunkopDone {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            order: Chunkop::take(r)?,
            status: Status(r.u8()?),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        self.order.put(w);
        w.u8(self.status.0);
    }
}

/// Answer of GET_CHUNK_BLOCKS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkBlocks {
    /// The chunk of the question.
    pub chunk: ChunkVersion,
    /// Blocks of 64 KiB that the copy has.
    pub blocks: u16,
    /// The outcome.
    pub status: Status,
}

impl<'a> Body<'a> for ChunkBlocks {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            chunk: ChunkVersion::take(r)?,
            blocks: r.u16()?,
            status: Status(r.u8()?),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        self.chunk.put(w);
        w.u16(self.blocks);
        w.u8(self.status.0);
    }
}

/// Answer of GET_CHUNK_CHECKSUM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkChecksum {
    /// The chunk of the question.
    pub chunk: ChunkVersion,
    /// Checksum of the whole copy.
    pub checksum: Result<u32, Status>,
}

/// Answer of GET_CHUNK_CHECKSUM_TAB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkChecksumTab<'a> {
    /// The chunk of the question.
    pub chunk: ChunkVersion,
    /// Checksum of each of its [`ChunkChecksumTab::BLOCKS`] blocks.
    pub checksums: Result<List<'a, u32>, Status>,
}

impl ChunkChecksumTab<'_> {
    /// Blocks in a chunk.
    pub const BLOCKS: usize = 1024;
}

impl<'a> Body<'a> for ChunkChecksum {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            chunk: ChunkVersion::take(r)?,
            checksum: match r.remaining() {
                1 => Err(Status(r.u8()?)),
                _ => Ok(r.u32()?),
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        self.chunk.put(w);
        match self.checksum {
            Ok(checksum) => w.u32(checksum),
            Err(status) => w.u8(status.0),
        }
    }
}

impl<'a> Body<'a> for ChunkChecksumTab<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            chunk: ChunkVersion::take(r)?,
            checksums: match r.remaining() {
                1 => Err(Status(r.u8()?)),
                _ => Ok(r.list_of(Self::BLOCKS)?),
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        self.chunk.put(w);
        match &self.checksums {
            Ok(checksums) => w.list(checksums),
            Err(status) => w.u8(status.0),
        }
    }
}
