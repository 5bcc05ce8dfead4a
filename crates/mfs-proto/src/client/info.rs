//! Questions of tools about files and trees (spec 04 §7.14).

use super::{Body, Expect, fixed_item, mids};
use crate::frame::FrameBuf;
use crate::wire::{Fault, Item, List, Reader, Writer};

/// CHECK 440, answered with [`CheckReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// One chunk of it; `None` = count the chunks by their copies.
    pub index: Option<u32>,
}

impl<'a> Body<'a> for Check {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            index: if r.is_empty() { None } else { Some(r.u32()?) },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        if let Some(index) = self.index {
            w.u32(index);
        }
    }
}

/// Values of [`ChunkCopy::state`].
pub mod copy_state {
    /// Usable.
    pub const VALID: u8 = 0;
    /// Usable, on a disk marked for removal.
    pub const MARKED: u8 = 1;
    /// Has another version than the metadata.
    pub const WRONG_VERSION: u8 = 2;
    /// Both of the above.
    pub const WRONG_VERSION_MARKED: u8 = 3;
    /// Damaged.
    pub const INVALID: u8 = 4;
}

/// A copy of a chunk in the answer of CHECK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCopy {
    /// IPv4 address of the chunkserver.
    pub ip: u32,
    /// Port of the chunkserver for clients.
    pub port: u16,
    /// One of [`copy_state`].
    pub state: u8,
}

fixed_item!(ChunkCopy {
    ip: u32,
    port: u16,
    state: u8
});

/// Answer of CHECK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckReply<'a> {
    /// Numbers of chunks with 0, 1, … 9, at least 10 valid copies, then of empty slots (which clients before
    /// 3.0.30 do not get).
    Counts([u32; 12]),
    /// One chunk.
    Chunk {
        /// The chunk; 0 for a hole.
        chunkid: u64,
        /// Its version; 0 for a hole.
        version: u32,
        /// Its copies, at most 100, in any order.
        copies: List<'a, ChunkCopy>,
    },
}

impl<'a> Body<'a> for CheckReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        if r.expect() == Expect::Copies {
            return Ok(Self::Chunk {
                chunkid: r.u64()?,
                version: r.u32()?,
                copies: r.list()?,
            });
        }
        let mut counts = [0; 12];
        let shown = if r.version().has_check12() { 12 } else { 11 };
        for count in counts.iter_mut().take(shown) {
            *count = r.u32()?;
        }
        Ok(Self::Counts(counts))
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self {
            Self::Counts(counts) => {
                let shown = if w.version().has_check12() { 12 } else { 11 };
                for &count in counts.iter().take(shown) {
                    w.u32(count);
                }
            }
            Self::Chunk {
                chunkid,
                version,
                copies,
            } => {
                w.u64(*chunkid);
                w.u32(*version);
                w.list(copies);
            }
        }
    }
}

/// Which layout a connection gets for GETDIRSTATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirstatsForm {
    /// Mount connections: 60 bytes.
    Mount,
    /// Tools connections: 44 bytes.
    Tools,
}

/// Answer of GETDIRSTATS: figures of a tree, sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirstatsReply {
    /// The layout.
    pub form: DirstatsForm,
    /// Number of inodes.
    pub inodes: u32,
    /// Number of directories.
    pub dirs: u32,
    /// Number of files.
    pub files: u32,
    /// Number of chunks.
    pub chunks: u32,
    /// Sum of file lengths.
    pub length: u64,
    /// Sum of space used by chunks.
    pub size: u64,
    /// The same with all copies.
    pub realsize: u64,
}

impl<'a> Body<'a> for DirstatsReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let form = if r.remaining() == 56 {
            DirstatsForm::Mount
        } else {
            DirstatsForm::Tools
        };
        let unused = |r: &mut Reader<'_>| {
            if form == DirstatsForm::Mount {
                r.u32()?;
                r.u32()?;
            }
            Ok::<(), Fault>(())
        };
        let inodes = r.u32()?;
        let dirs = r.u32()?;
        let files = r.u32()?;
        unused(r)?;
        let chunks = r.u32()?;
        unused(r)?;
        Ok(Self {
            form,
            inodes,
            dirs,
            files,
            chunks,
            length: r.u64()?,
            size: r.u64()?,
            realsize: r.u64()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        let form = self.form;
        let unused = |w: &mut Writer<'_, B>| {
            if form == DirstatsForm::Mount {
                w.u64(0);
            }
        };
        w.u32(self.inodes);
        w.u32(self.dirs);
        w.u32(self.files);
        unused(w);
        w.u32(self.chunks);
        unused(w);
        w.u64(self.length);
        w.u64(self.size);
        w.u64(self.realsize);
    }
}

/// Answer of PARENTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentsReply<'a> {
    /// One directory for each name of the object, newest name first.
    pub inodes: List<'a, u32>,
}

impl<'a> Body<'a> for ParentsReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { inodes: r.list()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.list(&self.inodes);
    }
}

/// A path in the answer of PATHS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathItem<'a>(pub &'a [u8]);

impl<'a> Item<'a> for PathItem<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self(r.blob32()?))
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.blob32(self.0);
    }
}

/// Answer of PATHS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathsReply<'a> {
    /// One path for each name of the object, relative to the session root, newest name first.
    pub paths: List<'a, PathItem<'a>>,
}

impl<'a> Body<'a> for PathsReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { paths: r.list()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.list(&self.paths);
    }
}

/// NODE_INFO 546, answered with [`NodeInfoReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeInfo {
    /// Message id; the answer has one exactly if the request has.
    pub mid: Option<u32>,
    /// The object.
    pub inode: u32,
    /// Most entries to return.
    pub maxentries: u32,
    /// Where to go on; 0 = at the start.
    pub continueid: u64,
}

impl<'a> Body<'a> for NodeInfo {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: if r.remaining() == 16 {
                None
            } else {
                Some(r.u32()?)
            },
            inode: r.u32()?,
            maxentries: r.u32()?,
            continueid: r.u64()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if let Some(mid) = self.mid {
            w.u32(mid);
        }
        w.u32(self.inode);
        w.u32(self.maxentries);
        w.u64(self.continueid);
    }
}

mids!(Check, NodeInfo);

/// A chunk in the answer of NODE_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkInfo {
    /// The chunk.
    pub chunkid: u64,
    /// Bytes it takes on a chunkserver.
    pub size: u32,
    /// Number of copies.
    pub copies: u8,
}

fixed_item!(ChunkInfo {
    chunkid: u64,
    size: u32,
    copies: u8
});

/// Answer of NODE_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeInfoReply<'a> {
    /// Neither directory nor file.
    Other,
    /// A directory.
    Directory {
        /// Edge id to go on with; 0 = finished.
        continueid: u64,
        /// Children.
        children: List<'a, u32>,
    },
    /// A file.
    File {
        /// Chunk index to go on with; 0 = finished.
        continueid: u64,
        /// Length in bytes.
        length: u64,
        /// Chunks without the holes.
        chunks: List<'a, ChunkInfo>,
    },
}

impl<'a> Body<'a> for NodeInfoReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        match r.u16()? {
            0 => Ok(Self::Other),
            1 => Ok(Self::Directory {
                continueid: r.u64()?,
                children: r.list()?,
            }),
            2 => Ok(Self::File {
                continueid: r.u64()?,
                length: r.u64()?,
                chunks: r.list()?,
            }),
            other => Err(Fault::Value {
                field: "node type",
                value: other.into(),
            }),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self {
            Self::Other => w.u16(0),
            Self::Directory {
                continueid,
                children,
            } => {
                w.u16(1);
                w.u64(*continueid);
                w.list(children);
            }
            Self::File {
                continueid,
                length,
                chunks,
            } => {
                w.u16(2);
                w.u64(*continueid);
                w.u64(*length);
                w.list(chunks);
            }
        }
    }
}
