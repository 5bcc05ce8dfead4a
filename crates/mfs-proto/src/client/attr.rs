//! Looking things up, attributes, opening (spec 04 §7.3, §7.6).

use super::common::{Attr, Cred, Location, put_protocol_id, take_protocol_id};
use super::{Body, mids};
use crate::frame::FrameBuf;
use crate::wire::{Fault, List, Reader, Writer};

/// Bits of the access mask of [`Access`].
pub mod access {
    /// Execute or search.
    pub const X: u16 = 1;
    /// Write.
    pub const W: u16 = 2;
    /// Read.
    pub const R: u16 = 4;
}

/// ACCESS 404; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access<'a> {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// Who asks.
    pub cred: Cred<'a>,
    /// Bits of [`access`].
    pub mode: u16,
}

impl<'a> Body<'a> for Access<'a> {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let old = r.remaining() % 2 == 1;
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            cred: if old {
                // No count: an odd length other than that of a single group is an error.
                if r.remaining() != 9 {
                    return Err(Fault::Length);
                }
                Cred::take(r, 1)?
            } else {
                Cred::take_counted(r, 2)?
            },
            mode: if old { r.u8()?.into() } else { r.u16()? },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        self.cred.put_counted(w);
        w.u16(self.mode);
    }
}

/// LOOKUP 406, answered with [`LookupReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub parent: u32,
    /// Name in the directory; `.` and `..` are understood.
    pub name: &'a [u8],
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Lookup<'a> {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            parent: r.u32()?,
            name: r.name()?,
            cred: Cred::take(r, 0)?,
        })
    }

    #[inline]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.parent);
        w.name(self.name);
        self.cred.put(w);
    }
}

/// Bits of [`LookupReply::lflags`].
pub mod lflags {
    /// The lowest bit of the access masks: bit `1 << m` is set if the caller has all rights of mask `m`
    /// (bits of [`super::access`]); bit 0 always is.
    pub const ACCESS_MASKS: u16 = 0x00FF;
    /// What is left of [`ACCESS_MASKS`] when nothing may be written.
    pub const ACCESS_MASKS_NO_WRITE: u16 = 0x0033;
    /// The access masks with read or write in them.
    pub const ACCESS_MASKS_DATA: u16 = 0x00FC;
    /// Data of the first chunk follows. Set and cleared by the encoder.
    pub const CHUNK_ZERO_DATA: u16 = 0x0100;
    /// The session is read-only.
    pub const RO_FILESYSTEM: u16 = 0x0200;
    /// Data that this client has cached is still valid.
    pub const KEEPCACHE: u16 = 0x0400;
    /// The object is immutable.
    pub const IMMUTABLE: u16 = 0x0800;
    /// The object must not be cached.
    pub const DIRECTMODE: u16 = 0x1000;
    /// The object is append-only.
    pub const APPENDONLY: u16 = 0x2000;
}

/// Data of the only chunk of a file, so that an open and read needs no further question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkZero<'a> {
    /// The chunk; 0 for a hole.
    pub chunkid: u64,
    /// Its version; 0 for a hole.
    pub version: u32,
    /// Its copies, nearest first.
    pub locations: List<'a, Location>,
}

/// Answer of LOOKUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupReply<'a> {
    /// The object found.
    pub inode: u32,
    /// Its attributes.
    pub attr: Attr,
    /// Bits of [`lflags`]. The encoder sets [`lflags::CHUNK_ZERO_DATA`] to match `chunk_zero`. Clients
    /// before 3.0.40 get neither.
    pub lflags: u16,
    /// The first chunk.
    pub chunk_zero: Option<ChunkZero<'a>>,
}

impl<'a> Body<'a> for LookupReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let inode = r.u32()?;
        let attr = Attr::take(r)?;
        let lflags = if r.version().has_lookup_flags() {
            r.u16()?
        } else {
            0
        };
        let chunk_zero = if lflags & lflags::CHUNK_ZERO_DATA == 0 {
            None
        } else {
            take_protocol_id(r)?;
            Some(ChunkZero {
                chunkid: r.u64()?,
                version: r.u32()?,
                locations: r.list()?,
            })
        };
        Ok(Self {
            inode,
            attr,
            lflags,
            chunk_zero,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.inode);
        self.attr.put(w);
        if !w.version().has_lookup_flags() {
            return;
        }
        let Some(chunk) = &self.chunk_zero else {
            w.u16(self.lflags & !lflags::CHUNK_ZERO_DATA);
            return;
        };
        w.u16(self.lflags | lflags::CHUNK_ZERO_DATA);
        put_protocol_id(w);
        w.u64(chunk.chunkid);
        w.u32(chunk.version);
        w.list(&chunk.locations);
    }
}

/// GETATTR 408, answered with [`AttrReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Getattr {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// Asked about an open file: it need not be below the session root.
    pub opened: bool,
    /// User that asks; old requests have none (0).
    pub uid: u32,
    /// Primary group that asks; old requests have none (0).
    pub gid: u32,
}

impl Getattr {
    /// The user and the group of the oldest form of the request, which names none.
    const NOBODY: u32 = 12_345;
}

impl<'a> Body<'a> for Getattr {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let length = r.remaining();
        let mid = r.u32()?;
        let inode = r.u32()?;
        if length == 8 {
            return Ok(Self {
                mid,
                inode,
                opened: false,
                uid: Self::NOBODY,
                gid: Self::NOBODY,
            });
        }
        Ok(Self {
            mid,
            inode,
            opened: if length == 16 { false } else { r.u8()? != 0 },
            uid: r.u32()?,
            gid: r.u32()?,
        })
    }

    #[inline]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u8(self.opened.into());
        w.u32(self.uid);
        w.u32(self.gid);
    }
}

/// Answer that is only an attribute record: GETATTR, SETATTR, GETDETACHEDATTR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttrReply {
    /// The attributes.
    pub attr: Attr,
}

impl<'a> Body<'a> for AttrReply {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            attr: Attr::take(r)?,
        })
    }

    #[inline]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        self.attr.put(w);
    }
}

/// Bits of [`Setattr::setmask`].
pub mod setmask {
    /// Set the `winattr` byte.
    pub const WINATTR: u8 = 0x01;
    /// Set the permission bits.
    pub const MODE: u8 = 0x02;
    /// Set the owner.
    pub const UID: u8 = 0x04;
    /// Set the group.
    pub const GID: u8 = 0x08;
    /// Set the modification time to the master's clock.
    pub const MTIME_NOW: u8 = 0x10;
    /// Set the modification time.
    pub const MTIME: u8 = 0x20;
    /// Set the access time.
    pub const ATIME: u8 = 0x40;
    /// Set the access time to the master's clock.
    pub const ATIME_NOW: u8 = 0x80;
}

/// Values of [`Setattr::sugidclearmode`]: when a change of owner clears the setuid and setgid bits.
pub mod sugid_clear {
    /// Never.
    pub const NEVER: u8 = 0;
    /// Always; what a request without the field means.
    pub const ALWAYS: u8 = 1;
    /// As macOS does.
    pub const OSX: u8 = 2;
    /// As BSD does.
    pub const BSD: u8 = 3;
    /// As ext file systems do.
    pub const EXT: u8 = 4;
    /// As XFS does.
    pub const XFS: u8 = 5;
}

/// SETATTR 410, answered with [`AttrReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setattr<'a> {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// Asked about an open file: it need not be below the session root.
    pub opened: bool,
    /// Who asks.
    pub cred: Cred<'a>,
    /// What to set: bits of [`setmask`].
    pub setmask: u8,
    /// New permission bits.
    pub mode: u16,
    /// New owner.
    pub uid: u32,
    /// New group.
    pub gid: u32,
    /// New access time in seconds since the epoch.
    pub atime: u32,
    /// New modification time in seconds since the epoch.
    pub mtime: u32,
    /// New `winattr` byte; only clients from 3.0.93 on send it, else 0.
    pub winattr: u8,
    /// One of [`sugid_clear`]; other values clear nothing.
    pub sugidclearmode: u8,
}

impl<'a> Body<'a> for Setattr<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        /// `setmask mode uid gid atime mtime`.
        const FIXED: usize = 1 + 2 + 4 * 4;
        let length = r.remaining();
        let short = length == 35 || length == 36;
        let has_clearmode = length != 35;
        let has_winattr = !short && r.version().has_attr36();
        let mid = r.u32()?;
        let inode = r.u32()?;
        let opened = !short && r.u8()? != 0;
        let tail = FIXED + usize::from(has_winattr) + usize::from(has_clearmode);
        Ok(Self {
            mid,
            inode,
            opened,
            cred: if has_winattr {
                Cred::take_current(r, tail)?
            } else {
                Cred::take(r, tail)?
            },
            setmask: r.u8()?,
            mode: r.u16()?,
            uid: r.u32()?,
            gid: r.u32()?,
            atime: r.u32()?,
            mtime: r.u32()?,
            winattr: if has_winattr { r.u8()? } else { 0 },
            sugidclearmode: if has_clearmode {
                r.u8()?
            } else {
                sugid_clear::ALWAYS
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u8(self.opened.into());
        self.cred.put(w);
        w.u8(self.setmask);
        w.u16(self.mode);
        w.u32(self.uid);
        w.u32(self.gid);
        w.u32(self.atime);
        w.u32(self.mtime);
        if w.version().has_attr36() {
            w.u8(self.winattr);
        }
        w.u8(self.sugidclearmode);
    }
}

/// Bits of [`Open::flags`].
pub mod open_flags {
    /// Open for reading.
    pub const READ: u8 = 0x01;
    /// Open for writing.
    pub const WRITE: u8 = 0x02;
    /// The client has checked: no permission checks, no truncation.
    pub const AFTER_CREATE: u8 = 0x04;
    /// Set the length to 0.
    pub const TRUNCATE: u8 = 0x08;
    /// The client has dropped its cached data.
    pub const CACHE_CLEARED: u8 = 0x10;
}

/// OPEN 430, answered with [`OpenReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open<'a> {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// Who asks.
    pub cred: Cred<'a>,
    /// Bits of [`open_flags`].
    pub flags: u8,
}

impl<'a> Body<'a> for Open<'a> {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            cred: Cred::take(r, 1)?,
            flags: r.u8()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        self.cred.put(w);
        w.u8(self.flags);
    }
}

mids!(Access<'_>, Lookup<'_>, Getattr, Setattr<'_>, Open<'_>);

/// Bits of [`OpenReply::oflags`] and [`super::tree::CreateReply::oflags`].
pub mod oflags {
    /// Data that this client has cached is still valid.
    pub const KEEPCACHE: u8 = 0x01;
    /// The file must not be cached.
    pub const DIRECTMODE: u8 = 0x02;
    /// The file is append-only.
    pub const APPENDONLY: u8 = 0x04;
}

/// Answer of OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenReply {
    /// Bits of [`oflags`]; clients before 3.0.113 do not get them.
    pub oflags: u8,
    /// The attributes.
    pub attr: Attr,
}

impl<'a> Body<'a> for OpenReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            oflags: if r.version().has_open_flags() {
                r.u8()?
            } else {
                0
            },
            attr: Attr::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if w.version().has_open_flags() {
            w.u8(self.oflags);
        }
        self.attr.put(w);
    }
}
