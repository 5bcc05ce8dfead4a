//! Trash and sustained files, seen by meta mounts (spec 04 §7.10).

use super::{Body, mids, plain_item};
use crate::frame::FrameBuf;
use crate::wire::{Fault, List, Reader, Writer, trim_zeros};

/// Number of parts that the trash listing is divided into: inode modulo this.
pub const TRASH_BUCKETS: u32 = 4096;

/// GETTRASH 450, answered with [`DetachedReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gettrash {
    /// Message id.
    pub mid: u32,
    /// The part to list; `None` (also for part numbers ≥ [`TRASH_BUCKETS`]) = everything.
    pub bucket: Option<u32>,
}

impl<'a> Body<'a> for Gettrash {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let bucket = if r.is_empty() { None } else { Some(r.u32()?) };
        Ok(Self {
            mid,
            bucket: bucket.filter(|&b| b < TRASH_BUCKETS),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.bucket.unwrap_or(TRASH_BUCKETS));
    }
}

/// A trash or sustained file in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetachedEntry<'a> {
    /// Its stored path as a name: `/` replaced by `|`, long paths shortened.
    pub name: &'a [u8],
    /// The file.
    pub inode: u32,
}

plain_item!(DetachedEntry<'a> { name: name, inode: u32 });

/// Answer of GETTRASH and GETSUSTAINED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetachedReply<'a> {
    /// The files.
    pub entries: List<'a, DetachedEntry<'a>>,
}

impl<'a> Body<'a> for DetachedReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { entries: r.list()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.list(&self.entries);
    }
}

/// Values of [`GetDetachedAttr::dtype`].
pub mod detached_type {
    /// Trash or sustained; what a request without the field means.
    pub const ANY: u8 = 0;
    /// Only trash.
    pub const TRASH: u8 = 1;
    /// Only sustained.
    pub const SUSTAINED: u8 = 2;
}

/// GETDETACHEDATTR 452, answered with [`super::AttrReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetDetachedAttr {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// One of [`detached_type`]; other values are `EINVAL`.
    pub dtype: u8,
}

impl<'a> Body<'a> for GetDetachedAttr {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            dtype: if r.is_empty() {
                detached_type::ANY
            } else {
                r.u8()?
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        if self.dtype != detached_type::ANY {
            w.u8(self.dtype);
        }
    }
}

/// Answer of GETTRASHPATH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrashPathReply<'a> {
    /// Stored path without leading slash, without the zero byte that the wire has.
    pub path: &'a [u8],
}

impl<'a> Body<'a> for TrashPathReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { path: r.str32z()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.str32z(self.path);
    }
}

/// SETTRASHPATH 456; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settrashpath<'a> {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// The new path without trailing zero bytes; sent with one.
    pub path: &'a [u8],
}

impl<'a> Body<'a> for Settrashpath<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            path: trim_zeros(r.blob32()?),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.str32z(self.path);
    }
}

mids!(Gettrash, GetDetachedAttr, Settrashpath<'_>);
