//! Structures that many messages share (spec 04 §5).

use std::fmt;

use super::{Body, mids, plain_body};
use crate::frame::FrameBuf;
use crate::version::{ChunkProtocol, Version};
use crate::wire::{Fault, Item, Reader, Writer};

/// A request that is only its message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MidRequest {
    /// Message id.
    pub mid: u32,
}

plain_body!(MidRequest { mid: u32 });

/// A request about one inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InodeRequest {
    /// Message id.
    pub mid: u32,
    /// The inode.
    pub inode: u32,
}

plain_body!(InodeRequest {
    mid: u32,
    inode: u32
});
mids!(MidRequest, InodeRequest);

/// A payload that this crate does not look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passthrough<'a> {
    /// Message number.
    pub msg: u32,
    /// The whole payload.
    pub payload: &'a [u8],
}

/// Groups of a caller; the first is the primary one. Borrowed, so that a request allocates nothing.
#[derive(Clone, Copy)]
pub struct Gids<'a>(GidBytes<'a>);

#[derive(Clone, Copy)]
enum GidBytes<'a> {
    Received(&'a [u8]),
    Own(&'a [u32]),
}

impl<'a> Gids<'a> {
    /// Group of a caller that has none (spec 04 §5.1).
    pub const NONE: u32 = u32::MAX;

    /// The primary group.
    #[inline]
    pub fn primary(&self) -> u32 {
        self.iter().next().unwrap_or(Self::NONE)
    }

    /// Number of groups; a decoded list has at least one.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            GidBytes::Received(bytes) => bytes.len() / 4,
            GidBytes::Own(gids) => gids.len(),
        }
    }

    /// Whether there is no group at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `gid` is among the groups.
    #[inline]
    pub fn contains(&self, gid: u32) -> bool {
        self.iter().any(|g| g == gid)
    }

    /// The groups in the order of the wire.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u32> + Clone + use<'a> {
        let (received, own): (&'a [u8], &'a [u32]) = match self.0 {
            GidBytes::Received(bytes) => (bytes, &[]),
            GidBytes::Own(gids) => (&[], gids),
        };
        received
            .chunks_exact(4)
            .map(|b| b.iter().fold(0, |gid, &byte| gid << 8 | u32::from(byte)))
            .chain(own.iter().copied())
    }
}

impl<'a> From<&'a [u32]> for Gids<'a> {
    fn from(gids: &'a [u32]) -> Self {
        Self(GidBytes::Own(gids))
    }
}

impl PartialEq for Gids<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Gids<'_> {}

impl fmt::Debug for Gids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Who asks: user and groups as the client sent them, not yet mapped (spec 04 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cred<'a> {
    /// User id.
    pub uid: u32,
    /// Groups, the primary one first.
    pub gids: Gids<'a>,
}

impl<'a> Cred<'a> {
    /// Credentials for a request to send.
    pub fn new(uid: u32, gids: &'a [u32]) -> Self {
        Self {
            uid,
            gids: gids.into(),
        }
    }

    /// Reads credentials that are followed by exactly `tail` bytes. The old form with a single group and no
    /// count is recognised by the length alone.
    #[inline]
    pub(crate) fn take(r: &mut Reader<'a>, tail: usize) -> Result<Self, Fault> {
        if r.remaining() == 8 + tail {
            return Ok(Self {
                uid: r.u32()?,
                gids: Gids(GidBytes::Received(r.bytes(4)?)),
            });
        }
        Self::take_current(r, tail)
    }

    /// Reads credentials in a message whose length tells that they have the current form, also without groups.
    #[inline]
    pub(crate) fn take_counted(r: &mut Reader<'a>, tail: usize) -> Result<Self, Fault> {
        if r.remaining() != 8 + tail {
            return Self::take_current(r, tail);
        }
        let uid = r.u32()?;
        match r.u32()? {
            0 => Ok(Self::new(uid, &[])),
            declared => Err(Fault::GroupCount { declared }),
        }
    }

    /// Reads credentials in messages that do not have the old form.
    #[inline]
    pub(crate) fn take_current(r: &mut Reader<'a>, tail: usize) -> Result<Self, Fault> {
        let list = r.remaining().checked_sub(8 + tail).ok_or(Fault::Length)?;
        if list == 0 {
            return Err(Fault::Length);
        }
        let uid = r.u32()?;
        let declared = r.u32()?;
        if u64::from(declared) * 4 != list as u64 {
            return Err(Fault::GroupCount { declared });
        }
        Ok(Self {
            uid,
            gids: Gids(GidBytes::Received(r.bytes(list)?)),
        })
    }

    /// Appends the current form; a caller without groups needs the old one, which APPEND_SLICE and SETATTR
    /// with `winattr` do not have.
    #[inline]
    pub(crate) fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        if self.gids.is_empty() {
            w.u32(self.uid);
            w.u32(Gids::NONE);
        } else {
            self.put_counted(w);
        }
    }

    /// Appends the current form, also of a caller without groups.
    pub(crate) fn put_counted<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.uid);
        w.u32(self.gids.len() as u32);
        for gid in self.gids.iter() {
            w.u32(gid);
        }
    }
}

/// Type of an object as clients see it (spec 04 §5.3). Trash and sustained files are files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum FileType {
    /// Regular file.
    #[default]
    File = 1,
    /// Directory.
    Directory = 2,
    /// Symbolic link.
    Symlink = 3,
    /// Named pipe.
    Fifo = 4,
    /// Block device.
    BlockDevice = 5,
    /// Character device.
    CharDevice = 6,
    /// Socket.
    Socket = 7,
}

impl FileType {
    /// All types in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::File,
        Self::Directory,
        Self::Symlink,
        Self::Fifo,
        Self::BlockDevice,
        Self::CharDevice,
        Self::Socket,
    ];

    /// The type with the given number (1…7).
    #[inline]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).wrapping_sub(1)).copied()
    }

    /// The number on the wire.
    #[inline]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The letter that clients before 1.7.32 use instead of the number.
    pub fn letter(self) -> u8 {
        match self {
            Self::File => b'f',
            Self::Directory => b'd',
            Self::Symlink => b'l',
            Self::Fifo => b'q',
            Self::BlockDevice => b'b',
            Self::CharDevice => b'c',
            Self::Socket => b's',
        }
    }

    /// The type with the given number or letter.
    pub fn from_number_or_letter(byte: u8) -> Option<Self> {
        Self::from_number(byte).or_else(|| Self::ALL.into_iter().find(|t| t.letter() == byte))
    }

    pub(crate) fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
        let byte = r.u8()?;
        let found = if r.version().has_typed_attr() {
            Self::from_number(byte)
        } else {
            Self::ALL.into_iter().find(|t| t.letter() == byte)
        };
        found.ok_or(Fault::Value {
            field: "type",
            value: byte.into(),
        })
    }

    pub(crate) fn byte_for(self, version: Version) -> u8 {
        if version.has_typed_attr() {
            self.number()
        } else {
            self.letter()
        }
    }
}

/// Bits of the first byte of an attribute record (spec 04 §5.3).
pub mod mattr {
    /// The kernel must not cache attributes.
    pub const NO_ATTR_CACHE: u8 = 0x01;
    /// The kernel must not cache the directory entry.
    pub const NO_ENTRY_CACHE: u8 = 0x02;
    /// The kernel may keep cached data.
    pub const ALLOW_DATA_CACHE: u8 = 0x04;
    /// There are neither extended attributes nor an ACL.
    pub const NO_XATTR: u8 = 0x08;
    /// Data caching is off.
    pub const DIRECT_MODE: u8 = 0x10;
    /// The object is undeletable, append-only or immutable.
    pub const UNDELETABLE: u8 = 0x20;
}

/// An attribute record (spec 04 §5.3, 07 §7.5.1): 36 bytes, or 35 without `winattr` for clients before 3.0.93.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attr {
    /// Bits of [`mattr`].
    pub mattr: u8,
    /// Type of the object.
    pub file_type: FileType,
    /// Permission bits, 12 of them (07777).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last access in seconds since the epoch.
    pub atime: u32,
    /// Time of last modification in seconds since the epoch.
    pub mtime: u32,
    /// Time of last change in seconds since the epoch.
    pub ctime: u32,
    /// Number of names; 0 for deleted files that are kept.
    pub nlink: u32,
    /// 8 bytes by type: length of a file or a symlink's target in bytes, pseudo size of a directory,
    /// [`Attr::device`] of a device, else 0.
    pub size: u64,
    /// Opaque byte set by SETATTR.
    pub winattr: u8,
}

impl Attr {
    /// Bytes of a record for current clients.
    pub(crate) const SIZE: usize = 36;

    /// The value of [`Attr::size`] for a device: its number is in the upper half.
    #[inline]
    pub const fn device(rdev: u32) -> u64 {
        (rdev as u64) << 32
    }

    /// The device number of a device.
    #[inline]
    pub const fn rdev(&self) -> u32 {
        (self.size >> 32) as u32
    }

    pub(crate) fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mattr, file_type, mode) = if r.version().has_typed_attr() {
            let mattr = r.u8()?;
            let typemode = r.u16()?;
            let number = (typemode >> 12) as u8;
            let file_type = FileType::from_number(number).ok_or(Fault::Value {
                field: "type",
                value: number.into(),
            })?;
            (mattr, file_type, typemode & 0o7777)
        } else {
            let file_type = FileType::take(r)?;
            let flagmode = r.u16()?;
            ((flagmode >> 12) as u8, file_type, flagmode & 0o7777)
        };
        Ok(Self {
            mattr,
            file_type,
            mode,
            uid: r.u32()?,
            gid: r.u32()?,
            atime: r.u32()?,
            mtime: r.u32()?,
            ctime: r.u32()?,
            nlink: r.u32()?,
            size: r.u64()?,
            winattr: if r.version().has_attr36() { r.u8()? } else { 0 },
        })
    }

    #[inline(always)]
    pub(crate) fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        let version = w.version();
        if let Some(record) = w.room() {
            self.fill(version, record);
        }
        if !version.has_attr36() {
            w.shorten(1);
        }
    }

    /// Writes the record to its place; clients before 3.0.93 do not know the last byte.
    ///
    /// The fields go there one by one: records are the bulk of all answers, and collecting them first makes the
    /// processor wait for its own writes.
    #[inline(always)]
    pub(crate) fn fill(&self, version: Version, record: &mut [u8; Attr::SIZE]) {
        let mode = self.mode & 0o7777;
        // Clients before 1.7.32 have the type as a letter in the first byte and the low four flags above
        // the mode.
        let (first, second) = if version.has_typed_attr() {
            (self.mattr, u16::from(self.file_type.number()) << 12 | mode)
        } else {
            (
                self.file_type.letter(),
                u16::from(self.mattr & 0x0F) << 12 | mode,
            )
        };
        record[0] = first;
        record[1..3].copy_from_slice(&second.to_be_bytes());
        record[3..7].copy_from_slice(&self.uid.to_be_bytes());
        record[7..11].copy_from_slice(&self.gid.to_be_bytes());
        record[11..15].copy_from_slice(&self.atime.to_be_bytes());
        record[15..19].copy_from_slice(&self.mtime.to_be_bytes());
        record[19..23].copy_from_slice(&self.ctime.to_be_bytes());
        record[23..27].copy_from_slice(&self.nlink.to_be_bytes());
        record[27..35].copy_from_slice(&self.size.to_be_bytes());
        record[35] = self.winattr;
    }
}

/// Answer of everything that makes or moves a name: SYMLINK, MKNOD, MKDIR, RENAME, LINK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewNode {
    /// Inode of the object.
    pub inode: u32,
    /// Its attributes.
    pub attr: Attr,
}

impl<'a> Body<'a> for NewNode {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            inode: r.u32()?,
            attr: Attr::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.inode);
        self.attr.put(w);
    }
}

/// Where a copy of a chunk is (spec 04 §5.4): 14 bytes, or 10 or 6 for old clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// IPv4 address of the chunkserver.
    pub ip: u32,
    /// Port of the chunkserver for clients.
    pub port: u16,
    /// Version of the chunkserver.
    pub version: Version,
    /// Labels of the chunkserver: bit 0 = A … bit 25 = Z.
    pub labels: u32,
}

impl<'a> Item<'a> for Location {
    #[inline]
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let protocol = r.version().chunk_protocol();
        Ok(Self {
            ip: r.u32()?,
            port: r.u16()?,
            version: match protocol {
                ChunkProtocol::Addresses => Version(0),
                ChunkProtocol::Versions | ChunkProtocol::Labels => Version(r.u32()?),
            },
            labels: match protocol {
                ChunkProtocol::Addresses | ChunkProtocol::Versions => 0,
                ChunkProtocol::Labels => r.u32()?,
            },
        })
    }

    #[inline]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        let protocol = w.version().chunk_protocol();
        w.u32(self.ip);
        w.u16(self.port);
        if protocol != ChunkProtocol::Addresses {
            w.u32(self.version.0);
        }
        if protocol == ChunkProtocol::Labels {
            w.u32(self.labels);
        }
    }
}

/// Reads the protocol id in front of chunk data; old clients have none.
pub(crate) fn take_protocol_id(r: &mut Reader<'_>) -> Result<(), Fault> {
    let Some(expected) = r.version().chunk_protocol().id() else {
        return Ok(());
    };
    let id = r.u8()?;
    if id == expected {
        Ok(())
    } else {
        Err(Fault::Value {
            field: "protocolid",
            value: id.into(),
        })
    }
}

/// Appends the protocol id in front of chunk data; old clients have none.
pub(crate) fn put_protocol_id<B: FrameBuf>(w: &mut Writer<'_, B>) {
    if let Some(id) = w.version().chunk_protocol().id() {
        w.u8(id);
    }
}
